"""The record of the files and the code that data come from, by which a change is noticed in milliseconds.

Data are identified by the SHA-256 of all images, labels and class names, for which they have to be loaded. This record
says which SHA-256 the settings led to, and which files were read. As long as these are unchanged, the data are known
without being loaded.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.plugins import source_of
from pipeline.store.file_states import FileStates, describe_changes, file_states, files_below
from pipeline.store.fingerprints import fingerprint
from pipeline.store.records import Record


class Source(TypedDict):
    """The files and the code that data were read from.

    Attributes:
        data_sha256: The SHA-256 of all images, labels and class names; "" if it has to be computed again.
        states: The sizes and times of all files that the settings name, and of those that were opened besides.
        opened: The files and folders that were opened though the settings do not name them.
        code: The SHA-256 of each source file of the user's own function that loads the data.
        root: The folder for raw files, if the loading function takes it; else "".
    """

    data_sha256: str
    states: FileStates
    opened: list[str]
    code: dict[str, str]
    root: str


def read(config: Experiment) -> Source:
    """Read the record that stage ``data`` wrote.

    Raises:
        PipelineError: If stage data has not run with these settings.
    """
    record = _record(config, config.folder)
    stamp = record.path.stat().st_mtime_ns if record.path.exists() else 0
    return _read(record, stamp)


@functools.lru_cache(maxsize=8)  # each cell of a grid asks for it, and it takes long if there are many files
def _read(record: Record[Source], stamp: int) -> Source:
    return _complete(record)


def _complete(record: Record[Source]) -> Source:
    """Read a record that has all that belongs to one, which one that an earlier version wrote may lack."""
    source = record.read()
    if not Source.__required_keys__ <= source.keys():
        raise PipelineError(f"{record.path} was written by another version of the project; {record.remedy}")
    return source


def find(config: Experiment) -> Source | None:
    """Return the record of this experiment, or of one beside it, whose files are unchanged; None if there is none."""
    own = last(config)
    for source in [own] if own is not None else _beside(config):
        if source["data_sha256"] and not changes(config, source):
            return source
    return None


def last(config: Experiment) -> Source | None:
    """Return the experiment's record, whether files have changed since or not; None if there is none."""
    with contextlib.suppress(PipelineError):
        return read(config)
    return None


def _beside(config: Experiment) -> Iterator[Source]:
    for folder in sorted(config.folder.parent.glob("*/")):
        with contextlib.suppress(PipelineError):
            yield _complete(_record(config, folder))


def forget(config: Experiment) -> None:
    """Make stage ``data`` load the data again, even if no file seems changed."""
    write(config, {**read(config), "data_sha256": ""})


def write(config: Experiment, source: Source) -> None:
    """Write the experiment's record."""
    _record(config, config.folder).write(_key(config), source, {})


def observe(config: Experiment, sha256: str, opened: Iterable[str]) -> Source:
    """Make the record of data that were loaded just now.

    The set ``opened`` holds the files that were read and the folders that were listed meanwhile.
    """
    states = file_states(_named_files(config))
    known = [path.absolute() for path in (*named(config), *_own_folders(config))]
    others = [path for path in sorted(opened) if not any(Path(path).is_relative_to(folder) for folder in known)]
    takes_root = "root" in loading.find_loader(config.data).arguments
    return {
        "data_sha256": sha256,
        "states": states | file_states(map(Path, others)),
        "opened": others,
        "code": _code(config),
        "root": _root(config) if takes_root else "",
    }


def _root(config: Experiment) -> str:
    return str(Path(config.data.root).absolute())


def changes(config: Experiment, source: Source) -> str:
    """Say in words which files and code of a record have changed; "" if none has."""
    now = file_states([*_named_files(config), *map(Path, source["opened"])])
    found = [describe_changes(source["states"], now), describe_changes(source["code"], _code(config))]
    if source["root"] not in ("", _root(config)):
        found.append(f"data.root was {source['root']}")
    return "; ".join(text for text in found if text)


def is_missing(config: Experiment) -> bool:
    """Whether stage ``data`` has never run with these settings."""
    return not _record(config, config.folder).path.exists()


def check_unchanged(config: Experiment) -> None:
    """Refuse to go on if the files that the data come from have changed since stage ``data`` ran.

    Raises:
        PipelineError: If files or code have changed, or stage data has not run with these settings.
    """
    if text := changes(config, read(config)):
        raise PipelineError(
            f"{config.data.dataset}: what the data are read from has changed since stage data ran ({text}); run "
            f"`{command('data')}` with the same settings, which checks whether the data themselves have changed"
        )


def _record(config: Experiment, folder: Path) -> Record[Source]:
    path = folder / f"source-{_key(config)[:8]}.json"
    return Record(path, f"run `{command('data')}` with the same settings first")


def _key(config: Experiment) -> str:
    """Return the fingerprint of the settings that decide which data are meant; root and streaming do not."""
    meant = {name: value for name, value in as_dict(config.data).items() if name not in ("root", "streaming")}
    return fingerprint({"stage": "data", "data": meant})


def _code(config: Experiment) -> dict[str, str]:
    return source_of("data.dataset", config.data.dataset, loading.BUILT_IN, loading.ENTRY_POINTS)


def _named_files(config: Experiment) -> Iterator[Path]:
    """Yield every file that a setting of the data names, and every file below a folder that one names."""
    for path in named(config):
        yield from files_below(path, _own_folders(config))


def named(config: Experiment) -> Iterator[Path]:
    """Yield the files and folders that settings of the data name.

    The working directory and those above it are left out: "." mostly stands for a folder below another setting's, and
    what is read from the working directory itself is noticed when it is opened.
    """
    settings = as_dict(config.data)
    for text in _texts([settings["args"], settings["labels"]]):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # the text is no path
            path = Path(text).expanduser()
            if path.exists() and not Path.cwd().is_relative_to(path.resolve()):
                yield path


def _own_folders(config: Experiment) -> tuple[Path, Path]:
    """Return the folders that the pipeline writes to: results, and images that were converted to be streamed."""
    return Path(config.runs), Path(config.data.root, "streamed")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
