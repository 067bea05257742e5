"""The estimator that learns to classify images from a few labels."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import Draw, union
from pipeline.estimators.image_estimator import ImageEstimator
from pipeline.estimators.partial_labels import plain_labels, unlabelled, warn_of_ensemble, warn_of_scorer
from pipeline.estimators.rows import Array
from pipeline.estimators.settings import drop_missing, settings_are_values
from pipeline.learning import search
from pipeline.learning.classify import Trained, neighbours, train_classifier
from pipeline.learning.examples import Examples
from pipeline.learning.plan import Plan, Pretrained, split_budget
from pipeline.learning.pretrain import pretrain
from pipeline.models.inputs import infer
from pipeline.models.propagation import similarity_graph
from pipeline.modes import FitChanges, find_mode
from pipeline.training.device import find_device, threads


class SemiSupervisedClassifier(ClassifierMixin, ImageEstimator):  # type: ignore[misc]
    """Pretrain on all images, then train a shallow classifier on those with a label.

    It trains as the commands ``pretrain`` and ``train`` do with the same settings, to the bit. All labels in y are the
    budget; those that early stopping looks at come out of them. A parameter that is None is taken from ``pretrain`` or
    ``train``, which are the sections of that name of a config.

    Labels are whole numbers or strings. There is none where y is -1, None or NaN; among strings also "-1", which is
    what NumPy makes of -1 beside strings, and "". Scikit-learn's own scorers and ensembles take -1 for a class: see
    ``scorer`` and ``docs/estimators.md``.

    Args:
        mode: How the classifier is trained: the name of a mode, which ``pipeline.modes.BUILT_IN`` lists, or the import
            path, "module:OBJECT", of one of your own. "frozen" trains the head on the pretrained encoder, "finetune"
            both, "scratch" the same network without pretraining.
        latent: Width of the embedding.
        epochs: Passes of the pretraining over the images.
        head_lr: Learning rate of the head in this mode.
        encoder_lr: Learning rate of the encoder in this mode, where it is trained.
        length: Steps of a training on labels alone, for each square root of a label.
        image_shape: (H, W) or (C, H, W) of an image in rows of pixels, as in ``AutoencoderTransformer``.
        pretrain: All other settings of the pretraining, as in ``AutoencoderTransformer``.
        invariances: The changes that leave an image's class as it is, as in ``AutoencoderTransformer``.
        train: All other settings of the classifiers: share of labels for validation, head, augmentation and so on.
        runtime: Device, precision and threads of the pretraining; None finds the device and shows no progress.
        random_state: A whole number from 0 to 2**32 - 1 gives the same classifier at each fit.

    Attributes:
        classes_: The distinct labels, sorted.
        model_: Encoder and head, a ``torch.nn.Module`` from images to logits, in eval mode.
        history_: One dict a measurement of the last training, with ``e_in``, ``e_val``, ``loss_val`` and so on;
            without the latter two if ``train.validation`` is "none".
        kept_: Number of the measurement whose weights were kept, from 0.
        temperature_: What the logits are divided by before they become probabilities, fitted on ``split_.val``; 1 if
            that is empty.
        split_: Rows of X whose labels were trained on, ``split_.train``, and stopped on, ``split_.val``. With
            ``train.validation`` "kfold", both are all that have one; with "none", the first is, and the second is
            empty.
        image_shape_: Channels, height and width.
        pixel_range_: The values of X that the networks see as 0 and as 1.
        n_features_in_: The number of values of an image.

    Raises:
        ValueError: If X does not hold finite numbers, has another shape, the labels are of one class or too few for a
            validation part, or a setting is out of range.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> y[60:] = -1  # no label is known of the others
        >>> classifier = SemiSupervisedClassifier(latent=8, epochs=1, length=5, random_state=0)
        >>> classifier = classifier.fit(X[:200], y[:200])
        >>> len(classifier.split_.train) + len(classifier.split_.val)
        60
        >>> classifier.predict_proba(X[200:203]).shape
        (3, 10)
    """

    def __init__(
        self,
        mode: str = "frozen",
        *,
        latent: int | None = None,
        epochs: int | None = None,
        head_lr: float | None = None,
        encoder_lr: float | None = None,
        length: float | None = None,
        image_shape: tuple[int, ...] | None = None,
        pretrain: PretrainConfig | None = None,
        invariances: InvariancesConfig | None = None,
        train: TrainConfig | None = None,
        runtime: RuntimeConfig | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.mode = mode
        self.latent = latent
        self.epochs = epochs
        self.head_lr = head_lr
        self.encoder_lr = encoder_lr
        self.length = length
        self.image_shape = image_shape
        self.pretrain = pretrain
        self.invariances = invariances
        self.train = train
        self.runtime = runtime
        self.random_state = random_state

    def __sklearn_clone__(self) -> Self:
        """Make an unfitted copy, as an ensemble does before it fits in other processes, whose callers are not seen."""
        warn_of_ensemble()
        copy: Self = super().__sklearn_clone__()
        return copy

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on images X, shape (N, pixels), (N, H, W) or (N, C, H, W), and labels y, shape (N,)."""
        with settings_are_values():
            find_mode(self.mode)
            warn_of_ensemble()
            images, y = self._fit_images(X, y=None if y is None else plain_labels(y))
            self.classes_, labels = _encode(y)
            plan, classes = self._plan(), len(self.classes_)
            splits = split_budget(plan.train, labels, classes, Draw(int((labels >= 0).sum()), plan.seed))
            self.split_ = union(splits)
            examples = Examples(images, torch.from_numpy(labels), classes, splits)
            with isolate_rng():
                trained = _train(plan, examples)
        self.model_, self.history_ = trained.model.eval(), trained.result.history
        self.kept_, self.temperature_ = trained.result.kept, trained.temperature
        return self

    @torch.no_grad()
    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the probabilities of the classes for images X, float64, shape (N, classes).

        They are calibrated unless ``train.validation`` is "none". The classes are in the order of ``classes_``. An
        image has the same bits in any company.
        """
        warn_of_scorer()
        images = self._images(X)
        logits = infer(self.model_, images)
        return (logits.double() / self.temperature_).softmax(1).numpy()

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the likeliest class of each of the images X, shape (N,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]  # type: ignore[no-any-return]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Return the share of the images X with a label that are classified rightly, 0 to 1; others are left out.

        Raises:
            ValueError: If there is no label in y.
        """
        y = column_or_1d(plain_labels(y))
        known = ~unlabelled(y)
        if not known.any():
            raise ValueError("y: no image has a label (all are -1); expected some to be scored on")
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(accuracy_score(y[known], self.predict(X)[known], sample_weight=weights))

    def _plan(self) -> Plan:
        seed = self._seed()
        train = TrainConfig() if self.train is None else self.train
        rates = drop_missing(head_lr=self.head_lr, encoder_lr=self.encoder_lr)
        changes = dataclasses.replace(train.modes.get(self.mode, FitChanges()), **rates)
        length = drop_missing(length=self.length)
        train = dataclasses.replace(train, modes={**train.modes, self.mode: changes}, **length)
        pretraining, invariances = self._pretrain_settings(seed), self._invariance_settings()
        return Plan(self.mode, pretraining, train, invariances, self._runtime_settings(), seed)


def _train(plan: Plan, examples: Examples) -> Trained:
    """Pretrain and find neighbours where the mode asks for it, then train: one thread for the head, as a cell has."""
    mode, pretrained, graph = find_mode(plan.mode), None, None
    if mode.spreads_labels:
        search.check(plan.train.graph, len(examples.images))
    with threads(plan.runtime.threads):
        if mode.pretrained:
            encoder = pretrain(plan.pretrain, plan.invariances, plan.runtime, examples.images)
            pretrained = Pretrained(encoder.backbone.state_dict(), encoder.embeddings)
            if mode.spreads_labels:
                found = neighbours(plan.train.graph, encoder.embeddings, find_device(plan.runtime))
                graph = similarity_graph(found.indices, found.distances)
    with threads(1):
        return train_classifier(plan, examples, pretrained, graph)


def _encode(y: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return the distinct classes, and each label as its number among them, -1 for none.

    Raises:
        ValueError: If the labels do not name classes, or name fewer than two.
    """
    known = ~unlabelled(y)
    check_classification_targets(y[known])
    classes, codes = np.unique(y[known], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y: the labels are of {len(classes)} class(es); expected two classes or more")
    labels = np.full(len(y), -1, np.int64)
    labels[known] = codes
    return classes, labels
