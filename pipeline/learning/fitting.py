"""The fits that a training consists of. Each of them trains one or several networks side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from pipeline import plugins
from pipeline.datasets.batches import InMemoryData
from pipeline.datasets.invariances import augmentation
from pipeline.datasets.splits import Indices, LabelSplit
from pipeline.errors import PipelineError
from pipeline.evaluation.errors import evaluate
from pipeline.learning.heads import fit_path
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.consistency import ConsistencyClassifier, Labelled, Unlabelled, where_both_agree, where_confident
from pipeline.models.encoders import Shape
from pipeline.models.inputs import Images
from pipeline.models.propagation import soft_labels, spread
from pipeline.models.side_by_side import FoldLearner, Schedule, SideBySide
from pipeline.training import checkpoints
from pipeline.training.recording import FitResult, Rounds, Row
from pipeline.training.stopping import Stopping
from pipeline.training.trainer import Saving, fit

C = TypeVar("C", bound=Classifier)


@dataclass(frozen=True)
class Examples:
    """The images and labels that a classifier learns from.

    Attributes:
        images: All training images, uint8 or floats from 0 to 1, shape (N, C, H, W); a tensor, or in files.
        labels: The class of each image, int64, shape (N,); labels outside the splits are not used.
        classes: The number of classes.
        splits: The labels that are trained on and those that early stopping uses; several for a cross-validation.
        unseen: Indices of labelled images whose error is added to the history but not used; None for none.
    """

    images: Images
    labels: Tensor
    classes: int
    splits: Sequence[LabelSplit]
    unseen: Indices | None = None

    @property
    def budget(self) -> int:
        """The number of labels in all splits together, including validation."""
        return len(np.unique(np.concatenate([part for split in self.splits for part in (split.train, split.val)])))

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


@dataclass(frozen=True)
class Network:
    """A network that is trained in place, with the labels for it.

    Attributes:
        backbone: The network from images to features.
        head: The network from features to logits.
        split: The labels; without a validation part, no fit is stopped early.
    """

    backbone: Backbone
    head: nn.Module
    split: LabelSplit


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

        Args:
            networks: The networks whose heads are trained side by side, in place.
            again: The result of a fit of the same kind whose choice is repeated; None to choose by validation labels.
            checkpoint: A file that the fit is saved to now and then, and goes on from if it exists; None for none.

        Raises:
            PipelineError: If the training diverged.
        """
        assert self.pretrained is not None
        embeddings = self.pretrained.embeddings
        if self.graph is not None:
            classifiers = [self._learner(network, self._rates(network)) for network in networks]
            phase = Phase(classifiers, embeddings, self._spread, self.plan.train.graph.batch_size)
            return self._fit(phase, networks, again, checkpoint)
        # a head that is fitted to convergence needs no rates, and no label smoothing, which is a penalty as l2 is
        classifiers = [
            self._learner(network, Rates(class_weights=self._class_weights(network.split))) for network in networks
        ]
        labels = self.examples.labels
        lessons = [(embeddings[network.split.train], labels[network.split.train]) for network in networks]
        if again is not None:
            strengths: Sequence[float] = [again.row["l2"]]
        elif self._validates:
            strengths = self.plan.train.l2
        else:
            strengths = [self.plan.l2_without_validation]
        return fit_path(classifiers, lessons, strengths, self._measurement(classifiers, networks, embeddings))

    def everything(
        self, networks: Sequence[Network], again: FitResult | None = None, checkpoint: Path | None = None
    ) -> FitResult:
        """Train backbones and heads together, in modes with consistency also on images without labels.

        Args:
            networks: The networks that are trained side by side, in place.
            again: The result of a fit of the same kind whose choice is repeated; None to choose by validation labels.
            checkpoint: A file that the fit is saved to now and then, and goes on from if it exists; None for none.

        Raises:
            PipelineError: If the training diverged, or the mode's own classifier cannot be used.
        """
        train, images = self.plan.train, self.examples.images
        if self.plan.definition.consistency:
            consistent = [self._consistent(network) for network in networks]
            targets = self._unread if self.graph is None else self._spread
            phase = Phase(consistent, images, targets, train.consistency.batch_size)
        else:
            own = self._own_class(Classifier)
            classifiers = [
                own(network.backbone, network.head, True, self._augment, self._rates(network)) for network in networks
            ]
            phase = Phase(classifiers, images, self._given, train.batch_size)
        return self._fit(phase, networks, again, checkpoint)

    # --- the classifiers ------------------------------------------------------------------------------------------

    @property
    def _augment(self) -> nn.Module:
        """The augmentation of the images that an encoder is trained on."""
        train = self.plan.train
        return augmentation(self.plan.invariances, train.augment, train.clean_fraction)

    def _rates(self, network: Network) -> Rates:
        """Return how the weights of a network move."""
        train, fit = self.plan.train, self.plan.settings
        return Rates(
            fit.head_lr,
            fit.encoder_lr,
            train.weight_decay,
            fit.layer_decay,
            train.ema_decay,
            train.label_smoothing,
            self._class_weights(network.split),
        )

    def _class_weights(self, split: LabelSplit) -> tuple[float, ...]:
        """Return the factor of each class in the loss; a class without a label to train on has 1."""
        if self.plan.train.class_weights == "none":
            return ()
        known, weights = self.examples.labels.numpy()[split.train], np.ones(self.examples.classes)
        present = np.unique(known)
        weights[present] = compute_class_weight("balanced", classes=present, y=known)
        return tuple(weights.tolist())

    def _learner(self, network: Network, rates: Rates) -> Classifier:
        """Make the classifier that trains a head on embeddings; the mode's own class unless that needs images."""
        own = Classifier if self.plan.definition.consistency else self._own_class(Classifier)
        return own(nn.Identity(), network.head, False, nn.Identity(), rates)

    def _consistent(self, network: Network) -> ConsistencyClassifier:
        """Make the classifier of a mode with consistency."""
        plan, settings, known = self.plan, self.plan.train.consistency, network.split.train
        rule = where_both_agree if self.graph is not None else partial(where_confident, threshold=settings.threshold)
        return self._own_class(ConsistencyClassifier)(
            network.backbone,
            network.head,
            self._augment,
            self._rates(network),
            Labelled(self.examples.images[known], self.examples.labels[known], plan.train.batch_size),
            Unlabelled(augmentation(plan.invariances, settings.weak), rule, settings.weight),
        )

    def _own_class(self, default: type[C]) -> type[C]:
        """Return the class that the mode names for its classifier, or else the default.

        Raises:
            PipelineError: If the class cannot be imported, or is no subclass of the default.
        """
        path = self.plan.definition.classifier
        if not path:
            return default
        found = plugins.find(f"mode {self.plan.mode}: classifier", path, {}, "")
        if not (isinstance(found, type) and issubclass(found, default)):
            raise PipelineError(
                f"mode {self.plan.mode}: classifier {path} is not a {default.__name__}; make it a subclass of "
                f"{default.__module__}:{default.__qualname__}"
            )
        return found

    # --- targets of all images, and the indices of the images that are trained on -----------------------------------

    def _given(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Return all labels, and the indices of the split's training part."""
        return self.examples.labels, split.train

    def _spread(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Return the spread labels of all images, as probabilities, and the indices of the pool."""
        known = self.examples.labels.numpy()[split.train]
        key, settings = split.train.tobytes(), self.plan.train.graph
        if key not in self.spread_labels:
            scores = spread(self.graph, split.train, known, self.examples.classes, settings.alpha, settings.prior)
            self.spread_labels[key] = soft_labels(scores, split.train, known)
        return self.spread_labels[key], self._pool(split)

    def _unread(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Return -1 for all images, and the indices of the pool."""
        return torch.full_like(self.examples.labels, -1), self._pool(split)

    def _pool(self, split: LabelSplit) -> Indices:
        """Return the indices of all images but the validation part, which early stopping needs unseen."""
        return np.setdiff1d(np.arange(len(self.examples.labels)), split.val)

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
        stopping = self._stopping if self._validates else None
        rounds = Rounds(train.evaluations, "step", size, stopping) if again is None else _same(again, size)
        batches = InMemoryData(x, torch.arange(len(x)), index, phase.batch_size, plan.seed, size)
        trains_encoder = any(classifier.train_backbone for classifier in phase.classifiers)
        result = fit(
            SideBySide(learners, Schedule(steps, train.warmup)),
            batches,
            plan.runtime if trains_encoder else plan.float32_runtime,
            rounds,
            self._measurement(phase.classifiers, networks, x),
            Saving(checkpoint, checkpoints.BRIEF),
        )
        for classifier in phase.classifiers:
            classifier.keep_ema()
        return result

    @property
    def _validates(self) -> bool:
        """Whether any label of the budget is left out to choose by."""
        return any(len(split.val) for split in self.examples.splits)

    @property
    def _stopping(self) -> Stopping:
        train = self.plan.train
        return Stopping(round(train.minimum * train.evaluations), round(train.patience * train.evaluations))

    def _measurement(
        self, classifiers: Sequence[Classifier], networks: Sequence[Network], x: Images
    ) -> Callable[[], Row]:
        """Return a function that measures error and loss on each part of the labels, as means over the networks."""
        labels, classes = self.examples.labels, self.examples.classes
        parts = []
        for network in networks:
            split = network.split
            found = {"in": split.train, "val": split.val, "unseen": self.examples.unseen}
            there = {name: index for name, index in found.items() if index is not None and len(index)}
            parts.append({name: (x[index], labels[index]) for name, index in there.items()})

        def measure() -> Row:
            rows = []
            for classifier, own in zip(classifiers, parts, strict=True):
                row: Row = {}
                for name, (inputs, truth) in own.items():
                    errors = evaluate(classifier, inputs, truth, classes)
                    row |= {f"e_{name}": errors.error, f"loss_{name}": errors.loss}
                    if name == "val":
                        row["se_val"] = errors.standard_error / math.sqrt(len(networks))
                rows.append(row)
            return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

        return measure


def _same(again: FitResult, size: int) -> Rounds:
    """Return as many rounds as another fit took to the measurement that it kept."""
    return Rounds(again.kept + 1, "step", size)
