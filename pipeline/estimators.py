"""The pipeline as scikit-learn estimators: the stages' own trainings, from arrays, with nothing on disk.

Images come as ``X``: rows of pixels (N, pixels), (N, H, W) or (N, C, H, W). Black and white are found by the rule of
``pipeline.datasets.scale``: bytes run to 255, floats to 1, or whole numbers to 255. Any other numbers are taken as
intensities between the least and the greatest value that ``fit`` saw. What became 0 and 1 for all pixels alike is kept
in ``pixel_range_``; later images are mapped in the same way, with a warning if they are scaled otherwise. The networks
then see floats, nothing is rounded to bytes.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.scale import Values, find_deviation, find_range
from pipeline.datasets.splits import Draw, union
from pipeline.errors import PipelineError
from pipeline.learning.classify import Trained, neighbours, train_classifier
from pipeline.learning.fitting import Examples
from pipeline.learning.plan import Plan, Pretrained, split_budget
from pipeline.learning.pretrain import pretrain
from pipeline.methods import find_method
from pipeline.models.generation import decode
from pipeline.models.inputs import infer
from pipeline.models.pretraining import Reconstructing
from pipeline.models.propagation import similarity_graph
from pipeline.modes import FitChanges, find_mode
from pipeline.partial_labels import plain_labels, scorer, unlabelled, warn_of_ensemble, warn_of_scorer
from pipeline.training.trainer import threads

__all__ = ["AutoencoderTransformer", "SemiSupervisedClassifier", "scorer"]

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]

_SECTIONS: dict[str, Callable[[], Any]] = {
    "pretrain": PretrainConfig,
    "invariances": InvariancesConfig,
    "train": TrainConfig,
    "runtime": lambda: RuntimeConfig(progress=False),
}

SMALLEST_SIDE = 8  # pixels, from which on convolutions and changes of shape make sense


class _ImageEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The part that both estimators share: it checks and scales images, and completes the settings."""

    latent: int | None
    epochs: int | None
    image_shape: tuple[int, ...] | None
    pretrain: PretrainConfig | None
    invariances: InvariancesConfig | None
    runtime: RuntimeConfig | None
    random_state: int | np.random.RandomState | None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and single fields of a section by names such as ``pretrain__encoder__widths``.

        Raises:
            ValueError: If there is no such parameter or field, or a value is not allowed.
        """
        fields = {name: value for name, value in params.items() if name.split("__")[0] in _SECTIONS and "__" in name}
        super().set_params(**{name: value for name, value in params.items() if name not in fields})
        for name, value in fields.items():
            section, *path = name.split("__")
            settings = getattr(self, section) or _SECTIONS[section]()
            with _settings_are_values():
                setattr(self, section, _with_field(settings, path, value, name))
        return self

    def _fit_images(self, X: Any, **targets: Any) -> tuple[torch.Tensor, Any]:  # noqa: N803
        """Learn the images' shape and range; return them as the networks take them, and checked targets if given."""
        rows, shape = _as_rows(X)
        checked = validate_data(self, rows, ensure_min_samples=2, **targets)
        rows, y = checked if targets else (checked, None)
        self._layout = (rows.shape[1],) if shape is None else np.shape(X)[1:]
        self.image_shape_ = _resolve_shape(self.image_shape, shape, rows.shape[1])
        values = _values(rows)
        self.pixel_range_ = find_range(values)
        if values.dtype == "uint8" and self.pixel_range_ == (0, 1):
            warnings.warn(
                "X holds the bytes 0 and 1 alone, which are taken for black and white; if the images are nearly black "
                "instead, and 255 is white, fit X / 255",
                UserWarning,
                stacklevel=3,
            )
        if not math.isfinite(self.pixel_range_[1] - self.pixel_range_[0]):
            raise ValueError(f"X runs from {rows.min():g} to {rows.max():g}; expected a range that float64 can hold")
        return self._scale(rows), y

    def _images(self, X: Any) -> torch.Tensor:  # noqa: N803
        """Check that images have the shape known from fit, and return them as the networks take them."""
        check_is_fitted(self)
        rows, shape = _as_rows(X)
        if shape is not None and shape != self.image_shape_:
            raise ValueError(
                f"X has images of shape {shape}, but {type(self).__name__} is expecting {self.image_shape_} "
                "(channels, height, width)"
            )
        rows = validate_data(self, rows, reset=False)
        if text := find_deviation(self.pixel_range_, _values(rows), float(rows.mean())):
            warnings.warn(text, UserWarning, stacklevel=4)
        return self._scale(rows)

    def _scale(self, rows: Array) -> torch.Tensor:
        """Return uint8 images as they are, others as floats from 0 to 1 for the range of fit, shape (N, C, H, W)."""
        low, high = self.pixel_range_
        if rows.dtype != np.uint8 or (low, high) != (0, 255):
            rows = ((rows.astype(np.float64) - low) / ((high - low) or 1)).astype(np.float32)
        rows = np.require(rows, requirements=["C", "W"])  # torch warns of arrays that it may not write to
        return torch.from_numpy(rows).reshape(-1, *self.image_shape_)

    def _pretrain_settings(self, seed: int) -> PretrainConfig:
        """Complete the section pretrain; no image is held out, since scikit-learn has its own ways to do that."""
        settings = _suited_to(self.image_shape_) if self.pretrain is None else self.pretrain
        return dataclasses.replace(settings, holdout=0, seed=seed, **_given(latent=self.latent, epochs=self.epochs))

    def _invariance_settings(self) -> InvariancesConfig:
        """Complete the section invariances: noise alone where there is no shape to change."""
        if self.invariances is not None:
            return self.invariances
        shaped = min(self.image_shape_[1:]) >= SMALLEST_SIDE
        return InvariancesConfig() if shaped else InvariancesConfig("none", noise=0.1)

    def _runtime_settings(self) -> RuntimeConfig:
        return RuntimeConfig(progress=False) if self.runtime is None else self.runtime.alone

    def _seed(self) -> int:
        """Return the seed: a whole number is the seed itself, as on the command line."""
        generator = check_random_state(self.random_state)
        return int(self.random_state if isinstance(self.random_state, numbers.Integral) else generator.randint(2**31))


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _ImageEstimator):  # type: ignore[misc]
    """Pretrain an autoencoder on images without labels, and embed images with it.

    It trains as the command ``pretrain`` does with the same settings, to the bit. A parameter that is None is taken
    from ``pretrain``, which is the section of that name of a config.

    Args:
        latent: Width of the embedding.
        epochs: Passes over the images.
        image_shape: (H, W) or (C, H, W) of an image in rows of pixels. None takes rows whose width is a square for
            square grey images and others for a single line of pixels, (1, 1, pixels).
        pretrain: All other settings: method, networks, corruption, loss and so on. Its ``holdout`` and ``seed`` are
            not read. None takes the command line's defaults, and for images with a side below 8 pixels, such as a
            line of them, fully connected networks.
        invariances: The changes that leave an image's class as it is, by which training images are augmented. None
            takes those of characters, and for images with a side below 8 pixels noise alone.
        runtime: Device, precision and threads; None finds the device and shows no progress.
        random_state: A whole number from 0 to 2**32 - 1 gives the same encoder at each fit.

    Attributes:
        backbone_: Encoder and standardisation, a ``torch.nn.Module`` in eval mode.
        model_: Autoencoder or VAE around the same encoder, in eval mode.
        history_: One dict an epoch, with ``epoch`` and ``train_loss``.
        image_shape_: Channels, height and width.
        pixel_range_: The values of X that the networks see as 0 and as 1.
        n_features_in_: The number of values of an image.

    Raises:
        ValueError: If X does not hold finite numbers, has another shape, or a setting is out of range.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, _ = load_digits(return_X_y=True)
        >>> encoder = AutoencoderTransformer(latent=8, epochs=1, random_state=0).fit(X[:200])
        >>> encoder.image_shape_, encoder.pixel_range_
        ((1, 8, 8), (0.0, 16.0))
        >>> encoder.transform(X[200:203]).shape
        (3, 8)
        >>> encoder.inverse_transform(encoder.transform(X[:3])).shape
        (3, 64)
    """

    def __init__(
        self,
        latent: int | None = None,
        epochs: int | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        pretrain: PretrainConfig | None = None,
        invariances: InvariancesConfig | None = None,
        runtime: RuntimeConfig | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent = latent
        self.epochs = epochs
        self.image_shape = image_shape
        self.pretrain = pretrain
        self.invariances = invariances
        self.runtime = runtime
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # embeddings are float32
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Pretrain on images X, shape (N, pixels), (N, H, W) or (N, C, H, W) with N of at least 2; y is not read."""
        with _settings_are_values():
            images, _ = self._fit_images(X)
            settings, runtime = self._pretrain_settings(self._seed()), self._runtime_settings()
            with isolate_rng(), threads(runtime.threads):
                encoder = pretrain(settings, self._invariance_settings(), runtime, images)
        self.backbone_, self.model_, self.history_ = encoder.backbone, encoder.model, encoder.result.history
        self._n_features_out = encoder.embeddings.shape[1]
        return self

    def transform(self, X: Any) -> Array:  # noqa: N803
        """Embed images X; for a VAE, the embedding is the posterior's mean.

        Returns:
            Standardised features, float32, shape (N, features). An image has the same bits in any company.
        """
        images = self._images(X)
        return infer(self.backbone_, images).numpy()

    @available_if(lambda self: self._decodes())  # type: ignore[untyped-decorator]  # scikit-learn has no types
    @torch.no_grad()
    def inverse_transform(self, X: Any) -> Array:  # noqa: N803
        """Draw images from embeddings X, shape (N, features); only methods of pretraining with a decoder have this.

        Returns:
            Images, float32, laid out and scaled like those of fit.
        """
        check_is_fitted(self)
        latents = torch.from_numpy(check_array(X, dtype=np.float32, force_writeable=True))
        if latents.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {latents.shape[1]} features, but {type(self).__name__} makes {self._n_features_out}"
            )
        model = self.model_
        assert isinstance(model, Reconstructing)
        images = decode(model, self.backbone_.unstandardise(latents))
        low, high = self.pixel_range_
        return (images * (high - low) + low).reshape(-1, *self._layout).numpy()

    def _decodes(self) -> bool:
        """Whether the method of pretraining draws images."""
        settings = PretrainConfig() if self.pretrain is None else self.pretrain
        return find_method(settings.method).decodes


class SemiSupervisedClassifier(ClassifierMixin, _ImageEstimator):  # type: ignore[misc]
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
        image_shape: See ``AutoencoderTransformer``.
        pretrain: See ``AutoencoderTransformer``.
        invariances: See ``AutoencoderTransformer``.
        train: All other settings of the classifiers: share of labels for validation, head, augmentation and so on.
        runtime: Device, precision and threads of the pretraining; None finds the device and shows no progress.
        random_state: A whole number from 0 to 2**32 - 1 gives the same classifier at each fit.

    Attributes:
        classes_: The distinct labels, sorted.
        model_: Encoder and head, a ``torch.nn.Module`` from images to logits, in eval mode.
        history_: One dict a measurement of the last training, with ``e_in``, ``e_val``, ``loss_val`` and so on.
        kept_: Number of the measurement whose weights were kept, from 0.
        split_: Rows of X whose labels were trained on, ``split_.train``, and stopped on, ``split_.val``; with
            ``train.validation`` "kfold", both are all that have one.
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

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on images X, shape (N, pixels), (N, H, W) or (N, C, H, W), and labels y, shape (N,)."""
        with _settings_are_values():
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
        self.kept_ = trained.result.kept
        return self

    @torch.no_grad()
    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the classes' probabilities for images X, float64, shape (N, classes), as ``classes_`` are ordered.

        An image has the same bits in any company.
        """
        warn_of_scorer()
        images = self._images(X)
        logits = infer(self.model_, images)
        return logits.double().softmax(1).numpy()

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
        seed, train = self._seed(), TrainConfig() if self.train is None else self.train
        given = _given(head_lr=self.head_lr, encoder_lr=self.encoder_lr)
        changes = dataclasses.replace(train.modes.get(self.mode, FitChanges()), **given)
        train = dataclasses.replace(train, modes={**train.modes, self.mode: changes}, **_given(length=self.length))
        settings, invariances = self._pretrain_settings(seed), self._invariance_settings()
        return Plan(self.mode, settings, train, invariances, self._runtime_settings(), seed)


def _train(plan: Plan, examples: Examples) -> Trained:
    """Pretrain and find neighbours where the mode asks for it, then train: one thread for the head, as a cell has."""
    mode, pretrained, graph = find_mode(plan.mode), None, None
    with threads(plan.runtime.threads):
        if mode.pretrained:
            encoder = pretrain(plan.pretrain, plan.invariances, plan.runtime, examples.images)
            pretrained = Pretrained(encoder.backbone.state_dict(), encoder.embeddings)
            if mode.spreads_labels:
                sources = encoder.backbone, examples.images
                found = neighbours(plan.train.graph, plan.invariances, encoder.embeddings, lambda: sources)
                graph = similarity_graph(*found)
    with threads(1):
        return train_classifier(plan, examples, pretrained, graph)


@contextmanager
def _settings_are_values() -> Iterator[None]:
    """Raise a ValueError, as scikit-learn does, where the pipeline refuses a setting."""
    try:
        yield
    except PipelineError as error:
        raise ValueError(str(error)) from error


def _with_field(settings: Any, path: Sequence[str], value: Any, name: str) -> Any:
    """Return settings with one field changed; the path leads to it through sections within sections.

    Raises:
        ValueError: If there is no such field; the message calls the parameter by its ``name``.
    """
    first, *rest = path
    known = [field.name for field in dataclasses.fields(settings)] if dataclasses.is_dataclass(settings) else []
    if first not in known:
        raise ValueError(f"{name}: there is no field {first!r}; expected one of {', '.join(known) or 'none'}")
    if rest:
        value = _with_field(getattr(settings, first), rest, value, name)
    return dataclasses.replace(settings, **{first: value})


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _suited_to(shape: Shape) -> PretrainConfig:
    """Return the default settings, or, where there is no shape to look at, ones without convolutions."""
    if min(shape[1:]) >= SMALLEST_SIDE:
        return PretrainConfig()
    network = NetworkConfig("mlp", (512,), ())
    return PretrainConfig(encoder=network, decoder=network)


# --- images and labels ----------------------------------------------------------------------------------------


def _values(rows: Array) -> Values:
    return Values(str(rows.dtype), float(rows.min()), float(rows.max()))


def _as_rows(X: Any) -> tuple[Any, Shape | None]:  # noqa: N803
    """Return rows of pixels, and the images' shape (C, H, W) if X tells it."""
    if getattr(X, "ndim", 0) == 2:  # data frames and sparse matrices too, of which scikit-learn knows more
        return X, None
    images = np.asarray(X)
    if images.ndim <= 2:
        return images, None
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        raise ValueError(f"X has shape {images.shape}; expected channels first, as X.transpose(0, 3, 1, 2) has them")
    if images.ndim > 4:
        raise ValueError(f"X has shape {images.shape}; expected (N, pixels), (N, H, W) or (N, C, H, W)")
    channels, height, width = (1, *images.shape[1:])[-3:]
    return images.reshape(len(images), channels * height * width), (channels, height, width)


def _resolve_shape(asked: tuple[int, ...] | None, found: Shape | None, pixels: int) -> Shape:
    """Return an image's shape (C, H, W): as X has it, as the parameter says, or guessed from the number of pixels."""
    side = math.isqrt(pixels)
    if asked is None:
        return found or ((1, side, side) if side * side == pixels else (1, 1, pixels))
    shape = (1, *asked) if len(asked) == 2 else tuple(asked)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != pixels or found not in (None, shape):
        raise ValueError(
            f"image_shape: {asked} is not the shape of images of "
            f"{pixels if found is None else found} pixels; expected (H, W) or (C, H, W)"
        )
    channels, height, width = map(int, shape)
    return channels, height, width


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
