"""Which folder of pictures is a class and which a part of the data set: decided by what lies in it, then by its name.

A part (training, test, validation) holds folders with pictures and is called so: ``train``, ``Train``, ``seg_train``.
A folder that holds pictures itself is a class, whatever its name: pictures of trains may lie in ``train/``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.datasets.part_names import part_of, words_of
from pipeline.datasets.readers.picture_tree import PictureTree, read_tree, show_counts
from pipeline.errors import PipelineError, list_names

_PICTURES = {"images", "image", "imgs", "img", "pictures", "photos"}
_ABOUT_PICTURES = {"annotations", "annotation", "labels", "masks", "mask", "trimaps", "segmentations"}

Labelled = list[tuple[Path, str]]  # pictures, each with the name of its class, "" for none


@dataclass
class Layout:
    """The pictures of a data set.

    Attributes:
        train: Training pictures, with those of a validation folder and the unlabelled ones.
        test: Pictures of the official test set; empty if there is none.
        notes: What was passed over, and decisions that the owner may not expect, a sentence each.
    """

    train: Labelled = field(default_factory=list)
    test: Labelled = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_layout(base: Path, named: Mapping[str, str | None]) -> Layout:
    """Find the classes and parts of a folder of pictures.

    Args:
        base: The folder.
        named: Folders below it by part (``train``, ``test``, ``validation``, ``unlabelled``), where the owner names
            them; None leaves the part to be found. "." is the folder itself: every folder in it is a class.

    Raises:
        PipelineError: If there is a single class, a folder is empty, or it cannot be told what a folder is.
    """
    if not base.is_dir():
        raise PipelineError(f"data.args.path: {base} is a file; expected a folder of folders, one for each class")
    tree = read_tree(base)
    given = {part: _find_named(tree, part, name) for part, name in named.items() if name is not None}
    root = tree if given else _unwrap(tree, None)
    parts = _find_parts(root, given)
    classes = _class_folders(parts)
    pool = _unlabelled_folders(root, parts)
    loose = [] if classes else _unwrap(parts["train"], "train").files
    _refuse_empty(root, parts)
    layout = Layout(_labelled(classes), _labelled(_classes_in(parts, "test")))
    validation = _labelled(_classes_in(parts, "validation"))
    if validation and not layout.test:
        layout.test = validation
        layout.notes.append(f"{parts['validation'].path} is taken for the test set, since there is no other")
    elif validation:
        layout.train += validation
        layout.notes.append(
            f"{len(validation)} pictures of {parts['validation'].path} join the training set: what validates is drawn "
            "within each budget of labels"
        )
    layout.train += [(file, "") for file in loose]
    layout.train += [(file, "") for folder in pool for file in folder.all_files()]
    if not layout.train:
        raise PipelineError(f"data.args.path: {base} holds no picture; expected a folder of pictures for each class")
    layout.notes += _notes(tree, layout, classes)
    return _spelt_alike(layout)


# --- which folder is which part -------------------------------------------------------------------------------


def _find_named(tree: PictureTree, part: str, name: str) -> PictureTree:
    for folder in tree.walk():
        if folder.path == tree.path / name:
            return folder
    raise PipelineError(f"data.args.{part}: {tree.path} holds no folder {name!r}; name a folder below data.args.path")


def _unwrap(tree: PictureTree, part: str | None) -> PictureTree:
    """Return the folder that holds the classes: this one, the only one in it, or its ``images`` beside annotations."""
    if tree.files:
        return tree
    folders = tree.folders
    if any(words_of(folder.name) & _PICTURES for folder in folders):
        folders = [folder for folder in folders if not words_of(folder.name) & _ABOUT_PICTURES]
    if len(folders) != 1:
        return tree
    [only] = folders
    is_wrapper = bool(only.folders) and part_of(only.name) == part
    return _unwrap(only, part) if is_wrapper or words_of(only.name) & _PICTURES else tree


def _find_parts(root: PictureTree, given: Mapping[str, PictureTree]) -> dict[str, PictureTree]:
    """Return the folder of each part; that of ``train`` is the root if the classes lie there."""
    parts = dict(given)
    if parts.get("train") is root:
        return parts
    for folder in root.folders:
        part = part_of(folder.name)
        if part is None or part in ("unlabelled", *given) or not folder.folders or folder in given.values():
            continue
        if part in parts:
            raise PipelineError(
                f"data.args.path: {root.path} has {parts[part].name} and {folder.name}, which may both be meant for "
                f"{part}; name the right one with data.args.{part}"
            )
        parts[part] = folder
    beside = [folder.name for folder in root.folders if folder not in parts.values() and not part_of(folder.name)]
    if "train" not in parts:
        if found := set(parts) - set(given):
            name = parts[min(found)].name
            raise PipelineError(
                f"data.args.path: {root.path} has a folder {name} but none named train; name the training folder with "
                f"data.args.train (data.args.train: . if {name} is a class)"
            )
        _refuse_unclear(root, parts)
        parts["train"] = root
    elif beside and len(parts) == 1 and not given:
        name = parts["train"].name
        raise PipelineError(
            f"data.args.path: {root.path} has {list_names(beside)} beside {name}, which has folders in it; say that "
            f"{name} is the training set (data.args.train: {name}), or that it is a class like the others "
            "(data.args.train: .)"
        )
    return parts


def _refuse_unclear(root: PictureTree, parts: Mapping[str, PictureTree]) -> None:
    """Refuse folders of pictures that would be classes by what lies in them, but are called as parts are.

    Raises:
        PipelineError: If all are, or one is called test: that may be pictures that nobody has labelled.
    """
    folders = [folder for folder in root.folders if folder not in parts.values()]
    unclear = [folder for folder in folders if part_of(folder.name) == "test"]
    if folders and all(part_of(folder.name) for folder in folders):
        unclear = [folder for folder in folders if part_of(folder.name) != "unlabelled"]
    if unclear:
        name = unclear[0].name
        raise PipelineError(
            f"data.args.path: {root.path}/{name} holds pictures, and no folder for each class; sort them into such "
            f"folders, or say that {name} is a class (data.args.train: .) or has no labels (data.args.unlabelled: "
            f"{name})"
        )


# --- what lies in them ----------------------------------------------------------------------------------------


def _classes_in(parts: Mapping[str, PictureTree], part: str) -> list[PictureTree]:
    """Return the class folders of a part; none if there is no such part.

    Raises:
        PipelineError: If the part has pictures without a label, or no folder of pictures.
    """
    if part not in parts:
        return []
    inside = _unwrap(parts[part], part)
    without = [folder for folder in inside.folders if part_of(folder.name) == "unlabelled"]
    if without:
        raise PipelineError(
            f"data.args.path: {without[0].path} has pictures without a label in the {part} set; move them out of it"
        )
    if not inside.folders:
        raise PipelineError(
            f"data.args.{part}: {inside.path} holds no folder of pictures; expected one for each class, or pictures "
            "without labels as data.args.unlabelled"
        )
    return inside.folders


def _class_folders(parts: Mapping[str, PictureTree]) -> list[PictureTree]:
    """Return the class folders of the training set; none if its pictures have no labels."""
    inside = _unwrap(parts["train"], "train")
    others = [folder for part, folder in parts.items() if part != "train"]
    classes = [f for f in inside.folders if f not in others and part_of(f.name) != "unlabelled"]
    if len(classes) == 1:
        name = classes[0].name
        raise PipelineError(
            f"data.args.path: {inside.path} holds one class, {name}; expected a folder for each of two or more. Add "
            f"one for each further class or, if these pictures have no label yet, set data.args.unlabelled to {name}"
        )
    return classes


def _unlabelled_folders(root: PictureTree, parts: Mapping[str, PictureTree]) -> list[PictureTree]:
    if "unlabelled" in parts:
        return [parts["unlabelled"]]
    places = {folder.path: folder for folder in (root, _unwrap(parts["train"], "train"))}
    return [f for place in places.values() for f in place.folders if part_of(f.name) == "unlabelled"]


def _refuse_empty(root: PictureTree, parts: Mapping[str, PictureTree]) -> None:
    """Refuse folders that were meant to hold pictures: classes, and parts; one with texts alone was not."""
    meant = [folder for folder in root.barren if part_of(folder.name)]
    meant += [folder for part in parts.values() for folder in _unwrap(part, None).barren]
    meant += [folder for folder in parts.values() if not (folder.files or folder.folders)]
    for folder in meant:
        if not folder.holds_texts_alone():
            others = folder.all_others()
            found = f"no picture that can be read, but {show_counts(others)}" if others else "no picture"
            raise PipelineError(f"data.args.path: {folder.path} holds {found}; fill it or remove it")


def _labelled(classes: Sequence[PictureTree]) -> Labelled:
    return [(file, folder.name) for folder in classes for file in folder.all_files()]


def _spelt_alike(layout: Layout) -> Layout:
    """Return the folders with test classes spelt as in training, if they differ in case alone: Cat and cat."""
    names = {name for _, name in layout.train}
    spelling = {name.casefold(): name for name in sorted(names)}
    test = [(file, name if name in names else spelling.get(name.casefold(), name)) for file, name in layout.test]
    return replace(layout, test=test)


# --- what is said ---------------------------------------------------------------------------------------------


def _notes(tree: PictureTree, layout: Layout, classes: Sequence[PictureTree]) -> list[str]:
    notes = [
        f"{folder.path} is taken for a class, since it holds pictures and no folders"
        for folder in classes
        if part_of(folder.name)
    ]
    read = {file for file, _ in layout.train + layout.test}
    unread = Counter(str(f if f.parent == tree.path else f.parent) for f in tree.all_files() if f not in read)
    if unread:
        notes.append(
            f"{unread.total()} pictures were ignored, since it is not clear what they are: {show_counts(unread)}; "
            "move them into the folder of their class, or name one of pictures without labels as data.args.unlabelled"
        )
    if others := tree.all_others():
        notes.append(f"{others.total()} files of other kinds were ignored: {show_counts(others)}")
    return notes
