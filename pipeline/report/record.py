"""The report as a record: both pages, and what they were made from, so that they are made again when that changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pipeline
from pipeline.artefacts import comparison, data_card, encoder, grid
from pipeline.artefacts.results import Comparison
from pipeline.config import Experiment, as_dict
from pipeline.invocation import command
from pipeline.modes import MODES
from pipeline.store import disk, provenance, test_access
from pipeline.store.fingerprints import Inputs, fingerprint
from pipeline.store.manifest import MANIFEST
from pipeline.store.records import Record
from pipeline.studies import STUDIES, VERDICT, verdict

HTML, MARKDOWN, RECORD = "report.html", "report.md", "report.json"


def write(config: Experiment) -> Path:
    """Write both pages unless they are up to date, and return the path of the HTML one.

    Raises:
        PipelineError: If an earlier stage has not run with these settings, or a file of it was changed.
    """
    compared = comparison.load(config)
    pretrains = any(MODES[mode].pretrained for mode in config.grid.modes)
    pretrained = encoder.artefact(config).check() if pretrains else None
    verdicts = _verdicts(config)
    wanted = fingerprint(_inputs(config, pretrained, verdicts))
    if _record(config).find(wanted) is None:
        _make(config, compared, pretrained, verdicts, wanted)
    return config.folder / HTML


def _inputs(config: Experiment, pretrained: Path | None, verdicts: list[Path]) -> Inputs:
    """Return all that the pages are made from: settings, data, results, cells, encoder, studies, and the source.

    A manifest's checksum stands for all files of its folder.
    """
    manifests = [entry.artefact().folder / MANIFEST for entry in grid.entries(config)]
    results = (comparison.RESULTS, comparison.COMPARISON)
    return {
        "stage": "report",
        "version": pipeline.__version__,
        "source": provenance.source_sha256(),
        "settings": as_dict(config),
        "data": data_card.load(config)["sha256"],
        "results": {name: disk.sha256_file(config.folder / name) for name in results},
        "cells": [disk.sha256_file(path) if path.exists() else None for path in manifests],
        "pretrained": disk.sha256_file(pretrained / MANIFEST) if pretrained else None,
        "test_access": asdict(test_access.count(config.folder, data_card.load(config)["sha256"])),
        "studies": {str(path): disk.sha256_file(path) for path in verdicts},
    }


def _verdicts(config: Experiment) -> list[Path]:
    """verdict.json of each study that was made of the same images, in any experiment below the same runs folder."""
    images = data_card.load(config)["sha256"]
    found = []
    for path in Path(config.runs).glob(f"*/*/{VERDICT}"):
        read = verdict.record(path.parent).read()
        if read["data_sha256"] == images:
            found.append((_rank(read["study"]), path))
    return [path for _, path in sorted(found)]


def _rank(study: str) -> tuple[int, str]:
    """Return a study's place on the page: those of the package in their order, then the user's own by name."""
    own = list(STUDIES)
    return (own.index(study), "") if study in own else (len(own), study)


def _make(config: Experiment, compared: Comparison, pretrained: Path | None, verdicts: list[Path], wanted: str) -> None:
    from pipeline.report import evidence, page
    from pipeline.report.sections import write_sections
    from pipeline.report.sections.opening import opening

    dataset, card = data_card.load_dataset(config), data_card.load(config)
    found = evidence.read(config, dataset, card, compared, pretrained, verdicts)
    first_screen, sections = opening(found), write_sections(found)
    pages = {MARKDOWN: page.markdown(first_screen, sections), HTML: page.html(first_screen, sections)}
    _record(config).write(wanted, {}, pages)


def _record(config: Experiment) -> Record[dict[str, object]]:
    return Record(config.folder / RECORD, f"run `{command('report')}` again")
