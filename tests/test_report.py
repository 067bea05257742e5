"""The report, made by the real command line from a tiny real run, and read back by means of its own."""

from __future__ import annotations

import csv
import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from jinja2.utils import htmlsafe_json_dumps
from scipy import stats

from pipeline.artefacts.results import Comparison
from pipeline.cli import main
from pipeline.report import drawing, page
from pipeline.report.atlas import Atlas
from pipeline.report.blocks import (
    Beside,
    Block,
    Bullets,
    Code,
    Column,
    Custom,
    Figure,
    Folded,
    Heading,
    Opening,
    PictureRow,
    Section,
    Table,
    Terms,
    Text,
)
from pipeline.report.sections.latent_space import LegendEntry, Projection
from pipeline.report.sections.mode_cards import ModeCard, Shade, ShownMistake
from pipeline.report.sections.opening import answer, findings
from pipeline.store.disk import read_columns

TINY = [
    f"--{name}={value}"
    for name, value in {
        "data.dataset": "digits",
        "pretrain.epochs": 1,
        "pretrain.encoder.widths": [8, 16],
        "pretrain.encoder.hidden": [32],
        "train.length": 2,
        "train.evaluations": 3,
        "grid.labels": [50, 100],
        "grid.draws": 2,
        "grid.jobs": 1,
        "runtime.accelerator": "cpu",
        "runtime.threads": 1,
    }.items()
]

HOSTILE = ("</script><script>alert(1)</script>", '"quoted" onload="x', "a & b | c", "$\\frac{` *_-->")

PLUG_IN = f"""
import torch
from pipeline.datasets.image_data import ImageData

def load(root):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (240, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(240) % 4
    labels[200:] = -1
    part = lambda index: ImageData(images[index], labels[index], {HOSTILE!r})
    return part(slice(40, 240)), part(slice(0, 40))
"""


def run(*arguments: str, stages: tuple[str, ...] = ("report",)) -> int:
    return max(main([stage, *arguments]) for stage in stages)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings under which everything up to the report has been run."""
    arguments = [*TINY, "--runs", str(tmp_path_factory.mktemp("runs")), "--name", "tiny"]
    assert run(*arguments, stages=("data", "pretrain", "compare", "report")) == 0
    return arguments


@pytest.fixture
def folder(settings: list[str]) -> Path:
    return Path(settings[settings.index("--runs") + 1]) / "tiny"


class Reader(HTMLParser):
    """A page as a reader's browser sees it: tags with attributes, tables as lists of rows, all text outside scripts.

    Confusion matrices are left out of the tables.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.in_cell = False
        self.in_matrix = False
        self.in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag in ("script", "style")
        if tag == "table":
            self.in_matrix = ("class", "matrix") in attrs
        if self.in_matrix:
            return
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")
        self.in_matrix = self.in_matrix and tag != "table"
        self.in_script = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self.in_script else data
        if self.in_cell:
            self.tables[-1][-1][-1] += data


def markdown_tables(text: str) -> Iterator[list[list[str]]]:
    """Tables by the rules of GitHub's Markdown: a cell ends at a bar that no backslash escapes."""
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        yield [[cell.strip().strip("`") for cell in line] for line in lines if "---" not in line[0]]


def plus_minus(values: list[float]) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{100 * statistics.mean(values):.2f} ± {100 * half:.2f}"


def crossed(table: np.ndarray[Any, Any]) -> str:
    """The mean of a table of draws x test images, and half of an interval that counts both, by the textbook."""
    draws, images = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    squares = [
        (images * table.mean(1).var(ddof=1), draws - 1),
        (draws * table.mean(0).var(ddof=1), images - 1),
        ((rest**2).sum() / ((draws - 1) * (images - 1)), (draws - 1) * (images - 1)),
    ]
    parts = [square / (draws * images) for square, _ in squares]
    variance = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    freedom = variance**2 / sum(part**2 / own for part, (_, own) in zip(parts, squares, strict=True))
    half = stats.t.ppf(0.975, max(freedom, 1)) * variance**0.5
    return f"{100 * table.mean():.2f} ± {100 * half:.2f}"


def mistakes(folder: Path, rows: list[dict[str, str]]) -> np.ndarray[Any, Any]:
    """Whether cells took each test image for a wrong class, shape (draws, test images)."""
    wrong = []
    for row in rows:
        with np.load(folder / row["cell"] / "predictions.npz") as stored:
            wrong.append(stored["test_pred"] != stored["test_label"])
    return np.stack(wrong).astype(float)


