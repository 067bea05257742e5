"""The sections of a config as parameters of an estimator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.errors import PipelineError
from pipeline.estimators.rows import Shape

SECTIONS: dict[str, Callable[[], Any]] = {
    "pretrain": PretrainConfig,
    "invariances": InvariancesConfig,
    "train": TrainConfig,
    "runtime": lambda: RuntimeConfig(progress=False),
}

SMALLEST_SIDE = 8  # pixels, from which on convolutions and changes of shape make sense


@contextmanager
def settings_are_values() -> Iterator[None]:
    """Raise a ValueError, as scikit-learn does, where the pipeline refuses a setting."""
    try:
        yield
    except PipelineError as error:
        raise ValueError(str(error)) from error


def with_field(settings: Any, path: Sequence[str], value: Any, name: str) -> Any:
    """Return settings with one field changed; the path leads to it through sections within sections.

    Raises:
        ValueError: If there is no such field; the message calls the parameter by its ``name``.
    """
    first, *rest = path
    known = [field.name for field in dataclasses.fields(settings)] if dataclasses.is_dataclass(settings) else []
    if first not in known:
        raise ValueError(f"{name}: there is no field {first!r}; expected one of {', '.join(known) or 'none'}")
    if rest:
        value = with_field(getattr(settings, first), rest, value, name)
    return dataclasses.replace(settings, **{first: value})


def drop_missing(**parameters: Any) -> dict[str, Any]:
    """Return the parameters that are not None, by their names."""
    return {name: value for name, value in parameters.items() if value is not None}


def suited_to(shape: Shape) -> PretrainConfig:
    """Return the default settings, or, where there is no shape to look at, ones without convolutions."""
    if min(shape[1:]) >= SMALLEST_SIDE:
        return PretrainConfig()
    network = NetworkConfig("mlp", (512,), ())
    return PretrainConfig(encoder=network, decoder=network)
