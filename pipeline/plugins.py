"""How a name in a config becomes an object: what is built in, what an installed package adds, or an import path.

A package adds a data set by declaring an entry point in its own ``pyproject.toml``:

    [project.entry-points."pipeline.datasets"]
    flowers = "my_package.flowers:load"
"""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pipeline import source_code
from pipeline.errors import PipelineError

T = TypeVar("T")

# frames of these say how the user's code was reached, not what is wrong with it
_MACHINERY = (__file__, pkgutil.__file__, str(importlib.__file__), "<frozen importlib")


def find(setting: str, name: str, built_in: Mapping[str, str], group: str) -> Any:
    """Find the object that a setting names; a built-in one wins over an entry point of the same name.

    Args:
        setting: The setting's name, for messages, such as "data.dataset".
        name: A key of ``built_in``, the name of an entry point, or an import path, "module:object".
        built_in: Import paths by name.
        group: The entry points' group, such as "pipeline.datasets".

    Raises:
        PipelineError: If nothing has that name, two packages add it, or its module cannot be imported.

    Examples:
        >>> find("data.dataset", "random:shuffle", {}, "pipeline.datasets").__name__
        'shuffle'
    """
    path = import_path(setting, name, built_in, group)
    try:
        found = pkgutil.resolve_name(path)
        source_code.remember(path)
    except Exception as error:  # the module is the user's: whatever it raises is what they have to see
        raise PipelineError(f"{setting}: {path!r} cannot be imported\n{own_traceback(error)}") from error
    return found


def find_instance(kind: type[T], setting: str, name: str, built_in: Mapping[str, str], group: str) -> T:
    """Find the object that a setting names, as ``find`` does, and make sure of its class.

    Raises:
        PipelineError: If ``find`` raises it, or the object is no instance of ``kind``.
    """
    found = find(setting, name, built_in, group)
    if not isinstance(found, kind):
        expected = f"{kind.__module__}.{kind.__qualname__}"
        raise PipelineError(f"{setting}: {name!r} is a {type(found).__name__}; expected a {expected}")
    return found


def source_of(setting: str, name: str, built_in: Mapping[str, str], group: str) -> dict[str, str]:
    """Return the SHA-256 of each source file of the object that a setting names, by file; none for built-in objects.

    Takes the arguments of ``find``; see ``source_code.digests``.

    Raises:
        PipelineError: If nothing has that name, two packages add it, or its module cannot be found.
    """
    if name in built_in:
        return {}
    path = import_path(setting, name, built_in, group)
    try:
        return source_code.digests(path)
    except Exception as error:  # the packages that the module lies in are the user's
        raise PipelineError(f"{setting}: {path!r} cannot be imported\n{own_traceback(error)}") from error


def import_path(setting: str, name: str, built_in: Mapping[str, str], group: str) -> str:
    """Return the import path, "module:object", of the object that a setting names; takes the arguments of ``find``.

    Raises:
        PipelineError: If nothing has that name, or two packages add it.
    """
    path = built_in.get(name) or _added(setting, name, group) or name
    if ":" not in path:
        added = sorted(entry.name for entry in metadata.entry_points(group=group))
        known = ", ".join(dict.fromkeys([*built_in, *added]))
        raise PipelineError(
            f"{setting}: {name!r} is unknown; expected one of {known}, or the import path 'module:name' of your own"
        )
    return path


def check_trusted(made: Path, name: str, named: Collection[str], option: str) -> None:
    """Refuse code that only a file names: an import path has to be named by the settings, too.

    What is built in is trusted, and so is what an installed package adds, for installing it has already run its code.

    Args:
        made: The folder whose files name the code.
        name: The name in the files.
        named: The names in the settings.
        option: The command-line option that would name it, such as "--pretrain.encoder.name nets:Net".

    Raises:
        PipelineError: If the name is an import path that the settings do not name.

    Examples:
        >>> check_trusted(Path("cell"), "conv", (), "--pretrain.encoder.name conv")
        >>> check_trusted(Path("cell"), "nets:Net", ("nets:Net",), "--pretrain.encoder.name nets:Net")
        >>> check_trusted(Path("cell"), "nets:Net", ("conv",), "--pretrain.encoder.name nets:Net")
        Traceback (most recent call last):
        ...
        pipeline.errors.PipelineError: cell was made with 'nets:Net', which is code of its maker's; if you trust it, \
say so with --pretrain.encoder.name nets:Net
    """
    if ":" in name and name not in named:
        raise PipelineError(
            f"{made} was made with {name!r}, which is code of its maker's; if you trust it, say so with {option}"
        )


def own_traceback(error: BaseException, *machinery: str) -> str:
    """Format an error of the user's code as Python does, without the frames in which the pipeline called that code.

    Further files whose frames are left out can be named.
    """
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if not frame.filename.startswith((*_MACHINERY, *machinery))]
    lines = [*traceback.format_list(shown), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()


def _added(setting: str, name: str, group: str) -> str | None:
    """Return the import path that an installed package gives this name; None if no package does."""
    entries = {entry.value: entry for entry in metadata.entry_points(group=group, name=name)}
    if len(entries) > 1:
        raise PipelineError(
            f"{setting}: {name!r} is added by several packages, as {' and '.join(sorted(entries))}; "
            "name the one you mean by its import path, or uninstall the other"
        )
    return next(iter(entries), None)
