"""The labelling page in a real browser: keys, undo, a reload, an import, and the file that comes of it."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.config import DataConfig
from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load
from pipeline.datasets.relabelling import relabel
from pipeline.errors import PipelineError
from pipeline.labelling.page import write_page
from pipeline.labelling.pictures import embed
from pipeline.labelling.request import Item, LabelRequest
from tests.browser import Browser, find_program
from tests.conftest import Run

PROGRAM = find_program()
in_a_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on the path")

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)


def items(names: list[str], clusters: int = 3) -> list[Item]:
    """An item a name, clusters in turn, each with two look-alikes."""
    shown = enumerate(zip(names, IMAGES, strict=False))
    return [Item(name, image, n + 1, n % clusters, look_alikes=[*IMAGES[-2:]]) for n, (name, image) in shown]


def request(names: list[str], classes: tuple[str, ...] = ("cat", "dog"), **more: object) -> LabelRequest:
    return LabelRequest("Some images", classes, items(names), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


class Page:
    """A page that is open, and what a person does on it."""

    def __init__(self, browser: Browser, folder: Path, wanted: LabelRequest | Path) -> None:
        self.browser, self.folder = browser, folder
        self.path = wanted if isinstance(wanted, Path) else write_page(folder, wanted)
        browser.forget()
        browser.resize(1280, 900)
        browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        browser.open(self.path.as_uri())

    def reload(self) -> None:
        self.browser.reload()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.press(key)

    def name_class(self, name: str) -> None:
        self.press("n")
        self.browser.send("Input.insertText", text=name)
        self.browser.evaluate("document.querySelector('#naming button').click()")

    @property
    def answers(self) -> dict[str, str]:
        return dict(self.browser.evaluate("[...state.answers]"))

    @property
    def message(self) -> str:
        shown: str = self.browser.evaluate("$('message').hidden ? '' : $('message').textContent")
        return shown

    def give_file(self, path: Path) -> None:
        root = self.browser.send("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.browser.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)
        self.browser.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")

    def download(self) -> Path:
        path = self.folder / "labels.csv"
        path.unlink(missing_ok=True)
        self.browser.click("#download")
        for _ in range(500):
            if path.exists():
                return path
            time.sleep(0.02)
        raise AssertionError("nothing was downloaded")


@pytest.fixture
def page(opened: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page of nine images in three groups."""
    page = Page(opened, tmp_path, request([f"{n}.png" for n in range(9)], kept={"other.png": "dog", "0.png": "cat"}))
    yield page
    assert opened.said == []
    assert {*opened.requested} == {page.path.as_uri()}


@in_a_browser
def test_number_keys_label_one_image_after_the_other(page: Page) -> None:
    page.press("1", "2", "c", "1", "Delete", "2")
    assert page.answers == {"0.png": "cat", "3.png": "dog", "6.png": "", "1.png": "cat", "4.png": "dog"}
    assert page.browser.evaluate("$('count').textContent") == "5 of 9"
    rows = list(csv.reader(page.download().read_text().splitlines()))
    assert rows[:3] == [["file", "label"], ["other.png", "dog"], ["0.png", "cat"]]
    assert ["6.png", ""] in rows
    assert len(rows) == 7


@in_a_browser
def test_every_change_can_be_undone_and_a_reload_keeps_it_all(page: Page) -> None:
    page.press("1", "c")
    page.name_class("zebra crossing")
    assert page.answers == {"0.png": "cat", "3.png": "", "6.png": "zebra crossing"}
    page.reload()
    assert page.answers == {"0.png": "cat", "3.png": "", "6.png": "zebra crossing"}
    assert page.browser.evaluate("[...$('chips').children].map((chip) => chip.value)") == [
        "cat",
        "dog",
        "zebra crossing",
    ]
    page.press("3", "u", "u", "u", "u", "u")
    assert page.answers == {}
    assert page.browser.evaluate("classes()") == ["cat", "dog"]
    page.reload()
    assert page.answers == {}


