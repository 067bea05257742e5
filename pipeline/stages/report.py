"""Stage report: report.html and report.md from what the earlier stages wrote. Nothing is trained or measured here."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pipeline
from pipeline.artefacts import maps, report_images
from pipeline.config import Experiment, as_dict
from pipeline.modes import MODES
from pipeline.report import page
from pipeline.stages import compare, data, pretrain, study
from pipeline.store import disk, provenance, runs, test_access
from pipeline.studies import STUDIES

if TYPE_CHECKING:
    from pipeline.artefacts.maps import Plane
    from pipeline.datasets.image_data import Dataset
    from pipeline.report.evidence import Evidence
    from pipeline.report.page import Pictures
    from pipeline.report.space import Space

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
    from pipeline.report import evidence, story

    folder, dataset = config.folder, data.load(config)
    found = evidence.read(
        folder, as_dict(config), data.card(config), comparison, dataset.test.labels.numpy(), encoder, verdicts
    )
    told = story.tell(found)
    pages = {MARKDOWN: page.markdown(told), HTML: page.html(told, _draw(config, found, dataset, encoder is not None))}
    runs.write_record(folder / RECORD, mark, {}, pages)


# --- pictures -------------------------------------------------------------------------------------------------


def _draw(config: Experiment, found: Evidence, dataset: Dataset, pretrained: bool) -> Pictures:
    """Everything to be seen; the images of map and mistakes share one atlas."""
    from pipeline.report import atlas, cards, charts, drawing, findings

    test, shape = dataset.test, dataset.test.shape
    suspects = report_images.suspects(config, found.firsts, test, found.truth)
    plane = maps.load(config, test, atlas.room(shape)) if pretrained else None
    numbers = plane.shown.tolist() if plane else []
    numbers += sorted({each.number for sure in suspects.values() for each in sure} - set(numbers))
    tiles = atlas.Atlas(atlas.thumbnails(test.images[numbers].numpy()))
    places = {number: tiles.place(tile) for tile, number in enumerate(numbers)}
    claims = findings.claims(found.comparison)
    pictures = page.Pictures(
        comparison=charts.comparison(found.comparison["summary"]),
        forest=charts.forest(claims) if claims else None,
        atlas=tiles,
        cards=cards.cards(found, suspects, places),
        studies=[
            [
                drawing.Picture((folder / picture["file"]).read_bytes(), "image/png", picture["alt"])
                for picture in verdict["pictures"]
            ]
            for folder, verdict in found.verdicts
        ],
    )
    if plane is None:
        return pictures
    return replace(
        pictures,
        pretraining=charts.pretraining(found.losses),
        reconstructions=charts.reconstructions(report_images.reconstruct(config, dataset.train)),
        space=_map(found, plane, [places[number] for number in plane.shown.tolist()]),
        samples=report_images.draw_samples(config, shape),
        manifold=report_images.draw_manifold(config, shape),
    )


def _map(found: Evidence, plane: Plane, tiles: list[str]) -> Space:
    from pipeline.report import space

    first, second = (f"{name} principal component" for name in ("first", "second"))
    held = plane.explained.sum()
    return space.latent_map(
        found,
        plane.shown,
        [
            space.Projection("tsne", "t-SNE", plane.tsne),
            space.Projection("pca", "principal components", plane.pca, (first, second)),
        ],
        tiles,
        f"{len(plane.shown)} of the {len(found.truth)} test images, drawn at random, as the pretrained encoder embeds "
        "them before a label was seen; predictions are those of the first draw. Class labels colour the points, they "
        "did not place them. t-SNE keeps near neighbours together, and distances between far groups mean little"
        + (f"; the principal components hold {100 * held:.0f} % of the variance." if np.isfinite(held) else "."),
    )