def test_numbers_equal_results_csv_recomputed(folder: Path) -> None:
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (folder / "results.csv").open() as file:
        for row in csv.DictReader(file):
            groups[row["labels"], row["mode"]].append(row)
    expected = []
    for (labels, mode), rows in groups.items():
        e_in, e_out = ([float(row[name]) for row in rows] for name in ("e_in", "e_out"))
        n, cell = int(rows[0]["n_test"]), rows[0]["cell"]
        errors = round(e_out[0] * n)
        low = stats.beta.ppf(0.025, errors, n - errors + 1)
        high = stats.beta.ppf(0.975, errors + 1, n - errors)
        wrong = mistakes(folder, rows)
        assert wrong.mean(1) == pytest.approx(e_out)
        gaps = wrong - np.array(e_in)[:, None]
        numbers = [plus_minus(e_in), crossed(wrong), crossed(gaps), f"{100 * e_out[0]:.2f}"]
        expected.append([labels, mode, *numbers, f"{100 * low:.2f} to {100 * high:.2f}", cell])
    assert len(expected) == 12
    for tables in (
        Reader((folder / "report.html").read_text()).tables,
        list(markdown_tables((folder / "report.md").read_text())),
    ):
        head, *rows_shown = tables[0]
        wanted = ("Labels", "Mode", "E_in", "E_out", "Gap", "One cell's E_out", "Clopper-Pearson", "That cell")
        columns = [head.index(name) for name in wanted]
        assert [[row[column] for column in columns] for row in rows_shown] == expected


def test_paired_differences_equal_results_csv_recomputed(folder: Path) -> None:
    with (folder / "results.csv").open() as file:
        errors = {(row["labels"], row["mode"], row["seed"]): row for row in csv.DictReader(file)}
    tables = Reader((folder / "report.html").read_text()).tables
    [shown] = (table for table in tables if "First cell of the one" in table[0])
    assert len(shown) == 1 + 2 * 3 * 2
    for labels, quantity, difference, draws, points, _, first_run, second_run in shown[1:]:
        first, second = difference.split(" - ")
        name = quantity.lower()
        a, b = ([errors[labels, mode, seed] for seed in "01"] for mode in (first, second))
        if quantity == "E_in":
            assert points == plus_minus([float(x[name]) - float(y[name]) for x, y in zip(a, b, strict=True)])
        else:
            assert points == crossed(mistakes(folder, a) - mistakes(folder, b))
        assert draws == "2"
        assert first_run == errors[labels, first, "0"]["cell"]
        assert second_run == errors[labels, second, "0"]["cell"]


def test_both_pages_show_the_same_tables_and_answer(folder: Path) -> None:
    shown = Reader((folder / "report.html").read_text())
    written = (folder / "report.md").read_text()
    unescaped = [[[cell.replace("\\", "") for cell in row] for row in table] for table in markdown_tables(written)]
    assert shown.tables == unescaped
    answers = re.findall(r"\*\*(With 50 labels, .*)\*\*", written)
    assert answers[0] in shown.text


def test_claims_are_corrected_by_holm_and_two_draws_support_none(folder: Path) -> None:
    shown = Reader((folder / "report.html").read_text())
    [claims] = (table for table in shown.tables if "p, corrected" in table[0])
    assert len(claims) == 1 + 2 * 3
    corrected = [float(row[-2]) for row in claims[1:]]
    assert corrected == [1.0] * 6  # six times one half, the least that two draws can have
    assert {row[-1] for row in claims[1:]} == {"neither"}
    for row in claims[1:]:
        chances = [row[claims[0].index(name)] for name in ("First better", "Equal", "Second better")]
        assert all(re.fullmatch(r"(over |under )?\d+ %", chance) for chance in chances)
    assert "With 2 draws they could not support any" in shown.text
    assert "8 draws would do" in shown.text
    assert "the tests support none of them" in shown.text


def test_worth_in_labels_is_interpolated_and_never_beyond_the_budgets(folder: Path) -> None:
    shown = Reader((folder / "report.html").read_text())
    [worth] = (table for table in shown.tables if "Labels from scratch" in table[0])
    assert [row[:2] for row in worth[1:]] == [[n, mode] for n in ("50", "100") for mode in ("frozen", "finetune")]
    for row in worth[1:]:
        for number in re.findall(r"\d+", f"{row[2]} {row[3]}"):
            assert 50 <= int(number) <= 100
    assert "Interpolated between the budgets 50, 100" in shown.text


