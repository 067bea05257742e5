"""A folder of pictures as a tree, without what computers leave in folders: thumbnails, checkpoints, hidden files."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets.decoding import FORMATS

# folders and files that programs make for themselves, as are all whose name starts with a dot
_LITTER = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "__pycache__", "thumbs.db", "desktop.ini"}
# a file that marks where the object is in the picture of the same name without this ending, such as a_mask.png of a.png
_MASK = re.compile(r"(?P<picture>.+)[ _-](mask|masks|seg|segmentation|gt)([ _-]?\d+)?", re.IGNORECASE)
MASKS = "masks of pictures beside them"
BROKEN_LINKS = "broken links"
# files that may be about pictures, but hold none themselves
_TEXTS = {".txt", ".md", ".csv", ".tsv", ".xml", ".json", ".yaml", ".yml", ".html", ".log", ".pdf", ".py", ".ipynb"}


@dataclass(eq=False)
class PictureTree:
    """The pictures of a folder and of the folders in it.

    Attributes:
        path: The folder.
        files: The pictures that lie in the folder itself, in the order of their names.
        folders: The folders in it that hold a picture at any depth, in the order of their names.
        barren: The folders in it that hold no picture at any depth.
        others: How many other files lie in the folder itself, by their ending, such as ".svg", or as ``MASKS`` or
            ``BROKEN_LINKS``.
    """

    path: Path
    files: list[Path] = field(default_factory=list)
    folders: list[PictureTree] = field(default_factory=list)
    barren: list[PictureTree] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """The folder's name, composed (Unicode's NFC): some systems write "é" as two characters."""
        return unicodedata.normalize("NFC", self.path.name)

    def walk(self) -> Iterator[PictureTree]:
        """Yield this folder and all below it."""
        yield self
        for folder in [*self.folders, *self.barren]:
            yield from folder.walk()

    def all_files(self) -> list[Path]:
        """Return the pictures at any depth, in the order of their paths."""
        return sorted(file for folder in self.walk() for file in folder.files)

    def all_others(self) -> Counter[str]:
        """Return how many files that are not read lie at any depth, by their ending."""
        return sum((folder.others for folder in self.walk()), Counter())

    def holds_texts_alone(self) -> bool:
        """Whether there are files in it, and each is a text: such as the annotations of pictures elsewhere."""
        others = self.all_others()
        return bool(others) and set(others) <= _TEXTS and not self.all_files()


def read_tree(path: Path) -> PictureTree:
    """Look through a folder once. Links are followed, but no folder is read twice, so that they cannot go in circles.

    Raises:
        OSError: If a folder cannot be listed.
    """
    return _read(path, _endings(), {path.resolve()})


def show_counts(found: Counter[str]) -> str:
    """Return how many there are of each kind, most first, such as "3 .txt, 1 .svg"."""
    return ", ".join(f"{n} {kind or 'without an ending'}" for kind, n in found.most_common(8))


def is_picture(path: Path) -> bool:
    """Whether a file has the ending of a picture. What it holds is known when it is opened, whatever its ending."""
    return path.suffix.lower() in _endings()


def _endings() -> set[str]:
    from PIL import Image

    return {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def _read(path: Path, endings: set[str], seen: set[Path]) -> PictureTree:
    tree = PictureTree(path)
    with os.scandir(path) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        ending = Path(entry.name).suffix.lower()
        if entry.name.startswith(".") or entry.name.casefold() in _LITTER:
            continue
        if entry.is_dir():
            if (inside := Path(entry).resolve()) not in seen:
                seen.add(inside)
                below = _read(Path(entry), endings, seen)
                (tree.folders if below.files or below.folders else tree.barren).append(below)
        elif ending in endings and entry.is_file():
            tree.files.append(Path(entry))
        elif entry.is_symlink() and not Path(entry).exists():
            tree.others[BROKEN_LINKS] += 1
        else:
            tree.others[ending] += 1
    masks = _find_masks(tree.files)
    if masks:
        tree.files = [file for file in tree.files if file not in masks]
        tree.others[MASKS] += len(masks)
    return tree


def _find_masks(files: Sequence[Path]) -> set[Path]:
    """Find files of a folder that are called like another of them and a mask."""
    stems = {file.stem for file in files}
    named = {file: _MASK.fullmatch(file.stem) for file in files}
    return {file for file, match in named.items() if match and match["picture"] in stems}
