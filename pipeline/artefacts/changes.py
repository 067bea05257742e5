"""Which content has changed since an artefact was made with the same settings."""

from __future__ import annotations

from typing import Any

from pipeline.artefacts.own_code import Sources
from pipeline.store.artefact import Artefact

# inputs that stand for content, and their names in messages; changed code is named by its files
_CONTENT = {"data": "the data", "images": "the training images", "pretrained": "the encoder", "code": ""}


def changes_since_last(artefact: Artefact[Any]) -> str:
    """Say which content differs from that of an earlier artefact of the same name and settings.

    That need not be why the artefact is missing: it may have been there and have been deleted.

    Returns:
        A list such as "the data, nets.py"; "" if the artefact is finished, or there is no earlier one.
    """
    if artefact.is_finished:
        return ""
    now = artefact.inputs
    for before in artefact.inputs_before():
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if set(changed) <= set(_CONTENT):
            words = [_CONTENT[name] for name in changed if name != "code"]
            first, second = _by_file(before.get("code", {})), _by_file(now.get("code", {}))
            files = sorted(file for file in {**first, **second} if first.get(file) != second.get(file))
            return ", ".join(words + files)
    return ""


def _by_file(sources: Sources) -> dict[str, str]:
    found: dict[str, str] = {}
    for digests in sources.values():
        found |= digests
    return found
