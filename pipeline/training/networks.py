"""The one place that makes encoders and decoders of settings."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from pipeline import plugins
from pipeline.config import DECODERS, ENCODERS, NetworkConfig
from pipeline.errors import PipelineError
from pipeline.models.encoders import Shape


def make_encoder(config: NetworkConfig, in_shape: Shape, latent: int) -> nn.Module:
    """Make the encoder that the settings name, from images of a shape (C, H, W) to features (B, latent)."""
    return _make_network("encoder", config, ENCODERS, in_shape, latent)


def make_decoder(config: NetworkConfig, latent: int, out_shape: Shape) -> nn.Module:
    """Make the decoder that the settings name, from latents (B, latent) to images of a shape (C, H, W)."""
    return _make_network("decoder", config, DECODERS, latent, out_shape)


def _make_network(part: str, config: NetworkConfig, built_in: dict[str, str], *positional: Any) -> nn.Module:
    """Make the network that a name or an import path stands for; all kinds take two positional arguments."""
    factory = plugins.find(f"pretrain.{part}.name", config.name, built_in, f"pipeline.{part}s")
    arguments: dict[str, Any] = dict(config.args)
    if config.name in built_in and config.name not in ("torchvision", "timm"):
        arguments["widths"] = config.widths
        if config.name != "mlp":
            arguments["hidden"] = config.hidden
    try:
        inspect.signature(factory).bind(*positional, **arguments)
    except TypeError as error:
        raise PipelineError(f"pretrain.{part}: {config.name} was called with {arguments}: {error}") from error
    try:
        network: nn.Module = factory(*positional, **arguments)
    except PipelineError:
        raise
    except Exception as error:  # the network may be the user's, who has to see its error
        shown = plugins.own_traceback(error, __file__)
        raise PipelineError(f"pretrain.{part}: {config.name} failed\n{shown}") from error
    if part == "encoder" and not isinstance(getattr(network, "out_features", None), int):
        raise PipelineError(
            f"pretrain.encoder: {config.name} has no .out_features; expected the number of features that it makes"
        )
    return network
