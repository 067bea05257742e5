"""Images that the report shows and a network has to be asked for: reconstructions, samples, confident mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.artefacts import classifiers
from pipeline.config import Experiment
from pipeline.methods import find_method
from pipeline.stages import pretrain, sample

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import ImageData
    from pipeline.report.atlas import Atlas
    from pipeline.report.cards import Suspect
    from pipeline.report.evidence import Counts, Run
    from pipeline.report.page import Manifold

RECONSTRUCTED = 10  # images, one a class
SUSPECTS = 12  # confident mistakes of a cell
SAMPLED = 64  # images drawn from a prior
CHUNK = 1000  # images a forward pass


def suspects(config: Experiment, runs: Sequence[Run], test: ImageData, truth: Counts) -> dict[str, list[Suspect]]:
    """Of each cell, by its folder, the test images that it is surest and wrong about."""
    return {run.cell: _suspects(config, run, test.images, truth) for run in runs}


def _suspects(config: Experiment, run: Run, images: torch.Tensor, truth: Counts) -> list[Suspect]:
    """Only the images are looked at that the recorded predictions have wrong."""
    import torch

    from pipeline.report.cards import Suspect

    wrong = np.flatnonzero(run.predictions != truth)
    if not len(wrong):
        return []
    folder = config.folder / run.cell
    model = classifiers.restore(config, folder, classifiers.describe(folder))
    with torch.no_grad():
        chunks = torch.split(images[torch.from_numpy(wrong)], CHUNK)
        probabilities = torch.cat([model(chunk)[1] for chunk in chunks]).numpy()
    sure = probabilities[np.arange(len(wrong)), run.predictions[wrong]]
    surest = np.argsort(-sure, kind="stable")[:SUSPECTS]
    return [Suspect(int(wrong[place]), float(sure[place])) for place in surest]


def reconstruct(config: Experiment, train: ImageData) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """An image of each class, held out of pretraining if some are: as it is, distorted, and reconstructed from that."""
    import torch

    from pipeline.models.inputs import as_input

    _, model = pretrain.restore(config, train.shape)
    held_out, seen = pretrain.split_holdout(config, len(train))
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


def draw_samples(config: Experiment, shape: tuple[int, int, int]) -> Atlas | None:
    """Images of latents drawn from the prior; None where there is none."""
    import torch

    from pipeline.models import generation

    if not find_method(config.pretrain).has_prior:
        return None
    backbone, model = pretrain.restore(config, shape)
    images = generation.sample(model, sample.latent_gaussian(config, backbone), SAMPLED)
    return _sheet(torch.nn.functional.pad(images, (1, 1, 1, 1), value=0.5))  # a grey frame keeps them apart


def draw_manifold(config: Experiment, shape: tuple[int, int, int]) -> Manifold | None:
    """What the decoder makes of latents all over the plane; None where the latent is none."""
    import torch

    from pipeline.models import generation
    from pipeline.report.page import Manifold

    if config.pretrain.latent != 2:
        return None
    backbone, model = pretrain.restore(config, shape)
    latent = sample.latent_gaussian(config, backbone)
    sheet = _sheet(generation.manifold(model, latent, sample.SIDE))
    quantiles = torch.special.ndtri((torch.arange(sample.SIDE) + 0.5) / sample.SIDE)
    x, y = latent.place(torch.stack([quantiles, quantiles], 1)).T.tolist()
    return Manifold(sheet, x, y[::-1])


def _sheet(images: torch.Tensor) -> Atlas:
    from pipeline.report import atlas

    return atlas.Atlas(atlas.thumbnails(images.clamp(0, 1).mul(255).round().byte().numpy()))
