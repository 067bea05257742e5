"""Reader ``folder``: pictures in one folder a class, and in ``unlabelled/``; ``train/`` and ``test/`` above them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.decoding import FORMATS, Gallery, existing, stack
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError

POOL = ("unlabelled", "unlabeled")  # folders of pictures without a label

_Labelled = list[tuple[Path, str]]  # each picture with its class, "" for none


def load(
    path: str, size: int | Sequence[int] | None = None, storage: Storage | None = None
) -> ImageData | tuple[ImageData, ImageData]:
    """Pictures (PNG, JPEG, BMP, GIF, PPM, TIFF, WebP), named after their folders. Grey if all are, else colour.

    Args:
        path: A folder with a folder for each class, and one named unlabelled if there are pictures without a label;
            or with these in train/ and the classes of the official test set in test/.
        size: Side, or height and width, that every picture is resized to; None expects them to have one size.
        storage: Decodes them into a file if they are too many for memory; None never does.

    Raises:
        PipelineError: The folder is laid out otherwise, a picture cannot be read, or sizes differ.
    """
    from PIL import Image

    train, test = _find(existing(path))
    files = [file for file, _ in train + test]
    gallery = Gallery([str(file) for file in files], lambda number: Image.open(files[number], formats=FORMATS))
    marks = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    images, test_images = stack(gallery, [len(train), len(test)], size, storage, marks)
    labels, test_labels = (np.array([label for _, label in part]) for part in (train, test))
    if not test:
        return from_arrays(images, labels, storage=storage)
    names = sorted({label for _, label in train if label})
    return from_arrays(
        images, labels, test_images=test_images, test_labels=test_labels, class_names=names, storage=storage
    )


def _find(base: Path) -> tuple[_Labelled, _Labelled]:
    """Training and test pictures; no test picture if there is no folder test."""
    folders = {folder.name: folder for folder in _folders(base)}
    if "train" not in folders:
        if "test" in folders:
            raise PipelineError(
                f"data.args.path: {base} has a folder test but none named train; move the classes to train into it"
            )
        return _pictures(base, folders), []
    strange = sorted(set(folders) - {"train", "test", *POOL})
    if strange:
        raise PipelineError(
            f"data.args.path: {base} has {', '.join(strange)} beside train; expected train, test and unlabelled alone. "
            "Move these elsewhere, or into one of them"
        )
    pool = {name: folders[name] for name in POOL if name in folders}
    train = {folder.name: folder for folder in _folders(folders["train"])}
    test = {folder.name: folder for folder in _folders(folders["test"])} if "test" in folders else {}
    if set(test) & set(POOL):
        raise PipelineError(f"data.args.path: {base}/test has pictures without a label; move them to {base}/unlabelled")
    labelled = _pictures(folders["train"], train) + _without_label(pool)
    return labelled, _pictures(folders["test"], test) if "test" in folders else []


def _pictures(base: Path, folders: dict[str, Path]) -> _Labelled:
    """Every picture below the class folders, and of the unlabelled one, in the order of their names."""
    classes = {name: folder for name, folder in folders.items() if name not in POOL}
    if len(classes) < 2:
        raise PipelineError(
            f"data.args.path: {base} holds {', '.join(classes) or 'no folder'}; expected a folder of pictures for each "
            "of two classes or more"
        )
    labelled = [(file, name) for name, folder in classes.items() for file in _files(folder)]
    return labelled + _without_label({name: folder for name, folder in folders.items() if name in POOL})


def _without_label(folders: dict[str, Path]) -> _Labelled:
    return [(file, "") for folder in folders.values() for file in _files(folder)]


def _folders(base: Path) -> list[Path]:
    if not base.is_dir():
        raise PipelineError(f"data.args.path: {base} is a file; expected a folder of folders, one a class")
    return sorted(entry for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    from PIL import Image

    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in endings and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise PipelineError(f"data.args.path: {folder} holds no picture; fill it or remove it")
    return files
