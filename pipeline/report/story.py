"""What the report says, in sentences and in tables: both pages are set from it, so they tell the same numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.modes import BASELINES, MODES
from pipeline.report import findings, tables
from pipeline.report.evidence import Evidence
from pipeline.report.findings import SIGNIFICANCE, Claim
from pipeline.report.tables import Table
from pipeline.report.terminal import percent
from pipeline.store.test_access import Looks

QUESTION = (
    "With few labels, is it better to freeze a pretrained encoder, to fine-tune it, or to train the same network "
    "from scratch?"
)


@dataclass(frozen=True)
class Study:
    """A claim that was put to the test.

    Attributes:
        title: What it is about, and whether the claim held.
        claim: In a sentence.
        findings: Its parts, what decided and what was measured.
    """

    title: str
    claim: str
    findings: Table


@dataclass(frozen=True)
class Story:
    """The report's words and numbers.

    Attributes:
        title: What was compared.
        question: What the experiment asks.
        answer: What it found at the smallest budget, in a sentence.
        remarks: What has to be known to read the answer rightly.
        chart: How to read the chart of errors against labels.
        comparison: Every mode and baseline at every budget.
        modes: Name and a few words of each mode and baseline in it.
        worth: What the modes are worth in labels; None where training from scratch has no two budgets.
        correction: What was done about testing several differences at once, and what is left of them.
        claims: Differences in E_out, with that correction; None where the grid has a single mode.
        paired: All differences between modes over the same draws; None there, too.
        epochs: Where training stopped.
        confusions: The commonest ones of each mode at each budget.
        pretraining: What the encoder was pretrained on; empty where the grid uses none.
        studies: The claims that were put to the test on the same images.
        budget: How the labels were spent.
        rules: What was seen by whom, and when.
        runs: results.csv.
        data: The data card.
        provenance: Versions, machine, command, revision, date.
        settings: The resolved experiment as JSON.
    """

    title: str
    question: str
    answer: str
    remarks: list[str]
    chart: str
    comparison: Table
    modes: list[tuple[str, str]]
    worth: Table | None
    correction: str
    claims: Table | None
    paired: Table | None
    epochs: Table
    confusions: Table
    pretraining: list[str]
    studies: list[Study]
    budget: Table
    rules: list[str]
    runs: Table
    data: Table
    provenance: Table
    settings: str


def tell(evidence: Evidence) -> Story:
    """Put the evidence into words and tables."""
    comparison = evidence.comparison
    claims, worths = findings.claims(comparison), findings.worths(evidence)
    budgets = sorted({row["labels"] for row in comparison["summary"]})
    return Story(
        title=f"{evidence.card['dataset']}: E_in and E_out with few labels",
        question=QUESTION,
        answer=answer(comparison),
        remarks=_remarks(comparison, claims, evidence.pretrained is not None),
        chart=_chart(comparison),
        comparison=tables.comparison_table(comparison),
        modes=[
            (name, tables.describe_mode(name)) for name in dict.fromkeys(row["mode"] for row in comparison["summary"])
        ],
        worth=tables.worth_table(worths, budgets, comparison["level"]) if worths else None,
        correction=_correction(claims),
        claims=tables.claims_table(claims) if claims else None,
        paired=tables.paired_table(comparison) if claims else None,
        epochs=tables.epochs_table(evidence),
        confusions=tables.confusions_table(evidence),
        pretraining=_pretraining(evidence),
        studies=[_study(verdict, folder) for folder, verdict in evidence.verdicts],
        budget=tables.budget_table(comparison),
        rules=_rules(evidence),
        runs=tables.runs_table(evidence),
        data=tables.data_table(evidence.card),
        provenance=tables.provenance_table(evidence),
        settings=json.dumps(evidence.settings, indent=2),
    )


# --- the answer -----------------------------------------------------------------------------------------------


def answer(comparison: dict[str, Any]) -> str:
    """The finding at the smallest budget in one sentence, no stronger than the data allow."""
    labels = min(row["labels"] for row in comparison["summary"])
    rows = [row for row in comparison["summary"] if row["labels"] == labels and row["mode"] in MODES]
    best = min(rows, key=lambda row: row["e_out"]["mean"])
    who = f"With {labels} labels, {best['mode']}"
    rate = f"{percent(best['e_out']['mean'])} % over {_draws(best['draws'])}"
    if len(rows) == 1:
        return f"{who} has a mean E_out of {rate}; no other mode is in the grid to compare it with."
    rivals = [_against(comparison, best, row) for row in rows if row is not best]
    return f"{who} has the lowest mean E_out of the modes, {rate}: {'; '.join(rivals)}."


def _against(comparison: dict[str, Any], best: dict[str, Any], rival: dict[str, Any]) -> str:
    """How much less the best mode errs than a rival, and whether chance could have done it."""
    rate = f"{rival['mode']} errs on {percent(rival['e_out']['mean'])} %"
    paired = _find_pair(comparison["paired"], best, rival)
    if paired is None:
        return f"{rate}, without a paired comparison"
    mean, low, high = paired["mean"], paired["low"], paired["high"]
    if low is None:
        return f"{rate}, {percent(mean)} points more, and a single draw cannot tell that from chance"
    interval = f"{100 * comparison['level']:.0f} % interval {percent(low)} to {percent(high)}"
    return (
        f"{rate}, {percent(mean)} points more ({interval}, p = {paired['p_value']:.4f}), "
        f"{_verdict(low, high, paired['p_value'], paired['draws'])}"
    )


def _find_pair(pairs: list[dict[str, Any]], best: dict[str, Any], rival: dict[str, Any]) -> dict[str, Any] | None:
    """Rival minus best in E_out, whichever way round the comparison holds it."""
    for row in pairs:
        if row["labels"] != best["labels"] or row["quantity"] != "e_out":
            continue
        mean, low, high = (row["difference"][name] for name in ("mean", "low", "high"))
        rest = {"p_value": row["p_value"], "draws": row["draws"]}
        if (row["first"], row["second"]) == (rival["mode"], best["mode"]):
            return {"mean": mean, "low": low, "high": high, **rest}
        if (row["first"], row["second"]) == (best["mode"], rival["mode"]):
            turned = None if low is None else (0.0 - high, 0.0 - low)
            low, high = turned or (None, None)
            return {"mean": 0.0 - mean, "low": low, "high": high, **rest}
    return None


def _verdict(low: float, high: float, p_value: float, draws: int) -> str:
    """A difference counts only where interval and test agree; few draws cannot make the test agree."""
    if low <= 0 <= high:
        return "so the data do not separate the two"
    if p_value <= SIGNIFICANCE:
        return "so the data separate the two"
    smallest = 2 / 2**draws
    if smallest > SIGNIFICANCE:
        return f"but {_draws(draws)} are too few to separate the two (the test's p cannot fall below {smallest:.4f})"
    return "so interval and test disagree and the data do not clearly separate the two"


def _draws(count: int) -> str:
    return f"{count} draw{'s' * (count != 1)}"


def _correction(claims: Sequence[Claim]) -> str:
    """What the correction does to the differences in E_out, and whether enough draws were made for it."""
    if not claims:
        return ""
    count = len(claims)
    found = (
        f"Whoever looks at {count} differences finds some by chance. Holm's correction keeps the chance of even one "
        f"false finding at {100 * SIGNIFICANCE:.0f} % at most. Of the {count} differences in E_out, the tests then "
        f"support {findings.how_many_supported(claims)}."
    )
    draws, needed = claims[0].draws, findings.draws_needed(count)
    if draws >= needed:
        return found
    return (
        f"{found} With {_draws(draws)} they could not support any: the least p value that sign flips can have, "
        f"{2 / 2**draws:.4f}, times {count} is too much. {needed} draws would do."
    )


def _remarks(comparison: dict[str, Any], claims: Sequence[Claim], pretrained: bool) -> list[str]:
    labels = min(row["labels"] for row in comparison["summary"])
    baselines = [row for row in comparison["summary"] if row["labels"] == labels and row["mode"] in BASELINES]
    remarks = []
    if len(claims) > 1:
        draws = claims[0].draws
        too_few = f": {_draws(draws)} are too few" if 1 < draws < findings.draws_needed(len(claims)) else ""
        remarks.append(
            f"That looks at each difference by itself. Corrected for looking at all {len(claims)}, at every budget, "
            f"the tests support {findings.how_many_supported(claims)} of them{too_few}."
        )
    if baselines:
        best = min(baselines, key=lambda row: row["e_out"]["mean"])
        remarks.append(
            f"The best classical baseline with {labels} labels is {best['mode']} ({BASELINES[best['mode']]}), with a "
            f"mean E_out of {percent(best['e_out']['mean'])} %."
        )
    shared = "one test set and one pretrained encoder" if pretrained else "one test set"
    if comparison["draws"] > 1:
        remarks.append(
            f"All draws share {shared}: the intervals over draws say how much depends on which labels were drawn, "
            "not on these."
        )
    else:
        remarks.append("A single draw of the labels says nothing about how much depends on which labels were drawn.")
    remarks.append(
        "What the finite test set leaves open is told by the Clopper-Pearson and Hoeffding bounds, each for a single "
        "run."
    )
    return remarks


# --- how it came about ----------------------------------------------------------------------------------------


def _pretraining(evidence: Evidence) -> list[str]:
    if evidence.pretrained is None:
        return []
    outcome, settings = evidence.pretrained["outcome"], evidence.settings["pretrain"]
    is_vae = settings["method"] == "vae"
    loss = "loss, the negative ELBO in nats," if is_vae else "reconstruction loss, summed over pixels,"
    name = evidence.comparison["pretraining"]
    sentence = (
        f"The encoder was pretrained as {'an' if name[0] in 'aeiou' else 'a'} {name} for {outcome['epochs']} epochs; "
        f"its {loss} ended at {outcome['train_loss']:.2f} an image"
    )
    corrupted = settings["corruption"] is not None
    sentence += " from distorted input" * corrupted
    if "holdout_loss" in outcome:
        sentence += f", and at {outcome['holdout_loss']:.2f} on training images left out of pretraining"
        sentence += ", undistorted" * corrupted
    return [f"{sentence}.", *(_variational(outcome, settings) if is_vae else [])]


def _variational(outcome: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """The parts of a VAE's bound, and how much of its latent it uses; nothing without left-out images."""
    sentences = []
    if settings["vae"]["beta"] != 1 or settings["vae"]["free_bits"] > 0 or settings["vae"]["kl_warmup"] > 0:
        sentences.append(
            "In that loss the KL divergence is weighted by beta, which the warm-up raises, and free bits are not "
            "counted; the figures that follow are of the ELBO itself."
        )
    if "holdout_elbo" in outcome:
        sentences.append(
            f"On the left-out images the ELBO is {outcome['holdout_elbo']:.2f} nats an image: "
            f"{outcome['holdout_reconstruction']:.2f} of reconstruction and {outcome['holdout_kl']:.2f} of KL "
            f"divergence from the prior. {outcome['importance_samples']} importance samples an image put log p(x) at "
            f"{outcome['holdout_log_likelihood']:.2f}. {outcome['active_units']} of its {settings['latent']} latent "
            "dimensions are active: their means vary by more than 0.01 over the images."
        )
    return sentences


