"""Predictions laid out as a competition wants them: with the columns and the rows of its sample submission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.datasets.files import existing_file
from pipeline.datasets.label_table import LabelTable, find_images, plain_name
from pipeline.datasets.text_table import find_table
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Submission:
    """The rows that are wanted.

    Attributes:
        table: What the sample's first column calls the images, in order.
        columns: The names of the columns; the first is that of the images.
        classes: The class whose probability stands in each column after the first; () if the one column after the first
            is to hold the class itself.
        remark: What the owner should know of the columns; "" if nothing.
    """

    table: LabelTable
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    remark: str = ""

    def find(self, key: str, names: Sequence[str | int]) -> list[int]:
        """Return the image that each row is about.

        Files go by their names, of which folders and the ending may be left out; rows of an array or a table by their
        names, or by counting from 0 or 1.

        Args:
            key: What ``names`` are: "file" or "index".
            names: The name of each image.

        Returns:
            Positions in ``names``, one for each row of the sample.

        Raises:
            PipelineError: If a row is about no image, or it cannot be told about which.
        """
        mine, known = self.table.names, [str(name) for name in names]
        if key == "file":
            return find_images(self.table, known)
        if sorted(mine) == sorted(known):
            by_name = {name: position for position, name in enumerate(known)}
            return [by_name[name] for name in mine]
        if known == _numbers(0, len(known)) and mine == _numbers(1, len(known)):
            return list(range(len(known)))
        raise PipelineError(
            f"submission: {self.table.path} has {len(mine)} rows, from {mine[0]!r} to {mine[-1]!r}; the images are "
            f"{len(known)}, from {known[0]!r} to {known[-1]!r}. Give the images that it is about, or one whose first "
            "column holds the names of these, or counts them from 0 or 1"
        )

    def rows(self, positions: Sequence[int], found: Sequence[Mapping[str, object]]) -> Iterator[dict[str, object]]:
        """Yield the rows to write, from the positions that ``find`` returned.

        Each image has its ``class`` and the probability ``p_<class name>`` of each class.
        """
        wanted = [f"p_{name}" for name in self.classes] or ["class"]
        for name, position in zip(self.table.names, positions, strict=True):
            values = [name, *(found[position][column] for column in wanted)]
            yield dict(zip(self.columns, values, strict=True))

    def notes(self, positions: Sequence[int], count: int) -> list[str]:
        """Say what the owner should know of these rows about ``count`` images, a sentence each."""
        left_out = count - len(set(positions))
        counted = [f"{left_out} images are in no row of {self.table.path} and were left out"] if left_out else []
        return [*counted, self.remark] if self.remark else counted


def read_submission(path: str, classes: Sequence[str]) -> Submission:
    """Read a sample submission: a line of column names, then a line for each image, whose name comes first.

    If the other columns are called by classes, they are to hold probabilities; a single one that is called otherwise is
    to hold the class.

    Args:
        path: The CSV file.
        classes: The names of the classes that the classifier tells apart.

    Raises:
        PipelineError: If the file cannot be read, or its columns are neither.
    """
    table = find_table(existing_file(path, "submission"))
    if table.names is None:
        raise PipelineError(f"submission: {path} has no line of column names; give the sample of the competition")
    others = table.names[1:]
    if len(others) > 1 and not set(others) <= set(classes):
        raise PipelineError(
            f"submission: {path} has the columns {', '.join(others)}; expected one for the class, or one for each of "
            f"the classifier's classes: {', '.join(classes)}"
        )
    rows = list(table.rows())
    if not rows:
        raise PipelineError(f"submission: {path} names no image; expected a line for each")
    names = [plain_name(cells[0]) for _, cells in rows]
    listed = LabelTable(table.path, names, False, None, [line for line, _ in rows])
    if set(others) <= set(classes):
        return Submission(listed, table.names, others)
    return Submission(listed, table.names, (), _check_placeholder(others[0], rows[0][1][1], classes))


def _check_placeholder(column: str, value: str, classes: Sequence[str]) -> str:
    """Return a remark if what the sample holds in place of a class is none of the classifier's; else ""."""
    if not value.strip() or value.strip() in classes:
        return ""
    return f"the sample has {column} {value.strip()!r}, which is none of the classes written: {', '.join(classes)}"


def _numbers(start: int, count: int) -> list[str]:
    return [str(number) for number in range(start, start + count)]
