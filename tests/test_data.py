from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import DataConfig
from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load, prepare
from pipeline.datasets.readers import mnist
from pipeline.errors import PipelineError


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mnist")
    prepare(DataConfig("mnist", str(root)))
    return root


def test_the_bundled_mnist_is_read_by_torchvision_and_by_the_loader_alike(unpacked: Path) -> None:
    from torchvision.datasets import MNIST

    dataset = load(DataConfig("mnist", str(unpacked)))
    for part, train in ((dataset.train, True), (dataset.test, False)):
        theirs = MNIST(unpacked, train=train, download=False)
        assert torch.equal(part.images[:, 0], theirs.data)
        assert torch.equal(part.labels, theirs.targets)
    assert len(dataset.train) == 60_000
    assert len(dataset.test) == 10_000
    assert len(dataset.copies.in_test) == 0


def test_development_leaves_the_test_set_closed(unpacked: Path) -> None:
    whole = load(DataConfig("mnist", str(unpacked)))
    development = load(DataConfig("mnist", str(unpacked), {"development": True}))
    assert torch.equal(torch.cat([development.train.images, development.test.images]), whole.train.images)
    assert len(development.test) == 10_000


def test_preparing_again_writes_nothing(unpacked: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unpacked.rglob("*")}
    prepare(DataConfig("mnist", str(unpacked)))
    assert {path: path.stat().st_mtime_ns for path in unpacked.rglob("*")} == before


def test_a_flipped_byte_is_noticed_and_the_file_is_left_for_its_owner(unpacked: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(unpacked, tmp_path / "data"))
    path = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes(content)
    for use in (load, prepare):
        with pytest.raises(PipelineError, match=r"train-images-idx3-ubyte is not MNIST's .* delete it and run"):
            use(DataConfig("mnist", str(root)))
    assert path.read_bytes() == bytes(content)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist; run `python -m pipeline data`"):
        load(DataConfig("mnist", str(tmp_path)))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip", "other content"])
