"""Tables in text files: CSV, gzipped or not, with any usual delimiter, with names of columns or without."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.datasets.files import unpacked
from pipeline.errors import PipelineError

ENDINGS = (".csv", ".tsv", ".txt")  # of the names of such files

_SAMPLE = 100  # the number of lines from which the layout of the table is found
_DELIMITERS = ";\t|,"  # among equal counts the first wins, since a comma may be a decimal sign
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

# usual names of columns, in any case
LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit", "category", "class_name", "classname", "class name")
FILE_NAMES = ("file", "filename", "file_name", "filepath", "filepaths", "path", "image", "img", "image_name", "picture")
INDEX_NAMES = ("index", "id", "image_id", "imageid", "id_code", "row", "unnamed: 0")


@dataclass(frozen=True)
class TextTable:
    """The layout of a table in a text file.

    Attributes:
        path: The file.
        encoding: Python's name of the encoding.
        delimiter: The character between two cells.
        names: The names of the columns; None if the first line is a row like the others.
        sample: The first rows, without the names.
        columns: The number of columns.
    """

    path: Path
    encoding: str
    delimiter: str
    names: tuple[str, ...] | None
    sample: list[list[str]]
    columns: int

    @property
    def has_decimal_commas(self) -> bool:
        """Whether numbers have a decimal comma, such as 0,5."""
        cells = itertools.chain.from_iterable(self.sample)
        return self.delimiter != "," and any(re.fullmatch(r"-?\d+,\d+", cell) for cell in cells)

    def column(self, number: int) -> list[str]:
        """Return the cells of a column in the sample."""
        return [row[number] for row in self.sample if len(row) > number]

    def name_of(self, number: int) -> str:
        """Return a column's name for messages, or its number from 0 if it has none."""
        return repr(self.names[number]) if self.names is not None else str(number)

    @property
    def has_words(self) -> bool:
        """Whether some column has a name that is no number."""
        return any(name and not is_number(name) for name in self.names or ())

    def find(self, names: Sequence[str]) -> int | None:
        """Return the column with the first of these names that is there; None if there is none."""
        mine = [name.casefold() for name in self.names or ()]
        return next((mine.index(name) for name in names if name in mine), None)

    def find_only(self, names: Sequence[str], remedy: str = "") -> int | None:
        """Return the column with one of these names; None if there is none.

        Raises:
            PipelineError: If several columns have such a name; the remedy is added to the message.
        """
        found = [number for number, name in enumerate(self.names or ()) if name.casefold() in names]
        if len(found) > 1:
            shown = " and ".join(f"{self.name_of(number)} (column {number}, from 0)" for number in found)
            raise PipelineError(
                f"{self.path}: {shown} may all be meant for one thing; remove or rename the others{remedy}"
            )
        return found[0] if found else None

    def find_named(self, name: str) -> int | None:
        """Return the column of this name, in any case unless one is spelt exactly so; None if there is none.

        Raises:
            PipelineError: If several columns may be meant.
        """
        if self.names is not None and self.names.count(name) == 1:
            return self.names.index(name)
        return self.find_only([name.casefold()])

    def packed_column(self) -> int | None:
        """Return the column whose cells each hold all pixels of an image, between spaces; None if there is none."""
        return next((number for number in range(self.columns) if _are_packed(self.column(number))), None)

    def file_column(self) -> int | None:
        """Find the column of the names of picture files, which is not that of the labels; None if there is none."""
        named = self.find(FILE_NAMES)
        if named is not None and not all(map(is_number, self.column(named))):
            return named
        others = [number for number in range(self.columns) if number != self.find(LABEL_NAMES)]
        return next((number for number in others if _names_files(self.sample, number)), None)

    def lists_files(self) -> bool:
        """Whether the rows name picture files; pixels would be more columns than two."""
        return self.file_column() is not None or (self.columns == 2 and self.find(INDEX_NAMES) is not None)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty, with the number of its line, from 1.

        Raises:
            PipelineError: If the file cannot be read, or a row has more or fewer cells than the first.
        """
        with open_text(self.path, self.encoding) as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            for number, cells in enumerate(reader):
                if (number == 0 and self.names) or not cells:
                    continue
                if len(cells) != self.columns:
                    raise PipelineError(
                        f"{self.path}, line {reader.line_num}: {len(cells)} columns; the first line has {self.columns}"
                    )
                yield reader.line_num, cells


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Open a text file, unpacked if it is gzipped.

    Raises:
        PipelineError: If the file cannot be read, or is no text in this encoding.
    """
    try:
        with unpacked(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
            yield text
    except (OSError, EOFError, UnicodeError, zlib.error, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; expected a CSV file, in UTF-8") from error


def find_table(path: Path, label: str | None = None) -> TextTable:
    """Find the layout of a table from the file's first lines; ``label`` names the labels' column if it is unusual.

    Raises:
        PipelineError: If the file cannot be read, is empty, or has fewer than two columns.
    """
    encoding = _encoding(path)
    with open_text(path, encoding) as file:
        lines = [line for line in itertools.islice(file, _SAMPLE) if line.strip()]
        parsed = {delimiter: list(csv.reader(lines, delimiter=delimiter)) for delimiter in _DELIMITERS}
    counts = {delimiter: [len(row) for row in rows] or [0] for delimiter, rows in parsed.items()}
    delimiter = max(_DELIMITERS, key=lambda candidate: (min(counts[candidate]), counts[candidate][0]))
    rows = [[cell.strip() for cell in row] for row in parsed[delimiter]]
    first = rows[0] if rows else []
    if not first:
        raise PipelineError(f"{path} is empty; expected a line for each image")
    if len(first) < 2:
        raise _no_columns(path, first[0])
    has_names = _are_names(first, rows[1:], label)
    return TextTable(
        path, encoding, delimiter, tuple(first) if has_names else None, rows[1:] if has_names else rows, len(first)
    )


def _no_columns(path: Path, line: str) -> PipelineError:
    cells = line.split()
    if len(cells) > 1 and any(map(is_number, cells)):  # else it may be any text
        return PipelineError(
            f"{path}: its columns have spaces between them; expected commas, semicolons or tabs. Put commas there: "
            rf"`sed 's/^[ \t]*//; s/[ \t]*$//; s/[ \t][ \t]*/,/g' {path} > {path.name.split('.')[0]}-commas.csv`"
        )
    return PipelineError(
        f"{path}: its first line has a single column; expected two or more, such as the file of an image and its "
        "label, or a label and pixels"
    )


def is_number(text: str) -> bool:
    """Whether a cell holds a number, such as 7, -0.5 or 1e3."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _are_packed(cells: Sequence[str]) -> bool:
    numbers = [cell.split() for cell in cells]
    return bool(cells) and all(len(found) > 3 and all(map(is_number, found)) for found in numbers)


def guarded(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute, such as ``=A1`` or ``+x``.

    Numbers are left as they are. ``unguarded`` takes it away again.
    """
    return f"'{text}" if re.match(r"'*[=+\-@]", text) and not is_number(text) else text


def unguarded(text: str) -> str:
    """Take the apostrophe away that keeps a spreadsheet from computing a text.

    >>> unguarded(guarded("=1+1.png")), unguarded("'tis.png")
    ('=1+1.png', "'tis.png")
    """
    return re.sub(r"^'(?='*[=+\-@])", "", text)


def counts_up(cells: Sequence[str]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ..., as pandas calls columns and rows without names."""
    return len(cells) > 2 and any(list(cells) == [str(start + n) for n in range(len(cells))] for start in (0, 1))


def _encoding(path: Path) -> str:
    try:
        with unpacked(path) as file:
            start = file.read(4)
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; get the file again") from error
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")


# --- does the first line name the columns? -------------------------------------------------------------------


def _are_names(first: Sequence[str], body: Sequence[Sequence[str]], given: str | None) -> bool:
    """Whether the cells of the first line are names of columns, and not a row like those below.

    A row of pixels has at most one word, its label; a row of a table of files may have two or more.
    """
    words = {number: cell for number, cell in enumerate(first) if cell and not is_number(cell)}
    known = {*LABEL_NAMES, *FILE_NAMES, *INDEX_NAMES, *([given.casefold()] if given else [])}
    if any(word.casefold() in known for word in words.values()):
        return True
    numbers = [cell for cell in first if is_number(cell)]
    if (len(numbers) > 8 and counts_up(numbers)) or _were_made_different(numbers, body):
        return True
    if len(words) < 2:
        return False
    below = {number for row in body for number, cell in enumerate(row) if cell.strip() and not is_number(cell)}
    return not set(words) <= below or any(_names_files(body, number) and not _ending(first[number]) for number in words)


def _were_made_different(numbers: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether pandas took a row of whole numbers for names, and made repeated ones different: 0, 0.1, 0.2."""
    are_whole = bool(body) and all("." not in cell for row in body for cell in row)
    return are_whole and len(set(numbers)) == len(numbers) > 8 and any("." in cell for cell in numbers)


def _names_files(rows: Sequence[Sequence[str]], number: int) -> bool:
    return bool(rows) and all(len(row) > number and _ending(row[number]) for row in rows)


def _ending(cell: str) -> str:
    """Return the ending of a file's name, such as ".png"; "" if it has none."""
    found = re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", cell.strip())
    return found.group() if found else ""
