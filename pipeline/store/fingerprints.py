"""Fingerprints: one SHA-256 of all that a result was made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = 4  # raise it when an artefact's meaning changes: older ones are then made again, never mixed in

Inputs = dict[str, Any]  # all that something is made from: settings, names and fingerprints, as JSON can hold them


def fingerprint(inputs: Inputs) -> str:
    """Return the SHA-256, in hex, of inputs and the format version; the order of keys does not matter."""
    return digest({"format": FORMAT, **inputs})


def digest(content: Inputs) -> str:
    """Return the SHA-256, in hex, of content that JSON can hold; the order of keys does not matter."""
    plain = json.loads(json.dumps(content))  # as it is read again: keys are strings, tuples are lists
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
