"""Stage suggest: which images to label, before the first label and after some."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline import labelling
from tests.conftest import Run

IMAGES, CLASSES = load_digits(return_X_y=True)
IMAGES = IMAGES.reshape(-1, 8, 8).astype(np.uint8)


def nameless(folder: Path) -> tuple[str, ...]:
    """Settings of a data set of 300 digits without a single label."""
    np.savez(folder / "nameless.npz", images=IMAGES[:300])
    return ("--data.dataset=numpy", f"--data.args.path={folder / 'nameless.npz'}", "--data.args.white=16")


def table(runs: Path, pattern: str = "suggest-*") -> list[dict[str, str]]:
    [path] = runs.glob(f"tiny/{pattern}/suggested.csv")
    return list(csv.DictReader(path.read_text().splitlines()))


def test_images_without_a_single_label_are_suggested_labelled_and_suggested_again(
    tiny: Run, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = nameless(tmp_path)
    assert tiny("suggest", *data, "--labels=20") == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "20 of 300 images without a label, chosen by typiclust" in out
    assert out.splitlines()[-1].endswith("label.html")
    first = table(runs)
    assert [row["rank"] for row in first] == [str(rank) for rank in range(1, 21)]
    assert "of a cluster of" in first[0]["reason"]
    assert len({row["cluster"] for row in first}) == 20

    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{row['id']},{CLASSES[int(row['id'])]}\n" for row in first))
    assert tiny("suggest", *data, f"--data.labels={labels}", "--labels=10", "--round=1") == 0
    assert "--round 2 asks what these labels leave open" in capsys.readouterr().out
    later = (*data, f"--data.labels={labels}", "--labels=10")
    assert tiny("suggest", *later) == 0, capsys.readouterr().err
    assert "chosen by typiclust in round 2, beside 20 labels" in capsys.readouterr().out
    second = table(runs, "suggest-10-round-2-*")
    assert not {row["id"] for row in first} & {row["id"] for row in second}
    [page] = runs.glob("tiny/suggest-10-round-2-*/label.html")
    assert "proposal" in page.read_text()
    assert tiny("suggest", *later, "--strategy=margin") == 0, capsys.readouterr().err
    assert len(list(runs.glob("tiny/suggest-10-round-2-*"))) == 2
    assert len(list(runs.glob("tiny/pretrain-*"))) == 2  # that of all digits, and one for all rounds


def test_the_same_request_is_answered_once(tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert tiny("suggest", "--labels=12") == 0
    assert "every image has a label already; they are chosen from as if none had" in capsys.readouterr().out
    assert len(table(runs)) == 12
    assert tiny("suggest", "--labels=12", "--seed=1") == 0
    assert len(list(runs.glob("tiny/suggest-12-round-1-*"))) == 2


def test_an_encoder_that_is_not_there_is_pretrained(tiny: Run, runs: Path) -> None:
    assert tiny("suggest", "--labels=5", "--pretrain.epochs=1") == 0
    assert len(list(runs.glob("tiny/pretrain-*"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels=1",), "labels: 1 is not allowed; expected 2 to 1000 images"),
        (("--labels=1001",), "labels: 1001 is not allowed; expected 2 to 1000 images; take further ones in another"),
        (("--round=0",), "round: 0 is not allowed; expected a number from 1"),
        (("--seed=-1",), "seed: -1 is not allowed"),
        (("--strategy=best",), "strategy: 'best' is unknown; expected one of typiclust"),
        (("--strategy=margin",), "strategy: margin needs a classifier"),
        (("--round=2",), "labels: every image has a label or was left open as one that cannot be told"),
    ],
)
def test_what_cannot_be_suggested_is_refused(
    options: tuple[str, ...], message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("suggest", *options) != 0
    assert message in capsys.readouterr().err


def test_without_labels_more_than_there_are_and_a_second_round_are_refused(
    tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = nameless(tmp_path)
    assert tiny("suggest", *data, "--labels=301") != 0
    assert "labels: 301 is not allowed; expected at most 300, the number of images without a label" in (
        capsys.readouterr().err
    )
    assert tiny("suggest", *data, "--round=2") != 0
    assert "round: 2 goes on from labels, and no image has one" in capsys.readouterr().err


def test_an_image_that_nobody_can_tell_is_not_asked_about_again(tiny: Run, runs: Path, tmp_path: Path) -> None:
    data = nameless(tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{n},{CLASSES[n] if n % 2 else ''}\n" for n in range(290)))
    assert tiny("suggest", *data, f"--data.labels={labels}", "--round=2", "--labels=11") == 2
    assert tiny("suggest", *data, f"--data.labels={labels}", "--round=2", "--labels=10") == 0
    assert {int(row["id"]) for row in table(runs)} == set(range(290, 300))
    [page] = runs.glob("tiny/suggest-*/label.html")
    kept = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])["kept"]
    assert dict(kept) == {str(n): str(CLASSES[n]) if n % 2 else "" for n in range(290)}


def test_a_page_is_written_again_when_its_template_changes(
    tiny: Run, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny("suggest", "--labels=5") == 0
    [page] = runs.glob("tiny/suggest-5-*/label.html")
    before = page.stat().st_mtime_ns
    assert tiny("suggest", "--labels=5") == 0
    assert page.stat().st_mtime_ns == before
    own = tmp_path / "labelling"
    shutil.copytree(labelling.FOLDER, own)
    template = own / "templates" / "label.html.jinja"
    template.write_text(template.read_text().replace("<title>", "<title>New: "))
    monkeypatch.setattr(labelling, "FOLDER", own)
    monkeypatch.setattr("pipeline.labelling.page.TEMPLATES", own / "templates")
    assert tiny("suggest", "--labels=5") == 0
    pages = runs.glob("tiny/suggest-5-*/label.html")
    assert sorted("<title>New: " in written.read_text() for written in pages) == [False, True]


@pytest.mark.parametrize("content", ["", "file,label\n"])
def test_a_labels_file_without_a_line_about_an_image_is_named(
    content: str, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(content)
    assert tiny("suggest", f"--data.labels={labels}", "--labels=5") == 2
    said = capsys.readouterr().err
    assert str(labels) in said
    assert "expected a line for each image" in said
    assert "pixels" not in said
