"""Sets the story in type: one self-contained HTML page and one Markdown page, both from templates that only lay out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.story import Story
from pipeline.table import with_half_width

if TYPE_CHECKING:
    from jinja2 import Environment

    from pipeline.report.drawing import Picture

TEMPLATES = Path(__file__).parent
HTML, MARKDOWN = "report.html.jinja", "report.md.jinja"


@dataclass(frozen=True)
class LegendEntry:
    """A class beside the picture of the latent space."""

    number: int
    name: str
    color: str
    shape: str


@dataclass(frozen=True)
class Pictures:
    """What the HTML page shows.

    Attributes:
        comparison: E_in and E_out against labels.
        curves: Learning curves, one a mode and budget.
        pretraining: Reconstruction loss by epoch; the following are None, too, where no mode is pretrained.
        reconstructions: Some training images and what the autoencoder makes of them.
        latent: Embeddings in two dimensions.
        latent_caption: What part of the embeddings it shows.
        legend: The classes in it.
        studies: The pictures of each study.
    """

    comparison: Picture
    curves: list[Picture]
    pretraining: Picture | None = None
    reconstructions: Picture | None = None
    latent: Picture | None = None
    latent_caption: str = ""
    legend: list[LegendEntry] = field(default_factory=list)
    studies: list[list[Picture]] = field(default_factory=list)


def html(story: Story, pictures: Pictures) -> str:
    """The HTML page; every value is escaped by the template engine."""
    template = _environment(autoescape=True).get_template(HTML)
    return template.render(story=story, pictures=pictures)


def markdown(story: Story) -> str:
    """The Markdown page, without pictures."""
    return fill_markdown(MARKDOWN, story=story)


def fill_markdown(template: str, **values: Any) -> str:
    """A Markdown template with these values, each escaped unless the template marks it as safe."""
    environment = _environment(autoescape=False, finalize=_escaped)
    environment.filters |= {"in_cell": code_span, "interval": with_half_width}
    return environment.get_template(template).render(**values)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no cell or line ends.

    An underscore inside a word starts no emphasis and stays, so that E_in is readable in the source, too.
    """
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*\[\]|~$])", r"\\\1", flat)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", flat)


def code_span(text: str) -> str:
    """A path set as code; what is not plainly one is left to be escaped, since code cannot be."""
    from markupsafe import Markup

    return Markup(f"`{text}`") if re.fullmatch(r"[A-Za-z0-9._/-]+", text) else text


def _escaped(value: Any) -> str:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else escape_markdown(str(value))


def _environment(**options: Any) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
