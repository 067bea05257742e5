"""The report's tables, as plain text in rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.modes import BASELINES, MODES
from pipeline.report.evidence import Evidence, Run
from pipeline.report.findings import Claim, Worth, commonest, cost_of_training_on, in_words
from pipeline.report.terminal import percent, with_half_width

_QUANTITY = {"e_in": "E_in", "e_out": "E_out"}


@dataclass(frozen=True)
class Column:
    """A table's column: its head, and what it holds: short or long text, numbers, names of files, the row's link."""

    title: str
    kind: Literal["text", "number", "code", "words", "link"] = "text"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: What it shows, and in which unit.
        columns: From left to right.
        rows: One text a column.
        links: Where in the page each row's link leads, if there is a column of links.
        anchors: What each row is called by links, if it is.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    links: Sequence[str] = ()
    anchors: Sequence[str] = ()


def card_anchor(labels: int, mode: str) -> str:
    """What links call the page's part on a mode at a budget."""
    return f"at-{labels}-{mode}"


def _run_anchor(labels: int | str, mode: str, seed: int | str) -> str:
    return f"run-{labels}-{mode}-{seed}"


def describe_mode(name: str) -> str:
    """A few words on a mode or a classical baseline."""
    return MODES[name].summary if name in MODES else f"classical baseline: {BASELINES[name]}"


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Every mode and classical baseline at every budget."""
    level = f"{100 * comparison['level']:.0f} %"
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        Column("E_in", "number"),
        Column("E_out", "number"),
        Column("Gap", "number"),
        Column("Draws", "number"),
        Column("One run's E_out", "number"),
        Column("Clopper-Pearson", "number"),
        Column("Hoeffding", "number"),
        Column("That run", "code"),
    )
    rows = [
        (
            str(row["labels"]),
            row["mode"],
            *(with_half_width(row[name]) for name in ("e_in", "e_out", "gap")),
            str(row["draws"]),
            percent(row["one_run"]["errors"] / row["one_run"]["n"]),
            *(_limits(row["one_run"][name]) for name in ("clopper_pearson", "hoeffding")),
            row["one_run"]["cell"],
        )
        for row in comparison["summary"]
    ]
    return Table(
        f"Errors in %: mean over the draws ± half of the {level} t interval (none for a single draw). Gap: E_out - "
        f"E_in, in percentage points. Both bounds hold with {level} confidence for the one run named at the end of "
        "the row.",
        columns,
        rows,
        links=[
            card_anchor(row["labels"], row["mode"])
            if row["mode"] in MODES
            else _run_anchor(row["labels"], row["mode"], 0)
            for row in comparison["summary"]
        ],
    )


def _limits(limits: list[float] | tuple[float, float]) -> str:
    return f"{percent(limits[0])} to {percent(limits[1])}"


def paired_table(comparison: dict[str, Any]) -> Table:
    """Differences between modes over the same draws."""
    cells = {(row["labels"], row["mode"]): row["one_run"]["cell"] for row in comparison["summary"]}
    columns = (
        Column("Labels", "number"),
        Column("Quantity"),
        Column("Difference"),
        Column("Draws", "number"),
        Column("Points", "number"),
        Column("p", "number"),
        Column("First run of the one", "code"),
        Column("First run of the other", "code"),
    )
    rows = [
        (
            str(row["labels"]),
            _QUANTITY[row["quantity"]],
            f"{row['first']} - {row['second']}",
            str(row["draws"]),
            with_half_width(row["difference"]),
            f"{row['p_value']:.4f}",
            cells[row["labels"], row["first"]],
            cells[row["labels"], row["second"]],
        )
        for row in comparison["paired"]
    ]
    return Table(
        "Paired differences over the same draws, in percentage points: mean ± half of the "
        f"{100 * comparison['level']:.0f} % t interval, and the p value of the two-sided sign-flip test. Below 0, the "
        "first mode errs less. These p values are not corrected for looking at several differences.",
        columns,
        rows,
    )


def claims_table(claims: Sequence[Claim]) -> Table:
    """What may be said of the test errors after looking at all the differences."""
    columns = (
        Column("Labels", "number"),
        Column("Difference"),
        Column("Points", "number"),
        Column("p", "number"),
        Column("p, corrected", "number"),
        Column("Supported to err less"),
    )
    rows = [
        (str(claim.labels), claim.name, claim.points, f"{claim.p_value:.4f}", f"{claim.corrected:.4f}", claim.better)
        for claim in claims
    ]
    return Table("E_out, in percentage points; p values of the sign-flip test, as they are and by Holm.", columns, rows)


def worth_table(worths: Sequence[Worth], budgets: Sequence[int], level: float) -> Table:
    """How many labels training from scratch needs to err as little."""
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        Column("Labels from scratch", "number"),
        Column(f"{100 * level:.0f} % interval", "number"),
    )
    return Table(
        "Labels with which training from scratch errs as little on the test set. Interpolated between the budgets "
        f"{', '.join(map(str, budgets))}, draw by draw, linearly in the logarithm of the number of labels; beyond them "
        "nothing is said. The interval holds the numbers at which the paired differences over the draws do not tell "
        "the two apart.",
        columns,
        [
            (
                str(worth.labels),
                worth.mode,
                in_words(worth.equivalent.mean, budgets),
                " to ".join(dict.fromkeys(in_words(x, budgets) for x in worth.limits)),
            )
            for worth in worths
        ],
        links=[card_anchor(worth.labels, worth.mode) for worth in worths],
    )


def epochs_table(evidence: Evidence) -> Table:
    """Where early stopping stopped, and what training on would have done."""
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        Column("Selected epoch", "number"),
        Column("Last epoch", "number"),
        Column("E_in there", "number"),
        Column("E_val there", "number"),
        Column("E_val at the last", "number"),
        Column("All draws: E_val, last - selected", "number"),
        Column("Stopped early", "number"),
        Column("Run", "code"),
    )
    rows = [
        (
            str(run.labels),
            run.mode,
            str(run.best_epoch),
            str(run.stopped_epoch),
            percent(run.e_in[run.best_epoch - 1]),
            percent(run.e_val[run.best_epoch - 1]),
            percent(run.e_val[-1]),
            with_half_width(asdict(cost_of_training_on(draws))),
            _stopped_early(evidence, draws),
            run.cell,
        )
        for run in evidence.firsts
        for draws in [[cell for cell in evidence.cells if (cell.labels, cell.mode) == (run.labels, run.mode)]]
    ]
    kept = "for as many of which the classifier was trained" if evidence.cross_validates else "whose weights were kept"
    return Table(
        f"First draw: the epoch with the lowest validation loss, {kept}, and errors in %. What would "
        "have happened without early stopping is measured as far as training went on: after the selected epoch until "
        "patience ran out, by the validation error at the last epoch less that at the selected one, in percentage "
        "points, over all draws. Test errors were not measured there. Stopped early: draws that ended before the "
        "limit of epochs.",
        columns,
        rows,
        links=[card_anchor(run.labels, run.mode) for run in evidence.firsts],
    )


def _stopped_early(evidence: Evidence, draws: Sequence[Run]) -> str:
    mode, train = draws[0].mode, evidence.settings["train"]
    told = train["added"] | train
    limit = told[mode]["max_epochs"] if mode in told else MODES[mode].fit.max_epochs
    return f"{sum(run.stopped_epoch < limit for run in draws)} of {len(draws)}"


def confusions_table(evidence: Evidence) -> Table:
    """The commonest confusions of each mode at each budget."""
    columns = (Column("Labels", "number"), Column("Mode", "link"), Column("Commonest confusions", "words"))
    names = evidence.card["classes"]
    rows = [
        (str(run.labels), run.mode, ", ".join(commonest(evidence.confusion(run.labels, run.mode), names)) or "none")
        for run in evidence.firsts
    ]
    return Table(
        "Test images of all draws, true class → predicted class, in % of the true class.",
        columns,
        rows,
        links=[card_anchor(run.labels, run.mode) for run in evidence.firsts],
    )


def findings_table(verdict: dict[str, Any], folder: str) -> Table:
    """The parts of a study's claim."""
    columns = (
        Column("Part of the claim", "words"),
        Column("What decides", "words"),
        Column("Measured", "words"),
        Column("Holds"),
    )
    rows = [
        (finding["claim"], finding["criterion"], finding["measured"], "yes" if finding["holds"] else "no")
        for finding in verdict["findings"]
    ]
    return Table(
        f"Arms: {', '.join(verdict['arms'])}; {verdict['seeds']} seeds; intervals are 95 % t intervals over these, of "
        f"paired differences where two are compared. Every number by arm and seed: results.csv in {folder}.",
        columns,
        rows,
    )


