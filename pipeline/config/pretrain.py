"""The section ``pretrain``: how the encoder is pretrained, and which networks it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.config.checks import check_seed
from pipeline.config.plain import JsonObject
from pipeline.errors import require

# the built-in networks: import paths by name
ENCODERS = {
    "conv": "pipeline.models.encoders:ConvEncoder",
    "mlp": "pipeline.models.encoders:MLPEncoder",
    "residual": "pipeline.models.encoders:ResidualEncoder",
    "patches": "pipeline.models.encoders:PatchEncoder",
    "torchvision": "pipeline.training.foreign:torchvision_encoder",
    "timm": "pipeline.training.foreign:timm_encoder",
}
DECODERS = {"conv": "pipeline.models.decoders:ConvDecoder", "mlp": "pipeline.models.decoders:MLPDecoder"}


@dataclass(frozen=True)
class NetworkConfig:
    """An encoder or a decoder.

    Attributes:
        name: "conv", "mlp", for an encoder also "residual", "patches", "torchvision" or "timm", a name that an
            installed package adds, or the import path "module:Class" of your own.
        widths: For "conv", channels of each stride-2 layer; for "residual", channels of each block; for "mlp", units of
            each hidden layer; for "patches", units of each layer of the network on a patch. Their number is the depth.
            A decoder lists them from the latent towards the image.
        hidden: Units of fully connected layers between convolutions or patches and the latent; "mlp" has none.
        args: Further keyword arguments of the network. Of "patches": patch, the side of a patch in pixels (4). Of
            "torchvision" and "timm": model, the network's name; pretrained, to begin pretraining with downloaded
            weights; size, the side that images are scaled to. Of a class of your own: its own arguments.
    """

    name: str = "conv"
    widths: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (512,)
    args: JsonObject = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("widths", "hidden"):
            sizes = getattr(self, name)
            require(all(size > 0 for size in sizes), name, sizes, "positive layer sizes")


@dataclass(frozen=True)
class PretrainConfig:
    """How the encoder is pretrained on images without labels: the settings that all methods have.

    Attributes:
        method: A built-in method by name (autoencoder, masked, none, vae, views), a name that an installed package
            adds, or the import path "module:OBJECT" of your own.
        args: Settings that this method alone has, such as {beta: 4} of a vae; listed at the end of --help. One that
            the method does not have is refused.
        latent: Width of the bottleneck, which is the number of features of an image.
        encoder: The network from an image to its latent.
        decoder: The network from a latent to its image; not used by a method that draws no images.
        corruption: Strength of the invariances by which the input is changed while the target stays clean (a denoising
            autoencoder); 0 for a plain autoencoder.
        epochs: Number of passes over the unlabelled images.
        batch_size: Number of images in each step, in all processes together.
        learning_rate: Highest learning rate of the one-cycle schedule (AdamW).
        weight_decay: Weight decay of AdamW.
        holdout: Number of training images left out of pretraining, to measure it on; null leaves out 2 %, but at least
            32 and at most 1000, and never more than a fifth.
        seed: Seed of the initial weights, the order of batches, the corruption and all else that is random. All draws
            share one encoder.
    """

    method: str = "autoencoder"
    args: JsonObject = field(default_factory=dict, hash=False)
    latent: int = 128
    encoder: NetworkConfig = field(default_factory=NetworkConfig)
    decoder: NetworkConfig = field(default_factory=lambda: NetworkConfig("mlp", (512,), ()))
    corruption: float = 1.0
    epochs: int = 16
    batch_size: int = 256
    learning_rate: float = 0.005
    weight_decay: float = 0.0001
    holdout: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.latent > 0, "pretrain.latent", self.latent, "a positive width")
        require(self.epochs > 0, "pretrain.epochs", self.epochs, "at least 1")
        require(self.batch_size > 1, "pretrain.batch_size", self.batch_size, "at least 2 images")
        require(self.learning_rate > 0, "pretrain.learning_rate", self.learning_rate, "a positive rate")
        require(0 <= self.corruption < math.inf, "pretrain.corruption", self.corruption, "a strength of at least 0")
        require(self.weight_decay >= 0, "pretrain.weight_decay", self.weight_decay, "at least 0")
        held_out = self.holdout
        require(held_out is None or held_out >= 0, "pretrain.holdout", held_out, "at least 0 images, or null")
        check_seed("pretrain.seed", self.seed)
