"""Stage report: report.html and report.md from what the earlier stages wrote. Nothing is trained or measured here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pipeline
from pipeline.config import Experiment, as_dict
from pipeline.modes import MODES
from pipeline.stages import compare, data, pretrain, study
from pipeline.store import disk, provenance, runs, test_access
from pipeline.studies import STUDIES

HTML, MARKDOWN, RECORD = "report.html", "report.md", "report.json"


def run(config: Experiment) -> Path:
    """Write both pages unless they are up to date, and return the path of the HTML one.

    Raises:
        PipelineError: An earlier stage has not run with these settings, or a file of it was changed.
    """
    comparison = compare.load(config)
    encoder = pretrain.check(config) if any(MODES[mode].pretrained for mode in config.grid.modes) else None
    verdicts = _verdicts(config)
    mark = runs.fingerprint(_inputs(config, encoder, verdicts))
    if runs.find_record(config.folder / RECORD, mark) is None:
        _make(config, comparison, encoder, verdicts, mark)
    return config.folder / HTML


def _inputs(config: Experiment, encoder: Path | None, verdicts: list[Path]) -> dict[str, Any]:
    """All that the pages are made from: settings, data, results, cells, encoder, studies, and the code that sets them.

    A manifest's checksum stands for all files of its folder.
    """
    manifests = [job.folder / runs.MANIFEST for job in compare.grid(config)]
    return {
        "stage": "report",
        "version": pipeline.__version__,
        "source": provenance.source_sha256(),
        "settings": as_dict(config),
        "data": data.card(config)["sha256"],
        "results": {name: disk.sha256_file(config.folder / name) for name in (compare.RESULTS, compare.COMPARISON)},
        "cells": [disk.sha256_file(path) if path.exists() else None for path in manifests],
        "pretrained": disk.sha256_file(encoder / runs.MANIFEST) if encoder else None,
        "looks": asdict(test_access.read(config.folder, data.card(config)["sha256"])),
        "studies": {str(path): disk.sha256_file(path) for path in verdicts},
    }


def _verdicts(config: Experiment) -> list[Path]:
    """verdict.json of each study that was made of the same images, in any experiment below the same runs folder."""
    images = data.card(config)["sha256"]
    found = []
    for path in Path(config.runs).glob(f"*/*/{study.VERDICT}"):
        verdict = runs.read_record(path, "run `make study` again")
        if verdict["data_sha256"] == images and verdict["study"] in STUDIES:
            found.append((list(STUDIES).index(verdict["study"]), path))
    return [path for _, path in sorted(found)]


def _make(
    config: Experiment, comparison: dict[str, Any], encoder: Path | None, verdicts: list[Path], mark: str
) -> None:
    from pipeline.report import evidence, page
    from pipeline.report.sections import write_sections
    from pipeline.report.sections.opening import opening

    found = evidence.read(config, data.load(config), data.card(config), comparison, encoder, verdicts)
    first_screen, sections = opening(found), write_sections(found)
    pages = {MARKDOWN: page.markdown(first_screen, sections), HTML: page.html(first_screen, sections)}
    runs.write_record(config.folder / RECORD, mark, {}, pages)