def budget_table(comparison: dict[str, Any]) -> Table:
    """How each budget was split into training and validation labels."""
    budgets: dict[int, dict[str, Any]] = {}
    for row in comparison["summary"]:
        if row["mode"] in MODES:
            budgets.setdefault(row["labels"], row)
    columns = (
        Column("Labels", "number"),
        Column("Trained on", "number"),
        Column("Validation", "number"),
        Column("First run", "code"),
    )
    rows = [
        (str(labels), str(row["n_train"]), str(row["n_val"]), row["one_run"]["cell"]) for labels, row in budgets.items()
    ]
    caption = "Labels that each mode was shown, by budget."
    if any(row["n_train"] + row["n_val"] > labels for labels, row in budgets.items()):
        caption += " In a cross-validation each label is trained on, and validates in the fold that leaves it out."
    return Table(caption, columns, rows)


def runs_table(evidence: Evidence) -> Table:
    """results.csv, rounded."""
    columns = (
        Column("Labels", "number"),
        Column("Mode"),
        Column("Draw", "number"),
        Column("n_train", "number"),
        Column("n_val", "number"),
        Column("n_test", "number"),
        Column("E_in", "number"),
        Column("E_val", "number"),
        Column("E_out", "number"),
        Column("Selected epoch", "number"),
        Column("Last epoch", "number"),
        Column("Seconds", "number"),
        Column("Run", "code"),
    )
    rows = [
        (
            row["labels"],
            row["mode"],
            *(row[name] for name in ("seed", "n_train", "n_val", "n_test")),
            *(percent(float(row[name])) if row[name] else "" for name in ("e_in", "e_val", "e_out")),
            *(row[name] for name in ("best_epoch", "stopped_epoch")),
            f"{float(row['seconds']):.1f}",
            row["cell"],
        )
        for row in evidence.rows
    ]
    return Table(
        "Every run: errors in %, rounded; all digits are in results.csv. Metrics, curve, predictions and weights "
        "of a run lie in its folder, beside this report.",
        columns,
        rows,
        anchors=[_run_anchor(row["labels"], row["mode"], row["seed"]) for row in evidence.rows],
    )


