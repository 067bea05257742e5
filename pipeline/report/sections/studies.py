"""Section "Claims of the theory put to the test": the verdicts of the studies made of the same images."""

from __future__ import annotations

from pathlib import Path

from pipeline.report.blocks import Block, Column, Heading, PictureRow, Section, Table, Text
from pipeline.report.drawing import Picture
from pipeline.report.evidence import Evidence
from pipeline.studies.verdict import Verdict


def studies(evidence: Evidence) -> Section | None:
    """Return the section; None where no study was made."""
    if not evidence.verdicts:
        return None
    blocks: list[Block] = [
        Text(
            "What the theory of autoencoders claims, measured on these images. A claim that did not hold is reported "
            "as such."
        )
    ]
    for folder, verdict in evidence.verdicts:
        blocks += _one_study(folder, verdict)
    return Section("studies", "Claims of the theory put to the test", "Claims of the theory", blocks)


def _one_study(folder: Path, verdict: Verdict) -> list[Block]:
    held, count = sum(finding["holds"] for finding in verdict["findings"]), len(verdict["findings"])
    outcome = "holds" if verdict["holds"] else f"{held} of {count} parts hold"
    pictures = [
        Picture((folder / picture["file"]).read_bytes(), "image/png", picture["alt"]) for picture in verdict["pictures"]
    ]
    return [
        Heading(f"{verdict['title']}: {outcome}"),
        Text(verdict["claim"]),
        PictureRow(pictures),
        _findings_table(verdict, f"{folder.parent.name}/{folder.name}"),
    ]


def _findings_table(verdict: Verdict, folder: str) -> Table:
    columns = (
        Column("Part of the claim", "words"),
        Column("What decides", "words"),
        Column("Measured", "words"),
        Column("Holds"),
    )
    rows = [
        (finding["claim"], finding["criterion"], finding["measured"], "yes" if finding["holds"] else "no")
        for finding in verdict["findings"]
    ]
    return Table(
        f"Arms, the variants that were trained: {', '.join(verdict['arms'])}; {verdict['seeds']} seeds each. Intervals "
        "are 95 % t intervals over the seeds, of paired differences where two arms are compared. Every number by arm "
        f"and seed: results.csv in {folder}.",
        columns,
        rows,
    )
