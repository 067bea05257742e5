"""Sets the report in type: one self-contained HTML page and one Markdown page, from the same sections."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.report.blocks import Custom, Opening, Section, all_blocks
from pipeline.report.formats import with_half_width

if TYPE_CHECKING:
    from jinja2 import Environment
FOLDER = Path(__file__).parent
TEMPLATES, SECTIONS = FOLDER / "templates", FOLDER / "sections"
HTML, MARKDOWN = "report.html.jinja", "report.md.jinja"


def html(opening: Opening, sections: Sequence[Section]) -> str:
    """Return the HTML page.

    The template engine escapes every value, and the page's security policy lets no script run but the page's own.
    """
    environment = _environment(autoescape=True)
    own = [block for section in sections for block in all_blocks(section.blocks) if isinstance(block, Custom)]
    environment.globals["body"] = lambda block: _render_block(environment, block, "body")
    style, script = ((TEMPLATES / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    style += "".join(_render_block(environment, block, "style") for block in own)
    script += "".join(_render_block(environment, block, "script") for block in own)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(HTML).render(
        opening=opening, sections=sections, style=Markup(style), script=Markup(script), script_sha256=digest
    )


def fill_html(template: str, **values: Any) -> str:
    """Return an HTML template with these values, each escaped, and with the report's style sheet as ``style``."""
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return _environment(autoescape=True).get_template(template).render(style=style, **values)


def _render_block(environment: Environment, block: Custom, name: str) -> Markup:
    """Return one Jinja block of a section's own template; nothing where the template has no block of that name."""
    template = environment.get_template(block.template)
    if name not in template.blocks:
        return Markup()
    return Markup("".join(template.blocks[name](template.new_context(dict(block.values)))))


def markdown(opening: Opening, sections: Sequence[Section]) -> str:
    """Return the Markdown page, which has no pictures."""
    return fill_markdown(MARKDOWN, opening=opening, sections=sections)


def fill_markdown(template: str, **values: Any) -> str:
    """Return a Markdown template with these values, each escaped unless the template marks it as safe."""
    environment = _environment(autoescape=False, finalize=_escaped)
    environment.filters |= {"in_cell": code_span, "interval": with_half_width}
    return environment.get_template(template).render(**values)


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no end of a table's cell or of a line.

    An underscore inside a word starts no emphasis and stays, so that E_in is readable in the source, too.
    """
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*\[\]|~$])", r"\\\1", flat)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", flat)


def code_span(text: str) -> str:
    """Return a path as Markdown code; any other text is returned as it is, to be escaped, since code cannot be."""
    return Markup(f"`{text}`") if re.fullmatch(r"[A-Za-z0-9._/-]+", text) else text


def _escaped(value: Any) -> str:
    return value if isinstance(value, Markup) else escape_markdown(str(value))


def _environment(**options: Any) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([TEMPLATES, SECTIONS]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
