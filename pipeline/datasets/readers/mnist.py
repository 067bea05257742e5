"""MNIST, whose four gzip archives are part of this package; NOTICE has their licence."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from pipeline.datasets.image_data import ImageData
from pipeline.datasets.readers import idx
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store.disk import sha256_file, write_atomic

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

ARCHIVES = Path(__file__).parent / "archives"
DEVELOPMENT_IMAGES = 10_000

_REINSTALL = "install the package again, or check the file out again"


def load(root: Path, development: bool = False) -> tuple[ImageData, ImageData]:
    """Read the files that ``prepare`` unpacked.

    Args:
        root: The folder that holds MNIST/raw.
        development: Whether the last 10,000 training images replace the test set, so that settings can be chosen
            without opening it.

    Raises:
        PipelineError: If a file is missing or is not MNIST's.
    """
    _verify(root)
    loaded = idx.load(str(_raw(root)))
    assert isinstance(loaded, tuple)
    train, test = loaded
    if not development:
        return train, test
    import torch

    is_test = torch.arange(len(train)) >= len(train) - DEVELOPMENT_IMAGES
    return train[~is_test], train[is_test]


def prepare(root: Path, development: bool = False) -> None:
    """Unpack the archives to root/MNIST/raw, where torchvision looks for the files, too; existing files are checked.

    Raises:
        PipelineError: If an archive cannot be read, or an existing file is not MNIST's.
    """
    for name in SHA256:
        if not (_raw(root) / name).exists():
            write_atomic(_raw(root) / name, unpack(name))
    _verify(root)


load.prepare = prepare  # type: ignore[attr-defined]  # stage data calls it before loading


def _raw(root: Path) -> Path:
    return root / "MNIST" / "raw"


def unpack(name: str) -> bytes:
    """Return the content of an archive, after checking its SHA-256.

    Raises:
        PipelineError: If the archive cannot be read or is not MNIST's.
    """
    archive = ARCHIVES / f"{name}.gz"
    try:
        content = gzip.decompress(archive.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{archive} cannot be unpacked ({error}); {_REINSTALL}") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise PipelineError(f"{archive} does not hold MNIST's {name} (its SHA-256 differs); {_REINSTALL}")
    return content


def _verify(root: Path) -> None:
    for name, expected in SHA256.items():
        path = _raw(root) / name
        if not path.is_file():
            raise PipelineError(f"{path} does not exist; run `{command('data')}`")
        if sha256_file(path) != expected:
            raise PipelineError(
                f"{path} is not MNIST's (its SHA-256 differs); delete it and run `{command('data')}` to unpack it again"
            )
