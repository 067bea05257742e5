"""Heads that are fitted to convergence, on embeddings that were computed once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.models.classifier import Classifier
from pipeline.training.recording import FitResult, Row

ITERATIONS = 1000  # of L-BFGS; a linear head takes tens
GRADIENT = 1e-6  # largest partial derivative at which a head has converged


def fit_path(
    classifiers: Sequence[Classifier],
    lessons: Sequence[tuple[Tensor, Tensor]],
    strengths: Sequence[float],
    measure: Callable[[], Row],
) -> FitResult:
    """Fit heads to convergence with each strength of the L2 penalty, and keep that with the lowest validation loss.

    Each strength starts from the heads of the one before it, the strongest from those handed in.

    Args:
        classifiers: The classifiers whose heads are fitted in place, side by side.
        lessons: For each, the embeddings that it learns from, shape (n, features), and their classes, shape (n,).
        strengths: Factors of half the squared weights beside the sum of the examples' cross-entropies.
        measure: Gives the numbers of history for the heads as they are; without "loss_val", the last are kept.

    Returns:
        One row of history a strength, from the strongest to the weakest.

    Raises:
        PipelineError: If the heads have no finite optimum.
    """
    history, kept, kept_heads = [], 0, None
    for strength in sorted(strengths, reverse=True):
        losses = [
            converge(classifier, *lesson, strength) for classifier, lesson in zip(classifiers, lessons, strict=True)
        ]
        row = {"l2": strength, "train_loss": sum(losses) / len(losses)} | measure()
        if not all(map(math.isfinite, row.values())):
            raise PipelineError(f"training diverged: with train.l2 {strength} a loss is not a finite number")
        history.append(row)
        if kept_heads is None or "loss_val" not in row or row["loss_val"] < history[kept]["loss_val"]:
            kept = len(history) - 1
            kept_heads = [copy.deepcopy(classifier.head.state_dict()) for classifier in classifiers]
    for classifier, head in zip(classifiers, kept_heads or (), strict=True):
        classifier.head.load_state_dict(head)
    return FitResult(history, kept, len(history))


def converge(classifier: Classifier, x: Tensor, labels: Tensor, strength: float) -> float:
    """Fit a head until its gradient vanishes, by L-BFGS in float64 (Liu and Nocedal 1989).

    Args:
        classifier: The classifier whose head is fitted in place; its loss is minimised.
        x: Embeddings, float32, shape (n, features).
        labels: Classes, shape (n,).
        strength: Factor of half the squared weights, biases left out, beside the sum of the examples' losses.

    Returns:
        The mean loss without the penalty.
    """
    classifier.head.double()
    inputs, parameters = x.double(), list(classifier.head.parameters())
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=ITERATIONS,
        tolerance_grad=GRADIENT,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        penalty = sum((weight.square().sum() for weight in weights), torch.zeros(()))
        total = classifier.loss(inputs, labels) + strength / (2 * len(x)) * penalty
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        loss = float(classifier.loss(inputs, labels))
    classifier.head.float()
    return loss
