"""Writes the labelling page: one offline HTML file with images, script and style inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.label_table import NUMBER_NAMES
from pipeline.datasets.text_table import FILE_NAMES, INDEX_NAMES, LABEL_NAMES
from pipeline.errors import PipelineError
from pipeline.labelling.pictures import Picture, embed
from pipeline.labelling.request import Item, LabelRequest
from pipeline.store import disk

PAGE = "label.html"
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("table.js", "state.js", "images.js", "label.js", "keys.js")  # one after the other

LONGEST, LONGEST_BESIDE = 512, 112  # pixels of the longer side of an image, and of a look-alike beside it
BYTES = 6_500_000  # of all pictures together; as text in the page they take a third more
SHARE = 0.6  # of the bytes for the images that are asked about; the rest is for look-alikes


def write_page(folder: Path, request: LabelRequest) -> Path:
    """Write ``label.html``, on which a person labels images and saves ``labels.csv``, into a folder; return its path.

    The page is one file, needs no network, and keeps what was labelled in the browser's local storage, by its title and
    the images that it shows: a page that is written again with the same images is labelled as it was.

    Raises:
        PipelineError: If there is no image, two have the same name, or the page cannot be written.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> images = np.zeros((2, 8, 8, 1), np.uint8)
        >>> items = [Item(f"{n}.png", image, rank=n + 1) for n, image in enumerate(images)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_page(Path(folder), LabelRequest("Two images to label", ["cat", "dog"], items)).name
        'label.html'
    """
    if not request.items:
        raise PipelineError("labelling: there is no image to label")
    repeated = [name for name, count in Counter(item.name for item in request.items).items() if count > 1]
    if repeated:
        raise PipelineError(f"labelling: several images are called {repeated[0]!r}; each needs a name of its own")
    path = folder / PAGE
    disk.write_atomic(path, _render(request))
    return path


def image_column(names: Sequence[str]) -> str:
    """Name the column of a labels file that holds these names: "file", or "id" where all of them are numbers."""
    return "id" if all(name.isdecimal() for name in names) else "file"


def _render(request: LabelRequest) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("label.html.jinja").render(
        title=request.title,
        advice=request.advice,
        may_add_classes=request.may_add_classes,
        style=Markup((TEMPLATES / "label.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=htmlsafe_json_dumps(_data(request), allow_nan=False, separators=(",", ":")),
    )


def _data(request: LabelRequest) -> dict[str, Any]:
    """Gather the values that the script works on, to be written as JSON."""
    most = int(BYTES * SHARE / len(request.items))
    beside = sum(len(item.look_alikes) for item in request.items)
    most_beside = int(BYTES * (1 - SHARE) / max(1, beside))
    items = [_item(item, most, most_beside) for item in sorted(request.items, key=lambda item: item.rank)]
    shown = {item.name for item in request.items}
    others = [[name, label] for name, label in request.kept.items() if name not in shown]
    return {
        "key": _key(request.title, items),
        "column": image_column([*shown, *request.kept]),
        "columns": {"names": [*FILE_NAMES, *INDEX_NAMES], "numbers": NUMBER_NAMES, "labels": LABEL_NAMES},
        "classes": list(dict.fromkeys(request.classes)),
        "mayAdd": request.may_add_classes,
        "kept": others,
        "items": items,
    }


def _item(item: Item, most: int, most_beside: int) -> dict[str, Any]:
    alike: list[Picture] = [embed(image, LONGEST_BESIDE, most_beside) for image in item.look_alikes]
    return {
        "name": item.name,
        "picture": embed(item.image, LONGEST, most),
        "cluster": item.cluster,
        "reason": item.reason,
        "label": item.label,
        "proposal": item.proposal,
        "alike": alike,
    }


def _key(title: str, items: Sequence[dict[str, Any]]) -> str:
    """Make the key of the browser's storage under which the answers are kept: other images, other answers."""
    shown = [[item["name"], item["picture"]["src"]] for item in items]
    return "labels " + hashlib.sha256(json.dumps([title, *sorted(shown)]).encode()).hexdigest()[:32]