def test_a_damaged_archive_is_refused_and_nothing_is_unpacked(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = Path(shutil.copytree(mnist.ARCHIVES, tmp_path / "archives"))
    monkeypatch.setattr(mnist, "ARCHIVES", archives)
    path = archives / "t10k-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    path.write_bytes(
        {
            "truncated": content[:1000],
            "flipped": bytes(flipped),
            "not gzip": b"hello",
            "other content": gzip.compress(b"hello"),
        }[damage]
    )
    with pytest.raises(PipelineError, match=r"t10k-labels-idx1-ubyte\.gz .* install the package again"):
        prepare(DataConfig("mnist", str(tmp_path / "data")))
    assert not (tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").exists()


def test_digits_hold_out_the_same_stratified_test_set_every_time() -> None:
    first, again = load(DataConfig("digits")), load(DataConfig("digits"))
    assert torch.equal(first.test.images, again.test.images)
    assert len(first.train) + len(first.test) + len(first.copies.in_test) == 1797
    shares = torch.bincount(first.test.labels) / len(first.test)
    assert (shares - 0.1).abs().max() < 0.01


PLUG_IN = """
import torch
from pipeline.datasets.image_data import ImageData

def images(n):
    return torch.arange(n * 64).remainder(251).to(torch.uint8).view(n, 1, 8, 8)

def one(root, n=40):
    return ImageData(images(n), torch.arange(n) % 2, ("even", "odd"))

def overlapping(root):
    return one(root), one(root, 10)

def the_same(root):
    return one(root), one(root)

def unlabelled_test(root):
    return one(root), ImageData(images(4) + 1, torch.full((4,), -1), ("even", "odd"))

def array(root):
    return images(3).numpy()

def failing(root):
    with open(root / "nowhere.npy") as file:
        return file

def empty_test(root):
    return one(root), one(root, 0)
"""

NO_PYTHON = "def load(root):\n    return images[\n"


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_images.py").write_text(PLUG_IN)
    (tmp_path / "no_python.py").write_text(NO_PYTHON)
    (tmp_path / "needs_more.py").write_text("import their_images\nimport no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "their_images"


def test_a_data_set_of_ones_own_is_a_function_named_by_import_path(plug_in: str) -> None:
    dataset = load(DataConfig(f"{plug_in}:one", args={"n": 50}))
    assert len(dataset.test) == 10
    assert dataset.train.class_names == ("even", "odd")


def test_a_training_image_that_lies_in_the_test_set_is_left_out(plug_in: str) -> None:
    dataset = load(DataConfig(f"{plug_in}:overlapping"))
    assert len(dataset.copies.in_test) == 10
    in_test = set(content_hashes(dataset.test.images))
    assert not in_test & set(content_hashes(dataset.train.images))


@pytest.mark.parametrize(
    ("dataset", "args", "message"),
    [
        ("nope", {}, "'nope' is unknown; expected one of mnist, digits"),
        ("their_images:nope", {}, r"cannot be imported\nAttributeError"),
        ("no_such_module:load", {}, r"cannot be imported\nModuleNotFoundError"),
        (
            "needs_more:load",
            {},
            r"needs_more.py\", line 2, .*\n    import no_such_package\n(.*\n)?ModuleNotFoundError: No mod",
        ),
        ("no_python:load", {}, r"no_python.py\", line 2\n(.*\n)+SyntaxError: '\[' was never closed"),
        (
            "their_images:failing",
            {},
            r"their_images:failing failed\n.*their_images.py\", line 24, in failing\n(.*\n)+FileNot",
        ),
        ("their_images:torch", {}, "is a module; expected a function"),
        ("their_images:one", {"m": 3}, "unexpected keyword argument 'm'"),
        ("their_images:array", {}, "returned a ndarray; expected ImageData"),
        ("their_images:the_same", {}, "every training image also lies in the test set"),
        ("their_images:empty_test", {}, "the test set has no image; return the training images alone"),
        ("their_images:unlabelled_test", {}, "the test set holds unlabelled images"),
        ("digits", {"development": True}, "unexpected keyword argument 'development'"),
    ],
)
def test_a_data_set_that_breaks_the_contract_is_refused_in_words(
    plug_in: str, dataset: str, args: dict[str, object], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        load(DataConfig(dataset, args=args))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 1, 8, 8), torch.zeros(3).long(), "expected uint8 of shape"),
        (torch.zeros(3, 8, 8).byte(), torch.zeros(3).long(), "expected uint8 of shape"),
        (torch.zeros(3, 1, 0, 8).byte(), torch.zeros(3).long(), "at least one pixel"),
        (torch.zeros(3, 1, 8, 8).byte(), torch.zeros(3), "expected int64"),
        (torch.zeros(3, 1, 8, 8).byte(), torch.zeros(2).long(), r"of shape \(3,\), one for each image"),
        (torch.zeros(3, 1, 8, 8).byte(), torch.tensor([0, 1, 2]), "run from 0 to 2; expected -1"),
        (torch.zeros(3, 1, 8, 8).byte(), torch.tensor([0, 1, -2]), "run from -2 to 1; expected -1"),
    ],
)
def test_image_data_refuses_what_is_no_image_data(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        ImageData(images, labels, ("a", "b"))


def idx(array: np.ndarray) -> bytes:
    """The file format of the MNIST family."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.astype("u1").tobytes()


def test_a_download_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.error
    import urllib.request

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(PipelineError, match=r"(?s)could not be downloaded .* check the network"):
        prepare(DataConfig("fashion_mnist", str(tmp_path)))
    with pytest.raises(PipelineError, match="run `python -m pipeline data`"):
        load(DataConfig("fashion_mnist", str(tmp_path)))


def test_the_example_in_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    assert code.startswith("# my_images.py")
    (tmp_path / "my_images.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", generator.integers(0, 256, (60, 12, 9, 3), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.arange(60) % 3 - 1)
    dataset = load(DataConfig("my_images:load", str(tmp_path)))
    assert dataset.train.shape == (3, 12, 9)
    assert dataset.train.class_names == ("0", "1")
    assert len(dataset.test) == 8  # a fifth of the 40 that have a label
    assert int((dataset.train.labels < 0).sum()) == 20


def test_names_stay_with_their_images() -> None:
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    data = ImageData(images, torch.tensor([0, 1, 0, 1, -1]), ("a", "b"), tuple(f"{n}.png" for n in range(5)))
    assert data[torch.tensor([3, 0])].names == ("3.png", "0.png")
    assert data[data.labels < 1].names == ("0.png", "2.png", "4.png")
    with pytest.raises(PipelineError, match="names: got 4 for 5 images; expected one for each image"):
        ImageData(images, data.labels, ("a", "b"), tuple("abcd"))
