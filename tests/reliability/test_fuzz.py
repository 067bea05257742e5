"""Whatever is parsed: a clean error, or a correct result. Never a traceback, never a wait, never half a file."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import cli, commands, parsers
from pipeline.datasets.new_images import Reading, open_images
from pipeline.datasets.readers import csv_file, csv_pixels, idx, numpy_files
from pipeline.datasets.text_table import find_table
from pipeline.errors import PipelineError
from pipeline.store import disk, test_access
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import fingerprint
from pipeline.store.manifest import MANIFEST, is_whole, open_artefact
from pipeline.store.records import Record
from tests.reliability.conftest import Count
from tests.test_data import idx as idx_bytes

QUICK, THOROUGH = 50, 10_000
SECONDS = 20  # a case; a hang lasts longer

Parser = Callable[[Path, bytes], None]

PIXELS = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)


def npz_bytes() -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, images=PIXELS, labels=np.array(["cat", "dog", "", "cat"]))
    return content.getvalue()


# --- what is parsed, and what has to hold if it is read -------------------------------------------------------


def parse_idx(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    array = idx.read(path)
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    assert plain.endswith(array.astype(array.dtype.newbyteorder(">")).tobytes())
    assert plain[3] == array.ndim
    assert np.frombuffer(plain, ">u4", array.ndim, 4).tolist() == list(array.shape)


def parse_csv(path: Path, content: bytes) -> None:
    path = path.with_suffix(".csv")
    path.write_bytes(content)
    rows = csv_pixels.read_pixel_rows(find_table(path), None, None)
    assert rows.labels is not None
    assert len(rows.images) == len(rows.labels) == len(rows.names) > 0
    assert rows.images.dtype == np.float32
    assert rows.labels.dtype.kind in "iU"
    csv_file.load(str(path), shape=(1, 2))


def parse_npz(path: Path, content: bytes) -> None:
    path = path.with_suffix(".npz")
    path.write_bytes(content)
    for name in numpy_files.array_names(path):
        found = numpy_files.read_array(path, name)
        if content.startswith(b"PK"):  # zipfile reads archives that begin with something else, NumPy does not
            with np.load(path, allow_pickle=False) as archive:
                np.testing.assert_array_equal(found, archive[name])
    numpy_files.load(str(path))


def parse_images(path: Path, content: bytes) -> None:
    """Likewise, by the stage that classifies."""
    for ending in (".npy", ".npz", ".idx"):
        own = path.with_suffix(ending)
        own.write_bytes(content)
        try:
            images = open_images(own, Reading((1, 3, 5)))
        except PipelineError:
            continue
        assert images.read(0, len(images.names)).shape[1:] == (1, 3, 5)


def parse_manifest(path: Path, content: bytes) -> None:
    folder = path.parent / "artefact"
    if not folder.exists():
        Artefact(path.parent, "made", MADE_FROM, _fill, "").build().rename(folder)
    (folder / MANIFEST).write_bytes(content)
    finished = is_whole(folder, fingerprint(MADE_FROM))
    manifest = open_artefact(folder, "make it again")
    assert finished
    assert manifest["outcome"] == OUTCOME
    assert manifest["inputs"] == MADE_FROM


def parse_record(path: Path, content: bytes) -> None:
    """results.csv, changed beside the record that vouches for it."""
    record: Record[dict[str, object]] = Record(path.parent / "comparison.json", "make it again")
    if not record.path.exists():
        record.write("fingerprint", {}, {"results.csv": RESULTS})
    (path.parent / "results.csv").write_bytes(content)
    assert (record.find("fingerprint") is None) == (content != RESULTS)
    record.read()
    assert content == RESULTS


def parse_rows(path: Path, content: bytes) -> None:
    """results.csv and history.csv, if someone had made the record agree."""
    path.write_bytes(content)
    rows = disk.read_rows(path)
    assert all(list(row) == list(rows[0]) for row in rows)
    assert all(isinstance(value, str) for row in rows for value in row.values())
    if content != RESULTS:  # holds words
        assert all(isinstance(value, float) for column in disk.read_columns(path).values() for value in column)


def parse_looks(path: Path, content: bytes) -> None:
    folder = path.parent / "looks"
    folder.mkdir(exist_ok=True)
    (folder / test_access.FILE).write_bytes(content)
    assert test_access.count(folder, "d").total >= 0


def parse_config(path: Path, content: bytes) -> None:
    path = path.with_suffix(".yaml")
    path.write_bytes(content)
    status = _main(path)
    assert status in (0, 2)


MADE_FROM = {"stage": "demo", "rate": 0.1, "sizes": [1, 2]}
OUTCOME = {"error": 0.25, "n": 8, "name": "käse"}
RESULTS = b"mode,labels,e_out\nfrozen,100,0.25\nscratch,100,0.5\n"
CONFIG = b"""name: mine
data: {dataset: digits, args: {path: x}}
pretrain:
  latent: 8
  encoder: {name: mlp, widths: [4, 5]}
  corruption: 0
