"""Sets the story in type: one self-contained HTML page and one Markdown page, both from templates that only lay out."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.terminal import with_half_width

if TYPE_CHECKING:
    from jinja2 import Environment

    from pipeline.report.atlas import Atlas
    from pipeline.report.cards import Card
    from pipeline.report.drawing import Picture
    from pipeline.report.space import Space
    from pipeline.report.story import Story

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
HTML, MARKDOWN = "report.html.jinja", "report.md.jinja"


@dataclass(frozen=True)
class Manifold:
    """What a decoder makes of latents all over the plane.

    Attributes:
        sheet: An image a latent, row after row, the second dimension falling and the first rising.
        x: Values of the first dimension, rising.
        y: Values of the second dimension, falling.
    """

    sheet: Atlas
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Pictures:
    """What the HTML page shows.

    Attributes:
        comparison: E_in and E_out against labels.
        forest: Paired differences; None where there are none.
        atlas: The images that ``cards`` and ``space`` show, by their places in it.
        cards: The modes one by one.
        studies: The pictures of each study.
        pretraining: Loss by epoch; this and the following are None where no mode is pretrained.
        reconstructions: Some training images and what the autoencoder makes of them.
        space: The map of the latent space.
        samples: Images drawn from the prior, where there is one.
        manifold: Of a latent of two dimensions.
    """

    comparison: Picture
    forest: Picture | None
    atlas: Atlas
    cards: Sequence[Card]
    studies: Sequence[Sequence[Picture]] = field(default_factory=list)
    pretraining: Picture | None = None
    reconstructions: Picture | None = None
    space: Space | None = None
    samples: Atlas | None = None
    manifold: Manifold | None = None


def html(story: Story, pictures: Pictures) -> str:
    """The HTML page; every value is escaped by the template engine, and no script but the page's own runs."""
    from markupsafe import Markup

    css, script = ((TEMPLATES / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment(autoescape=True)
        .get_template(HTML)
        .render(story=story, pictures=pictures, css=Markup(css), script=Markup(script), script_sha256=digest)
    )


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
