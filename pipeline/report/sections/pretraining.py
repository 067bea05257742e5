"""Section "Pretraining": how the encoder was pretrained, and what it learnt to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from pipeline.artefacts import encoder
from pipeline.config import Experiment
from pipeline.methods import find_method
from pipeline.report.atlas import Atlas, thumbnails
from pipeline.report.blocks import Beside, Block, Custom, Figure, Section, Text
from pipeline.report.drawing import MARKERS, PALETTE, Floats, Picture, image_rows, styled, svg
from pipeline.report.evidence import Evidence

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import ImageData
    from pipeline.models.generation import LatentGaussian
    from pipeline.models.pretraining import Reconstructing

RECONSTRUCTED = 10  # images, one a class
SAMPLED = 64  # images drawn from a prior


def pretraining(evidence: Evidence) -> Section | None:
    """Return the section; None where no mode of the grid starts from a pretrained encoder."""
    if evidence.pretrained is None:
        return None
    config, train = evidence.config, evidence.dataset.train
    blocks: list[Block] = [Text(sentence) for sentence in _sentences(evidence)]
    figures: list[Block] = []
    generated: list[Block] = []
    if "train_loss" in evidence.losses:
        figures.append(Figure(_losses(evidence.losses), "Loss by epoch."))
    if find_method(config.pretrain.method).decodes:
        backbone, model = encoder.restore_decoding(config, train.shape)
        images = image_rows(_reconstruct(config, model, train), "Training images in columns;", svg)
        caption = "Training images, left out of pretraining where any are, and what the pretrained model makes of them."
        figures.append(Figure(images, caption))
        generated = _generated(config, model, encoder.latent_gaussian(config, backbone))
    if figures:
        blocks.append(Beside(figures))
    if generated:
        blocks.append(Beside(generated))
    return Section("pretraining", "Pretraining", "Pretraining", blocks)


# --- the words ------------------------------------------------------------------------------------------------


def _sentences(evidence: Evidence) -> list[str]:
    assert evidence.pretrained is not None
    outcome, settings = evidence.pretrained["outcome"], evidence.pretrained["inputs"]["pretrain"]
    method = find_method(settings["method"])
    corrupted = "invariances" in evidence.pretrained["inputs"]
    name = evidence.comparison["pretraining"]
    if not method.trains:
        encoder = settings["encoder"]
        named = " ".join([encoder["name"], *(f"{key} {value}" for key, value in encoder["args"].items())])
        return [
            f"Nothing was pretrained: the encoder is {named}, as it is.",
            f"When to take this method: {method.when}",
        ]
    sentence = (
        f"The encoder was pretrained as {'an' if name[0] in 'aeiou' else 'a'} {name} for {outcome['epochs']} epochs; "
        f"its {method.loss} ended at {outcome['train_loss']:.2f} an image"
    )
    if corrupted:
        sentence += " from corrupted input"
    if "holdout_loss" in outcome:
        sentence += f", and at {outcome['holdout_loss']:.2f} on training images left out of pretraining"
    sentences = [f"{sentence}."]
    if method.explain is not None:
        sentences += method.explain(outcome, settings)
    if method.when:
        sentences.append(f"When to take this method: {method.when}")
    return sentences


# --- the pictures ---------------------------------------------------------------------------------------------


@styled
def _losses(losses: dict[str, list[float]]) -> Picture:
    """Draw the loss by epoch."""
    drawing = Drawing(figsize=(5.4, 2.9), layout="constrained")
    axes = drawing.add_subplot()
    names = {"train_loss": "training batches, as they came", "holdout_loss": "left-out training images"}
    shown = [name for name in names if name in losses]
    for name, color, marker in zip(shown, PALETTE, MARKERS, strict=False):
        axes.plot(losses["epoch"], losses[name], color=color, marker=marker, markersize=4, label=names[name])
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss an image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    ends = " and ".join(f"{losses[name][-1]:.2f} on {names[name]}" for name in shown)
    return svg(drawing, f"Loss by epoch of pretraining; it ends at {ends}.")


def _reconstruct(config: Experiment, model: Reconstructing, train: ImageData) -> dict[str, Floats]:
    """Draw an image of each class, if possible a held-out one: as it is, corrupted, and reconstructed from that."""
    import torch

    from pipeline.models.inputs import as_input

    held_out, seen = encoder.split_holdout(config, len(train))
    candidates = held_out if len(held_out) else seen
    shown = train.examples(candidates, RECONSTRUCTED)
    clean = as_input(train.images[shown if len(shown) else candidates[:1]])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        corrupted = model.corruption(clean)
        rows = {"original": clean, "corrupted": corrupted, "reconstruction": model(corrupted)}
    if isinstance(model.corruption, torch.nn.Identity):
        del rows["corrupted"]
    return {name: images.numpy() for name, images in rows.items()}


def _generated(config: Experiment, model: Reconstructing, latent: LatentGaussian) -> list[Block]:
    """Return images of latents that no image was encoded to: drawn from the prior, and all over the plane."""
    blocks: list[Block] = []
    if find_method(config.pretrain.method).has_prior:
        alt = f"{SAMPLED} images that the decoder makes of latents drawn from the prior."
        picture = Picture(_draw_samples(model, latent).png, "image/png", alt)
        blocks.append(Figure(picture, "What the decoder makes of latents drawn from the prior, N(0, 1)."))
    if config.pretrain.latent == 2:
        blocks.append(_manifold(model, latent))
    return blocks


def _draw_samples(model: Reconstructing, latent: LatentGaussian) -> Atlas:
    import torch

    from pipeline.models import generation

    images = generation.sample(model, latent, SAMPLED)
    return _sheet(torch.nn.functional.pad(images, (1, 1, 1, 1), value=0.5))  # a grey frame keeps them apart


def _manifold(model: Reconstructing, latent: LatentGaussian) -> Custom:
    """Draw latents all over the plane: along a row the first dimension rises, down the rows the second one falls."""
    import torch

    from pipeline.models import generation

    sheet = _sheet(generation.manifold(model, latent, generation.SIDE))
    quantiles = torch.special.ndtri((torch.arange(generation.SIDE) + 0.5) / generation.SIDE)
    x, y = latent.place(torch.stack([quantiles, quantiles], 1)).T.tolist()
    return Custom("manifold.html.jinja", {"sheet": sheet, "x": x, "y": y[::-1]})


def _sheet(images: torch.Tensor) -> Atlas:
    return Atlas(thumbnails(images.clamp(0, 1).mul(255).round().byte().numpy()))
