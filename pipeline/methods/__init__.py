"""The pretraining methods: what a method is, and how a name in the settings becomes one.

Each other module of this folder is a built-in method: the module has the method's name, and its ``METHOD`` is the
method. A method from elsewhere is named by its import path, ``my_file:METHOD``, or by the name that an
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
from pipeline.config import InvariancesConfig, JsonObject, NetworkConfig, PretrainConfig, as_dict
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
    """All that a method builds its model from.

    Attributes:
        encoder: The network that is kept, with random weights, from images (B, C, H, W) to features (B, features); its
            attribute ``out_features`` is the number of features.
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
        """Make the decoder of the settings, with random weights, from features (B, features) to logits (B, C, H, W)."""
        from pipeline.training.networks import make_decoder

        return make_decoder(self.config.decoder, int(self.encoder.out_features), self.shape)  # type: ignore[arg-type]

    def make_corruption(self) -> nn.Module:
        """Make the module that changes the encoder's input at random, anew for each image; it may be the identity."""
        from pipeline.datasets.invariances import augmentation

        return augmentation(self.invariances, self.config.corruption)


@dataclass(frozen=True)
class NoSettings:
    """The settings of a method that has none of its own."""


def _plain_backbone(encoder: NetworkConfig, latent: int, shape: Shape) -> Backbone:
    from pipeline.models.classifier import Backbone
    from pipeline.training.networks import make_encoder

    return Backbone(make_encoder(encoder, shape, latent))


@dataclass(frozen=True)
class Method:
    """One way to pretrain an encoder.

    A method declares what it can do, and the rest of the pipeline asks for that, never for a name. The defaults of the
    optional attributes suit a method without a decoder.

    Attributes:
        summary: The method's name in tables and sentences, such as "autoencoder".
        make_model: Builds the model that is trained around the encoder, with random weights.
        settings: A frozen dataclass of the settings that this method alone has, each with a default. The section
            ``pretrain.args`` is checked against it.
        decodes: Whether the model makes images from latents; it is then a ``models.pretraining.Reconstructing``.
        has_prior: Whether latents are trained to follow N(0, 1), so that images can be made from draws of it.
        corrupts: Whether the method changes the encoder's input by ``pretrain.corruption``.
        trains: Whether anything is trained; otherwise the encoder keeps its initial weights.
        make_backbone: Builds the encoder with random weights, and room for the standardisation of its features, from
            the encoder's settings, the width of the latent and the images' shape.
        loss: The name of the loss in the report's sentence "its ... ended at 98.21 an image".
        when: When to use this method: the end of the report's sentence "When to take this method: ...".
        reference: The paper or page that describes the method.
        examine: Measures the finished model, in eval mode, on the images that were held out of pretraining. It takes
            the method's own settings, the model, uint8 images (N, C, H, W) and the artefact's folder, where it may
            write tables, and returns numbers for the manifest.
        evaluate: Measures the finished model on the test images, for the stage sample. It takes the method's own
            settings, the model and uint8 images (N, C, H, W), and returns numbers.
        explain: Writes sentences for the report. It takes the manifest's outcome and the resolved section ``pretrain``.

    Raises:
        PipelineError: If ``settings`` is no dataclass, a field of it has no default, or a method with a prior does not
            decode.

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
    corrupts: bool = True
    trains: bool = True
    make_backbone: Callable[[NetworkConfig, int, Shape], Backbone] = _plain_backbone
    loss: str = "loss"
    when: str = ""
    reference: str = ""
    examine: Callable[[Any, Any, Images, Path], dict[str, float]] | None = None
    evaluate: Callable[[Any, Any, Images], dict[str, float]] | None = None
    explain: Callable[[JsonObject, JsonObject], list[str]] | None = None

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
    """Return the method of this name, which may be built in, an entry point, or an import path "module:OBJECT".

    Raises:
        PipelineError: If there is no such object, its module cannot be imported, or it is no ``Method``.
    """
    return _find(name, tuple(sys.path))


@functools.cache  # each cell of a grid asks for it, and searching all installed packages takes a while
def _find(name: str, path: tuple[str, ...]) -> Method:
    return plugins.find_instance(Method, "pretrain.method", name, BUILT_IN, ENTRY_POINTS)


def own_settings(config: PretrainConfig) -> Any:
    """Return the method's own settings: ``pretrain.args`` as an instance of the method's dataclass, with defaults.

    Raises:
        PipelineError: If the method has no setting of a given name, or a value is not allowed.
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


def _checked(kind: type, given: JsonObject) -> Any:
    """Make an instance of a settings dataclass, with each value checked against the type of its field."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser, types = ArgumentParser(exit_on_error=False), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        parser.add_argument(f"--{field.name}", type=types[field.name], default=default)
    try:
        return kind(**vars(parser.instantiate(parser.parse_object(given))))
    except (ArgumentError, PipelineError, ValueError) as error:
        raise PipelineError(f"pretrain.args: {error}") from error


def title(config: PretrainConfig, invariances: InvariancesConfig) -> str:
    """Return what tells an encoder from the others of its grid, such as "seed 0, no invariances"."""
    return f"seed {config.seed}" if invariances.amounts() else f"seed {config.seed}, no invariances"


def corrupts(config: PretrainConfig, invariances: InvariancesConfig) -> bool:
    """Whether the encoder's input is changed at random while it is pretrained."""
    return find_method(config.method).corrupts and bool(invariances.amounts(config.corruption))


def resolved(config: PretrainConfig) -> JsonObject:
    """Return the section ``pretrain`` as plain JSON types, with all settings that the method uses and no others."""
    method, settings = find_method(config.method), as_dict(config)
    settings["args"] = as_dict(own_settings(config))
    if not method.decodes:
        del settings["decoder"]
    if not method.corrupts:
        del settings["corruption"]
    if not method.trains:
        for name in ("epochs", "batch_size", "learning_rate", "weight_decay"):
            del settings[name]
    return settings


# --- from settings to networks --------------------------------------------------------------------------------


def architecture(config: PretrainConfig) -> JsonObject:
    """Return the settings that a backbone is made from, as plain JSON types; the method only if it makes its own."""
    settings = as_dict(config.encoder) | {"latent": config.latent}
    plain = find_method(config.method).make_backbone is _plain_backbone
    return settings if plain else settings | {"method": config.method}


def from_architecture(settings: JsonObject) -> PretrainConfig:
    """Return a section ``pretrain`` that makes the same backbone: the inverse of ``architecture``."""
    encoder: JsonObject = {k: tuple(value) if isinstance(value, list) else value for k, value in settings.items()}
    method, latent = encoder.pop("method", PretrainConfig.method), encoder.pop("latent")
    return PretrainConfig(method=method, latent=latent, encoder=NetworkConfig(**encoder))


def new_backbone(config: PretrainConfig, shape: Shape) -> Backbone:
    """Make a backbone: the encoder with random weights, and the standardisation of its features."""
    return find_method(config.method).make_backbone(config.encoder, config.latent, shape)


def new_model(config: PretrainConfig, invariances: InvariancesConfig, shape: Shape, encoder: nn.Module) -> Pretraining:
    """Make the method's model, with random weights, around an encoder.

    Raises:
        PipelineError: If the model is not of the class that the method's flags promise.
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
