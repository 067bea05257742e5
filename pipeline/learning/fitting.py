"""The fits that a training consists of. Each of them trains one or several networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from pipeline.datasets.batches import InMemoryData
from pipeline.datasets.splits import Indices, LabelSplit
from pipeline.learning.examples import Examples, Network, measurement
from pipeline.learning.heads import fit_path
from pipeline.learning.learners import Learners
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.classifier import Classifier, Rates
from pipeline.models.inputs import Images
from pipeline.models.propagation import soft_labels, spread
from pipeline.models.side_by_side import FoldLearner, Schedule, SideBySide
from pipeline.training import checkpoints
from pipeline.training.recording import FitResult, Rounds
from pipeline.training.stopping import Stopping
from pipeline.training.trainer import Saving, fit


@dataclass(frozen=True)
class Phase:
    """The inputs of one fit in steps.

    Attributes:
        classifiers: The classifiers that are trained side by side.
        x: The inputs of all training examples, shape (N, ...): images, or embeddings that were computed once.
        targets: Returns, for a split of the labels, the targets of all training examples, shape (N, ...), and the
            indices of those that are trained on.
        batch_size: The number of examples in each step.
    """

    classifiers: Sequence[Classifier]
    x: Images
    targets: Callable[[LabelSplit], tuple[Tensor, Indices]]
    batch_size: int


@dataclass(frozen=True)
class Fitting:
    """All that the fits of one training have in common.

    A fit trains networks side by side, in place. It takes the result of a fit of the same kind whose choice is to be
    repeated, or None to choose by validation labels; and a file that it is saved to now and then, and goes on from if
    the file exists.

    Attributes:
        plan: How the classifier is trained.
        examples: The images and labels that it learns from.
        pretrained: The encoder that it starts from; None where the mode starts from random weights.
        graph: Graph of nearest neighbours among the embeddings, shape (N, N), where the mode spreads labels.
        spread_labels: The labels that were spread so far, since head and encoder learn the same ones; by the training
            part of the split, as bytes.
    """

    plan: Plan
    examples: Examples
    pretrained: Pretrained | None
    graph: sparse.csr_matrix | None
    spread_labels: dict[bytes, Tensor] = field(default_factory=dict)

    def heads(
        self, networks: Sequence[Network], again: FitResult | None = None, checkpoint: Path | None = None
    ) -> FitResult:
        """Fit the heads on frozen backbones, with embeddings that were computed once.

        Raises:
            PipelineError: If the training diverged.
        """
        assert self.pretrained is not None
        embeddings, learners = self.pretrained.embeddings, self._learners
        if self.graph is not None:
            classifiers = [learners.on_embeddings(network, learners.rates(network)) for network in networks]
            phase = Phase(classifiers, embeddings, self._spread, self.plan.train.graph.batch_size)
            return self._fit(phase, networks, again, checkpoint)
        # a head that is fitted to convergence needs no rates, and no label smoothing, which is a penalty as l2 is
        classifiers = [
            learners.on_embeddings(network, Rates(class_weights=learners.class_weights(network.split)))
            for network in networks
        ]
        labels = self.examples.labels
        lessons = [(embeddings[network.split.train], labels[network.split.train]) for network in networks]
        if again is not None:
            strengths: Sequence[float] = [again.row["l2"]]
        elif self.examples.validates:
            strengths = self.plan.train.l2
        else:
            strengths = [self.plan.l2_without_validation]
        return fit_path(classifiers, lessons, strengths, measurement(self.examples, classifiers, networks, embeddings))

    def everything(
        self, networks: Sequence[Network], again: FitResult | None = None, checkpoint: Path | None = None
    ) -> FitResult:
        """Train backbones and heads together, in modes that spread labels also on images without labels.

        Raises:
            PipelineError: If the training diverged, or the mode's own classifier cannot be used.
        """
        train, images = self.plan.train, self.examples.images
        if self.plan.definition.self_trains:
            self_training = [self._learners.self_training(network) for network in networks]
            phase = Phase(self_training, images, self._spread, train.self_training.batch_size)
        else:
            classifiers = [self._learners.on_images(network) for network in networks]
            phase = Phase(classifiers, images, self._given, train.batch_size)
        return self._fit(phase, networks, again, checkpoint)

    @property
    def _learners(self) -> Learners:
        return Learners(self.plan, self.examples)

    # --- targets of all images, and the indices of the images that are trained on -----------------------------------

    def _given(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Return all labels, and the indices of the split's training part."""
        return self.examples.labels, split.train

    def _spread(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Return the spread labels of all images, as probabilities, and the indices of those that learn them.

        These are all images but the validation part, which early stopping needs unseen.
        """
        known = self.examples.labels.numpy()[split.train]
        key, settings = split.train.tobytes(), self.plan.train.graph
        if key not in self.spread_labels:
            scores = spread(self.graph, split.train, known, self.examples.classes, settings.alpha, settings.prior)
            self.spread_labels[key] = soft_labels(scores, split.train, known)
        return self.spread_labels[key], np.setdiff1d(np.arange(len(self.examples.labels)), split.val)

    # --- the fit --------------------------------------------------------------------------------------------------

    def _fit(
        self, phase: Phase, networks: Sequence[Network], again: FitResult | None, checkpoint: Path | None
    ) -> FitResult:
        """Train the classifiers of a phase side by side, in steps, by the recipe that all modes share."""
        train, plan, x = self.plan.train, self.plan, phase.x
        learners, used = [], []
        for network, classifier in zip(networks, phase.classifiers, strict=True):
            targets, own = phase.targets(network.split)
            learners.append(FoldLearner(classifier, targets, torch.from_numpy(own)))
            used.append(own)
        index = torch.from_numpy(np.unique(np.concatenate(used)))
        steps = plan.steps(self.examples.budget)
        size = steps // train.evaluations
        stopping = self._stopping if self.examples.validates else None
        rounds = Rounds(train.evaluations, "step", size, stopping) if again is None else _same(again, size)
        batches = InMemoryData(x, torch.arange(len(x)), index, phase.batch_size, plan.seed, size)
        trains_encoder = any(classifier.train_backbone for classifier in phase.classifiers)
        result = fit(
            SideBySide(learners, Schedule(steps, train.warmup)),
            batches,
            plan.runtime if trains_encoder else plan.float32_runtime,
            rounds,
            measurement(self.examples, phase.classifiers, networks, x),
            Saving(checkpoint, checkpoints.BRIEF),
        )
        for classifier in phase.classifiers:
            classifier.keep_ema()
        return result

    @property
    def _stopping(self) -> Stopping:
        train = self.plan.train
        return Stopping(round(train.minimum * train.evaluations), round(train.patience * train.evaluations))


def _same(again: FitResult, size: int) -> Rounds:
    """Return as many rounds as another fit took to the measurement that it kept."""
    return Rounds(again.kept + 1, "step", size)
