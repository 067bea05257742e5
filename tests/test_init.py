"""Command init: a config for whatever images it is shown, which the other commands take as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.cli import main

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """300 images of 8 x 8 pixels, uint8, and their labels."""
    images, labels = load_digits(return_X_y=True)
    return np.rint(images[:300] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), labels[:300]


def save_pictures(digits: tuple[Array, Array], sizes: tuple[int, ...]) -> None:
    """Even and odd digits, of these sizes in turn, and every third without a label."""
    for number, (image, label) in enumerate(zip(*digits, strict=True)):
        place = Path("my pictures") / ("unlabelled" if number % 3 == 0 else ("even", "odd")[label % 2])
        place.mkdir(parents=True, exist_ok=True)
        side = sizes[number % len(sizes)]
        Image.fromarray(image).resize((side, side)).save(place / f"{number}.png")


def save_archive(digits: tuple[Array, Array]) -> None:
    np.savez(
        "arrays.npz", x_train=digits[0][:200], y_train=digits[1][:200], x_test=digits[0][200:], y_test=digits[1][200:]
    )


def save_arrays(digits: tuple[Array, Array]) -> None:
    Path("arrays").mkdir()
    np.save("arrays/images.npy", digits[0])
    np.save("arrays/labels.npy", digits[1])


def save_table(digits: tuple[Array, Array]) -> None:
    np.savetxt("table.csv", np.c_[digits[1], digits[0].reshape(-1, 64)], fmt="%d", delimiter=",")


def init(*words: str) -> tuple[str, dict[str, Any]]:
    """Write a config; its text and what is in it."""
    assert main(["init", *words, "--out=made.yaml"]) == 0
    text = Path("made.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return text, content


@pytest.mark.parametrize(
    ("save", "shown", "dataset", "args"),
    [
        (lambda digits: save_pictures(digits, (9, 40, 50)), "my pictures", "folder", {"size": 32}),
        (lambda digits: save_pictures(digits, (24,)), "my pictures", "folder", {}),
        (
            save_archive,
            "arrays.npz",
            "numpy",
            {"images": "x_train", "labels": "y_train", "test_images": "x_test", "test_labels": "y_test"},
        ),
        (save_arrays, "arrays", "numpy", {}),
        (save_table, "table.csv", "csv", {}),
    ],
    ids=["pictures of many sizes", "pictures of one size", "npz", "npy", "csv"],
)
def test_the_reader_is_found_and_the_config_works(
    save: Any, shown: str, dataset: str, args: dict[str, Any], digits: tuple[Array, Array]
) -> None:
    save(digits)
    text, made = init(shown)
    assert made["data"] == {"dataset": dataset, "args": {"path": shown, **args}}
    assert text.startswith("# ")
    assert "have no label" in text
    assert main(["data", "--config=made.yaml"]) == 0


def test_the_whole_job_runs_on_such_a_config(digits: tuple[Array, Array]) -> None:
    save_pictures(digits, (24,))
    _, made = init("my pictures")
    quick = ("--pretrain.epochs=1", "--train.length=1", "--grid.draws=1", "--grid.modes=[scratch]")
    assert main(["all", "--config=made.yaml", *quick, "--grid.labels=[20]", "--grid.jobs=1"]) == 0
    assert (Path("runs") / made["name"] / "report.html").exists()


def test_a_name_will_do_and_colour_is_of_things(digits: tuple[Array, Array]) -> None:
    text, made = init("digits")
    assert (made["name"], made["data"], made["invariances"]) == ("digits", {"dataset": "digits"}, {"preset": "digits"})
    assert made["grid"]["labels"] == [100, 1000]
    assert "1,437 training and 360 test images, grey, 8 x 8 pixels, in 10 classes; 0 have no label" in text
    Path("made.yaml").unlink()
    np.savez("colour.npz", images=np.stack([digits[0], 255 - digits[0], digits[0] // 2], 1), labels=digits[1])
    assert init("colour.npz")[1]["invariances"] == {"preset": "objects"}


def test_what_is_there_is_never_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("digits.yaml").write_text("mine")
    assert main(["init", "digits"]) == 2
    assert "digits.yaml exists already" in capsys.readouterr().err
    assert Path("digits.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["digits", "mnist"], "expected one path"),
        (["one.npy"], "show the folder that holds the images and the labels"),
        (["notes.doc"], "no reader is known for notes.doc"),
        (["dark.csv"], "set --args.white 16"),
        (["single"], "error: path: single holds one class, cats; expected a folder for each of two or more"),
        (["single"], "if these pictures have no label yet, set --args.unlabelled to cats"),
        (["few.npz"], "too few images have a label"),
    ],
)
def test_what_cannot_be_read_is_said(
    words: list[str], message: str, digits: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("one.npy", digits[0])
    Path("notes.doc").write_text("x")
    Path("single/cats").mkdir(parents=True)
    Image.fromarray(digits[0][0]).save("single/cats/0.png")
    np.savetxt("dark.csv", np.c_[digits[1], digits[0].reshape(-1, 64) // 15.9], fmt="%d", delimiter=",")
    labels = np.where(np.arange(300) < 20, digits[1], -1)
    np.savez(
        "few.npz", images=digits[0][:250], labels=labels[:250], test_images=digits[0][250:], test_labels=digits[1][250:]
    )
    assert main(["init", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().glob("*.yaml"))


def test_a_setting_is_refused_with_what_init_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--data.dataset", "mnist"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "--data.dataset; init takes only PATH (images in a folder or a file, or the name of a data set)" in said
    assert "--name, --out, --args; the settings of an experiment stand in its config" in said


def test_what_a_reader_cannot_know_is_told_to_it(digits: tuple[Array, Array]) -> None:
    np.savetxt("dark.csv", np.c_[digits[1], digits[0].reshape(-1, 64) // 15.9], fmt="%d", delimiter=",")
    assert init("dark.csv", "--args.white=16")[1]["data"]["args"] == {"path": "dark.csv", "white": 16}


def test_pictures_without_any_label_get_a_config_that_works(
    digits: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos").mkdir()
    for number, image in enumerate(digits[0][:30]):
        Image.fromarray(image).resize((24, 24)).save(Path("photos") / f"{number}.png")
    text, made = init("photos")
    printed = capsys.readouterr().out
    assert "suggest --config made.yaml" in printed.split("next: ")[1]
    assert "of the test images" not in printed  # there are none
    assert "suggest --config made.yaml" in text
    assert "labels" not in made["grid"]
    assert main(["suggest", "--config=made.yaml", "--labels=4", "--pretrain.epochs=1"]) == 0
