"""A safetensors file that is filled where it lies, for a tensor that may be too large for memory."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import torch
from torch import Tensor


def create(path: Path, name: str, *shape: int) -> Tensor:
    """A float32 tensor of this shape whose memory is the file's: what is written into it lies in the file.

    Args:
        path: A file to be made.
        name: Of the tensor in the file.
        shape: Of the tensor.

    Raises:
        OSError: The file cannot be made, or the disk has no room for it.
    """
    size = 4 * math.prod(shape)
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)  # readers expect the numbers to be aligned
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        start = file.tell()
        file.truncate(start + size)
        if sys.platform == "linux":  # a full disk is noticed here, not in the midst of writing
            os.posix_fallocate(file.fileno(), 0, start + size)
    whole = torch.from_file(str(path), shared=True, size=(start + size) // 4, dtype=torch.float32)
    return whole[start // 4 :].view(shape)
