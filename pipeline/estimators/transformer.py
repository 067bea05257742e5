"""The estimator that pretrains an encoder and embeds images with it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig
from pipeline.estimators.image_estimator import ImageEstimator
from pipeline.estimators.rows import Array
from pipeline.estimators.settings import settings_are_values
from pipeline.learning.pretrain import pretrain
from pipeline.methods import find_method
from pipeline.models.generation import decode
from pipeline.models.inputs import infer
from pipeline.models.pretraining import Reconstructing
from pipeline.training.device import threads


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImageEstimator):  # type: ignore[misc]
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
        with settings_are_values():
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
