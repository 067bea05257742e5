"""The source files of code that a config names: the module, and the modules that it imports from the same folder."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

_OWN = "pipeline"  # this package, which is left out: the format version stands for its changes


def digests(path: str) -> dict[str, str]:
    """Return the SHA-256 of each source file behind an import path, by its name inside the module's folder.

    The module itself is not imported, but the packages that it is part of are.

    Args:
        path: An import path "module:object".

    Returns:
        Nothing for code of this package, for compiled modules, and for those that are part of Python.

    Raises:
        ImportError: If there is no such module, or one of the files was edited after it was imported.

    Examples:
        >>> digests("pipeline.errors:PipelineError")
        {}
        >>> list(digests("this:c"))
        ['this.py']
    """
    root, found = _source_files(path)
    specs = _specs()
    for file, digest in found.items():
        spec, at_import = _imports.get(file, (None, digest))
        if digest != at_import and spec is specs.get(str(file)):
            raise ImportError(f"{file} was edited after it was imported; run the command in a new Python process")
    return {str(file.relative_to(root)): digest for file, digest in sorted(found.items())}


def remember(path: str) -> None:
    """Store the digests of the source behind an import path that has just been imported, to notice later edits."""
    specs = _specs()
    for file, digest in _source_files(path)[1].items():
        spec = specs.get(str(file))
        if spec is not None and _imports.get(file, (None, ""))[0] is not spec:
            _imports[file] = spec, digest


# by file, the spec of its module, which reloading replaces, and the digest of the source when it was imported
_imports: dict[Path, tuple[ModuleSpec, str]] = {}


def _specs() -> dict[str, ModuleSpec | None]:
    """Return, by file, the spec by which each module that was imported was found; None if it has none."""
    found: dict[str, ModuleSpec | None] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None:
            found.setdefault(file, module.__spec__)
    return found


def _source_files(path: str) -> tuple[Path, dict[Path, str]]:
    """Return the folder in which the module's dotted name starts, and the digest of each of its source files."""
    name = path.partition(":")[0]
    package = name.split(".")[0]
    if package == _OWN:
        return Path(), {}
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:
        return Path(), {}  # a module that was not imported from a file, such as a notebook
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}")
    if not spec.origin or not spec.origin.endswith(".py"):
        return Path(), {}  # compiled, or built into Python
    is_package = spec.submodule_search_locations is not None  # its source is __init__.py, one folder deeper
    root = Path(spec.origin).parents[name.count(".") + is_package]
    found: dict[Path, str] = {}
    _collect(Path(spec.origin), root, package, found)
    return root, found


def _collect(file: Path, root: Path, package: str, found: dict[Path, str]) -> None:
    """Add the digests of a file and of all files below the root that it imports, directly or through others.

    From an installed package, only imports of the same package are followed, since its folder holds other packages,
    too.
    """
    content = file.read_bytes()
    found[file] = hashlib.sha256(content).hexdigest()
    installed = root in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    for name in _imported(content, file.relative_to(root)):
        top = name.split(".")[0]
        if top == _OWN or (installed and top != package):
            continue
        for own in (root / f"{name.replace('.', '/')}.py", root / name.replace(".", "/") / "__init__.py"):
            if own.is_file() and own not in found:
                _collect(own, root, package, found)


@functools.cache  # a command asks several times, and a large package has hundreds of files
def _imported(content: bytes, file: Path) -> tuple[str, ...]:
    """Return the dotted names, from the root, of all modules that the source may import, and of objects in them."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return ()  # the error is reported when the module is imported
    found: dict[str, None] = {}  # each name once, in their order
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= dict.fromkeys(_with_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(file.parts[: -node.level]) if node.level else ""
            base = ".".join(part for part in (above, node.module or "") if part)
            found |= dict.fromkeys(_with_parents(base))
            found |= dict.fromkeys(f"{base}.{alias.name}" if base else alias.name for alias in node.names)
    return tuple(found)


def _with_parents(name: str) -> Iterator[str]:
    """Yield the names of the packages that a dotted name is part of, and the name itself."""
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1) if name)
