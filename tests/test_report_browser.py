"""The report in a real browser: what it asks for, what it says, and what happens when it is used."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from tests.browser import Browser, find_program
from tests.conftest import tiny_arguments

PROGRAM = find_program()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on the path")

CARD = "document.querySelector('.point')"
TABLE = "document.querySelector('table.sortable')"


@pytest.fixture(scope="module")
def folder(compared_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment with its report."""
    runs = Path(shutil.copytree(compared_runs, tmp_path_factory.mktemp("reported") / "runs"))
    assert main(tiny_arguments(runs, "report", ("--grid.baselines=false",))) == 0
    return runs / "tiny"


@pytest.fixture(scope="module")
def opened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        browser.resize(1280, 900)
        browser.open((folder / "report.html").as_uri())
        yield browser
        assert browser.said == []
        assert browser.requested == [(folder / "report.html").as_uri()]


@pytest.fixture
def browser(opened: Browser) -> Browser:
    """The report as it is when it has just been opened."""
    opened.evaluate(
        "document.querySelector('form').reset(); document.querySelector('form').dispatchEvent("
        "new Event('change')); location.hash = ''; document.activeElement.blur()"
    )
    return opened


@pytest.fixture(scope="module")
def data(opened: Browser) -> Any:
    return json.loads(opened.evaluate("document.querySelector('#space script').textContent"))


def test_the_numbers_shown_are_those_of_results_csv(browser: Browser, folder: Path) -> None:
    shown = browser.evaluate(
        f"[...{TABLE}.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(shown) == 6
    for labels, mode, _, e_out, *_ in shown:
        errors = [float(row["e_out"]) for row in rows if (row["labels"], row["mode"]) == (labels, mode)]
        assert e_out.split(" ± ")[0] == f"{100 * sum(errors) / len(errors):.2f}"


def test_a_click_on_a_head_sorts_by_it_and_a_second_one_the_other_way_round(browser: Browser) -> None:
    column = f"[...{TABLE}.tBodies[0].rows].map((row) => parseFloat(row.cells[3].textContent))"
    before = browser.evaluate(column)
    browser.click("table.sortable th:nth-child(4) button")
    assert browser.evaluate(column) == sorted(before)
    assert browser.evaluate(f"{TABLE}.tHead.rows[0].cells[3].ariaSort") == "ascending"
    browser.click("table.sortable th:nth-child(4) button")
    assert browser.evaluate(column) == sorted(before, reverse=True)


def test_pointing_at_an_image_shows_it_with_its_label_and_what_the_modes_say(browser: Browser, data: Any) -> None:
    place = 5
    browser.middle(".plane")
    x, y = browser.evaluate(
        f"""(() => {{ const svg = document.querySelector(".plane figure:not([hidden]) svg");
        const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
        const [x, y] = {data["points"]["tsne"][place]}; return [box.x + x * scale, box.y + y * scale]; }})()"""
    )
    browser.move(x, y)
    shown = browser.evaluate(f"{CARD}.textContent")
    assert f"test image {data['numbers'][place]}" in shown
    assert shown.startswith(data["classes"][data["truth"][place]])
    for mode in ("frozen", "finetune", "scratch"):
        assert f"{mode}: {data['classes'][data['predictions']['50'][mode][place]]}" in shown
    assert browser.evaluate(f"{CARD}.querySelector('.tile').style.backgroundPosition") == data["tiles"][place]
    browser.move(2, 2)
    assert browser.evaluate(f"{CARD}.hidden")


def test_points_of_the_picture_lie_where_the_script_looks_for_them(browser: Browser, data: Any) -> None:
    for key, places in data["points"].items():
        drawn = browser.evaluate(
            f"""[...document.querySelectorAll("[data-projection={key}] .points use")]
            .map((dot) => [Number(dot.getAttribute("x")), Number(dot.getAttribute("y"))])"""
        )
        assert len(drawn) == len(places) == 360
        for mine, its in zip(places, drawn, strict=True):
            assert mine == pytest.approx(its, abs=0.1)


def test_filters_leave_the_mistakes_of_a_mode_and_the_classes_that_are_on(browser: Browser, data: Any) -> None:
    output = "document.querySelector('#space output').textContent"
    assert browser.evaluate(output) == "360 of 360 are shown."
    said = data["predictions"]["100"]["scratch"]
    wrong = [place for place, true in enumerate(data["truth"]) if said[place] != true]
    browser.evaluate("""(() => { const form = document.querySelector("form"); form.elements.budget.value = "100";
        form.elements.show.value = "scratch"; form.dispatchEvent(new Event("change")); })()""")
    assert browser.evaluate(output) == f"{len(wrong)} of 360 are shown."
    browser.click("[data-class='8']")
    left = [place for place in wrong if data["truth"][place] != 8]
    assert browser.evaluate(output) == f"{len(left)} of 360 are shown."
    dim = "document.querySelectorAll('.plane figure:not([hidden]) .off').length"
    assert browser.evaluate(dim) == 360 - len(left)
    browser.click("[data-class='8']")


def test_the_map_can_be_used_with_keys_alone(browser: Browser) -> None:
    browser.evaluate("document.querySelector('.plane').focus()")
    seen = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        browser.press(key)
        assert not browser.evaluate(f"{CARD}.hidden")
        seen.add(browser.evaluate(f"{CARD}.textContent"))
    assert len(seen) > 2
    browser.press("Escape")
    assert browser.evaluate(f"{CARD}.hidden")


def test_a_link_of_the_table_opens_the_details_it_leads_to(browser: Browser) -> None:
    assert not browser.evaluate("document.querySelector('#at-100-scratch').checkVisibility()")
    browser.evaluate("document.querySelector('a[href=\"#at-100-scratch\"]').click()")
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")
    assert browser.evaluate("document.querySelector('#at-100-scratch').checkVisibility()")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_a_desk_and_can_be_read_in_light_and_dark(
    opened: Browser, width: int, dark: bool
) -> None:
    opened.resize(width, 800, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ink, page = opened.evaluate(
        """[["fill", ".chart text"], ["backgroundColor", "body"]]
        .map(([what, where]) => getComputedStyle(document.querySelector(where))[what])
        .map((color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3)"""
    )
    assert ink > page + 150 if dark else page > ink + 150
    opened.resize(1280, 900)


def test_it_prints(opened: Browser) -> None:
    assert opened.pdf().startswith(b"%PDF")
