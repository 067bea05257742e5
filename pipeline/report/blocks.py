"""The blocks that sections of the report consist of. The HTML page and the Markdown page are both set from them.

A section lists its blocks and does not say how they are laid out. Only a block of its own kind (``Custom``) brings a
template, which the Markdown page leaves out, as it leaves out pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pipeline.report.drawing import Picture


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar = "heading"
    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar = "bullets"
    items: Sequence[str]


@dataclass(frozen=True)
class Terms:
    """A list of names, each with a few words that explain it."""

    kind: ClassVar = "terms"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text that is shown letter by letter, such as JSON."""

    kind: ClassVar = "code"
    text: str


@dataclass(frozen=True)
class Figure:
    """A picture with a caption; the HTML page alone shows it."""

    kind: ClassVar = "figure"
    picture: Picture
    caption: str


@dataclass(frozen=True)
class PictureRow:
    """Pictures without captions, side by side; the HTML page alone shows them."""

    kind: ClassVar = "gallery"
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: The head of the column.
        kind: What the column holds: short text, long text ("words"), numbers, names of files ("code"), or text that
            leads to another part of the page ("link").
    """

    title: str
    kind: Literal["text", "number", "code", "words", "link"] = "text"


def numbers(*titles: str) -> tuple[Column, ...]:
    """Return a column of numbers for each title."""
    return tuple(Column(title, "number") for title in titles)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: What the table shows, and in which unit.
        columns: The columns from left to right.
        rows: The rows, with one text a column.
        links: The anchor that each row's link leads to, where a column holds links.
        anchors: The anchor of each row, where links lead to rows.
        sortable: Whether a click on a column's head sorts the rows by it.
    """

    kind: ClassVar = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    links: Sequence[str] = ()
    anchors: Sequence[str] = ()
    sortable: bool = False


@dataclass(frozen=True)
class Custom:
    """A part of the HTML page with a layout of its own.

    Attributes:
        template: A file beside the sections with a Jinja block ``body`` and, if it needs them, ``style`` (CSS) and
            ``script`` (JavaScript), which the page puts where they belong.
        values: The values that the template refers to, by name.
    """

    kind: ClassVar = "custom"
    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Beside:
    """Blocks that stand side by side where the window is wide enough."""

    kind: ClassVar = "beside"
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Folded:
    """Blocks that the HTML page shows when the reader unfolds them."""

    kind: ClassVar = "folded"
    title: str
    blocks: Sequence[Block]


Block = Text | Heading | Bullets | Terms | Code | Figure | PictureRow | Table | Custom | Beside | Folded


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading.

    Attributes:
        anchor: The name by which links lead to it.
        title: Its heading.
        short: Its name in the line of links to all sections.
        blocks: Its content, from top to bottom.
    """

    anchor: str
    title: str
    short: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Opening:
    """The report's first screen.

    Attributes:
        title: The title, which names what was compared.
        question: The question of the experiment.
        answer: The finding at the smallest budget, in a sentence.
        warnings: Results that are not to be trusted as they stand, each with the setting to change.
        findings: A sentence or two about each other mode, compared with the best one.
        remarks: Sentences that keep a reader from taking the answer for more than it is.
        figure: E_in and E_out against the number of labels.
    """

    title: str
    question: str
    answer: str
    warnings: Sequence[str]
    findings: Sequence[str]
    remarks: Sequence[str]
    figure: Figure


def all_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks and those inside them, from top to bottom."""
    found: list[Block] = []
    for block in blocks:
        found.append(block)
        if isinstance(block, Beside | Folded):
            found += all_blocks(block.blocks)
    return found
