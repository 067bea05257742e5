"""Section "What produced it": versions, machine, data and settings."""

from __future__ import annotations

import json
from typing import Any

from pipeline.config import as_dict
from pipeline.datasets.facts import Facts, scale_text
from pipeline.report.blocks import Code, Column, Folded, Section, Table
from pipeline.report.evidence import Evidence
from pipeline.store.manifest import Manifest


def what_produced_it(evidence: Evidence) -> Section:
    """Return the section."""
    settings = json.dumps(as_dict(evidence.config), indent=2)
    return Section(
        "provenance",
        "What produced it",
        "What produced it",
        [
            _provenance_table(evidence),
            _data_table(evidence.card),
            Folded("The resolved settings", [Code(settings)]),
        ],
    )


def _provenance_table(evidence: Evidence) -> Table:
    """Return the origins of the first pretrained encoder and of the first cell, side by side."""
    manifests: dict[str, Manifest[Any]] = {"First cell": evidence.manifest}
    if evidence.pretrained is not None:
        manifests = {"Pretraining": evidence.pretrained, **manifests}
    origins = [manifest["provenance"] for manifest in manifests.values()]
    seeds = [str(manifest["inputs"].get("seed", "")) for manifest in manifests.values()]
    if evidence.pretrained is not None:
        seeds[0] = str(evidence.config.pretrain.seed)
    rows = [
        ("fingerprint", *(manifest["fingerprint"] for manifest in manifests.values())),
        ("seed", *seeds),
        ("seconds", *(f"{manifest['seconds']:.1f}" for manifest in manifests.values())),
    ]
    facts = ("command", "created", "revision", "python", "platform", "machine", "cpus")
    rows += [(name, *(str(dict(origin)[name]) for origin in origins)) for name in facts]
    rows += [(name, *(str(origin["packages"][name]) for origin in origins)) for name in origins[0]["packages"]]
    draws = ", ".join(sorted({row["seed"] for row in evidence.rows}, key=int))
    return Table(
        f"What made it, from the manifests; the draws have the seeds {draws}.",
        (Column("What"), *(Column(name, "words") for name in manifests)),
        rows,
    )


def _data_table(card: Facts) -> Table:
    channels, height, width = card["shape"]
    per_class = ", ".join(
        f"{name} ({count})" for name, count in zip(card["classes"], card["train_per_class"], strict=True)
    )
    rows = [
        ("data set", card["dataset"]),
        ("SHA-256", card["sha256"]),
        ("image", f"{height} x {width} pixels, {channels} channel{'' if channels == 1 else 's'}"),
        ("intensities", scale_text(card)),
        ("training images", str(card["train"])),
        ("of these unlabelled", str(card["unlabelled"])),
        ("test images", f"{card['test']}, {'held out of the labelled images' if card['held_out'] else 'official'}"),
        ("classes (training images)", per_class),
    ]
    return Table("The data.", (Column("What"), Column("Value", "words")), rows)
