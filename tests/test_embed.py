"""Stage embed through the command line: latents of any images, and the images that look like one of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pipeline.config import DataConfig
from pipeline.datasets.loading import load
from pipeline.store import test_access
from tests.conftest import Run

pytestmark = pytest.mark.compared


def read(folder: Path) -> tuple[npt.NDArray[np.float32], list[dict[str, str]]]:
    with (folder / "latents.csv").open() as file:
        return np.load(folder / "latents.npy"), list(csv.DictReader(file))


def test_latents_of_the_training_images_are_those_of_pretraining_with_their_names(runs: Path, tiny: Run) -> None:
    assert tiny("embed") == 0
    latents, rows = read(runs / "tiny" / "embeddings" / "train-pretrained")
    [pretrained] = (runs / "tiny").glob("pretrain-*/embeddings.safetensors")
    np.testing.assert_array_equal(latents, load_file(pretrained)["train"])
    assert tuple(row.pop("name") for row in rows) == load(DataConfig("digits")).train.names
    np.testing.assert_array_equal(np.array([list(row.values()) for row in rows], dtype=np.float32), latents)
    assert list(rows[0]) == [f"z{number}" for number in range(16)]


def test_a_picture_of_the_training_set_finds_itself(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = load(DataConfig("digits")).train
    Image.fromarray(train.images[41, 0].numpy()).save(tmp_path / "<photo>.png")
    assert tiny("embed", f"--like={tmp_path / '<photo>.png'}", f"--out={tmp_path / 'here'}") == 0
    assert f"<photo>.png: {train.names[41]}\n" in capsys.readouterr().out
    page = (tmp_path / "here" / "like.html").read_text()
    assert page.count("<li>") == 24
    assert "&lt;photo&gt;.png" in page
    assert "<photo>" not in page
    assert "http" not in page.replace("http-equiv", "")  # it needs no network


def test_new_images_are_embedded_as_the_cell_sees_them(runs: Path, tiny: Run, tmp_path: Path) -> None:
    test = load(DataConfig("digits")).test.images.numpy()
    (tmp_path / "mine").mkdir()
    for number in range(3):
        Image.fromarray(test[number, 0]).save(tmp_path / "mine" / f"{number}.png")
    chosen = ("--mode=finetune", "--labels=100", "--seed=0")
    assert tiny("embed", f"--images={tmp_path / 'mine'}", f"--out={tmp_path / 'a'}", *chosen) == 0
    assert tiny("embed", "--images=test", f"--out={tmp_path / 'b'}", *chosen) == 0
    assert tiny("embed", "--images=test", f"--out={tmp_path / 'c'}") == 0
    (mine, rows), (finetuned, _), (pretrained, _) = (read(tmp_path / name) for name in "abc")
    assert [row["file"] for row in rows] == ["0.png", "1.png", "2.png"]
    np.testing.assert_array_equal(mine, finetuned[:3])
    assert np.abs(finetuned - pretrained).max() > 0.1


def test_opening_the_test_images_is_written_down(runs: Path, tiny: Run) -> None:
    lines = (runs / "tiny" / test_access.FILE).read_text().splitlines()
    assert tiny("embed") == 0
    assert (runs / "tiny" / test_access.FILE).read_text().splitlines() == lines
    assert tiny("embed", "--images=test") == 0
    *before, last = (runs / "tiny" / test_access.FILE).read_text().splitlines()
    assert before == lines
    assert json.loads(last)["what"] == "embed/pretrained"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images=nowhere",), "nowhere does not exist"),
        (("--like=pictures",), "like: pictures holds 2 images; name a single picture"),
        (("--like=nowhere.png",), "like: nowhere.png does not exist"),
        (("--like=large.png",), "like: large.png is 9 x 9 pixels of 1 channel, the classifier takes 8 x 8"),
        (("--like=text.png",), "like: text.png cannot be read as a picture: its content is none of PNG"),
        (("--like=cut.png",), "like: cut.png cannot be read as a picture"),
        (("--images=wrong.npy",), "the classifier takes 8 x 8 pixels"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_words(
    arguments: tuple[str, ...],
    message: str,
    tiny: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        Image.fromarray(np.full((8, 8), number, dtype=np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(tmp_path / "large.png")
    (tmp_path / "text.png").write_text("no picture")
    whole = (tmp_path / "pictures" / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "wrong.npy", np.zeros((2, 9, 9), dtype=np.uint8))
    assert tiny("embed", *arguments) == 2
    assert message in capsys.readouterr().err


def test_files_that_hold_something_else_are_not_written_over(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = tmp_path / "latents.npy"
    np.save(array, load(DataConfig("digits")).test.images[:3].numpy())
    before = array.read_bytes()
    assert tiny("embed", f"--images={array}", f"--out={tmp_path}") == 2
    assert f"out: {array} is read by this command; name another place" in capsys.readouterr().err
    assert tiny("embed", f"--out={tmp_path}") == 2
    assert f"out: {array} exists and is not a file of latents" in capsys.readouterr().err
    assert array.read_bytes() == before
    for _ in range(2):
        assert tiny("embed", f"--images={array}", f"--out={tmp_path / 'mine'}") == 0
