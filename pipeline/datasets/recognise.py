"""Which reader reads what lies at a path, and with which arguments."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import DataConfig, JsonObject
from pipeline.datasets.files import existing
from pipeline.datasets.loading import BUILT_IN
from pipeline.datasets.text_table import ENDINGS
from pipeline.errors import PipelineError

SIDES = (16, 32, 64, 96)  # that pictures of several sizes are resized to: the last that is not above the middle one
SURVEYED = 500  # pictures whose sizes are looked at

# what the arrays of an archive are called, apart from the names that the reader expects
ARRAY_NAMES = {
    "images": ("images", "x_train", "train_images", "X_train", "x", "X", "data"),
    "labels": ("labels", "y_train", "train_labels", "Y_train", "y", "Y", "target", "targets"),
    "test_images": ("test_images", "x_test", "X_test"),
    "test_labels": ("test_labels", "y_test", "Y_test"),
}


def recognise(shown: str) -> DataConfig:
    """Find the reader, and the arguments that it needs, for what is shown: a file, a folder, or the name of a data set.

    A name, or an import path, is what ``data.dataset`` takes.

    Raises:
        PipelineError: If nothing is there, or nothing that a reader reads.
    """
    path = Path(shown).expanduser()
    if not path.exists() and (shown in BUILT_IN or ":" in shown):
        return DataConfig(shown)
    found = existing(shown, "path")
    name = _reader_of_folder(found) if found.is_dir() else _reader_of_file(found)
    arguments: JsonObject = {"path": shown}
    if name == "folder":
        arguments |= _size(found)
    if name == "numpy":
        arguments |= _array_names(found)
    return DataConfig(name, args=arguments)


def _reader_of_file(path: Path) -> str:
    endings = {ending.lower() for ending in path.suffixes[-2:]}
    if ".npz" in endings:
        return "numpy"
    if endings & set(ENDINGS):
        return "csv"
    if path.suffix == ".npy" or "-ubyte" in path.name:
        raise PipelineError(f"path: {path} is one array; show the folder that holds the images and the labels")
    raise PipelineError(
        f"path: no reader is known for {path}; show a folder of pictures, an .npz archive, a folder of .npy or IDX "
        "files, a CSV file, or the name of a data set, and see docs/datasets.md for a function of your own"
    )


def _reader_of_folder(path: Path) -> str:
    names = [file.name for file in path.iterdir()]
    if "dataset_info.json" in names or "dataset_dict.json" in names:
        return "huggingface"
    if any(name.endswith(".npy") for name in names):
        return "numpy"
    if any("-ubyte" in name for name in names):
        return "idx"
    return "folder"


def _array_names(path: Path) -> dict[str, str]:
    """Return arguments that name the arrays which are called otherwise than the reader expects."""
    from pipeline.datasets.readers.numpy_files import array_names

    there = array_names(path)
    found = {role: next((name for name in usual if name in there), role) for role, usual in ARRAY_NAMES.items()}
    return {role: name for role, name in found.items() if name != role}


def _size(path: Path) -> dict[str, int]:
    """Return the side to resize pictures to, unless they have one size that the shipped networks are meant for."""
    from pipeline.datasets.gallery import Gallery
    from pipeline.datasets.readers.picture_tree import read_tree

    files = read_tree(path).all_files()
    files = files[:: max(1, len(files) // SURVEYED)]  # from all over the list
    gallery = Gallery.of_files(files)
    broken = gallery.find_broken()
    headers = gallery.only([number for number in range(len(files)) if number not in broken]).headers()
    sizes = sorted((header.height, header.width) for header in headers)
    if not sizes or (sizes[0] == sizes[-1] and max(sizes[0]) <= SIDES[-1]):
        return {}
    middle = sorted(min(size) for size in sizes)[len(sizes) // 2]
    return {"size": max((side for side in SIDES if side <= middle), default=SIDES[0])}


def suggested_name(shown: str) -> str:
    """Return a plain name for an experiment on what lies at a path."""
    stem = Path(shown).expanduser().resolve().name.split(".")[0] if Path(shown).exists() else shown.split(":")[0]
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "-" for letter in stem)
    return plain.strip("-_") or "images"
