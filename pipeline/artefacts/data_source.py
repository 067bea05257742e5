"""Where data come from: files and code, with marks by which a change of them is noticed in milliseconds.

What data *are* is told by the SHA-256 of all images, labels and class names, for which they have to be loaded. This
record says which SHA-256 the settings led to, and what was read on the way; as long as that is unchanged, nothing has
to be loaded to know which data are meant.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from pipeline.artefacts import own_code
from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store.file_marks import Marks, describe_changes, files_below, marks
from pipeline.store.fingerprints import fingerprint
from pipeline.store.records import Record


class Source(TypedDict):
    """What some data were read from.

    Attributes:
        data_sha256: The digest of all images, labels and class names; "" if it has to be found out again.
        marks: Marks of all files that the settings name, or that were read or listed on the way.
        opened: Which of them the settings do not name.
        code: The SHA-256 of each source file of a data set's own function.
        root: The folder for raw files, where the data set's function is given it; else "".
    """

    data_sha256: str
    marks: Marks
    opened: list[str]
    code: dict[str, str]
    root: str


def read(config: Experiment) -> Source:
    """Read what the experiment's data were read from when stage data ran.

    Raises:
        PipelineError: If stage data has not run with these settings.
    """
    record = _record(config, config.folder)
    stamp = record.path.stat().st_mtime_ns if record.path.exists() else 0
    return _read(record, stamp)


@functools.lru_cache(maxsize=8)  # asked for by each cell of a grid, and long where there are many files
def _read(record: Record[Source], stamp: int) -> Source:
    return record.read()


def find(config: Experiment) -> Source | None:
    """Find a source that is unchanged: this experiment's, or if it has none, that of one beside it; else None."""
    own = last(config)
    for source in [own] if own is not None else _beside(config):
        if source["data_sha256"] and not changes(config, source):
            return source
    return None


def last(config: Experiment) -> Source | None:
    """What the experiment's data were read from the last time, changed or not; None if they never were."""
    with contextlib.suppress(PipelineError):
        return read(config)
    return None


def _beside(config: Experiment) -> Iterator[Source]:
    for folder in sorted(config.folder.parent.glob("*/")):
        with contextlib.suppress(PipelineError):
            yield _record(config, folder).read()


def forget(config: Experiment) -> None:
    """Have stage data load the data anew, whatever the marks say."""
    write(config, {**read(config), "data_sha256": ""})


def write(config: Experiment, source: Source) -> None:
    """Keep what the experiment's data were read from."""
    _record(config, config.folder).write(_key(config), source, {})


def observe(config: Experiment, sha256: str, opened: Iterable[str]) -> Source:
    """What data were read from just now.

    Args:
        config: The settings.
        sha256: The digest of the data.
        opened: Files that were read and folders that were listed on the way.
    """
    named = marks(_named_files(config))
    known = [path.absolute() for path in (*_named(config), *_own_folders(config))]
    others = [path for path in sorted(opened) if not any(Path(path).is_relative_to(folder) for folder in known)]
    takes_root = "root" in loading.find_loader(config.data).arguments
    return {
        "data_sha256": sha256,
        "marks": named | marks(map(Path, others)),
        "opened": others,
        "code": _code(config),
        "root": _root(config) if takes_root else "",
    }


def _root(config: Experiment) -> str:
    return str(Path(config.data.root).absolute())


def changes(config: Experiment, source: Source) -> str:
    """What of the files and the code has changed, in words; "" if nothing."""
    now = marks([*_named_files(config), *map(Path, source["opened"])])
    found = [describe_changes(source["marks"], now), describe_changes(source["code"], _code(config))]
    if source["root"] not in ("", _root(config)):
        found.append(f"data.root was {source['root']}")
    return "; ".join(text for text in found if text)


def check_unchanged(config: Experiment) -> None:
    """Refuse data that are not those that stage data saw.

    Raises:
        PipelineError: If they changed, or stage data has not run with these settings.
    """
    if text := changes(config, read(config)):
        raise PipelineError(
            f"{config.data.dataset}: what the data are read from has changed since stage data ran ({text}); run "
            f"`{command('data')}` with the same settings, which looks whether the data are other ones"
        )


def _record(config: Experiment, folder: Path) -> Record[Source]:
    path = folder / f"source-{_key(config)[:8]}.json"
    return Record(path, f"run `{command('data')}` with the same settings first")


def _key(config: Experiment) -> str:
    """What data are meant: neither where raw files lie nor how images are read from them changes that."""
    meant = {name: value for name, value in as_dict(config.data).items() if name not in ("root", "streaming")}
    return fingerprint({"stage": "data", "data": meant})


def _code(config: Experiment) -> dict[str, str]:
    return own_code.of_data(config.data).get("data.dataset", {})


def _named_files(config: Experiment) -> Iterator[Path]:
    """Every file that an argument of the data set names, or that lies in a folder that one names."""
    for path in _named(config):
        yield from files_below(path, _own_folders(config))


def _named(config: Experiment) -> Iterator[Path]:
    """The files and folders that arguments of the data set name."""
    settings = as_dict(config.data)
    for text in _texts([settings["args"], settings["labels"]]):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # no path, such as a long text
            path = Path(text).expanduser()
            if path.exists():
                yield path


def _own_folders(config: Experiment) -> tuple[Path, Path]:
    """Folders that the pipeline writes into: results, and images that were converted to be streamed."""
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