def test_cost_of_training_on_equals_the_histories_recomputed(folder: Path) -> None:
    [epochs] = (t for t in Reader((folder / "report.html").read_text()).tables if "E_val at the last" in t[0])
    for labels, mode, kept, last, *_, at_last, difference, _, cell in epochs[1:]:
        columns = read_columns(folder / cell / "history.csv")
        unit = next(iter(columns))
        assert f"{100 * columns['e_val'][-1]:.2f}" == at_last
        assert last == f"{unit} {columns[unit][-1]:g}"
        assert kept == f"{unit} {json.loads((folder / cell / 'metrics.json').read_text())['kept']:g}"
        costs = []
        for other in folder.glob(f"cells/{mode}-{labels}-*"):
            metrics = json.loads((other / "metrics.json").read_text())
            history = read_columns(other / "history.csv")
            errors, place = history["e_val"], history[unit].index(metrics["kept"])
            costs.append(errors[-1] - errors[place])
        assert difference == plus_minus(costs)


def test_confusions_and_mistakes_are_those_of_the_predictions(folder: Path) -> None:
    shown = Reader((folder / "report.html").read_text())
    first = next(attributes for tag, attributes in shown.tags if tag == "article")
    assert first["id"] == "at-50-frozen"
    metrics = [json.loads((cell / "metrics.json").read_text()) for cell in folder.glob("cells/frozen-50-*")]
    counted = np.sum([each["confusion"] for each in metrics], axis=0)
    titles = [str(attributes.get("title")) for tag, attributes in shown.tags if tag == "td" and "title" in attributes]
    expected = [
        f"{true} taken for {given}: {counted[true, given]} of {counted[true].sum()}"
        for true in range(10)
        for given in range(10)
    ]
    assert titles[:100] == expected
    [cell] = folder.glob("cells/frozen-50-0-*")
    with np.load(cell / "predictions.npz") as stored:
        predictions, names = stored["test_pred"], stored["test_name"]
    mistakes = [str(attributes.get("aria-label")) for _, attributes in shown.tags if attributes.get("class") == "tile"]
    found = [
        re.fullmatch(r"Test image (\d+) \((\d+)\): (\d), taken for (\d) with probability ([\d.]+)\.", m)
        for m in mistakes
    ]
    sure = [match for match in found[:12] if match]
    assert len(sure) == 12
    for match in sure:
        assert names[int(match[1])] == match[2]
        assert predictions[int(match[1])] == int(match[4])
        assert match[3] != match[4]
    assert [float(match[5]) for match in sure] == sorted((float(match[5]) for match in sure), reverse=True)


def test_every_row_of_the_comparison_leads_to_its_details(folder: Path) -> None:
    shown = Reader((folder / "report.html").read_text())
    names = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    links = [str(attributes["href"])[1:] for tag, attributes in shown.tags if tag == "a"]
    assert set(links) <= set(names)
    assert len(names) == len(set(names))
    assert {"at-50-frozen", "at-100-scratch", "cell-50-knn-0"} <= set(links)


def test_every_run_is_listed_with_its_folder(folder: Path) -> None:
    tables = Reader((folder / "report.html").read_text()).tables
    runs_shown = next(table for table in tables if table[0][-1] == "Cell" and "Seconds" in table[0])
    with (folder / "results.csv").open() as file:
        assert [row[-1] for row in runs_shown[1:]] == [row["cell"] for row in csv.DictReader(file)]
    assert all((folder / row[-1] / "metrics.json").is_file() for row in runs_shown[1:])


def test_page_needs_no_other_file(folder: Path) -> None:
    page_shown = Reader((folder / "report.html").read_text())
    addresses = [
        str(value)
        for _, attributes in page_shown.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    html = (folder / "report.html").read_text()
    assert set(re.findall(r"url\((#|data:image/png|[^)]{1,20})", html)) <= {"#", "data:image/png"}
    assert not {"link", "iframe", "object", "img"} & {tag for tag, _ in page_shown.tags}
    charts = [attributes for tag, attributes in page_shown.tags if tag == "svg"]
    assert (
        len(charts) == 3 + 3 * 2 + 2 + 2 + 2
    )  # comparison, gains, forest; learning curves; reliability, risk; two maps; losses, reconstructions
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert len(html) < 1_500_000


def test_second_run_recognises_the_report_without_torch(settings: list[str], folder: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("report.*")}
    code = (
        "import sys; from pipeline.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'matplotlib', 'sklearn'} & set(sys.modules); assert not heavy, heavy; sys.exit(status)"
    )
    subprocess.run([sys.executable, "-c", code, "report", *settings], check=True, capture_output=True)
    assert len(before) == 3
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}


