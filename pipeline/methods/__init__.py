"""The pretraining methods: what a method is, and how a name in the settings becomes one.

Each other module of this folder is a built-in method: the module's name is the method's, its ``METHOD`` says all there
is to know about it. A method from elsewhere is named by its import path, ``my_file:METHOD``, or by the name that an
installed package gives it as an entry point ``pipeline.methods``; it takes the same path through the code. See
docs/methods.md.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pipeline import plugins
from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, as_dict
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from torch import nn

    from pipeline.models.classifier import Backbone
    from pipeline.models.inputs import Images
    from pipeline.models.pretraining import Pretraining

Shape = tuple[int, int, int]  # channels, height, width

ENTRY_POINTS = "pipeline.methods"
BUILT_IN = {module.name: f"{__name__}.{module.name}:METHOD" for module in pkgutil.iter_modules(__path__)}


@dataclass(frozen=True)
class Parts:
    """What a method builds its model from.

    Attributes:
        encoder: The network that is kept, with random weights: images (B, C, H, W) to (B, features). It has
            ``out_features``.
        shape: Channels, height and width of the images.
        config: The section ``pretrain``: settings that all methods have.
        invariances: The section ``invariances``: the changes that a corruption is made of.
        settings: The method's own settings, an instance of ``Method.settings``.
    """

    encoder: nn.Module
    shape: Shape
    config: PretrainConfig
    invariances: InvariancesConfig
    settings: Any

    def make_decoder(self) -> nn.Module:
        """The decoder of the settings with random weights: (B, features) to logits (B, C, H, W)."""
        from pipeline.training.trainer import make_decoder

        return make_decoder(self.config.decoder, int(self.encoder.out_features), self.shape)  # type: ignore[arg-type]

    def make_corruption(self) -> nn.Module:
        """The random changes of the encoder's input, drawn anew for each image of a batch; the identity for none."""
        from pipeline.datasets.invariances import augmentation

        return augmentation(self.invariances, self.config.corruption)


@dataclass(frozen=True)
class NoSettings:
    """The settings of a method that has none of its own."""


def _plain_backbone(encoder: NetworkConfig, latent: int, shape: Shape) -> Backbone:
    from pipeline.models.classifier import Backbone
    from pipeline.training.trainer import make_encoder

    return Backbone(make_encoder(encoder, shape, latent))


@dataclass(frozen=True)
class Method:
    """One way to pretrain an encoder.

    A method says what it can do, and the rest of the pipeline asks for that, never for a name. All but the first two
    attributes have defaults that suit a method without a decoder.

    Attributes:
        summary: What it is called in tables and sentences, such as "autoencoder".
        make_model: Builds what is trained around the encoder, with random weights.
        settings: A frozen dataclass of the settings that this method alone has, each with a default. The section
            ``pretrain.args`` is checked against it.
        decodes: Whether the model draws images from latents: it is then a ``models.pretraining.Reconstructing``.
        has_prior: Whether latents are trained to follow N(0, 1), so that decoding draws of that makes images.
        distorts: Whether it reads ``pretrain.corruption``.
        trains: Whether anything is trained; otherwise the encoder is kept as it is made.
        make_backbone: Builds the encoder with random weights, and room for the standardisation of its features, from
            the encoder's settings, the width of the latent and the images' shape.
        loss: What the loss is called in the report's sentence "its ... ended at 98.21 an image".
        when: When to take this method: the end of the report's sentence "When to take this method: ...".
        reference: The paper or page that it is from.
        examine: Measures the finished model, in eval mode, on the images that were held out of pretraining: its own
            settings, the model, uint8 images (N, C, H, W) and the artefact's folder to numbers for the manifest.
            Tables go into the folder.
        evaluate: Measures the finished model on the test images, for the stage sample: settings, model and images to
            numbers.
        explain: Sentences for the report on the numbers in the manifest: the manifest's outcome and the resolved
            section ``pretrain`` to sentences.

    Raises:
        PipelineError: If ``settings`` is no dataclass whose fields all have defaults, or a prior comes without a
            decoder.

    Examples:
        >>> from pipeline.methods import find_method
        >>> vae = find_method("vae")
        >>> vae.summary, vae.decodes, vae.has_prior
        ('variational autoencoder', True, True)
    """

    summary: str
    make_model: Callable[[Parts], Pretraining]
    settings: type = NoSettings
    decodes: bool = False
    has_prior: bool = False
    distorts: bool = True
    trains: bool = True
    make_backbone: Callable[[NetworkConfig, int, Shape], Backbone] = _plain_backbone
    loss: str = "loss"
    when: str = ""
    reference: str = ""
    examine: Callable[[Any, Any, Images, Path], dict[str, float]] | None = None
    evaluate: Callable[[Any, Any, Images], dict[str, float]] | None = None
    explain: Callable[[dict[str, Any], dict[str, Any]], list[str]] | None = None

    def __post_init__(self) -> None:
        if not dataclasses.is_dataclass(self.settings):
            raise PipelineError(f"method {self.summary!r}: settings is {self.settings!r}; expected a dataclass")
        for field in dataclasses.fields(self.settings):
            if field.default is field.default_factory is dataclasses.MISSING:
                raise PipelineError(f"method {self.summary!r}: its setting {field.name!r} has no default")
        if self.has_prior and not self.decodes:
            raise PipelineError(f"method {self.summary!r} has a prior to sample from, but does not decode")


