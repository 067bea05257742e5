"""Reader ``huggingface``: a data set of the Hugging Face library, from a folder or downloaded from its hub.

No code of a data set is run, since the library reads only Arrow files from version 4 on.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import extras
from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.decoding import FORMATS
from pipeline.datasets.gallery import Gallery
from pipeline.datasets.image_data import Parts, describe
from pipeline.datasets.stacking import PictureSettings, stack
from pipeline.datasets.streamed import Array, Storage
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store.regular_files import check_tree

if TYPE_CHECKING:
    from PIL.Image import Image

POOL = ("unlabelled", "unlabeled", "unsupervised")  # usual names of splits of images without a label


def load(
    root: Path,
    path: str,
    name: str | None = None,
    image: str | None = None,
    label: str | None = None,
    train: str = "train",
    test: str = "test",
    unlabelled: str | None = None,
    size: int | Sequence[int] | None = None,
    background: str | Sequence[int] | None = None,
    skip_broken: bool = False,
    storage: Storage | None = None,
) -> Parts:
    """Read images and labels of a data set that ``save_to_disk`` wrote, or that stage data downloaded from the hub.

    Args:
        root: The folder for raw files; data sets of the hub are kept in its subfolder huggingface.
        path: The folder of the data set, or its name on the hub, such as ylecun/mnist.
        name: The configuration, if a data set of the hub has several.
        image: The column of the images; None takes the only one that holds images.
        label: The column of the labels, whole numbers or strings; None takes the only one of classes, or "label". An
            empty cell means that the image has no label.
        train: The split to train on; a folder with a single split has only this one.
        test: The split of the official test set; if there is no split of this name, a test set is held out.
        unlabelled: A split of images whose labels, if any, are not used; None takes a split that is named unlabelled,
            unlabeled or unsupervised.
        size: The side, or height and width, that every image is resized to; None expects all to have one size.
        background: The colour behind transparent images, as for reader ``folder``.
        skip_broken: Whether images that cannot be read are left out, and named in a note.
        storage: Decodes images into a file if they are too many for memory; None always uses memory.

    Raises:
        PipelineError: If the extra [huggingface] is not installed, the data set is missing, or has no such split or
            column, or its images cannot be read.
    """
    splits = _open(_folder(root, path, name), train)
    pool = unlabelled or next((split for split in POOL if split in splits), None)
    parts = {"images": train, "unlabelled": pool, "test_images": test if test in splits else None}
    chosen = {role: _split(splits, split) for role, split in parts.items() if split}
    features = chosen["images"].features
    image = _column(features, "image", image, "Image", ("image", "img"))
    label = _column(features, "label", label, "ClassLabel", ("label", "labels"))
    settings = PictureSettings(size, background, None, skip_broken)
    counts = [len(part) for part in chosen.values()]
    stacked = stack(_gallery(chosen, image), counts, settings, storage, _file_states(chosen, image))
    arrays: dict[str, Any] = dict(zip(chosen, stacked.parts, strict=True))
    kept = dict(zip(chosen, stacked.kept, strict=True))
    arrays["labels"] = _labels(chosen["images"], label)[kept["images"]]
    if "test_images" in chosen:
        arrays["test_labels"] = _labels(chosen["test_images"], label)[kept["test_images"]]
    names = getattr(features[label], "names", None)
    parts_read = from_arrays(**arrays, class_names=names, white=stacked.white, storage=storage)
    return describe(parts_read, notes=stacked.notes, decoding=stacked.decoding)


def prepare(root: Path, path: str, name: str | None = None, **_: Any) -> None:
    """Download a data set of the hub, as ``load`` names it, unless it is there.

    Raises:
        PipelineError: If the extra [huggingface] is not installed, or the data set cannot be downloaded.
    """
    folder = _folder(root, path, name)
    if folder.exists():
        return
    extras.require("huggingface", "data.dataset: huggingface")
    import datasets

    try:
        found = datasets.load_dataset(path, name, cache_dir=str(folder.with_name(".downloads")))
    except Exception as error:  # the library has many file systems, each with its own errors
        raise PipelineError(
            f"data.args.path: {path} is no folder here, and could not be downloaded ({error}); correct the path, "
            "check the network, or copy the output of save_to_disk there"
        ) from error
    partial = folder.with_name(f".{folder.name}")  # what a killed run left there is overwritten
    found.save_to_disk(str(partial))
    partial.rename(folder)


load.prepare = prepare  # type: ignore[attr-defined]  # stage data calls it before loading


def _folder(root: Path, path: str, name: str | None) -> Path:
    """Return the folder of the data set: the user's own, or the one that stage data downloads it to."""
    own = Path(path).expanduser()
    return own if own.exists() else root / "huggingface" / "--".join([*Path(path).parts, *([name] if name else [])])


def _open(folder: Path, train: str) -> dict[str, Any]:
    """Return the splits of a data set by name."""
    extras.require("huggingface", "data.dataset: huggingface")
    import datasets

    if not folder.exists():
        raise PipelineError(f"data.args.path: {folder} does not exist; correct the path, or run `{command('data')}`")
    check_tree(folder)
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # as in prepare
        raise PipelineError(
            f"data.args.path: {folder} is no data set ({error}); write it with save_to_disk of the datasets library"
        ) from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {train: found}


def _split(splits: dict[str, Any], name: str) -> Any:
    if name not in splits:
        raise PipelineError(
            f"data.args: there is no split {name!r}; the data set has {', '.join(splits)}: name them with "
            "data.args.train, test and unlabelled"
        )
    return splits[name]


def _column(features: Any, role: str, given: str | None, kind: str, usual: Sequence[str]) -> str:
    """Return the column for a role: the given one, the only one of its kind, or one with a usual name."""
    of_kind = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if len(of_kind) != 1:
        of_kind = [name for name in usual if name in (of_kind or features)]
    chosen = given or (of_kind[0] if of_kind else None)
    if chosen not in features:
        columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise PipelineError(
            f"data.args.{role}: {given or 'none given, and none is found'}; the columns are {columns}: name the right "
            f"one with data.args.{role}"
        )
    return str(chosen)


def _gallery(parts: dict[str, Any], column: str) -> Gallery:
    """Return a gallery of the pictures of all parts, in order; opening one reads its header only."""
    import datasets
    from PIL import Image

    for part in parts.values():
        kind = type(part.features.get(column)).__name__
        if kind != "Image":
            raise PipelineError(f"data.args.image: column {column!r} is of {kind}; expected images in every split")
    raw = [part.select_columns(column).cast_column(column, datasets.Image(decode=False)) for part in parts.values()]
    whole = datasets.concatenate_datasets(raw)

    def picture(number: int) -> Image.Image:
        stored = whole[number][column]
        if stored is None:
            raise ValueError("it is empty")
        return Image.open(stored["path"] if stored["bytes"] is None else io.BytesIO(stored["bytes"]), formats=FORMATS)

    return Gallery([f"{role} {number}" for role, part in parts.items() for number in range(len(part))], picture)


def _labels(part: Any, column: str) -> Array:
    """Return the labels of a part, with -1 or "" where a cell is empty."""
    values = part[column][:]
    nothing = "" if any(isinstance(value, str) for value in values) else -1
    return np.array([nothing if value is None else value for value in values])


def _file_states(parts: dict[str, Any], column: str) -> list[Any]:
    """Return JSON values that differ if the files of the images have changed."""
    files = [Path(file["filename"]) for part in parts.values() for file in part.cache_files]
    stats = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [column, *parts, *stats]
