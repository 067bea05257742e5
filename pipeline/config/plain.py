"""Settings as plain JSON types: from a dataclass, into one, and changes laid over them."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# Settings or results by their names, as JSON holds them: strings, numbers, booleans, None, lists, and dicts of these.
# The names are known only when a config file, a manifest or a plug-in's dataclass has been read.
JsonObject = dict[str, Any]


def parse(kind: type, section: str | None, settings: JsonObject, where: str) -> Any:
    """Check settings as plain JSON types like those of a config file, and make settings dataclasses of them.

    Args:
        kind: The dataclass of the settings.
        section: The section that they stand in; None if they are all sections together.
        settings: Values by the names of the settings; what is missing takes its default.
        where: Beginning of the message if a setting is refused.

    Returns:
        A namespace with the dataclass under the section's name, or with its fields if there is no section.

    Raises:
        PipelineError: If a setting is unknown or not allowed; the message starts with ``where``.
    """
    from jsonargparse import ArgumentError

    try:
        parser = _parser(kind, section)
        return parser.instantiate(parser.parse_object(settings))
    except (ArgumentError, PipelineError) as error:
        raise PipelineError(f"{where}: {error}") from error


@functools.cache  # a study has many arms
def _parser(kind: type, section: str | None) -> ArgumentParser:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, section)
    return parser


def merged(settings: JsonObject, changes: JsonObject) -> JsonObject:
    """Return settings with changes laid over them, section by section; neither is changed itself."""
    found = dict(settings)
    for name, change in changes.items():
        own = found.get(name)
        found[name] = merged(own, change) if isinstance(own, dict) and isinstance(change, dict) else change
    return found


def as_dict(config: Any) -> JsonObject:
    """Turn a settings dataclass into plain JSON types; tuples become lists."""
    return {key: _plain(value) for key, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
