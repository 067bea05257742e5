"""The report as a record: both pages, and what they were made from, so that they are made again when that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pipeline
from pipeline.artefacts import comparison, data_card, encoder, grid
from pipeline.artefacts.results import Comparison
from pipeline.config import Experiment, as_dict
from pipeline.invocation import command
from pipeline.modes import find_mode
from pipeline.store import disk, provenance, test_access
from pipeline.store.fingerprints import Inputs, fingerprint
from pipeline.store.manifest import MANIFEST
from pipeline.store.records import Record
from pipeline.studies import STUDIES, VERDICT, verdict
from pipeline.studies.verdict import Verdict

HTML, MARKDOWN, RECORD = "report.html", "report.md", "report.json"

Verdicts = Sequence[tuple[Path, Verdict]]  # each with its folder


def write(config: Experiment) -> Path:
    """Write both pages unless they are up to date, and return the path of the HTML one.

    Raises:
        PipelineError: If an earlier stage has not run with these settings, or a file of it was changed.
    """
    compared = comparison.load(config)
    pretrains = any(find_mode(mode).pretrained for mode in config.grid.modes)
    pretrained = encoder.artefact(config).check() if pretrains else None
    verdicts = _verdicts(config)
    wanted = fingerprint(_inputs(config, pretrained, verdicts))
    if _record(config).find(wanted) is None:
        _make(config, compared, pretrained, verdicts, wanted)
    return config.folder / HTML


def _inputs(config: Experiment, pretrained: Path | None, verdicts: Verdicts) -> Inputs:
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
        "studies": {str(folder / VERDICT): disk.sha256_file(folder / VERDICT) for folder, _ in verdicts},
    }


def _verdicts(config: Experiment) -> Verdicts:
    """Read the verdicts on the same images in all experiments below the same runs folder.

    The studies of the package come first, in their order, then the user's own by name.
    """
    images, places = data_card.load(config)["sha256"], {study: place for place, study in enumerate(STUDIES)}
    folders = sorted(path.parent for path in Path(config.runs).glob(f"*/*/{VERDICT}"))
    found = [(folder, verdict.record(folder).read()) for folder in folders]
    same = [(folder, read) for folder, read in found if read["data_sha256"] == images]
    return sorted(same, key=lambda each: (places.get(each[1]["study"], len(places)), each[1]["study"]))


def _make(config: Experiment, compared: Comparison, pretrained: Path | None, verdicts: Verdicts, wanted: str) -> None:
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