# --- from settings to a method --------------------------------------------------------------------------------


def find_method(name: str) -> Method:
    """The method of this name: a built-in one, an entry point's, or that at the import path "module:OBJECT".

    Raises:
        PipelineError: If there is none, its module cannot be imported, or it is something else.
    """
    return _find(name, tuple(sys.path))


@functools.cache  # settings are resolved for each cell of a grid; looking through all installed packages takes a while
def _find(name: str, path: tuple[str, ...]) -> Method:
    return plugins.find_instance(Method, "pretrain.method", name, BUILT_IN, ENTRY_POINTS)


def own_settings(config: PretrainConfig) -> Any:
    """The method's own settings: ``pretrain.args`` as an instance of the method's dataclass, with its defaults.

    Raises:
        PipelineError: If the method has no such setting, or the value is not allowed.
    """
    return _own_settings(config.method, json.dumps(config.args, sort_keys=True, default=str), tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _own_settings(name: str, arguments: str, path: tuple[str, ...]) -> Any:
    method, given = find_method(name), json.loads(arguments)
    known = [field.name for field in dataclasses.fields(method.settings)]
    for setting in given:
        if setting not in known:
            allowed = f"expected one of {', '.join(known)}" if known else "it has no settings of its own"
            raise PipelineError(f"pretrain.args.{setting}: the method {name} has no such setting; {allowed}")
    return _checked(method.settings, given)


def _checked(kind: type, given: dict[str, Any]) -> Any:
    """An instance of a settings dataclass, each value checked against the type of its field."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser, types = ArgumentParser(exit_on_error=False), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        parser.add_argument(f"--{field.name}", type=types[field.name], default=default)
    try:
        return kind(**vars(parser.instantiate(parser.parse_object(given))))
    except (ArgumentError, PipelineError, ValueError) as error:
        raise PipelineError(f"pretrain.args: {error}") from error


def corrupts(config: PretrainConfig, invariances: InvariancesConfig) -> bool:
    """Whether the encoder's input is changed in training."""
    return find_method(config.method).distorts and bool(invariances.amounts(config.corruption))


def resolved(config: PretrainConfig) -> dict[str, Any]:
    """The section pretrain as plain JSON types, with all settings that the method reads and no others."""
    method, settings = find_method(config.method), as_dict(config)
    settings["args"] = as_dict(own_settings(config))
    if not method.decodes:
        del settings["decoder"]
    if not method.distorts:
        del settings["corruption"]
    if not method.trains:
        for name in ("epochs", "batch_size", "learning_rate", "weight_decay"):
            del settings[name]
    return settings


# --- from settings to networks --------------------------------------------------------------------------------


def architecture(config: PretrainConfig) -> dict[str, Any]:
    """The settings that a backbone with random weights is made from; the method is one where it makes its own."""
    settings = as_dict(config.encoder) | {"latent": config.latent}
    plain = find_method(config.method).make_backbone is _plain_backbone
    return settings if plain else settings | {"method": config.method}


def from_architecture(settings: dict[str, Any]) -> PretrainConfig:
    """Settings that make the same backbone: the inverse of ``architecture``."""
    encoder: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in settings.items()}
    method, latent = encoder.pop("method", PretrainConfig.method), encoder.pop("latent")
    return PretrainConfig(method=method, latent=latent, encoder=NetworkConfig(**encoder))


def new_backbone(config: PretrainConfig, shape: Shape) -> Backbone:
    """The encoder with random weights, and room for the standardisation of its features."""
    return find_method(config.method).make_backbone(config.encoder, config.latent, shape)


def new_model(config: PretrainConfig, invariances: InvariancesConfig, shape: Shape, encoder: nn.Module) -> Pretraining:
    """The method's model with random weights around an encoder.

    Raises:
        PipelineError: If the method made something that cannot do what the method says.
    """
    from pipeline.models.pretraining import Pretraining, Reconstructing

    method = find_method(config.method)
    expected = Reconstructing if method.decodes else Pretraining
    model = method.make_model(Parts(encoder, shape, config, invariances, own_settings(config)))
    if not isinstance(model, expected):
        raise PipelineError(
            f"pretrain.method: {config.method} made a {type(model).__name__}; expected a "
            f"pipeline.models.pretraining.{expected.__name__}"
        )
    model.learning_rate, model.weight_decay = config.learning_rate, config.weight_decay
    return model
