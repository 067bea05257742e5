"""Section "How the labels were spent": what each budget paid for, and what was seen by whom, and when."""

from __future__ import annotations

from pipeline.artefacts.results import Comparison, SummaryRow
from pipeline.modes import BASELINES
from pipeline.report.blocks import Bullets, Column, Section, Table, numbers
from pipeline.report.evidence import Evidence
from pipeline.store.test_access import AccessCounts


def labels_spent(evidence: Evidence) -> Section:
    """Return the section."""
    return Section(
        "labels",
        "How the labels were spent",
        "Labels spent",
        [_budget_table(evidence.comparison), Bullets(_rules(evidence))],
    )


def _budget_table(comparison: Comparison) -> Table:
    budgets: dict[int, SummaryRow] = {}
    for row in comparison["summary"]:
        if row["mode"] not in BASELINES:
            budgets.setdefault(row["labels"], row)
    columns = (
        *numbers("Labels", "Trained on", "Validation"),
        Column("First cell", "code"),
    )
    rows = [
        (str(labels), str(row["n_train"]), str(row["n_val"]), row["one_run"]["cell"]) for labels, row in budgets.items()
    ]
    caption = "Labels that each mode was shown, by budget."
    if any(row["n_train"] + row["n_val"] > labels for labels, row in budgets.items()):
        caption += " In a cross-validation each label is trained on, and validates in the fold that leaves it out."
    return Table(caption, columns, rows)


def _rules(evidence: Evidence) -> list[str]:
    card, rows = evidence.card, evidence.rows
    if evidence.validates:
        rules = [
            "Validation labels, which early stopping looks at, are paid for within the budget: a budget of 100 labels "
            "means that 100 labels were seen in all.",
        ]
    else:
        rules = [
            "No label was left for validation: all of a budget are trained on. So there is no E_val, every training "
            "took all its steps and its last measurement was kept, a head on a frozen encoder got the middle one of "
            "the strengths in train.l2, and no probability is calibrated.",
        ]
    if evidence.cross_validates:
        rules.append(
            f"The labels were cross-validated in {evidence.config.train.folds} folds: each was left out of one "
            "training and judged it. Their mean loss on what they left out chose the measurement to keep, and the "
            "classifier was then trained on all labels up to it. Learning curves show means over the folds; E_val is "
            "the error on the labels left out."
        )
    rules += _trials(evidence)
    if evidence.pretrained is None:
        rules.append("No mode of this grid uses a pretrained encoder.")
    elif not evidence.pretrained["outcome"]["images"]:
        rules.append("The encoder was taken as it is: no image here was pretrained on.")
    else:
        images = evidence.pretrained["outcome"]["images"]
        rules.append(
            f"Pretraining used {images} training images, no label and no test image; {card['train'] - images} "
            "training images were left out of it."
        )
    grid = evidence.config.grid
    settings = 2 * grid.encoders if evidence.config.ablation else grid.encoders
    rules += _repeated_access(evidence.test_access, int(rows[0]["n_test"]), settings)
    if any(row["mode"] in BASELINES for row in rows):
        rules.append(
            "The classical baselines select nothing and need no validation labels: they train on the entire budget."
        )
    if card["labels_of_copies_left_out"]:
        rules.append(
            f"{card['labels_of_copies_left_out']} labels were left out because another labelled training image is the "
            "same: no image is both trained on and validated on."
        )
    rules += [f"Of the data: {remark}." for remark in card["remarks"]]
    rules.append(
        "E_in is measured on the training labels at the measurement that was kept, in evaluation mode and without "
        "augmentation."
    )
    return rules


def _trials(evidence: Evidence) -> list[str]:
    """Say among how many settings cells chose, and how often each was chosen."""
    chosen: dict[str, list[int]] = {}
    for cell in evidence.cells:
        if cell.chosen is not None:
            count = len(evidence.config.train.candidates(cell.mode))
            chosen.setdefault(cell.mode, [0] * count)[cell.chosen] += 1
    if not chosen:
        return []
    count = len(next(iter(chosen.values())))
    times = "; ".join(f"{mode} {', '.join(map(str, counts))}" for mode, counts in chosen.items())
    return [
        f"Every cell of every mode tried the same number of settings, {count}, and kept those with the least error on "
        "its own validation labels, which makes their E_val too low; the test set was opened for those alone. In the "
        f"order of the settings, they were kept so often: {times}."
    ]


def _repeated_access(found: AccessCounts, images: int, settings: int) -> list[str]:
    """Tell which cells opened the test set more than once, by the counts of the log.

    The grid itself measures each mode, budget and draw under so many ``settings``.
    """
    sentences = [f"The test set of {images} images is opened for a cell after its training has ended, and once."]
    if found.repeated:
        cells = ", ".join(f"{cell} ({count} times)" for cell, count in sorted(found.repeated.items()))
        sentences.append(f"It was opened again for {cells}, whose folders were removed or whose processes were ended.")
    if found.settings > settings:
        sentences.append(
            f"In this experiment's folder the same mode, budget and draw was measured under up to {found.settings} "
            "settings: whoever picks among them by E_out has chosen by the test set, and E_out is too low."
        )
    return sentences
