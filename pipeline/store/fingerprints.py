"""Fingerprints: all that a result was made from, as one SHA-256."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = 3  # raise it when an artefact's meaning changes: older ones are then made again, never mixed in

Inputs = dict[str, Any]  # what something is made from: settings, names and fingerprints, as JSON takes them


def fingerprint(inputs: Inputs) -> str:
    """The SHA-256, in hex, of JSON-able inputs and the format version; the order of keys does not matter."""
    return digest({"format": FORMAT, **inputs})


def digest(content: Inputs) -> str:
    """The SHA-256, in hex, of JSON-able content; the order of keys does not matter."""
    plain = json.loads(json.dumps(content))  # as it is read again: keys are strings, tuples are lists
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