def _study(verdict: dict[str, Any], folder: Path) -> Study:
    held = sum(finding["holds"] for finding in verdict["findings"])
    count = len(verdict["findings"])
    outcome = "holds" if verdict["holds"] else f"{held} of {count} parts hold"
    return Study(
        f"{verdict['title']}: {outcome}",
        verdict["claim"],
        tables.findings_table(verdict, f"{folder.parent.name}/{folder.name}"),
    )


def _rules(evidence: Evidence) -> list[str]:
    card, rows = evidence.card, evidence.rows
    rules = [
        "Validation labels, which early stopping and the choice of the epoch look at, are paid for within the "
        "budget: a budget of 100 labels means that 100 labels were seen in all.",
    ]
    if evidence.cross_validates:
        rules.append(
            f"The labels were cross-validated in {evidence.settings['train']['folds']} folds: each was left out of one "
            "training and judged it, the epoch is the one at which these trainings had the lowest mean loss on what "
            "they left out, and the classifier was then trained on all labels for as many epochs. Learning curves show "
            "means over the folds; E_val is the error on the labels left out."
        )
    rules += _trials(evidence)
    if evidence.pretrained is None:
        rules.append("No mode of this grid uses a pretrained encoder.")
    else:
        images = evidence.pretrained["outcome"]["images"]
        rules.append(
            f"Pretraining used {images} training images, no label and no test image; {card['train'] - images} "
            "training images were left out of it."
        )
    rules += _looks(evidence.looks, int(rows[0]["n_test"]))
    if any(row["mode"] in BASELINES for row in rows):
        rules.append(
            "The classical baselines select nothing and need no validation labels: they train on the entire budget."
        )
    if card["left_out_because_in_test"]:
        rules.append(
            f"{card['left_out_because_in_test']} training images were left out because the test set holds the "
            "same image."
        )
    if card["labels_of_copies_left_out"]:
        rules.append(
            f"{card['labels_of_copies_left_out']} labels were left out because another labelled training image is the "
            "same: no image is both trained on and validated on."
        )
    rules.append(
        "E_in is measured on the training labels at the selected epoch, in evaluation mode and without augmentation."
    )
    return rules


