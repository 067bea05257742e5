"""Whether what ``predict --max-error`` promises is held on real images: many draws of the labels, one encoder.

    python -m benchmarks.promises --config configs/mnist.yaml

takes the experiment's pretrained encoder and fits a head to each of 100 draws. It prints how often an error was
promised, how many of the test images were decided under the promise, how often the test images broke it, and how far
probabilities were off before and after they were calibrated.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from pipeline.artefacts.cell import Cell
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import Experiment, from_parsed
from pipeline.datasets.splits import Draw
from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import Answers
from pipeline.evaluation.errors import evaluate
from pipeline.evaluation.selective import promised_threshold
from pipeline.learning.classify import Trained, train_classifier
from pipeline.learning.fitting import Examples
from pipeline.learning.plan import split_budget
from pipeline.parsers import stage_parser

DRAWS, LABELS, ERRORS = 100, 1000, (0.01, 0.02, 0.05)


def main(arguments: list[str]) -> None:
    """Measure with the labels of validation, and with a cross-validation."""
    parser = stage_parser("pretrain")
    config = from_parsed(parser.instantiate(parser.parse_args(arguments)))
    for validation in ("holdout", "kfold"):
        own = replace(config, train=replace(config.train, validation=validation))
        answers = [_answers(own, shared, seed) for shared in [CellInputs(own)] for seed in range(DRAWS)]
        off = np.array([[before.calibration_error, tested.calibration_error] for _, before, tested in answers])
        print(f"{validation}: {len(answers[0][0].right)} of {LABELS} labels not learnt from;", end=" ")
        print(f"probabilities off by {100 * off[:, 0].mean():.2f} points before, {100 * off[:, 1].mean():.2f} after")
        for max_error in ERRORS:
            _print_promise(answers, max_error)


def _answers(config: Experiment, shared: CellInputs, seed: int) -> tuple[Answers, Answers, Answers]:
    """To the labels that were not learnt from, and to the test images, before calibration and after."""
    trained, labels = _train(config, shared, seed), shared.dataset.train.labels
    test = shared.dataset.test
    tested = evaluate(trained.model.head, shared.test_embeddings, test.labels, len(test.class_names)).logits
    assert trained.held_back is not None
    judged = Answers.of(trained.held_back.logits, labels[trained.split.val], trained.temperature)
    return judged, Answers.of(tested, test.labels), Answers.of(tested, test.labels, trained.temperature)


def _train(config: Experiment, shared: CellInputs, seed: int) -> Trained:
    cell, train = Cell(config, "frozen", LABELS, seed), shared.dataset.train
    splits = split_budget(config.train, train.labels.numpy(), len(train.class_names), Draw(LABELS, seed))
    examples = Examples(train.images, train.labels, len(train.class_names), splits)
    return train_classifier(cell.plan, examples, shared.pretrained)


def _print_promise(answers: list[tuple[Answers, Answers, Answers]], max_error: float) -> None:
    decided, broken = [], 0
    for judged, _, tested in answers:
        try:
            own = tested.probability > promised_threshold(judged, max_error)
        except PipelineError:
            continue
        decided.append(own.mean())
        broken += bool((~tested.right[own]).mean() > max_error)
    mean = f", deciding {100 * np.mean(decided):.1f} % of the images" if decided else ""
    print(
        f"  at most {100 * max_error:g} % wrong: promised in {len(decided)} of {len(answers)}{mean}; broken in {broken}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