@in_a_browser
def test_a_reload_that_finds_the_storage_of_all_tabs_empty_loses_nothing(page: Page) -> None:
    page.press("1", "2")
    page.browser.evaluate("localStorage.clear()")
    page.reload()
    assert page.answers == {"0.png": "cat", "3.png": "dog"}


@in_a_browser
def test_a_whole_group_is_answered_at_once(page: Page) -> None:
    page.press("2", "ArrowLeft", "g", "1")
    assert page.answers == {"0.png": "dog", "3.png": "cat", "6.png": "cat"}  # what has an answer keeps it
    page.browser.click("section:nth-child(2) .whole")
    assert page.browser.evaluate("$('target').textContent") == "3 images of group 1"
    page.browser.click("#chips button:nth-child(2)")
    assert {page.answers[f"{n}.png"] for n in (1, 4, 7)} == {"dog"}
    page.press("u")
    assert page.answers == {"0.png": "dog", "3.png": "cat", "6.png": "cat"}


@in_a_browser
def test_it_is_used_by_mouse_alone_and_by_keys_alone(page: Page) -> None:
    page.browser.click(".card[title='4.png']")
    page.browser.click("#unknown")
    page.browser.click("#enlarge")
    assert page.browser.evaluate("$('large').open")
    page.browser.click("#large img")
    assert not page.browser.evaluate("$('large').open")
    assert page.answers == {"4.png": ""}
    page.browser.click("#undo")
    assert page.answers == {}
    page.press("ArrowDown", "z", "1", "z", "ArrowUp", "ArrowUp", "2")
    assert page.answers == {"5.png": "cat", "6.png": "dog"}


@in_a_browser
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1.5", "a class is named by a word or by a whole number"),
        ("-1", "a class is named by a word or by a whole number"),
        ("a\u200bb", "letters that can be seen"),
    ],
)
def test_a_name_that_no_class_can_have_is_refused(page: Page, name: str, said: str) -> None:
    page.name_class(name)
    assert said in page.message
    assert page.answers == {}


@in_a_browser
def test_a_class_is_named_once_whatever_its_case(page: Page) -> None:
    page.name_class("  CAT ")
    assert page.answers == {"0.png": "cat"}
    assert page.browser.evaluate("classes()") == ["cat", "dog"]


@in_a_browser
def test_where_nothing_is_remembered_it_says_so_and_works(opened: Browser, tmp_path: Path) -> None:
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    page = Page(opened, tmp_path, request(["a.png", "b.png"]))
    script = opened.send("Page.addScriptToEvaluateOnNewDocument", source=refuse)["identifier"]
    page.reload()
    assert "This browser does not let the page remember anything" in page.message
    page.press("1", "2", "u", "1")
    assert page.answers == {"a.png": "cat", "b.png": "cat"}
    assert (
        opened.evaluate("dispatchEvent(new Event('beforeunload', {cancelable: true}))") is False
    )  # asks before leaving
    assert page.download().read_text() == "file,label\na.png,cat\nb.png,cat\n"
    assert opened.evaluate("dispatchEvent(new Event('beforeunload', {cancelable: true}))") is True
    opened.send("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert opened.said == []


@in_a_browser
def test_an_earlier_file_is_taken_up(page: Page, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.csv"
    earlier.write_text('\ufefflabel;file\r\nfox;1.png\r\n"cat";./2.png\r\n;4.png\r\ncat;away.png\r\n', "utf-8")
    page.give_file(earlier)
    assert page.answers == {"1.png": "fox", "2.png": "cat", "4.png": ""}
    assert "3 answers imported, and 1 label of other images" in page.browser.evaluate("$('said').textContent")
    assert page.browser.evaluate("classes()") == ["cat", "dog", "fox"]
    written = page.download().read_text().splitlines()
    assert written == ["file,label", "other.png,dog", "away.png,cat", "1.png,fox", "2.png,cat", "4.png,"]
    page.press("u")
    assert page.answers == {}
    assert "away" not in page.download().read_text()


@in_a_browser
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("name,label\n0.png,cat\n", "its first line has to name two columns: file and label"),
        ("file,label\n0.png,cat\n0.png,dog\n", "lines 2 and 3 give 0.png two labels: cat and dog"),
        ('file,label\n"0.png\n",cat\n1.png,cat,3\n', "line 4 has 3 columns, the first 2"),
        ("file,label\n0.png,2.5\n", "line 2: a class is named by a word or by a whole number"),
        ("index,label\n0,cat\n", "it counts the images"),
    ],
)
def test_a_file_that_cannot_be_understood_changes_nothing(page: Page, tmp_path: Path, lines: str, said: str) -> None:
    page.press("1")
    (tmp_path / "earlier.csv").write_text(lines)
    page.give_file(tmp_path / "earlier.csv")
    assert page.message.startswith("earlier.csv was not imported: ")
    assert said in page.message
    assert page.answers == {"0.png": "cat"}


