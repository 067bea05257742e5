"""Stage report: report.html and report.md from what the earlier stages wrote. Nothing is trained or measured here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline
from pipeline import looks, runs
from pipeline.config import Experiment, as_dict
from pipeline.modes import MODES
from pipeline.report import page
from pipeline.report.evidence import Evidence
from pipeline.stages import compare, data, pretrain, study
from pipeline.studies import STUDIES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.datasets.base import ImageData
    from pipeline.report.drawing import Picture
    from pipeline.report.page import Pictures

HTML, MARKDOWN, RECORD = "report.html", "report.md", "report.json"

RECONSTRUCTED = 10  # images, one a class
EMBEDDED = 3000  # points are still told apart, and the page stays small


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
    """All that the pages are made from: settings, results, encoder, and the code that sets them."""
    sources = [Path(__file__), *sorted(page.TEMPLATES.glob("*.py")), *sorted(page.TEMPLATES.glob("*.jinja"))]
    return {
        "stage": "report",
        "version": pipeline.__version__,
        "sources": {path.name: runs.sha256_file(path) for path in sources},
        "settings": as_dict(config),
        "results": {name: runs.sha256_file(config.folder / name) for name in (compare.RESULTS, compare.COMPARISON)},
        "pretrained": runs.sha256_file(encoder / runs.MANIFEST) if encoder else None,
        "looks": asdict(looks.read(config.folder, data.card(config)["sha256"])),
        "studies": {str(path): runs.sha256_file(path) for path in verdicts},
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

    folder = config.folder
    found = evidence.read(folder, as_dict(config), data.card(config), comparison, encoder, verdicts)
    told = story.tell(found)
    pages = {MARKDOWN: page.markdown(told), HTML: page.html(told, _draw(config, found, encoder))}
    runs.write_record(folder / RECORD, mark, {}, pages)


# --- pictures -------------------------------------------------------------------------------------------------


def _draw(config: Experiment, found: Evidence, encoder: Path | None) -> Pictures:
    from pipeline.report import drawing, figures

    comparison = figures.comparison(found.comparison["summary"])
    curves = [figures.learning_curve(curve) for curve in found.curves]
    studies = [
        [
            drawing.Picture((folder / picture["file"]).read_bytes(), "image/png", picture["alt"])
            for picture in verdict["pictures"]
        ]
        for folder, verdict in found.verdicts
    ]
    if encoder is None:
        return page.Pictures(comparison, curves, studies=studies)
    train = data.load(config).train
    latent, share = _draw_latent(config, train)
    return page.Pictures(
        comparison,
        curves,
        figures.pretraining(found.losses),
        figures.reconstructions(_reconstruct(config, train)),
        latent,
        f"Embeddings of training images by the pretrained encoder, in the plane of their first two principal "
        f"components{share}. Class labels were used to colour the picture, not to make it; no test image is shown.",
        [page.LegendEntry(number, name, *drawing.class_look(number)) for number, name in enumerate(train.class_names)],
        studies,
    )


def _draw_latent(config: Experiment, train: ImageData) -> tuple[Picture, str]:
    """The picture, and in words how much of the variance it shows."""
    import numpy as np
    from sklearn.decomposition import PCA

    from pipeline.report import figures

    embeddings = pretrain.load(config).embeddings.numpy()
    chosen = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:EMBEDDED])
    pca = PCA(min(2, *embeddings[chosen].shape), svd_solver="full")
    with np.errstate(invalid="ignore"):  # a dead encoder embeds all images to one point: 0 of 0 variance
        points = pca.fit_transform(embeddings[chosen])
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))  # a latent of one number makes a line
    explained = float(pca.explained_variance_ratio_.sum())
    share = f", which hold {100 * explained:.0f} % of their variance" if np.isfinite(explained) else ""
    return figures.latent_space(points, train.labels.numpy()[chosen]), share


def _reconstruct(config: Experiment, train: ImageData) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """An image of each class, held out of pretraining if some are: as it is, distorted, and reconstructed from that."""
    import torch

    from pipeline.models.inputs import as_input

    _, model = pretrain.restore(config, train.shape)
    held_out, seen = pretrain.divide(config, len(train))
    candidates = held_out if len(held_out) else seen
    shown = train.examples(candidates, RECONSTRUCTED)
    clean = as_input(train.images[shown if len(shown) else candidates[:1]])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        distorted = model.corruption(clean)
        rows = {"original": clean, "distorted": distorted, "reconstruction": model(distorted)}
    if config.pretrain.corruption is None:
        del rows["distorted"]
    return {name: images.numpy() for name, images in rows.items()}
