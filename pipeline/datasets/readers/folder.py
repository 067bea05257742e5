"""Reader ``folder``: pictures in one folder for each class, with folders of the parts above them if there are any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.files import existing
from pipeline.datasets.gallery import Gallery
from pipeline.datasets.image_data import Parts, describe
from pipeline.datasets.readers.folder_layout import find_layout
from pipeline.datasets.stacking import PictureSettings, Stacked, stack
from pipeline.datasets.streamed import Storage


def load(
    path: str,
    size: int | Sequence[int] | None = None,
    train: str | None = None,
    test: str | None = None,
    validation: str | None = None,
    unlabelled: str | None = None,
    background: str | Sequence[int] | None = None,
    white: float | None = None,
    skip_broken: bool = False,
    storage: Storage | None = None,
) -> Parts:
    """Read pictures (PNG, JPEG, BMP, GIF, PPM, TIFF, WebP) from a folder for each class. Grey if all are, else colour.

    What a folder is, is decided by what lies in it: one that holds pictures is a class; one that holds such folders and
    is called train, Training, test, val or the like is a part. Pictures that lie in no class have no label. See
    ``docs/datasets.md``.

    Args:
        path: The folder of the data set.
        size: Side, or height and width, that every picture is resized to; None expects them to have one size.
        train: Folder of the training classes, below ``path``; "." if they lie in ``path`` itself, whatever they are
            called. None finds it, as the next three are found.
        test: Folder of the official test set's classes; one is held out if there is none.
        validation: Folder of further labelled pictures: they join the training set, since what validates is drawn
            within each budget of labels. Without a test set, they are the test set.
        unlabelled: Folder of pictures without labels.
        background: The colour that transparent pictures are laid on, such as black or [255, 0, 0]. None takes white,
            and black for a picture of which nothing would be seen on white.
        white: The value of a white pixel, if it is not the greatest that the pictures' bits allow.
        skip_broken: Leave out pictures that cannot be read, and say which, instead of refusing the folder.
        storage: Decodes the pictures into a file if they are too many for memory; None never does.

    Raises:
        PipelineError: If it cannot be told what the folders are, a picture cannot be read, or sizes differ.
    """
    base = existing(path)
    layout = find_layout(base, {"train": train, "test": test, "validation": validation, "unlabelled": unlabelled})
    files = [file for file, _ in layout.train + layout.test]
    settings = PictureSettings(size, background, white, skip_broken)
    stacked = read_pictures(files, [len(layout.train), len(layout.test)], settings, storage)
    parts = zip((layout.train, layout.test), stacked.kept, strict=True)
    kept = [[part[number] for number in numbers] for part, numbers in parts]
    labels, test_labels = (np.array([label for _, label in part]) for part in kept)
    arrays: dict[str, Any] = {"images": stacked.parts[0], "labels": labels}
    if layout.test:
        classes = sorted({label for _, label in layout.train if label}) or None
        arrays |= {"test_images": stacked.parts[1], "test_labels": test_labels, "class_names": classes}
    names = [[_shown(file.relative_to(base)) for file, _ in part] for part in kept]
    loaded = from_arrays(**arrays, white=stacked.white, storage=storage)
    return describe(loaded, names, [*layout.notes, *stacked.notes], stacked.decoding)


def read_pictures(
    files: Sequence[Path], counts: Sequence[int], settings: PictureSettings, storage: Storage | None
) -> Stacked:
    """Read picture files into arrays of so many images each; see ``stacking.stack``."""
    gallery = Gallery.of_files(files)
    identity = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return stack(gallery, counts, settings, storage, identity)


def _shown(path: Path) -> str:
    """Return a path as text that can be written; bytes that are no UTF-8 are written as hexadecimal numbers."""
    return path.as_posix().encode(errors="backslashreplace").decode()
