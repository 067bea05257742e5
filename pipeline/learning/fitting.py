"""The fits that a training is made of, of networks side by side: what they learn from, and when they stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from pipeline import plugins
from pipeline.datasets.batches import InMemoryData
from pipeline.datasets.invariances import augmentation
from pipeline.datasets.splits import Indices, LabelSplit
from pipeline.errors import PipelineError
from pipeline.evaluation.errors import evaluate
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.consistency import ConsistencyClassifier, Labelled, Unlabelled, where_both_agree, where_confident
from pipeline.models.encoders import Shape
from pipeline.models.inputs import Images
from pipeline.models.propagation import soft_labels, spread
from pipeline.models.side_by_side import FoldLearner, SideBySide
from pipeline.modes import FitConfig
from pipeline.training import checkpoints
from pipeline.training.recording import FitResult, Monitored
from pipeline.training.trainer import fit

C = TypeVar("C", bound=Classifier)


@dataclass(frozen=True)
class Examples:
    """What a classifier learns from.

    Attributes:
        images: uint8 or floats in [0, 1], shape (N, C, H, W); a tensor, or in files.
        labels: int64, shape (N,); those outside the splits are not trained on, nor is anything chosen by them.
        classes: Number of classes.
        splits: Which labels are trained on, and which early stopping looks at; several for a cross-validation.
        unseen: Labelled images on which the error is told epoch by epoch, for the eyes only; None for none.
    """

    images: Images
    labels: Tensor
    classes: int
    splits: Sequence[LabelSplit]
    unseen: Indices | None = None

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


@dataclass(frozen=True)
class Network:
    """What is trained, in place, and on which labels.

    Attributes:
        backbone: To features.
        head: Features to logits.
        split: Without a validation part, no fit of it can be stopped early.
    """

    backbone: Backbone
    head: nn.Module
    split: LabelSplit


@dataclass(frozen=True)
class Phase:
    """One of the fits that a training is made of.

    Attributes:
        settings: Rates and length.
        classifiers: The classifiers that are trained side by side.
        x: Inputs of all training examples, shape (N, ...): images, or embeddings computed once.
        targets: Gives, for a split of the labels, the targets of all training examples, shape (N, ...), and the
            indices of those that are trained on.
        batch_size: Examples a step.
    """

    settings: FitConfig
    classifiers: Sequence[Classifier]
    x: Images
    targets: Callable[[LabelSplit], tuple[Tensor, Indices]]
    batch_size: int


@dataclass(frozen=True)
class Fitting:
    """All that fits of one training have in common.

    Attributes:
        plan: How.
        examples: On what.
        pretrained: Where the mode starts from a pretrained encoder.
        graph: Of nearest neighbours among the embeddings, shape (N, N), where the mode spreads labels.
    """

    plan: Plan
    examples: Examples
    pretrained: Pretrained | None
    graph: sparse.csr_matrix | None

    def heads(
        self, networks: Sequence[Network], epochs: int | None = None, checkpoint: Path | None = None
    ) -> FitResult:
        """Fit the heads on frozen backbones: on embeddings that were computed once.

        Args:
            networks: Trained side by side, in place.
            epochs: Number of epochs; None stops early, if the mode does.
            checkpoint: File that the fit is saved to now and then and goes on from; None for none.
        """
        assert self.pretrained is not None
        settings, train, x = self._head_settings, self.plan.train, self.pretrained.embeddings
        classifiers = [self.on_embeddings(network.head) for network in networks]
        if self.graph is None:
            phase = Phase(settings, classifiers, x, self._given, train.batch_size)
        else:
            phase = Phase(settings, classifiers, x, self._spread, train.graph.batch_size)
        return self._fit(phase, networks, epochs, checkpoint)

    def everything(
        self, networks: Sequence[Network], epochs: int | None = None, checkpoint: Path | None = None
    ) -> FitResult:
        """Train backbones and heads: on the labels, or on images without labels too. Arguments as of ``heads``."""
        settings, train, images = self.plan.settings, self.plan.train, self.examples.images
        if self.plan.definition.consistency:
            consistent = [self._consistent(network) for network in networks]
            targets = self._unread if self.graph is None else self._spread
            phase = Phase(settings, consistent, images, targets, train.consistency.batch_size)
        else:
            classifiers = [
                self._learner(settings, network.backbone, network.head, self._augment, True) for network in networks
            ]
            phase = Phase(settings, classifiers, images, self._given, train.batch_size)
        return self._fit(phase, networks, epochs, checkpoint)

    def on_embeddings(self, head: nn.Module) -> Classifier:
        """A head to be trained on embeddings that were computed once."""
        return self._learner(self._head_settings, nn.Identity(), head, nn.Identity(), False)

    @property
    def _head_settings(self) -> FitConfig:
        """How a head is fitted on a frozen encoder."""
        settings = self.plan.head_settings
        assert settings is not None
        return settings

    # --- the classifiers ------------------------------------------------------------------------------------------

    @property
    def _augment(self) -> nn.Module:
        """The augmentation of the images that an encoder is trained on."""
        train = self.plan.train
        return augmentation(self.plan.invariances, train.augment, train.clean_fraction)

    def _learner(
        self, settings: FitConfig, backbone: nn.Module, head: nn.Module, augment: nn.Module, train_backbone: bool
    ) -> Classifier:
        """The classifier of a fit on labels around these networks: the mode's own, if it needs no other images."""
        own = Classifier if self.plan.definition.consistency else self._own_class(Classifier)
        return own(backbone, head, train_backbone, augment, _rates(settings))

    def _consistent(self, network: Network) -> ConsistencyClassifier:
        """The classifier of a mode with consistency."""
        plan, settings, known = self.plan, self.plan.train.consistency, network.split.train
        rule = where_both_agree if self.graph is not None else partial(where_confident, threshold=settings.threshold)
        return self._own_class(ConsistencyClassifier)(
            network.backbone,
            network.head,
            self._augment,
            _rates(plan.settings),
            Labelled(self.examples.images[known], self.examples.labels[known], plan.train.batch_size),
            Unlabelled(augmentation(plan.invariances, settings.weak), rule, settings.weight),
        )

    def _own_class(self, default: type[C]) -> type[C]:
        """The class that the mode names for its classifier.

        Raises:
            PipelineError: If it cannot be imported, or is not a kind of the default class.
        """
        path = self.plan.definition.classifier
        if not path:
            return default
        found = plugins.find(f"mode {self.plan.mode}: classifier", path, {}, "")
        if not (isinstance(found, type) and issubclass(found, default)):
            raise PipelineError(
                f"mode {self.plan.mode}: classifier {path} is no {default.__name__}; make it a subclass of "
                f"{default.__module__}:{default.__qualname__}"
            )
        return found

    # --- what is learnt from: targets of all images, and the images that are trained on ---------------------------

    def _given(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """The labels of the split."""
        return self.examples.labels, split.train

    def _spread(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """Soft labels of the pool."""
        known = self.examples.labels.numpy()[split.train]
        scores = spread(self.graph, split.train, known, self.examples.classes, self.plan.train.graph.alpha)
        return soft_labels(scores, split.train, known), self._pool(split)

    def _unread(self, split: LabelSplit) -> tuple[Tensor, Indices]:
        """The pool, of whose images no label is read."""
        return torch.full_like(self.examples.labels, -1), self._pool(split)

    def _pool(self, split: LabelSplit) -> Indices:
        """Every image but the validation ones, which early stopping could not judge by if they were learnt from."""
        return np.setdiff1d(np.arange(len(self.examples.labels)), split.val)

    # --- the fit --------------------------------------------------------------------------------------------------

    def _fit(self, phase: Phase, networks: Sequence[Network], epochs: int | None, checkpoint: Path | None) -> FitResult:
        """Train side by side; stop by the mean validation loss, keep the mean E_in and E_val of every epoch."""
        settings, classifiers, x = phase.settings, phase.classifiers, phase.x
        stops = epochs is None and settings.patience > 0
        learners, used = [], []
        for network, classifier in zip(networks, classifiers, strict=True):
            labels, index = phase.targets(network.split)
            learners.append(FoldLearner(classifier, labels, torch.from_numpy(index)))
            used.append(index)
        union = torch.from_numpy(np.unique(np.concatenate(used)))
        batches = InMemoryData(x, torch.arange(len(x)), union, phase.batch_size, self.plan.seed)
        parts = [self.parts(network, x) for network in networks]

        def measure() -> dict[str, float]:
            rows = [self.measure(*pair) for pair in zip(classifiers, parts, strict=True)]
            return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

        model = SideBySide(learners)
        trains_encoder = any(classifier.train_backbone for classifier in classifiers)
        [result] = fit(
            model,
            batches,
            self.plan.runtime if trains_encoder else self.plan.float32_runtime,
            epochs or settings.max_epochs,
            [Monitored(model, measure)],
            monitor="loss_val" if stops else None,
            patience=settings.patience,
            checkpoint=checkpoint,
            save_every=checkpoints.BRIEF,
        )
        for classifier in classifiers:
            classifier.keep_ema()
        return result

    def parts(self, network: Network, x: Images) -> dict[str, tuple[Tensor, Tensor]]:
        """Inputs and labels of each part of the labels that there is."""
        parts = {"in": network.split.train, "val": network.split.val, "unseen": self.examples.unseen}
        labels = self.examples.labels
        return {name: (x[part], labels[part]) for name, part in parts.items() if part is not None and len(part)}

    def measure(self, classifier: Classifier, parts: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Error and loss of one network on each part."""
        row: dict[str, float] = {}
        for name, (inputs, labels) in parts.items():
            errors = evaluate(classifier, inputs, labels, self.examples.classes)
            row |= {f"e_{name}": errors.error, f"loss_{name}": errors.loss}
        return row


def _rates(settings: FitConfig) -> Rates:
    return Rates(settings.head_lr, settings.encoder_lr, settings.weight_decay, settings.layer_decay, settings.ema_decay)
