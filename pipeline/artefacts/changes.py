"""What has changed since something was made the last time, where the settings are the same and content is not."""

from __future__ import annotations

from typing import Any

from pipeline.artefacts.own_code import Sources
from pipeline.store.artefact import Artefact

# names of inputs that stand for content, and what they are called; the source of own code is told by its files
_CONTENT = {"data": "the data", "images": "the training images", "pretrained": "the encoder", "code": ""}


def changes_since_last(artefact: Artefact[Any]) -> str:
    """What is other content than an earlier artefact of the same name and settings was made from, in words.

    Returns:
        Such as "the data, nets.py"; "" if the artefact is finished, or there is no earlier one.
    """
    if artefact.is_finished:
        return ""
    now = artefact.inputs
    for before in artefact.inputs_before():
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if set(changed) <= set(_CONTENT):
            words = [_CONTENT[name] for name in changed if name != "code"]
            return ", ".join(words + _changed_files(before.get("code", {}), now.get("code", {})))
    return ""


def _changed_files(before: Sources, now: Sources) -> list[str]:
    first, second = ({file: digest for own in code.values() for file, digest in own.items()} for code in (before, now))
    return sorted(file for file in {**first, **second} if first.get(file) != second.get(file))
