"""The part that both estimators share: it checks and scales images, and completes the settings."""

from __future__ import annotations

import dataclasses
import math
import numbers
import warnings
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets.scale import find_deviation, find_range
from pipeline.estimators.rows import Array, as_rows, resolve_shape, values_of
from pipeline.estimators.settings import (
    SECTIONS,
    SMALLEST_SIDE,
    drop_missing,
    settings_are_values,
    suited_to,
    with_field,
)


class ImageEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
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
        fields = {name: value for name, value in params.items() if name.split("__")[0] in SECTIONS and "__" in name}
        super().set_params(**{name: value for name, value in params.items() if name not in fields})
        for name, value in fields.items():
            section, *path = name.split("__")
            settings = getattr(self, section) or SECTIONS[section]()
            with settings_are_values():
                setattr(self, section, with_field(settings, path, value, name))
        return self

    def _fit_images(self, X: Any, **targets: Any) -> tuple[torch.Tensor, Any]:  # noqa: N803
        """Learn the images' shape and range; return them as the networks take them, and checked targets if given."""
        rows, shape = as_rows(X)
        checked = validate_data(self, rows, ensure_min_samples=2, **targets)
        rows, y = checked if targets else (checked, None)
        self._layout = (rows.shape[1],) if shape is None else np.shape(X)[1:]
        self.image_shape_ = resolve_shape(self.image_shape, shape, rows.shape[1])
        values = values_of(rows)
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
        rows, shape = as_rows(X)
        if shape is not None and shape != self.image_shape_:
            raise ValueError(
                f"X has images of shape {shape}, but {type(self).__name__} is expecting {self.image_shape_} "
                "(channels, height, width)"
            )
        rows = validate_data(self, rows, reset=False)
        if text := find_deviation(self.pixel_range_, values_of(rows), float(rows.mean())):
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
        settings = suited_to(self.image_shape_) if self.pretrain is None else self.pretrain
        own = drop_missing(latent=self.latent, epochs=self.epochs)
        return dataclasses.replace(settings, holdout=0, seed=seed, **own)

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
