"""Reader ``folder``: pictures in one folder for each class, with folders of the parts above them if there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.decoding import FORMATS, Gallery, existing, stack
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.readers.folder_layout import find_layout
from pipeline.datasets.streamed import Storage


def load(
    path: str,
    size: int | Sequence[int] | None = None,
    train: str | None = None,
    test: str | None = None,
    validation: str | None = None,
    unlabelled: str | None = None,
    storage: Storage | None = None,
) -> ImageData | tuple[ImageData, ImageData]:
    """Read pictures (PNG, JPEG, BMP, GIF, PPM, TIFF, WebP) from a folder for each class. Grey if all are, else colour.

    What a folder is, is decided by what lies in it: one that holds pictures is a class; one that holds such folders and
    is called train, Training, test, val or the like is a part. See ``docs/datasets.md``.

    Args:
        path: The folder of the data set.
        size: Side, or height and width, that every picture is resized to; None expects them to have one size.
        train: Folder of the training classes, below ``path``; "." if they lie in ``path`` itself, whatever they are
            called. None finds it, as the next three are found.
        test: Folder of the official test set's classes; one is held out if there is none.
        validation: Folder of further labelled pictures: they join the training set, since what validates is drawn
            within each budget of labels. Without a test set, they are the test set.
        unlabelled: Folder of pictures without labels.
        storage: Decodes the pictures into a file if they are too many for memory; None never does.

    Raises:
        PipelineError: If it cannot be told what the folders are, a picture cannot be read, or sizes differ.
    """
    from PIL import Image

    named = {"train": train, "test": test, "validation": validation, "unlabelled": unlabelled}
    layout = find_layout(existing(path), named)
    files = [file for file, _ in layout.train + layout.test]
    gallery = Gallery([str(file) for file in files], lambda number: Image.open(files[number], formats=FORMATS))
    marks = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    images, test_images = stack(gallery, [len(layout.train), len(layout.test)], size, storage, marks)
    labels, test_labels = (np.array([label for _, label in part]) for part in (layout.train, layout.test))
    if not layout.test:
        return from_arrays(images, labels, storage=storage)
    names = sorted({label for _, label in layout.train if label})
    return from_arrays(
        images, labels, test_images=test_images, test_labels=test_labels, class_names=names, storage=storage
    )
