"""Safetensors files that are filled in place, for a tensor that may be too large for memory."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import torch
from torch import Tensor


def create(path: Path, name: str, *shape: int) -> Tensor:
    """Make a safetensors file that holds one float32 tensor of this name and shape, and return the tensor to be filled.

    The tensor's memory is mapped to the file: values that are written into the tensor are written to the file.

    Raises:
        OSError: If the file cannot be made, or the disk has no room for it.
    """
    size = 4 * math.prod(shape)
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)  # the format expects the numbers to be aligned
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        start = file.tell()
        file.truncate(start + size)
        if sys.platform == "linux":  # so that a full disk is noticed here, and not while values are written
            os.posix_fallocate(file.fileno(), 0, start + size)
    whole = torch.from_file(str(path), shared=True, size=(start + size) // 4, dtype=torch.float32)
    return whole[start // 4 :].view(shape)
