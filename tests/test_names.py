"""Which files does it get wrong? Outputs name the files or rows that images come from."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.cli import main

SMALL = (
    "--name=named",
    "--pretrain.epochs=1",
    "--pretrain.holdout=10",
    "--pretrain.encoder.name=mlp",
    "--pretrain.encoder.widths=[16]",
    "--pretrain.latent=8",
    "--train.length=3",
    "--train.unlabelled_steps=20",
    "--train.evaluations=4",
    "--grid.modes=[frozen]",
    "--grid.labels=[20]",
    "--grid.draws=1",
    "--grid.jobs=1",
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on pictures whose classes are in their names; its folder."""
    home = tmp_path_factory.mktemp("names")
    images, digits = load_digits(return_X_y=True)
    for number in range(200):
        kind = "odd" if digits[number] % 2 else "even"
        (home / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        picture = (images[number].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(picture).save(home / "pictures" / kind / f"{kind}, {number}.png")
    own = ("--data.dataset=folder", f"--data.args.path={home / 'pictures'}", f"--runs={home / 'runs'}")
    assert [main([stage, *SMALL, *own]) for stage in ("data", "pretrain", "compare", "report")] == [0, 0, 0, 0]
    return home / "runs" / "named"


@pytest.mark.parametrize("kind", ["cells/frozen-20-0", "baselines/knn-20-0"])
def test_mistakes_name_the_files_that_were_taken_for_another_class(kind: str, experiment: Path) -> None:
    [folder] = (path for path in experiment.glob(f"{kind}-*") if path.is_dir())
    with (folder / "mistakes.csv").open(newline="") as file:
        mistakes = list(csv.DictReader(file))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(mistakes) == metrics["e_out"]["errors"] > 0
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        names, predicted = stored["test_name"], stored["test_pred"]
    columns = ["index", "name", "class", "predicted"]
    if kind.startswith("cells"):
        columns += ["probability", "nearest_labelled", "nearest_class"]
        split = json.loads((folder / "split.json").read_text())
        assert all(0.5 <= float(row["probability"]) <= 1 for row in mistakes)
        assert {row["nearest_labelled"] for row in mistakes} <= set(split["train"]["name"])
        assert all(Path(row["nearest_labelled"]).parts[0] == row["nearest_class"] for row in mistakes)
    assert list(mistakes[0]) == columns
    for row in mistakes:
        assert Path(row["name"]).parts[0] == row["class"]
        assert row["predicted"] != row["class"]
        assert names[int(row["index"])] == row["name"]
        assert ["even", "odd"][predicted[int(row["index"])]] == row["predicted"]
        assert (experiment.parent.parent / "pictures" / row["name"]).is_file()


def test_the_split_names_the_files_whose_labels_were_seen(experiment: Path) -> None:
    [folder] = (path for path in experiment.glob("cells/frozen-20-0-*") if path.is_dir())
    split = json.loads((folder / "split.json").read_text())
    seen = split["train"]["name"] + split["val"]["name"]
    assert len(seen) == len(set(seen)) == 20
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert not set(seen) & set(stored["test_name"].tolist())


def test_the_report_names_the_files_of_its_surest_mistakes(experiment: Path) -> None:
    [folder] = (path for path in experiment.glob("cells/frozen-20-0-*") if path.is_dir())
    with (folder / "mistakes.csv").open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    page = (experiment / "report.html").read_text()
    assert any(f"({name}):" in page for name in names)


def test_without_a_mistake_the_file_has_its_head_alone(tmp_path: Path) -> None:
    from pipeline.store import disk

    disk.write_csv(tmp_path / "mistakes.csv", [], ("index", "name", "class", "predicted"))
    assert (tmp_path / "mistakes.csv").read_text() == "index,name,class,predicted\n"
