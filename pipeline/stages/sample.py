"""Stage sample: pictures that the decoder makes of the latent space, and the method's measures on test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

from pipeline import methods
from pipeline.artefacts import data_card, data_source, encoder
from pipeline.config import Experiment, check_seed
from pipeline.errors import PipelineError
from pipeline.store import test_access
from pipeline.store.artefact import Artefact

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import Dataset, ImageData
    from pipeline.models.generation import LatentGaussian
    from pipeline.models.pretraining import Reconstructing

MOST = 10_000  # the largest number of samples in a picture
COLUMNS = 10  # the number of images in each row of reconstructions and interpolations
PAIRS = 8  # the number of pairs of images that are interpolated


class Outcome(TypedDict):
    """The results of sampling, for the manifest.

    Attributes:
        latents_from: The distribution that latents were drawn from, in words.
        test_images: The number of test images that were measured; missing if the method measures nothing on them.
        test: The method's measurements on them, by name.
    """

    latents_from: str
    test_images: NotRequired[int]
    test: NotRequired[dict[str, float]]


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    count: Annotated[int, "number of images to sample"] = 100
    seed: Annotated[int, "seed of the sampled latents"] = 0


def run(config: Experiment, options: Options) -> Path:
    """Make the pictures unless they are there, print what they show, and return their folder.

    Raises:
        PipelineError: If the number of samples or the seed is out of range, the method draws no images, or stage
            pretrain has not run.
    """
    count, seed = options.count, options.seed
    if not 1 <= count <= MOST:
        raise PipelineError(f"count: {count} is not allowed; expected 1 to {MOST} samples")
    check_seed("seed", seed)
    if not methods.find_method(config.pretrain.method).decodes:
        raise PipelineError(
            f"pretrain.method: {config.pretrain.method} has no decoder, so there is nothing to sample; choose a method "
            "that decodes, such as autoencoder or vae"
        )
    encoder.check(config)
    data_source.check_unchanged(config)
    made_from = {
        "stage": "sample",
        "data": data_card.load(config)["sha256"],
        "pretrained": encoder.artefact(config).fingerprint,
        "count": count,
        "seed": seed,
    }
    pictures: Artefact[Outcome] = Artefact(
        config.folder, "sample", made_from, lambda folder: _make(config, count, seed, folder), "run it again"
    )
    folder = pictures.build()
    outcome = pictures.open()["outcome"]
    print(f"{encoder.describe(config)}: {count} samples, latents drawn from {outcome['latents_from']}")
    if "test" in outcome:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in outcome["test"].items())
        print(f"on {outcome['test_images']} test images: {numbers}")
    return folder


def _make(config: Experiment, count: int, seed: int, folder: Path) -> Outcome:
    from pipeline.report.contact_sheet import write_contact_sheet
    from pipeline.training.device import threads

    dataset = data_card.load_dataset(config)
    has_prior = methods.find_method(config.pretrain.method).has_prior
    with threads(config.runtime.threads):
        backbone, model = encoder.restore_decoding(config, dataset.train.shape)
        latent = encoder.latent_gaussian(config, backbone)
        shown = _shown(config, dataset.train)
        pictures = _draw(model, latent, shown, count, seed)
        measured = _evaluate(config, model, dataset)
    for name, (images, columns) in pictures.items():
        write_contact_sheet(folder / f"{name}.png", images, columns)
    source = "the prior N(0, 1)" if has_prior else "a Gaussian fitted to the training embeddings"
    if measured is None:
        return {"latents_from": source}
    return {"latents_from": source, "test_images": len(dataset.test), "test": measured}


def _shown(config: Experiment, train: ImageData) -> torch.Tensor:
    """Return the first images that were held out of pretraining, or the first that it saw if fewer than two were."""
    held_out, seen = encoder.split_holdout(config, len(train))
    chosen = held_out if len(held_out) > 1 else seen
    shown: torch.Tensor = train.images[chosen[: max(3 * COLUMNS, 2 * PAIRS)]]
    return shown


def _draw(
    model: Reconstructing, latent: LatentGaussian, shown: torch.Tensor, count: int, seed: int
) -> dict[str, tuple[torch.Tensor, int]]:
    """Return the images of each picture, and the number of images in its rows, by the picture's name."""
    import torch

    from pipeline.models import generation
    from pipeline.models.inputs import as_input

    width, pairs = min(COLUMNS, len(shown)), min(PAIRS, len(shown) // 2)
    lines = torch.split(as_input(shown[: len(shown) // width * width]), width)
    pictures = {
        "samples": (generation.sample(model, latent, count, seed), max(1, round(count**0.5))),
        # a row of images, and below it their reconstructions
        "reconstructions": (torch.cat([torch.cat([x, generation.reconstruct(model, x)]) for x in lines]), width),
        "interpolations": (
            generation.interpolate(model, shown[:pairs], shown[pairs : 2 * pairs], COLUMNS),
            COLUMNS,
        ),
    }
    if len(latent.mean) == 2:
        pictures["manifold"] = (generation.manifold(model, latent, generation.SIDE), generation.SIDE)
    return pictures


def _evaluate(config: Experiment, model: Reconstructing, dataset: Dataset) -> dict[str, float] | None:
    """Return the method's measurements on the test images, which are opened here, when nothing is left to be chosen."""
    evaluate = methods.find_method(config.pretrain.method).evaluate
    if evaluate is None or not len(dataset.test):
        return None
    test_access.log(config.folder, "sample", encoder.artefact(config).fingerprint, dataset.sha256)
    return evaluate(methods.own_settings(config.pretrain), model, dataset.test.images)