def data_table(card: dict[str, Any]) -> Table:
    """The data card."""
    channels, height, width = card["shape"]
    per_class = ", ".join(
        f"{name} ({count})" for name, count in zip(card["classes"], card["train_per_class"], strict=True)
    )
    rows = [
        ("data set", card["dataset"]),
        ("SHA-256", card["sha256"]),
        ("image", f"{height} x {width} pixels, {channels} channel{'s' * (channels != 1)}"),
        ("training images", str(card["train"])),
        ("of these unlabelled", str(card["unlabelled"])),
        ("test images", str(card["test"])),
        ("classes (training images)", per_class),
    ]
    return Table("The data.", (Column("What"), Column("Value")), rows)


def provenance_table(evidence: Evidence) -> Table:
    """What made the pretrained encoder and the first cell."""
    manifests = {"First cell": evidence.cell}
    if evidence.pretrained is not None:
        manifests = {"Pretraining": evidence.pretrained, **manifests}
    origins = [manifest["provenance"] for manifest in manifests.values()]
    seeds = [str(manifest["inputs"].get("seed", "")) for manifest in manifests.values()]
    if evidence.pretrained is not None:
        seeds[0] = str(evidence.settings["pretrain"]["seed"])
    rows = [
        ("fingerprint", *(manifest["fingerprint"] for manifest in manifests.values())),
        ("seed", *seeds),
        ("seconds", *(f"{manifest['seconds']:.1f}" for manifest in manifests.values())),
    ]
    facts = ("command", "created", "revision", "python", "platform", "machine", "cpus")
    rows += [(name, *(str(origin[name]) for origin in origins)) for name in facts]
    rows += [(name, *(str(origin["packages"][name]) for origin in origins)) for name in origins[0]["packages"]]
    draws = ", ".join(sorted({row["seed"] for row in evidence.rows}, key=int))
    return Table(
        f"What made it, from the manifests; the draws have the seeds {draws}.",
        (Column("What"), *(Column(name) for name in manifests)),
        rows,
    )
