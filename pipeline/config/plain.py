"""Settings as plain JSON types: from a dataclass, into one, and changes laid over them."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from pipeline.errors import PipelineError

Section = TypeVar("Section")

# Settings or results by their names, as JSON holds them: strings, numbers, booleans, None, lists, and dicts of these.
# The names are known only when a config file, a manifest or a plug-in's dataclass has been read.
JsonObject = dict[str, Any]


def parse_section(kind: type[Section], name: str, settings: JsonObject, where: str) -> Section:
    """Make one section of the settings from plain JSON types, checked like those of a config file.

    Args:
        kind: The section's dataclass.
        name: The section's name, which messages put before the names of its settings.
        settings: Values by the names of the section's fields; what is missing takes its default.
        where: Beginning of the message if a setting is refused.

    Raises:
        PipelineError: If a setting is unknown or not allowed; the message starts with ``where``.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, name)
    try:
        section: Section = parser.instantiate(parser.parse_object({name: settings}))[name]
    except (ArgumentError, PipelineError) as error:
        raise PipelineError(f"{where}: {error}") from error
    return section


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
