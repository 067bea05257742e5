"""Whether what ``predict --max-error`` promises is held on real images: many draws of the labels, one encoder.

    python -m benchmarks.promises --config configs/mnist.yaml

trains the experiment's ``frozen`` cell on each of 100 random draws of 1000 labels. It prints how often an error was
promised, how many of the test images were decided under the promise, how often the test images broke it, and how far
probabilities were off before and after they were calibrated. The encoder is pretrained if it is not there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np

from pipeline.artefacts.cell import Cell, train_cell
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import Experiment, from_parsed
from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import Answers
from pipeline.evaluation.errors import evaluate
from pipeline.evaluation.selective import promised_threshold
from pipeline.parsers import stage_parser
from pipeline.stages import data, pretrain

DRAWS, LABELS, ERRORS = 100, 1000, (0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Judged:
    """The answers of one classifier.

    Attributes:
        held_back: To labels of its budget that it did not learn from.
        before: To the test images, before calibration.
        after: To the test images.
    """

    held_back: Answers
    before: Answers
    after: Answers


def main(settings: list[str]) -> None:
    """Measure with the labels of validation, and with a cross-validation."""
    parser = stage_parser("pretrain")
    config = from_parsed(parser.instantiate(parser.parse_args(settings)))
    config = replace(config, grid=replace(config.grid, sampling="random"))
    data.run(config)
    pretrain.run(config)
    for validation in ("holdout", "kfold"):
        own = replace(config, train=replace(config.train, validation=validation))
        shared = CellInputs(own)
        classifiers = [_judge(own, shared, seed) for seed in range(DRAWS)]
        before = 100 * np.mean([judged.before.calibration_error for judged in classifiers])
        after = 100 * np.mean([judged.after.calibration_error for judged in classifiers])
        print(f"{validation}: {len(classifiers[0].held_back.right)} of {LABELS} labels not learnt from;", end=" ")
        print(f"probabilities off by {before:.2f} points before, {after:.2f} after")
        for max_error in ERRORS:
            _print_promise(classifiers, max_error)


def _judge(config: Experiment, shared: CellInputs, seed: int) -> Judged:
    """Train the classifier of one draw, and show it the test images."""
    trained, test = train_cell(Cell(config, "frozen", LABELS, seed), shared), shared.dataset.test
    assert trained.held_back is not None  # both ways of validation hold labels back
    logits = evaluate(trained.model.head, shared.test_embeddings, test.labels, len(test.class_names)).logits
    labels = shared.dataset.train.labels[trained.split.val]
    return Judged(
        held_back=Answers.of(trained.held_back.logits, labels, trained.temperature),
        before=Answers.of(logits, test.labels),
        after=Answers.of(logits, test.labels, trained.temperature),
    )


def _print_promise(classifiers: list[Judged], max_error: float) -> None:
    decided, broken = [], 0
    for judged in classifiers:
        try:
            threshold = promised_threshold(judged.held_back, max_error)
        except PipelineError:  # the labels do not suffice
            continue
        own = judged.after.probability > threshold
        decided.append(own.mean())
        broken += bool((~judged.after.right[own]).mean() > max_error)
    mean = f", deciding {100 * np.mean(decided):.1f} % of the images" if decided else ""
    given = f"promised in {len(decided)} of {len(classifiers)}{mean}"
    print(f"  at most {100 * max_error:g} % wrong: {given}; broken in {broken}")


if __name__ == "__main__":
    main(sys.argv[1:])
