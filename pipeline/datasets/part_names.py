"""Names of the parts of a data set, such as ``Training`` and ``val``: of folders, and in a column of a table."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.datasets.text_table import TextTable
from pipeline.errors import PipelineError

_WORDS = {
    "train": {"train", "training", "trainset", "traindata"},
    "test": {"test", "testing", "testset", "testdata"},
    "validation": {"val", "valid", "validation", "valset"},
    "unlabelled": {"unlabelled", "unlabeled", "unsupervised"},
}
_COLUMNS = ("split", "usage", "subset", "partition")  # usual names of the column, in any case


def part_of(name: str) -> str | None:
    """Return the part that a name means, such as "train" for seg_train and TrainingSet; None for others.

    >>> [part_of(name) for name in ("seg_train", "TestSet", "VAL", "unlabeled", "training", "invalid", "strain")]
    ['train', 'test', 'validation', 'unlabelled', 'train', None, None]
    """
    words = words_of(name)
    found = [part for part, meanings in _WORDS.items() if words & meanings]
    return found[0] if len(found) == 1 else None


def words_of(name: str) -> set[str]:
    """Return the words of a name such as seg_train or TrainingSet, in lower case."""
    return {word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def part_column(table: TextTable, others: Collection[int | None]) -> int | None:
    """Return the column that says which part of the data set each row belongs to, such as train or PrivateTest.

    The others are columns that are known to hold something else.
    """
    columns = [number for number in range(table.columns) if number not in others and table.column(number)]
    named = table.find(_COLUMNS)
    if named in columns:
        return named
    return next((number for number in columns if all(map(part_of, table.column(number)))), None)


@dataclass(frozen=True)
class PartCells:
    """The column of a table that says which part of the data set each row belongs to.

    Attributes:
        path: The file.
        column: The column's name for messages.
        cells: What it holds, text, shape (N,).
    """

    path: Path
    column: str
    cells: npt.NDArray[np.str_]

    @property
    def note(self) -> str:
        """A sentence that tells the owner of the file how the column was understood."""
        return f"{self.path}: column {self.column} divides training and test images"

    def parts(self) -> npt.NDArray[np.str_]:
        """Return the part that each cell means: "train", "test", "validation" or "unlabelled", shape (N,).

        Raises:
            PipelineError: If a cell means none.
        """
        meanings = {cell: part_of(cell) for cell in np.unique(self.cells).tolist()}
        strange = [cell for cell, part in meanings.items() if part is None]
        if strange:
            raise PipelineError(
                f"{self.path}: column {self.column} holds {strange[0]!r}, which is no part of a data set; expected "
                "names such as train and test, or Training and PublicTest. Write such names, or remove the column; if "
                "it holds the labels, name it with data.args.label"
            )
        return np.array([meanings[cell] for cell in self.cells.tolist()])