def test_damaged_page_is_made_again_with_the_same_bytes(settings: list[str], folder: Path) -> None:
    written = {path: path.read_bytes() for path in folder.glob("report.*")}
    (folder / "report.html").write_text("damaged")
    assert run(*settings) == 0
    assert {path: path.read_bytes() for path in folder.glob("report.*")} == written


def test_missing_comparison_names_the_remedy(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    other = [*settings, "--name", "other"]
    assert run(*other, stages=("data",)) == 0
    assert run(*other) == 2
    assert "python -m pipeline compare" in capsys.readouterr().err


def test_grid_without_pretrained_mode_and_without_baselines(settings: list[str], folder: Path) -> None:
    alone = [*settings, "--name", "alone", "--grid.modes", "[scratch]", "--grid.baselines", "false"]
    alone += ["--grid.labels", "[50]"]
    assert run(*alone, stages=("data", "compare", "report")) == 0
    shown = Reader((folder.parent / "alone" / "report.html").read_text())
    assert "no other mode is in the grid" in shown.text
    assert "No mode of this grid uses a pretrained encoder." in shown.text
    assert "classical" not in shown.text
    assert len([tag for tag, _ in shown.tags if tag == "svg"]) == 4
    assert "latent" not in {attributes.get("id") for _, attributes in shown.tags}


def test_settings_that_were_chosen_are_counted(settings: list[str], folder: Path) -> None:
    tried = [*settings, "--name", "tried", "--grid.modes", "[scratch]", "--grid.baselines", "false"]
    tried += [
        "--grid.labels",
        "[50]",
        "--train.trials",
        "{scratch: [{modes: {scratch: {head_lr: 1e-6}}}, {modes: {scratch: {encoder_lr: 0.01}}}]}",
    ]
    assert run(*tried, stages=("data", "compare", "report")) == 0
    cells = [json.loads(path.read_text()) for path in (folder.parent / "tried" / "cells").glob("*/metrics.json")]
    assert len(cells) == 2
    chosen = [sum(cell["chosen"] == number for cell in cells) for number in range(3)]
    shown = Reader((folder.parent / "tried" / "report.html").read_text())
    assert "tried the same number of settings, 3, " in shown.text
    assert f"kept so often: scratch {', '.join(map(str, chosen))}." in shown.text


def test_stopped_early_is_told_by_the_cells_themselves(folder: Path) -> None:
    """The limits of a cell are those of the settings that it kept, which the settings of the experiment need not be."""
    [measured] = (table for table in Reader((folder / "report.html").read_text()).tables if "Stopped early" in table[0])
    for row in measured[1:]:
        cells = [json.loads(path.read_text()) for path in folder.glob(f"cells/{row[1]}-{row[0]}-*/metrics.json")]
        early = sum(cell["stopped_early"] for cell in cells)
        assert row[measured[0].index("Stopped early")] == f"{early} of {len(cells)}"


def test_hostile_names_colour_images_and_a_single_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plug_in_for_report.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = [*TINY, "--runs", str(tmp_path), "--name", "hostile", "--data.dataset", "plug_in_for_report:load"]
    arguments += ["--grid.labels", "[20]", "--grid.draws", "1", "--grid.baselines", "false"]
    arguments += ["--grid.modes", "[frozen,scratch]", "--pretrain.corruption", "0", "--pretrain.holdout", "0"]
    assert run(*arguments, stages=("data", "pretrain", "compare", "report")) == 0
    html = (tmp_path / "hostile" / "report.html").read_text()
    shown = Reader(html)
    assert [attributes.get("type") for tag, attributes in shown.tags if tag == "script"] == ["application/json", None]
    assert not any("onload" in attributes for _, attributes in shown.tags)
    assert all(name in shown.text for name in HOSTILE)
    data = json.loads(html.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert data["classes"] == list(HOSTILE)
    assert len(data["numbers"]) == len(data["points"]["tsne"]) == len(data["points"]["pca"]) == 40
    assert "a single draw cannot tell that from chance" in shown.text
    markdown = (tmp_path / "hostile" / "report.md").read_text()
    assert "<script" not in markdown
    data_rows = list(markdown_tables(markdown))[-1]
    assert all(len(row) == 2 for row in data_rows)
    assert "±" not in " ".join(cell for row in shown.tables[0][1:] for cell in row)


def test_every_place_of_both_templates_escapes() -> None:
    bad = "<script>alert(1)</script> & \"'\n| **`[x](y)"
    table = Table(bad, (Column(bad), Column(bad, "code")), [(bad, bad), ("plain", "plain")])
    image = drawing.Picture(b"", "image/png", bad)
    sheet = Atlas(np.zeros((2, 8, 8), dtype=np.uint8))
    shade, mistake = Shade(bad, 0.5, bad), ShownMistake("0% 0%", bad, bad, bad)
    card = ModeCard("a", 50, bad, bad, bad, image, [bad], [[shade]], [mistake])
    space = {
        "projections": [(Projection("pca", bad, np.zeros((1, 2))), image)],
        "legend": [LegendEntry(0, bad, "#000000", "circle")],
        "budgets": [50],
        "modes": [bad],
        "data": htmlsafe_json_dumps(bad),  # as the map gives it
        "atlas": sheet,
    }
    blocks: list[Block] = [
        Text(bad),
        Heading(bad),
        Bullets([bad]),
        Terms([(bad, bad)]),
        Beside([Figure(image, bad), table]),
        PictureRow([image]),
        Folded(bad, [Code(bad)]),
        Custom("modes.html.jinja", {"cards": [card], "atlas": sheet}),
        Custom("latent_space.html.jinja", space),
        Custom("manifold.html.jinja", {"sheet": sheet, "x": [0.0], "y": [0.0]}),
    ]
    opening = Opening(bad, bad, bad, [bad], [bad], [bad], Figure(image, bad))
    section = Section("anchor", bad, bad, blocks)
    shown = Reader(page.html(opening, [section]))
    assert [tag for tag, _ in shown.tags].count("script") == 2  # the page's own, and what it reads
    assert all(attributes["alt"] == bad for tag, attributes in shown.tags if tag == "img")
    assert [tag for tag, _ in shown.tags].count("img") == 5
    markdown = page.markdown(opening, [section]).split("```json")[0]  # code is shown as it is, inside a fence
    assert "<script" not in markdown
    assert all(len(row) == 2 for rows in markdown_tables(markdown) for row in rows)


def test_markdown_is_escaped_but_readable() -> None:
    assert page.escape_markdown("E_in of a|b\n<i> *x* _y_ & `z` $1$") == (
        "E_in of a\\|b &lt;i&gt; \\*x\\* \\_y\\_ &amp; \\`z\\` \\$1\\$"
    )


def _compared(low: float | None, high: float | None, p_value: float, draws: int) -> Comparison:
    def row(mode: str, labels: int, mean: float) -> dict[str, Any]:
        return {"mode": mode, "labels": labels, "draws": draws, "encoders": 1, "e_out": {"mean": mean}}

    pair = {"labels": 50, "first": "frozen", "second": "scratch", "quantity": "e_out", "draws": draws}
    pair |= {"difference": {"mean": -0.1, "low": low, "high": high}, "p_value": p_value}
    pair |= {"first_better": None if low is None else 0.973, "second_better": None if low is None else 0.01}
    found = {
        "level": 0.95,
        "margin": 0.001,
        "summary": [row("scratch", 50, 0.3), row("frozen", 50, 0.2), row("scratch", 900, 0.01)],
        "paired": [pair],
    }
    return cast(Comparison, found)


@pytest.mark.parametrize(
    ("low", "high", "p_value", "draws", "verdict"),
    [
        (-0.12, -0.08, 0.0020, 10, "the data separate the two"),
        (-0.25, 0.05, 0.0020, 10, "the data do not separate the two"),
        (-0.12, 0.0, 0.0020, 10, "the data do not separate the two"),
        (-0.12, -0.08, 0.0625, 5, "5 draws are too few to separate the two (the test's p cannot fall below 0.0625)"),
        (-0.12, -0.08, 0.2000, 10, "interval and test disagree, and the data do not clearly separate the two"),
    ],
)
def test_answer_is_no_stronger_than_the_data(low: float, high: float, p_value: float, draws: int, verdict: str) -> None:
    compared = _compared(low, high, p_value, draws)
    assert answer(compared) == (
        f"With 50 labels, frozen errs least, on 20.00 % of the test images (mean over {draws} draws)."
    )
    assert findings(compared) == [
        f"scratch errs on 30.00 %, 10.00 points more (95 % interval {-100 * high:.2f} to {-100 * low:.2f}, p = "
        f"{p_value:.4f}): {verdict}. That frozen is better by more than 0.1 points has a probability of 97 %.".replace(
            "-0.00", "0.00"
        )
    ]


def test_answer_from_a_single_draw_claims_nothing() -> None:
    [finding] = findings(_compared(None, None, 1.0, 1))
    assert "a single draw cannot tell that from chance" in finding
