"""The labelling page in a real browser: keys, undo, a reload, an import, and the file that comes of it."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.labelling.page import write_page
from pipeline.labelling.request import Item, LabelRequest
from tests.browser import Browser, find_program

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
        browser.resize(1280, 900)
        yield browser


class Page:
    """A page that is open, and what a person does on it."""

    def __init__(self, browser: Browser, folder: Path, wanted: LabelRequest) -> None:
        self.browser, self.folder = browser, folder
        self.path = write_page(folder, wanted)
        browser.said.clear()
        browser.requested.clear()
        browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.reload()

    def reload(self) -> None:
        self.browser.open(self.path.as_uri())

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
        for _ in range(200):
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
