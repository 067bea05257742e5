"""The answer for an image is the same bits alone, in a batch of any size, and at any place in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline.artefacts import classifier
from pipeline.config import DataConfig, Experiment, RuntimeConfig
from pipeline.datasets.loading import load
from pipeline.estimators import AutoencoderTransformer, SemiSupervisedClassifier
from pipeline.evaluation.errors import evaluate
from pipeline.models.inputs import infer
from tests.conftest import Run, in_both_precisions
from tests.test_cells import cell

Array = npt.NDArray[Any]

SIZES = (1, 2, 7, 256, 257)  # images that are asked about at a time; each image is at many places of its batch


def together_and_apart(answer: Callable[[Any], Array], images: Any) -> None:
    """Ask about all images, then in batches of each size, then in another order: always the same bits."""
    expected = answer(images)
    for size in SIZES:
        batches = [answer(images[start : start + size]) for start in range(0, min(len(images), 40 * size), size)]
        found = np.concatenate(batches)
        assert np.array_equal(found, expected[: len(found)]), f"in batches of {size}"
    order = np.random.default_rng(0).permutation(len(images))
    assert np.array_equal(answer(images[order]), expected[order])


@in_both_precisions
def test_of_the_default_estimators(precision: Any) -> None:
    """With the networks that they have by default, and on more images than are in memory at a time."""
    X, y = load_digits(return_X_y=True)  # noqa: N806
    runtime = RuntimeConfig(progress=False, precision=precision)
    encoder = AutoencoderTransformer(epochs=1, runtime=runtime, random_state=0).fit(X[:300])
    together_and_apart(encoder.transform, X)
    together_and_apart(encoder.inverse_transform, encoder.transform(X[:300]))
    y[50:] = -1
    classifier = SemiSupervisedClassifier(epochs=1, length=1, runtime=runtime, random_state=0).fit(X[:300], y[:300])
    together_and_apart(classifier.predict_proba, X)


@in_both_precisions
def test_of_a_classifier_on_the_disk(runs: Path, tiny: Run) -> None:
    """Where predict and export find it, its weights lie in memory in another order than where it was trained."""
    assert tiny("train", "--mode=finetune") == 0
    folder, test = cell(runs, "finetune"), load(DataConfig("digits")).test
    model = classifier.restore(Experiment(), folder, classifier.describe(folder))
    together_and_apart(lambda images: np.hstack([part.numpy() for part in model.classify(images)]), test.images)
    as_trained = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(as_trained.classify(test.images)[0], model.classify(test.images)[0])


def test_in_float32_also_while_a_training_is_not() -> None:
    network, images = torch.nn.Linear(300, 7), torch.rand(60, 300)
    expected = infer(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(infer(network, images), expected)


def test_errors_of_one_image_at_a_time_add_up() -> None:
    torch.manual_seed(0)
    network, images = torch.nn.Linear(300, 3), torch.randn(257, 300)
    labels = torch.arange(257) % 3
    whole = evaluate(network, images, labels, 3)
    parts = [evaluate(network, images[i : i + 1], labels[i : i + 1], 3) for i in range(257)]
    assert whole.errors == sum(part.errors for part in parts)
    assert torch.equal(whole.predictions, torch.cat([part.predictions for part in parts]))
    assert whole.loss == pytest.approx(np.mean([part.loss for part in parts]), rel=1e-6)