HOSTILE = [
    "=1+1.png",
    "</script><script>alert(1)</script>.png",
    'a "quoted", one;\tand more.png',
    "two\nlines.png",
    "__proto__",
    "it's.png",
    "'=2.png",
    "@SUM(A1).png",
    "\u202egnp.exe.png",
    "<!--<script>.png",
    "-5.png",
    "back\\slash.png",
]
HOSTILE_CLASSES = (
    "</script>",
    "=cmd|' /C calc'!A0",
    'one, "two"; three',
    "constructor",
    "<img src=x onerror=alert(1)>",
    "+x",
)


@in_a_browser
def test_hostile_names_are_shown_as_they_are_and_come_back_through_data_labels(opened: Browser, tmp_path: Path) -> None:
    page = Page(opened, tmp_path, request(HOSTILE, HOSTILE_CLASSES, kept={"=kept,\nonce.png": "+x"}))
    assert opened.evaluate("[...document.querySelectorAll('.card')].map((card) => card.title)") == sorted(
        HOSTILE, key=lambda name: HOSTILE.index(name) % 3
    )
    assert opened.evaluate("document.querySelectorAll('script').length") == 2
    assert opened.evaluate("[...$('chips').children].map((chip) => chip.value)") == [*HOSTILE_CLASSES]
    page.press(*"123456" * 2)
    page.reload()
    path = page.download()
    text = path.read_text()
    assert "'=1+1.png," in text
    assert not any(cell[0] in "=+@" for row in csv.reader(text.splitlines()) for cell in row if cell)

    images = IMAGES[: len(HOSTILE) + 1, :, :, 0]
    names = [*HOSTILE, "=kept,\nonce.png"]
    found = load_named(images, names, path)
    assert found == {**page.answers, "=kept,\nonce.png": "+x"}
    assert opened.said == []


def load_named(images: Any, names: list[str], labels: Path) -> dict[str, str]:
    """The labels of images of these names, by ``data.labels``."""
    train = from_arrays(images, np.full(len(images), -1))
    assert isinstance(train, ImageData)
    train, _, _ = relabel(replace(train, names=tuple(names)), None, labels)
    pairs = zip(names, train.labels.tolist(), strict=True)
    return {name: train.class_names[label] for name, label in pairs if label >= 0}


@in_a_browser
def test_rows_of_a_source_come_back_by_their_number(opened: Browser, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES[:, :, :, 0])
    page = Page(opened, tmp_path, request([str(n) for n in range(20)], ("0", "1")))
    page.press(*"12" * 10)
    path = page.download()
    assert path.read_text().startswith("id,label\n")
    dataset = load(DataConfig("numpy", args={"path": str(tmp_path)}, labels=str(path)))
    assert dataset.given.by_name() == page.answers
    assert (len(dataset.train), len(dataset.test)) == (20, 4)


