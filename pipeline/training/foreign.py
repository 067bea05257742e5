"""Networks of torchvision and timm as encoders, with the size and the normalisation that belong to them.

They keep their own width, whatever ``pretrain.latent`` says. Their weights are random until ``load_weights`` puts those
in that were asked for: only pretraining does, so that training from scratch is from random weights, and a classifier is
restored from its files without a download.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline import extras
from pipeline.errors import PipelineError
from pipeline.models.encoders import Shape

GREY, COLOUR = 1, 3  # channels of images that such networks can be shown
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class ForeignNetwork:
    """A network as its library has it.

    Attributes:
        model: Its name there.
        network: (B, 3, *size) normalised colours to features, with random weights.
        size: (height, width) of the images that it was made for.
        mean: Mean of each colour that it expects to be subtracted, intensities from 0 to 1.
        std: Standard deviation of each colour that it expects to be divided by.
        download: Fetches its pretrained weights; None where random ones are wanted.
    """

    model: str
    network: nn.Module
    size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]
    download: Callable[[], Weights] | None


class ForeignEncoder(nn.Module):
    """A network for colour images of one size and range, shown images of another.

    Args:
        found: The network; what it puts out, flattened, are the features.
        size: (height, width) that images are scaled to.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, found: ForeignNetwork, size: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size, self.download = found.network, size, found.download
        self.register_buffer("mean", torch.tensor(found.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(found.std).view(1, -1, 1, 1), persistent=False)
        self.out_features = self._width()

    def forward(self, x: Tensor) -> Tensor:
        """Features of grey or colour images (B, C, H, W), floats from 0 to 1: shape (B, features)."""
        if x.shape[1] == GREY:
            x = x.expand(-1, COLOUR, -1, -1)
        if tuple(x.shape[2:]) != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.network((x - self.mean) / self.std)
        return features.flatten(1)

    @torch.no_grad()
    def _width(self) -> int:
        """Return how many features it makes of an image of this size; the weights stay as they are."""
        self.eval()
        width = self(torch.zeros(1, COLOUR, *self.size)).shape[1]
        self.train()
        return int(width)


def torchvision_encoder(
    in_shape: Shape, latent: int, model: str = "resnet18", pretrained: bool = False, size: int | None = None
) -> ForeignEncoder:
    """Return a classifier of torchvision without its last layer.

    Args:
        in_shape: (C, H, W) of the images; one channel or three.
        latent: Not read; the network has a width of its own.
        model: Its name among ``torchvision.models``, such as "resnet18".
        pretrained: Whether pretraining begins with the weights of ImageNet, which are downloaded once.
        size: Side that images are scaled to; None takes that of the weights, or with random ones the images' own.

    Raises:
        PipelineError: If there is no such network, or it does not take such images.
    """
    from torchvision import models

    if model not in models.list_models(module=models):
        raise PipelineError(
            f"pretrain.encoder.args.model: {model!r} is no classifier of torchvision; expected one such as resnet18, "
            "resnet50, mobilenet_v3_small, convnext_tiny or vit_b_16"
        )
    weights = models.get_model_weights(model).DEFAULT
    preset, network = weights.transforms(), models.get_model(model, weights=None)
    _take_off_head(network, model)

    def download() -> Weights:
        found: Weights = weights.get_state_dict(progress=False, check_hash=True)
        return found

    side = preset.crop_size[0]
    found = ForeignNetwork(model, network, (side, side), preset.mean, preset.std, download if pretrained else None)
    return _encoder(found, in_shape, size)


def timm_encoder(
    in_shape: Shape, latent: int, model: str = "resnet18", pretrained: bool = False, size: int | None = None
) -> ForeignEncoder:
    """Make a network of timm without its classifier; ``model`` is its name there, see ``torchvision_encoder``.

    Raises:
        PipelineError: If timm is not installed, there is no such network, or it does not take such images.
    """
    extras.require("timm", "pretrain.encoder.name: timm")
    import timm

    if not timm.is_model(model.partition(".")[0]):
        raise PipelineError(
            f"pretrain.encoder.args.model: {model!r} is no network of timm; timm.list_models() lists them"
        )
    network = timm.create_model(model, pretrained=False, num_classes=0)
    config = timm.data.resolve_model_data_config(network)

    def download() -> Weights:
        found: Weights = timm.create_model(model, pretrained=True, num_classes=0).state_dict()
        return found

    height, width = config["input_size"][1:]
    loads = download if pretrained else None
    found = ForeignNetwork(model, network, (height, width), config["mean"], config["std"], loads)
    return _encoder(found, in_shape, size)


def load_weights(network: nn.Module) -> None:
    """Put the pretrained weights into foreign encoders in a network that were asked to have some.

    Raises:
        PipelineError: If they cannot be downloaded, or are of another network.
    """
    for module in network.modules():
        if isinstance(module, ForeignEncoder) and module.download is not None:
            try:
                found = module.download()
                own = module.network.state_dict()
                module.network.load_state_dict({name: found[name] for name in own})
            except (OSError, RuntimeError, KeyError) as error:
                raise PipelineError(
                    f"pretrain.encoder.args.pretrained: no download of the weights ({type(error).__name__}: {error}); "
                    "connect this machine to the internet once, or copy the file from one that is: into "
                    f"{torch.hub.get_dir()}/checkpoints for torchvision, into Hugging Face's cache for timm; or set "
                    "it to false"
                ) from error


def _encoder(found: ForeignNetwork, in_shape: Shape, size: int | None) -> ForeignEncoder:
    """Return the encoder for images of a shape, scaled to a size: as asked, or as the weights had it, or not at all."""
    if in_shape[0] not in (GREY, COLOUR):
        raise PipelineError(
            f"pretrain.encoder: {found.model} takes images of 1 or 3 channels, and these have {in_shape[0]}"
        )
    height, width = (in_shape[1], in_shape[2]) if found.download is None else found.size
    if size is not None:
        height = width = size
    try:
        return ForeignEncoder(found, (height, width))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise PipelineError(
            f"pretrain.encoder.args.size: {found.model} does not take images of {height} x {width} pixels ({error}); "
            f"it was made for {found.size[0]} x {found.size[1]}: --pretrain.encoder.args.size {found.size[0]}"
        ) from error


def _take_off_head(network: nn.Module, model: str) -> None:
    """Replace the last fully connected layer, which tells the classes, by nothing."""
    names: list[Any] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise PipelineError(f"pretrain.encoder.args.model: {model} has no fully connected head that could be taken off")
    parent, _, last = names[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
