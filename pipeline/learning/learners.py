"""The classifiers that networks are trained as: the mode's own or the default ones, at the rates of its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from pipeline import plugins
from pipeline.datasets.invariances import augmentation
from pipeline.datasets.splits import LabelSplit
from pipeline.errors import PipelineError
from pipeline.learning.examples import Examples, Network
from pipeline.learning.plan import Plan
from pipeline.models.classifier import Classifier, Rates
from pipeline.models.self_training import Labelled, SelfTrainingClassifier

C = TypeVar("C", bound=Classifier)


@dataclass(frozen=True)
class Learners:
    """Makes the classifiers of a plan.

    Attributes:
        plan: How the classifier is trained.
        examples: The images and labels that it learns from.
    """

    plan: Plan
    examples: Examples

    @property
    def _augment(self) -> nn.Module:
        """The augmentation of the images that an encoder is trained on."""
        train = self.plan.train
        return augmentation(self.plan.invariances, train.augment, train.clean_fraction)

    def rates(self, network: Network) -> Rates:
        """Return how the weights of a network move."""
        train, fit = self.plan.train, self.plan.settings
        return Rates(
            fit.head_lr,
            fit.encoder_lr,
            self.plan.weight_decay,
            train.ema_decay,
            train.label_smoothing,
            self.class_weights(network.split),
        )

    def class_weights(self, split: LabelSplit) -> tuple[float, ...]:
        """Return the factor of each class in the loss; a class without a label to train on has 1."""
        if self.plan.train.class_weights == "none":
            return ()
        known, weights = self.examples.labels.numpy()[split.train], np.ones(self.examples.classes)
        present = np.unique(known)
        weights[present] = compute_class_weight("balanced", classes=present, y=known)
        return tuple(weights.tolist())

    def on_embeddings(self, network: Network, rates: Rates) -> Classifier:
        """Make the classifier that trains a head on embeddings; the mode's own class unless that needs images."""
        own = Classifier if self.plan.definition.self_trains else self._own_class(Classifier)
        return own(nn.Identity(), network.head, False, nn.Identity(), rates)

    def on_images(self, network: Network) -> Classifier:
        """Make the classifier that trains backbone and head on labelled images."""
        own = self._own_class(Classifier)
        return own(network.backbone, network.head, True, self._augment, self.rates(network))

    def self_training(self, network: Network) -> SelfTrainingClassifier:
        """Make the classifier that trains backbone and head on labelled images and on spread labels."""
        train, known = self.plan.train, network.split.train
        labelled = Labelled(self.examples.images[known], self.examples.labels[known], train.batch_size)
        own = self._own_class(SelfTrainingClassifier)
        rates, weight = self.rates(network), train.self_training.weight
        return own(network.backbone, network.head, self._augment, rates, labelled, weight)

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