def _trials(evidence: Evidence) -> list[str]:
    """Among how many settings cells chose, and how often each was chosen."""
    chosen: dict[str, list[int]] = {}
    for cell in evidence.cells:
        if cell.chosen is not None:
            count = len(evidence.settings["train"]["trials"][cell.mode]) + 1
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


def _looks(looks: Looks, images: int) -> list[str]:
    """Who looked at the test set, and who more than once."""
    sentences = [f"The test set of {images} images is opened for a run after its epoch has been selected, and once."]
    if looks.again:
        cells = ", ".join(f"{cell} ({count} times)" for cell, count in sorted(looks.again.items()))
        sentences.append(f"It was opened again for {cells}, whose folders were removed or whose processes were ended.")
    if looks.settings > 1:
        sentences.append(
            f"In this experiment's folder the same mode, budget and draw was measured under up to {looks.settings} "
            "settings: whoever picks among them by E_out has chosen by the test set, and E_out is too low."
        )
    return sentences


def _chart(comparison: dict[str, Any]) -> str:
    sentences = [
        "Error against the number of labels. Filled: E_out, on the test set. Hollow: E_in, on the training labels."
    ]
    if comparison["draws"] > 1:
        sentences.append("Bars: interval over the draws, cut off at 0 and 100 %.")
    if any(row["mode"] in BASELINES for row in comparison["summary"]):
        sentences.append("Grey: E_out of the classical baselines, without bars.")
    return " ".join(sentences)