train: {modes: {frozen: {head_lr: 0.1}}}
grid: {labels: [50, 100], draws: 2}
"""
LOOK = json.dumps({"what": "cells/frozen-50-0", "fingerprint": "m", "data": "d", "time": "now"}).encode() + b"\n"


def _fill(folder: Path) -> dict[str, object]:
    (folder / "weights").write_bytes(b"1234")
    return dict(OUTCOME)


@functools.cache
def _manifest() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        return (Artefact(Path(place), "made", MADE_FROM, _fill, "").build() / MANIFEST).read_bytes()


_parser = functools.cache(parsers.stage_parser)  # takes most of the time of a case


def _main(path: Path) -> int:
    """The command line up to the stage, which is left out."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli, "stage_parser", _parser)
        patched.setitem(commands.COMMANDS, "compare", commands.Stage(lambda config: config.folder, ""))
        try:
            return cli.main(["compare", f"--config={path}"])
        except SystemExit as error:
            return int(error.code or 0)


PARSERS: dict[str, tuple[Parser, Sequence[bytes]]] = {
    "idx": (parse_idx, (idx_bytes(PIXELS), gzip.compress(idx_bytes(PIXELS)))),
    "csv": (parse_csv, (b"label,a,b\n1,2,203\n,4,5\n", b'cat,0.5,1\n"dog",0,0.25\n', b"1,2,203\n")),
    "npz": (parse_npz, (npz_bytes(),)),
    "images": (parse_images, (npz_bytes(), idx_bytes(PIXELS))),
    "manifest": (parse_manifest, (_manifest(),)),
    "record": (parse_record, (RESULTS,)),
    "rows": (parse_rows, (RESULTS, b"epoch,loss\n1,0.5\n2,0.25\n")),
    "looks": (parse_looks, (LOOK * 3,)),
    "config": (parse_config, (CONFIG,)),
}

# --- the cases ------------------------------------------------------------------------------------------------

TOKENS = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b",",
    b'"',
    b"{",
    b"[",
    b"-",
    b"1e999",
    b"nan",
    b"9" * 400,
    b"../",
    b"null",
    b": ",
)
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(TOKENS) | st.binary(max_size=6))


def edited(content: bytes, edits: Sequence[tuple[float, int, bytes]]) -> bytes:
    """Replace so many bytes from a place on by others."""
    for where, length, new in edits:
        place = int(where * len(content))
        content = content[:place] + new + content[place + length :]
    return content


def cases(whole: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly files that are nearly whole, some that are anything."""
    near = st.builds(edited, st.sampled_from(list(whole)), st.lists(EDIT, min_size=0, max_size=4))
    flipped = st.builds(flip, st.sampled_from(list(whole)), st.integers(0, 2**16))
    return near | flipped | st.binary(max_size=200)


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


def fuzz(name: str, folder: Path, examples: int) -> int:
    parse, whole = PARSERS[name]
    seen = 0

    @settings(
        max_examples=examples,
        deadline=SECONDS * 1000,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(whole))
    def check(content: bytes) -> None:
        nonlocal seen
        seen += 1
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(folder)
            with contextlib.suppress(PipelineError):
                parse(folder / "case", content)

    check()
    assert not any(path.name.startswith(".") and not path.name.endswith(".lock") for path in folder.iterdir())
    return seen


@pytest.mark.parametrize("name", PARSERS)
def test_a_few_cases(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_cases(name: str, tmp_path: Path, count: Count) -> None:
    seen = fuzz(name, tmp_path, THOROUGH)
    assert seen >= THOROUGH or os.environ.get("HYPOTHESIS_PROFILE")
    count(f"cases of {name} fuzzed", seen)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_whole_is_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the tests above would be content with a parser that refuses everything."""
    parse, whole = PARSERS[name]
    for content in whole:
        parse(tmp_path / "case", content)
    if name == "config":
        assert "compare: runs/mine" in capsys.readouterr().out


def test_each_flipped_bit_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    folder = Artefact(tmp_path, "made", MADE_FROM, _fill, "").build()
    path = folder / MANIFEST
    content = path.read_bytes()
    said = json.loads(content)
    for bit in range(0, 8 * len(content), 3):
        path.write_bytes(flip(content, bit))
        try:
            manifest = open_artefact(folder, "")
        except PipelineError:
            assert not is_whole(folder, fingerprint(MADE_FROM))
        else:  # such as one blank for another: nothing that is said has changed
            assert manifest | {"sha256": said["sha256"]} == said
