"""Whatever is no regular file, and YAML that multiplies, is refused in words before anything waits for it."""

from __future__ import annotations

import gzip
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.errors import PipelineError
from pipeline.store import disk, test_access
from pipeline.store.artefact import Artefact
from pipeline.store.manifest import MANIFEST, open_artefact

SECONDS = 20  # far more than a refusal takes on a busy machine; without one, it would never end

Make = Callable[[Path], object]


class HungError(BaseException):
    """Not an Exception, so that nothing takes it for a broken file."""


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    def hung(number: int, frame: FrameType | None) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path.name)
    os.chdir(here)


SPECIAL: dict[str, tuple[Make, str]] = {
    "pipe": (os.mkfifo, "is a named pipe"),
    "device": (zeros, "is a device"),
    "socket": (listening, "is a socket"),
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    try:
        status = main(list(map(str, arguments)))
    except SystemExit as error:
        status = int(error.code or 0)
    said = capsys.readouterr().err
    assert status == 2, said
    assert "Traceback" not in said
    return said


# --- where a file of data should be ---------------------------------------------------------------------------


def csv_file(folder: Path, make: Make) -> Path:
    make(folder / "x.csv")
    return folder / "x.csv"


def csv_gz_file(folder: Path, make: Make) -> Path:
    make(folder / "x.csv.gz")
    return folder / "x.csv.gz"


def npz_file(folder: Path, make: Make) -> Path:
    make(folder / "x.npz")
    return folder / "x.npz"


def npy_files(folder: Path, make: Make) -> Path:
    np.save(folder / "labels.npy", np.arange(20) % 2)
    make(folder / "images.npy")
    return folder


def idx_files(folder: Path, make: Make) -> Path:
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x02\0\1")
    make(folder / "train-images-idx3-ubyte")
    return folder


def not_a_folder(folder: Path, make: Make) -> Path:
    make(folder / "pictures")
    return folder / "pictures"


READERS = {
    "csv": ("csv", csv_file),
    "gzipped csv": ("csv", csv_gz_file),
    "npz": ("numpy", npz_file),
    "npy": ("numpy", npy_files),
    "idx": ("idx", idx_files),
    "folder": ("folder", not_a_folder),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_it(name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (reader, put), (make, words) = READERS[name], SPECIAL[kind]
    path = put(tmp_path, make)
    said = refused(
        capsys, "data", f"--data.dataset={reader}", f"--data.args.path={path}", f"--runs={tmp_path / 'runs'}"
    )
    assert words in said
    assert "expected a regular file" in said


@pytest.mark.parametrize("kind", SPECIAL)
def test_the_test_set_of_csv_too(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = SPECIAL[kind]
    (tmp_path / "x.csv").write_text("label,a,b,c,d\n1,2,3,4,5\n")
    make(tmp_path / "test.csv")
    arguments = (f"--data.args.path={tmp_path / 'x.csv'}", f"--data.args.test={tmp_path / 'test.csv'}")
    assert words in refused(capsys, "data", "--data.dataset=csv", *arguments, f"--runs={tmp_path / 'runs'}")


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("place", ["FashionMNIST/raw/train-images-idx3-ubyte", "train_32x32.mat"])
def test_downloaded_files_too(place: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = SPECIAL[kind]
    path = tmp_path / "raw" / place
    path.parent.mkdir(parents=True)
    make(path)
    name = "svhn" if "mat" in place else "fashion_mnist"
    arguments = (f"--data.dataset={name}", f"--data.root={tmp_path / 'raw'}", f"--runs={tmp_path / 'runs'}")
    assert words in refused(capsys, "data", *arguments)


def test_pictures_that_are_none_are_passed_over(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "x" / label).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (8, 8), 40 * number + (label == "cat")).save(tmp_path / "x" / label / f"{number}.png")
    for name, (make, _) in SPECIAL.items():
        make(tmp_path / "x" / "cat" / f"{name}.png")
    arguments = ("--data.dataset=folder", f"--data.args.path={tmp_path / 'x'}", f"--runs={tmp_path / 'runs'}")
    assert main(["data", *arguments]) == 0


@pytest.mark.parametrize("ending", ["", ".csv", ".npy", ".npz", ".png"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_predict_refuses_it(
    kind: str, ending: str, compared_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = SPECIAL[kind]
    make(tmp_path / f"x{ending}")
    [cell] = (compared_runs / "tiny" / "cells").glob("frozen-100-0-*")
    assert words in refused(capsys, "predict", f"--cell={cell}", f"--images={tmp_path / f'x{ending}'}")


@pytest.mark.parametrize("ending", [".csv", ".npy", ".npz", ".png"])
def test_a_folder_where_a_file_should_be(
    ending: str, compared_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"x{ending}"
    path.mkdir()
    [cell] = (compared_runs / "tiny" / "cells").glob("frozen-100-0-*")
    said = refused(capsys, "predict", f"--cell={cell}", f"--images={path}")
    assert f"{path} holds no" in said
    if ending == ".csv":
        said = refused(capsys, "data", "--data.dataset=csv", f"--data.args.path={path}", f"--runs={tmp_path / 'runs'}")
        assert f"{path} is a folder; expected a regular file" in said


# --- settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--config", "--pretrain", "--data"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_settings_are_not_read_from_it(
    kind: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = SPECIAL[kind]
    make(tmp_path / "x.yaml")
    assert words in refused(capsys, "data", option, tmp_path / "x.yaml")
    assert words in refused(capsys, "data", f"{option}={tmp_path / 'x.yaml'}")


def test_a_folder_is_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path} is a folder; expected a regular file" in refused(capsys, "data", "--config", tmp_path)


def bomb(levels: int, each: int) -> str:
    lines = [f"a0: &a0 [{', '.join(['x'] * each)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "study: {arms: {a: {b: *last}}}",
        "data: {args: {path: *last}}",
        "more: *last",
        "name: x",
    ],
)
def test_aliases_that_multiply_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "bomb.yaml"
    config.write_text(f"{bomb(10, 9)}\n{text}\n".replace("*last", "*a9"))
    said = refused(capsys, "data", "--config", config)
    assert "aliases" in said
    assert "expected at most" in said


def test_an_alias_of_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "circle.yaml"
    config.write_text("data: &a {args: {path: *a}}\n")
    assert "alias" in refused(capsys, "data", "--config", config)
    config.write_text("grid: {labels: &a [*a]}\n")
    assert "alias" in refused(capsys, "data", "--config", config)


def test_an_option_that_multiplies_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = "{" + bomb(10, 9).replace("\n", ", ") + "}"
    assert "error: data.args: " in refused(capsys, "data", "--data.args", text)


def test_aliases_that_save_typing_are_taken(tmp_path: Path) -> None:
    config = tmp_path / "fine.yaml"
    config.write_text(
        f"name: fine\nruns: {tmp_path}\ndata: {{dataset: digits}}\n"
        "pretrain:\n  encoder: &net {name: mlp, widths: [8], hidden: []}\n  decoder: *net\n"
    )
    assert main(["data", "--config", str(config)]) == 0


def test_a_gzipped_file_is_a_regular_one(tmp_path: Path) -> None:
    rows = "".join(f"{n % 2},{','.join(str((n * 7 + k * 31) % 256) for k in range(64))}\n" for n in range(60))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "link.csv.gz").symlink_to(tmp_path / "x.csv.gz")
    arguments = ("--data.dataset=csv", f"--data.args.path={tmp_path / 'link.csv.gz'}", f"--runs={tmp_path / 'runs'}")
    assert main(["data", *arguments]) == 0


# --- where a run has left a regular file ----------------------------------------------------------------------


def artefact(experiment: Path) -> Artefact[str]:
    return Artefact(experiment, "thing", {"stage": "test"}, fill, "make it again")


def fill(folder: Path) -> str:
    (folder / "numbers.csv").write_text("a\n1\n")
    return "made"


@pytest.mark.parametrize("name", [MANIFEST, "numbers.csv"])
@pytest.mark.parametrize("make", [make for make, _ in SPECIAL.values()], ids=SPECIAL)
def test_an_artefact_with_a_special_file_is_unfinished_and_made_again(make: Make, name: str, tmp_path: Path) -> None:
    folder = artefact(tmp_path).build()
    (folder / name).unlink()
    make(folder / name)
    assert not artefact(tmp_path).is_finished
    with pytest.raises(PipelineError, match=name):
        open_artefact(folder, "")
    assert artefact(tmp_path).build() == folder
    assert artefact(tmp_path).open()["outcome"] == "made"


@pytest.mark.parametrize(("make", "message"), SPECIAL.values(), ids=SPECIAL)
def test_other_files_of_a_run_that_are_special_are_refused(make: Make, message: str, tmp_path: Path) -> None:
    path = tmp_path / test_access.FILE
    make(path)
    for read in (
        lambda: disk.read_json(path, "remedy"),
        lambda: disk.read_rows(path),
        lambda: test_access.log(tmp_path, "cells/a", "f", "d"),
        lambda: test_access.count(tmp_path, "d"),
    ):
        with pytest.raises(PipelineError, match=message):
            read()


def test_runs_whose_comparison_is_a_pipe_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (tmp_path / "a", tmp_path / "b"):
        run.mkdir()
        os.mkfifo(run / "comparison.json")
    assert main(["compare-runs", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "comparison.json is a named pipe" in capsys.readouterr().err