@in_a_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_a_desk_and_can_be_read_in_light_and_dark(
    opened: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    names = [f"a folder/with a very long name/that goes on_and_on_and_on_{n}.png" for n in range(6)]
    page = Page(opened, tmp_path, request(names, tuple(f"a class with a long name {n}" for n in range(30))))
    opened.resize(width, 800, dark=dark)
    page.reload()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("$('dock').offsetHeight") < 300
    ink, paper = opened.evaluate(
        """["color", "backgroundColor"].map((what) => getComputedStyle(document.body)[what])
        .map((color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3)"""
    )
    assert ink > paper + 150 if dark else paper > ink + 150
    shown = opened.evaluate("document.querySelector('.card img').getBoundingClientRect().width")
    assert shown >= 100  # of 8 pixels


@in_a_browser
def test_a_review_keeps_a_label_or_takes_the_other_one(opened: Browser, tmp_path: Path) -> None:
    asked = [Item(f"{n}.png", IMAGES[n], n + 1, label="cat", proposal="dog") for n in range(4)]
    page = Page(opened, tmp_path, LabelRequest("Labels", ["cat", "dog"], asked, may_add_classes=False))
    assert "labelled cat, looks like dog" in opened.evaluate("document.querySelector('.card').textContent")
    page.press("k", "t", "c")
    assert page.download().read_text() == "file,label\n0.png,cat\n1.png,dog\n2.png,\n3.png,cat\n"
    page.name_class("fox")
    assert "there is no class fox in the test set" in page.message


@in_a_browser
def test_what_a_person_answers_is_what_is_trained_on(opened: Browser, tiny: Run, runs: Path, tmp_path: Path) -> None:
    images, truth = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=images[:300], test_images=images[300:400], test_labels=truth[300:400])
    data = ("--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}", "--data.args.white=16")
    assert tiny("suggest", *data, "--labels=12") == 0
    [path] = runs.glob("tiny/suggest-*/label.html")
    page = Page(opened, tmp_path, path)
    assert opened.evaluate("classes()") == list("0123456789")
    for name in opened.evaluate("order.map((item) => item.name)"):
        page.press("1234567890"[truth[int(name)]])
    assert opened.evaluate("$('said').textContent") == "Every image has an answer. Download labels.csv."
    labels = f"--data.labels={page.download()}"
    for stage in ("data", "review"):
        assert tiny(stage, *data, labels) == 0
    card = max(runs.glob("tiny/data-*/card.json"), key=lambda path: path.stat().st_mtime)
    assert sum(json.loads(card.read_text())["train_per_class"]) == 12
    found = load(DataConfig("numpy", args={"path": str(tmp_path / "x.npz")}, labels=str(tmp_path / "labels.csv")))
    assert found.given.by_name() == {name: str(truth[int(name)]) for name in page.answers}
    assert opened.said == []


# --- without a browser ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (96, 3), (512, 3)])
def test_a_page_of_200_images_is_below_10_megabytes(side: int, channels: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (side, side, channels), dtype=np.uint8)
    asked = [Item(f"{n}.png", noise, n + 1, n, look_alikes=[noise] * 2) for n in range(200)]
    size = write_page(tmp_path, LabelRequest("200 images", [], asked)).stat().st_size
    assert 100_000 < size < 10_000_000


def test_small_images_keep_every_pixel_and_large_ones_are_reduced() -> None:
    small = IMAGES[0].repeat(3, axis=2)
    assert np.array_equal(decoded(embed(small, 512, 10_000)["src"]), small)
    large = np.full((300, 900, 3), 128, np.uint8)
    picture = embed(large, 512, 50_000)
    assert (picture["width"], picture["height"]) == (512, 171)
    assert decoded(picture["src"]).shape == (171, 512, 3)


def decoded(source: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))))


def test_requests_that_no_label_could_answer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no image to label"):
        write_page(tmp_path, LabelRequest("Nothing", [], []))
    with pytest.raises(PipelineError, match=r"several images are called 'a.png'; each needs a name of its own"):
        write_page(tmp_path, request(["a.png", "b.png", "a.png"]))
