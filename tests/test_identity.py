"""Results are recognised by the content that they were made from: a change of it is noticed, said, and followed."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.artefacts import data_source
from pipeline.cli import main
from pipeline.config import DataConfig, Experiment
from pipeline.datasets import loading
from pipeline.source_code import digests
from pipeline.store.file_states import files_below, opened_files
from pipeline.store.sealed import seal

SMALL = (
    "--pretrain.epochs=1",
    "--pretrain.encoder.name=mlp",
    "--pretrain.encoder.widths=[16]",
    "--pretrain.decoder.widths=[16]",
    "--pretrain.latent=8",
    "--train.length=2",
    "--train.evaluations=2",
    "--grid.labels=[20]",
    "--grid.draws=1",
    "--grid.modes=[frozen]",
    "--grid.jobs=1",
    "--grid.baselines=false",
)

Do = Callable[..., tuple[int, str]]


@pytest.fixture
def do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Do:
    """Run a command on an experiment of its own; its status, and all that it said."""

    def run(stage: str, *more: str, name: str = "first") -> tuple[int, str]:
        status = main([stage, *SMALL, f"--name={name}", f"--runs={tmp_path / 'runs'}", *more])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def the_card(tmp_path: Path, name: str = "first") -> dict[str, Any]:
    """The newest data card of an experiment."""
    cards = sorted((tmp_path / "runs" / name).glob("data-*/card.json"), key=lambda path: path.stat().st_mtime_ns)
    card: dict[str, Any] = json.loads(cards[-1].read_text())
    return card


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A hundred labelled pictures of two classes, and fifty without a label."""
    images, digits = load_digits(return_X_y=True)
    for number in range(150):
        kind = ("even", "odd")[digits[number] % 2] if number < 100 else "unlabelled"
        folder = tmp_path / "pictures" / kind
        folder.mkdir(parents=True, exist_ok=True)
        picture = (images[number].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return tmp_path / "pictures"


def folder_of(pictures: Path) -> list[str]:
    return ["--data.dataset=folder", f"--data.args.path={pictures}"]


# --- data -----------------------------------------------------------------------------------------------------


def test_pictures_that_moved_to_a_class_are_noticed_and_everything_is_made_of_them(
    pictures: Path, tmp_path: Path, do: Do
) -> None:
    """changed_labels: the same name notices the change and works; another name works as well."""
    own = folder_of(pictures)
    assert [do(stage, *own)[0] for stage in ("data", "pretrain", "compare")] == [0, 0, 0]
    before = the_card(tmp_path)["train_per_class"]
    for path in sorted((pictures / "unlabelled").iterdir())[:30]:
        path.rename(pictures / "odd" / path.name)
    for stage in ("pretrain", "train", "compare", "report", "sample"):
        status, said = do(stage, *own)
        assert status == 2, stage
        assert (
            "has changed since stage data ran (30 files are new (odd/100.png, odd/101.png, odd/102.png, ...); 30"
            in said
        )
    status, said = do("data", *own)
    assert status == 0
    assert "the data have changed (30 files are new" in said
    assert "what depends on them is made again" in said
    assert the_card(tmp_path)["train_per_class"] != before
    assert do("compare", *own)[0] == 2  # another split of train and test: the encoder is another one
    assert [do(stage, *own)[0] for stage in ("pretrain", "compare", "report")] == [0, 0, 0]
    assert [do(stage, *own, name="second")[0] for stage in ("data", "pretrain", "compare")] == [0, 0, 0]
    assert the_card(tmp_path, "second") == the_card(tmp_path)


def test_unchanged_data_are_known_without_being_loaded_here_and_beside(
    pictures: Path, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder_of(pictures)
    assert do("data", *own)[0] == 0
    monkeypatch.setattr(loading, "load", lambda config: pytest.fail("loaded again"))
    assert do("data", *own)[0] == 0
    status, said = do("data", *own, name="second")
    assert status == 0
    assert "have changed" not in said


def test_files_that_were_only_touched_make_nothing_again(pictures: Path, tmp_path: Path, do: Do) -> None:
    own = folder_of(pictures)
    assert [do(stage, *own)[0] for stage in ("data", "pretrain")] == [0, 0]
    made = set((tmp_path / "runs" / "first").iterdir())
    os.utime(pictures / "odd" / "001.png", (1, 1))
    status, said = do("pretrain", *own)
    assert status == 2
    assert "(odd/001.png changed)" in said
    status, said = do("data", *own)
    assert status == 0
    assert "files have changed (odd/001.png changed), but the data are the same: nothing is made again" in said
    assert do("pretrain", *own)[0] == 0
    assert set((tmp_path / "runs" / "first").iterdir()) == made


def test_another_root_is_other_data(tmp_path: Path, do: Do, own_module: Callable[[str, str], None]) -> None:
    own_module(
        "rooted_data", "import numpy as np\ndef load(root):\n    return np.load(root / 'x.npy'), np.arange(60) % 2"
    )
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    for name, content in (("a", images), ("b", 255 - images), ("c", images)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", content)
    own = ["--data.dataset=rooted_data:load", "--pretrain.holdout=5"]
    cards = {}
    for before, name in (("", "a"), ("a", "b"), ("b", "c")):
        status, said = do("pretrain", *own, f"--data.root={tmp_path / name}")
        assert status == 2
        assert not before or f"data.root was {tmp_path / before}" in said
        assert [do(stage, *own, f"--data.root={tmp_path / name}")[0] for stage in ("data", "pretrain")] == [0, 0]
        cards[name] = the_card(tmp_path)["sha256"]
    assert cards["a"] != cards["b"]
    assert len(list((tmp_path / "runs" / "first").glob("pretrain-*"))) == 2  # a and c have the same content


def test_files_that_a_function_opens_are_watched_though_no_setting_names_them(
    tmp_path: Path, do: Do, own_module: Callable[[str, str], None]
) -> None:
    own_module(
        "hidden_data",
        "from pathlib import Path\nimport numpy as np\n"
        "def load():\n    here = Path(__file__).parent / 'hidden'\n"
        "    images = np.stack([np.load(path) for path in sorted(here.glob('*.npy'))])\n"
        "    return images, np.arange(len(images)) % 2\n",
    )
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    generator = np.random.default_rng(0)
    for number in range(40):
        np.save(hidden / f"{number:02}.npy", generator.integers(0, 256, (8, 8), dtype=np.uint8))
    own = ["--data.dataset=hidden_data:load", "--pretrain.holdout=5"]
    assert do("data", *own)[0] == 0
    np.save(hidden / "07.npy", np.zeros((8, 8), dtype=np.uint8))
    status, said = do("pretrain", *own)
    assert status == 2
    assert "07.npy changed" in said
    assert "/07.npy changed)" in do("data", *own)[1]
    np.save(hidden / "99.npy", np.ones((8, 8), dtype=np.uint8))
    assert do("pretrain", *own)[0] == 2
    assert do("data", *own)[0] == 0
    assert the_card(tmp_path)["train"] + the_card(tmp_path)["test"] == 41


def test_a_folder_that_is_named_from_another_is_not_taken_for_the_working_directory(
    pictures: Path, tmp_path: Path, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = [*folder_of(pictures), "--data.args.train=."]  # the folder that path names
    assert do("data", *own)[0] == 0
    (tmp_path / "notes.txt").write_text("of no concern")
    status, said = do("pretrain", *own)
    assert status == 0, said
    next((pictures / "odd").iterdir()).unlink()
    assert do("pretrain", *own)[0] == 2


def test_data_that_change_unseen_are_refused_and_the_remedy_works(
    pictures: Path, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder_of(pictures)
    assert do("data", *own)[0] == 0
    monkeypatch.setattr(data_source, "changes", lambda config, source: "")  # as if a file was changed without a trace
    (pictures / "odd" / "001.png").unlink()
    status, said = do("pretrain", *own)
    assert status == 2
    advised = re.search(r"or run `(.*?)` with the same settings again", said)
    assert advised is not None
    assert advised.group(1) == "python -m pipeline data"
    assert [do(stage, *own)[0] for stage in ("data", "pretrain")] == [0, 0]


def test_other_groups_are_other_data(pictures: Path, tmp_path: Path, do: Do) -> None:
    """Which images belong together decides what is held out, though images and labels are the same."""
    files = sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    table = tmp_path / "groups.csv"
    own = [*folder_of(pictures), f"--data.groups={table}"]
    table.write_text("file,group\n" + "".join(f"{name},{number % 20}\n" for number, name in enumerate(files)))
    assert do("data", *own)[0] == 0
    first = the_card(tmp_path)["sha256"]
    table.write_text("file,group\n" + "".join(f"{name},{number // 8}\n" for number, name in enumerate(files)))
    status, said = do("train", *own, "--labels=20")
    assert status == 2
    assert "groups.csv changed" in said
    assert "the data have changed (groups.csv changed)" in do("data", *own)[1]
    assert the_card(tmp_path)["sha256"] != first


# --- code -----------------------------------------------------------------------------------------------------


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module of the user's own, and forget that it was imported, as a new process would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        for module in [module for module in sys.modules if module.split(".")[0] == name.split(".")[0]]:
            del sys.modules[module]
        importlib.invalidate_caches()

    return write


NET = """
from torch import nn
from {helper} import WIDTH

class Net(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        self.out_features = out_features
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, out_features))

    def forward(self, x):
        return self.layers({x})
"""


def test_an_edited_encoder_is_trained_again_with_all_that_depends_on_it(
    tmp_path: Path, do: Do, own_module: Callable[[str, str], None]
) -> None:
    """edited_code: the weights would fit, but what was learnt is not what the code computes now."""
    own = ["--data.dataset=digits", "--pretrain.encoder.name=identity_nets:Net"]
    own_module("identity_helper", "WIDTH = 16")
    own_module("identity_nets", NET.format(helper="identity_helper", x="x"))
    assert [do(stage, *own)[0] for stage in ("data", "pretrain", "compare")] == [0, 0, 0]
    first = sorted(path.name for path in (tmp_path / "runs" / "first" / "cells").glob("frozen-20-0-*"))
    own_module("identity_nets", NET.format(helper="identity_helper", x="8 * (x - 1)"))
    assert do("compare", *own)[0] == 2
    status, said = do("pretrain", *own)
    assert status == 0
    assert "pretrain: an earlier encoder was made before this changed (identity_nets.py); the encoder, and what" in said
    status, said = do("compare", *own)
    assert status == 0
    assert "compare: earlier cells were made before this changed (the encoder); 1 cells are made again" in said
    assert len(list((tmp_path / "runs" / "first" / "cells").glob("frozen-20-0-*/"))) == len(first) + 1
    own_module("identity_helper", "WIDTH = 12")
    own_module("identity_nets", NET.format(helper="identity_helper", x="8 * (x - 1)"))
    assert "this changed (identity_helper.py)" in do("pretrain", *own)[1]
    assert "content" not in do("pretrain", *own)[1]
    # the encoder that was made first is still there, and known by its source
    own_module("identity_helper", "WIDTH = 16")
    own_module("identity_nets", NET.format(helper="identity_helper", x="x"))
    status, said = do("compare", *own)
    assert status == 0
    assert "again" not in said


LOADER = """
from sklearn.datasets import load_digits

def load():
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 8, 8) * 15.9).astype("uint8")
    {edit}
    return X, y
"""


def test_an_edited_loader_is_run_again_and_one_that_gives_the_same_changes_nothing(
    tmp_path: Path, do: Do, own_module: Callable[[str, str], None]
) -> None:
    own = ["--data.dataset=identity_loader:load"]
    own_module("identity_loader", LOADER.format(edit=""))
    assert [do(stage, *own)[0] for stage in ("data", "pretrain", "compare")] == [0, 0, 0]
    own_module("identity_loader", LOADER.format(edit="# a remark"))
    status, said = do("compare", *own)
    assert status == 2
    assert "(identity_loader.py changed)" in said
    assert "but the data are the same: nothing is made again" in do("data", *own)[1]
    assert do("compare", *own)[0] == 0
    own_module("identity_loader", LOADER.format(edit="X, y = 255 - X[y < 5], y[y < 5]"))
    assert do("compare", *own)[0] == 2
    assert "the data have changed (identity_loader.py changed)" in do("data", *own)[1]
    assert len(the_card(tmp_path)["classes"]) == 5
    assert [do(stage, *own)[0] for stage in ("pretrain", "compare")] == [0, 0]


def test_an_edited_mode_trains_its_cells_again(tmp_path: Path, do: Do, own_module: Callable[[str, str], None]) -> None:
    mode = (
        "from pipeline.modes import FitConfig, Mode\nMINE = Mode(True, False, 'mine', classifier='identity_mode:Own')\n"
    )
    loss = "from pipeline.models.classifier import Classifier\nclass Own(Classifier):\n    factor = {factor}\n"
    own = ["--data.dataset=digits", "--mode=identity_mode:MINE", "--labels=20"]
    own_module("identity_mode", mode + loss.format(factor=1))
    assert [do(stage, "--data.dataset=digits")[0] for stage in ("data", "pretrain")] == [0, 0]
    assert do("train", *own)[0] == 0
    own_module("identity_mode", mode + loss.format(factor=2))
    status, said = do("train", *own)
    assert status == 0
    assert "train: an earlier cell was made before this changed (identity_mode.py); the cell is made again" in said


def test_code_that_was_edited_after_it_was_imported_is_not_run(
    tmp_path: Path, do: Do, own_module: Callable[[str, str], None]
) -> None:
    """In one process, as in a notebook: the source would say one thing, and the module in memory do another."""
    own_module("identity_notebook", LOADER.format(edit=""))
    assert do("data", "--data.dataset=identity_notebook:load")[0] == 0
    (tmp_path / "identity_notebook.py").write_text(LOADER.format(edit="y = y % 2"))
    status, said = do("data", "--data.dataset=identity_notebook:load")
    assert status == 2
    assert "was edited after it was imported; run the command in a new Python process" in said
    importlib.reload(sys.modules["identity_notebook"])
    assert do("data", "--data.dataset=identity_notebook:load")[0] == 0
    assert len(the_card(tmp_path)["classes"]) == 2


def test_source_is_followed_inside_its_folder_and_no_further(
    tmp_path: Path, own_module: Callable[[str, str], None]
) -> None:
    own_module("identity_package.__init__", "")
    own_module("identity_package.part", "import numpy, torch\nfrom . import other\nfrom .deep import thing\n")
    own_module("identity_package.other", "import identity_beside\nfrom pipeline import cli\n")
    own_module("identity_package.deep", "import identity_package.part\n")
    own_module("identity_beside", "def broken(:\n")
    found = digests("identity_package.part:anything")
    names = ("__init__", "deep", "other", "part")
    assert sorted(found) == ["identity_beside.py", *(f"identity_package/{name}.py" for name in names)]
    installed = digests("torchmetrics:Metric")
    assert "torchmetrics/__init__.py" in installed
    assert all(name.startswith("torchmetrics/") for name in installed)


# --- files ----------------------------------------------------------------------------------------------------


def test_folders_that_lead_into_themselves_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other").write_text("x")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    assert {path.name for path in files_below(tmp_path / "a")} == {"file", "other"}
    assert list(files_below(tmp_path / "nothing")) == []


def test_only_what_is_read_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("x")
    (tmp_path / "listed").mkdir()
    with opened_files() as opened:
        (tmp_path / "read").read_text()
        (tmp_path / "written").write_text("x")
        os.close(os.open(tmp_path / "read", os.O_RDONLY))
        list((tmp_path / "listed").iterdir())
        importlib.import_module("this")
        zoneinfo.ZoneInfo.no_cache("UTC")  # as pandas does when it is imported
    (tmp_path / "written").read_text()
    assert opened == {str(tmp_path / "read"), str(tmp_path / "listed")}


def test_no_argument_is_taken_for_a_path_that_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("x")
    arguments = {"n": 3, "name": "x", "deep": [{"path": "\0"}, "a" * 5000, None]}
    monkeypatch.setattr(loading, "BUILT_IN", {"any": "tests.test_identity:any_data"})
    source = data_source.observe(Experiment(data=DataConfig("any", args=arguments)), "", [])
    assert list(source["states"]) == [str(tmp_path / "x")]


def any_data(**arguments: Any) -> None:
    """A data set that takes any arguments."""


def test_a_record_of_another_version_is_refused_with_a_remedy_that_works(tmp_path: Path, do: Do) -> None:
    digits = "--data.dataset=digits"
    assert do("data", digits)[0] == 0
    [path] = (tmp_path / "runs" / "first").glob("source-*.json")
    record = json.loads(path.read_text())
    older = {name: value for name, value in record.items() if name not in ("states", "sha256")}
    path.write_text(json.dumps(seal(older)))
    status, said = do("pretrain", digits)
    assert status != 0
    assert "another version" in said
    assert do("data", digits)[0] == do("pretrain", digits)[0] == 0
