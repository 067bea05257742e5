"""The training of classifiers, from images, a few labels and, in most modes, a pretrained encoder."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from pipeline import methods
from pipeline.config import GraphConfig
from pipeline.datasets.splits import Indices, LabelSplit, union
from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import fit_temperature
from pipeline.evaluation.errors import SplitErrors, evaluate, pooled
from pipeline.learning import search
from pipeline.learning.checks import check_encoder
from pipeline.learning.examples import Examples, Network
from pipeline.learning.fitting import Fitting
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.classifier import Backbone, Classifier, Rates, make_head
from pipeline.models.neighbours import Floats, approximate_neighbours, nearest_neighbours
from pipeline.training import checkpoints
from pipeline.training.recording import FitResult
from pipeline.training.trainer import seed_everything


@dataclass(frozen=True, order=True)
class Trial:
    """The validation error and loss that one candidate's settings reached; the smallest trial is the best one.

    Attributes:
        e_val: The error, 0 to 1, at the measurement that was kept; in a cross-validation, the mean over the folds.
        loss_val: The cross-entropy in nats, likewise. It decides between equal errors, which are frequent if labels are
            few.
    """

    e_val: float
    loss_val: float

    @classmethod
    def of(cls, result: FitResult) -> Self:
        """Return the trial of a training, from the result of its last fit."""
        return cls(result.row["e_val"], result.row["loss_val"])


@dataclass(frozen=True)
class Trained:
    """A classifier after training.

    Attributes:
        model: The classifier with the weights of the measurement that was kept.
        result: The result of the last fit. In a cross-validation, it is the fit by which the measurement was selected,
            and each number is the mean over the folds.
        digests: The SHA-256 of the encoder's weights and BatchNorm statistics, "before" and "after" the training.
        held_back: The errors on each validation image, in the order of the split, at the measurement that was kept, of
            the network that did not learn from it: of the classifier itself or, if it was trained again on all labels,
            of the one that was trained before. None if there are no validation labels.
        temperature: The number by which the logits are divided, so that the probabilities on those images mean what
            they say; see ``fit_temperature``. It is 1 if there are no such images.
        trials: The result of each of the plan's candidates; empty if there are no validation labels to judge them by.
        split: The labels that it was trained on, and those by which it was selected.
    """

    model: Classifier
    result: FitResult
    digests: dict[str, str]
    held_back: SplitErrors | None
    temperature: float
    trials: Sequence[Trial]
    split: LabelSplit

    @property
    def chosen(self) -> int:
        """The number of the candidate that was kept, from 0."""
        return best(self.trials)


def best(trials: Sequence[Trial]) -> int:
    """Return the number of the best trial, from 0; of equal ones, the first, and 0 where none was judged."""
    return trials.index(min(trials)) if trials else 0


def train_classifier(
    plan: Plan,
    examples: Examples,
    pretrained: Pretrained | None = None,
    graph: sparse.csr_matrix | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train one classifier as its mode says.

    With several splits, one network is trained for each; then one network is trained on all labels, up to the
    measurement at which the others did best together. The same is done with one split if ``train.refit`` is true. If
    the plan has several candidates, all are trained, and the validation labels choose among them before the training on
    all labels. After a kill, only the last training goes on, and those before it are repeated. The global random
    generators are seeded with the plan's seed before each training.

    Args:
        plan: The settings of the training.
        examples: The images and labels that are learnt from.
        pretrained: The encoder that the mode starts from; None for a mode that starts from random weights.
        graph: The graph of nearest neighbours among the embeddings, shape (N, N); None unless the mode spreads labels.
        checkpoint: A file that the training is saved to now and then, and goes on from if it exists; None for none.

    Raises:
        PipelineError: If the training diverged, or the encoder changed though the mode freezes it, or the reverse.
    """
    mode = plan.definition
    assert (pretrained is not None, graph is not None) == (mode.pretrained, mode.spreads_labels)
    fittings = [Fitting(candidate, examples, pretrained, graph) for candidate in plan.candidates]
    resumable = checkpoint if len(fittings) == 1 and not plan.refits else None
    tried = [_train(fitting, examples.splits, resumable) for fitting in fittings]
    split = union(examples.splits)
    trials = [Trial.of(results[-1]) for _, results, _ in tried] if len(split.val) else []
    chosen = best(trials)
    networks, results, before = tried[chosen]
    held_back, temperature = None, 1.0
    if len(split.val):
        held_back = _judge(networks, examples)
        temperature = fit_temperature(held_back.logits, examples.labels[torch.from_numpy(split.val)])
    if plan.refits:
        split = LabelSplit(np.union1d(split.train, split.val), split.val)
        everything = LabelSplit(split.train, np.empty(0, dtype=np.int64))
        networks, _, before = _train(fittings[chosen], [everything], checkpoint, results)
    digests = {"before": before, "after": digest(networks[0].backbone)}
    if (digests["before"] != digests["after"]) != mode.trains_encoder:
        changed = "not changed" if mode.trains_encoder else "changed"
        raise PipelineError(f"mode {plan.mode}: the encoder was {changed} by training, against its mode")
    return Trained(_classifier(networks[0]), results[-1], digests, held_back, temperature, trials, split)


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours among the images' embeddings.

    Attributes:
        indices: The neighbours of each image, nearest first, shape (N, neighbours).
        distances: The distances to them, same shape.
        search: Either exact or approximate.
        recall: Share of the true neighbours that are among them, 0 to 1: measured on a sample, or 1 by exact search.
    """

    indices: Indices
    distances: Floats
    search: str
    recall: float


def neighbours(settings: GraphConfig, embeddings: Tensor, device: torch.device) -> Neighbours:
    """Find the nearest neighbours that the graph is made of.

    Args:
        settings: The number of neighbours, and the search.
        embeddings: The embeddings of the images, shape (N, features).
        device: The device on which an exact search computes distances.

    Raises:
        PipelineError: If there are not more images than neighbours, or the search needs a package that is missing.
    """
    search.check(settings, len(embeddings))
    if search.chosen(settings, len(embeddings)) == "approximate":
        indices, distances, recall = approximate_neighbours(embeddings.numpy(), settings.neighbours)
        return Neighbours(indices, distances, "approximate", recall)
    indices, distances = nearest_neighbours(embeddings.to(device), settings.neighbours)
    return Neighbours(indices, distances, "exact", 1.0)


def _train(
    fitting: Fitting, splits: Sequence[LabelSplit], checkpoint: Path | None, again: Sequence[FitResult] = ()
) -> tuple[list[Network], list[FitResult], str]:
    """Train one network for each split, all from the same initial weights.

    Args:
        fitting: All that the trainings have in common.
        splits: The labels of each network; without validation labels if choices are repeated.
        checkpoint: A file that the last fit is saved to and goes on from; None for none.
        again: The results of fits of the same kinds whose choices are repeated; empty to choose by validation labels.

    Returns:
        The networks, the result of each fit, and the encoder's digest before the first of them.
    """
    plan = fitting.plan
    seed_everything(plan.seed)
    backbone, head = start(fitting)
    networks = [Network(*copy.deepcopy((backbone, head)), split) for split in splits]
    fits, resumes = _fits(fitting), checkpoints.usable(checkpoint)
    results = []
    for number, fit in enumerate(fits):
        is_last = number == len(fits) - 1
        if is_last or not resumes:  # a checkpoint of the last fit holds the results of those before it
            results.append(fit(networks, again[number] if again else None, checkpoint if is_last else None))
    return networks, results, digest(backbone)


def _fits(fitting: Fitting) -> list[Callable[[Sequence[Network], FitResult | None, Path | None], FitResult]]:
    """Return the fits that a mode is trained by, in their order."""
    mode = fitting.plan.definition
    if not mode.trains_encoder:
        return [fitting.heads]
    return [fitting.heads, fitting.everything] if mode.fit.head_first else [fitting.everything]


def start(fitting: Fitting) -> tuple[Backbone, nn.Module]:
    """Make the encoder, pretrained or with random weights, and a head with random weights."""
    plan, examples = fitting.plan, fitting.examples
    backbone = methods.new_backbone(plan.pretrain, examples.shape)
    head = make_head(backbone.out_features, examples.classes, plan.head_widths)
    if fitting.pretrained is None:
        check_encoder(backbone, examples.images)
    else:
        backbone.load_state_dict(fitting.pretrained.weights)
    return backbone, head


def _classifier(network: Network) -> Classifier:
    """Make a classifier of the network as it is now, without augmentation or learning rates."""
    return Classifier(network.backbone, network.head, True, nn.Identity(), Rates())


def _judge(networks: Sequence[Network], examples: Examples) -> SplitErrors:
    """Measure each validation image with the network that did not see it."""
    parts = []
    for network in networks:
        index = torch.from_numpy(network.split.val)
        parts.append(evaluate(_classifier(network), examples.images[index], examples.labels[index], examples.classes))
    return pooled(parts, np.argsort(np.concatenate([network.split.val for network in networks])))


def digest(backbone: Backbone) -> str:
    """Return the SHA-256, in hex, of all weights and BatchNorm statistics of the encoder."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
