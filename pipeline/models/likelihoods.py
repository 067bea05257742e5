"""How likely an image is given the decoder's logits: log p(x | z) in nats, summed over pixels.

The mean of each is the sigmoid of the logits. The arithmetic is at least float32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.gaussian import at_least_float32, soft_clamp


class Bernoulli(nn.Module):
    """Cross-entropy of grey levels, taken as probabilities of ink: what most published MNIST figures use.

    Grey levels between 0 and 1 are no outcomes of a coin, so this is not a normalised density (Loaiza-Ganem and
    Cunningham 2019); its values compare with each other, not with those of the other likelihoods.
    """

    def target(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what is to be reconstructed, shape (B, C, H, W): the images."""
        return images

    def log_prob(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the log of p(target | logits) of each image.

        Args:
            logits: Shape (..., B, C, H, W).
            target: Shape (B, C, H, W), in [0, 1].

        Returns:
            Shape (..., B).
        """
        logits = at_least_float32(logits)
        target = target.to(logits.dtype).expand_as(logits)
        return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(-3).sum(-1)


class Binarised(Bernoulli):
    """Bernoulli over black and white images, drawn anew from the grey levels at each step (Burda et al. 2016)."""

    def target(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a binary sample of the images, shape (B, C, H, W), whose mean they are."""
        return torch.bernoulli(images, generator=generator)


class Gaussian(nn.Module):
    """Normal density of the intensities with one learnt standard deviation for all pixels (Rybkin et al. 2021).

    Learning it strikes the balance between reconstruction and KL that a fixed one would have to be tuned for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def target(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what is to be reconstructed, shape (B, C, H, W): the images."""
        return images

    def log_prob(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the log of p(target | logits) of each image, shapes as for ``Bernoulli``."""
        mean = at_least_float32(logits).sigmoid()
        log_scale = soft_clamp(self.log_scale)
        standardised = (target - mean) * (-log_scale).exp()
        density = -0.5 * standardised.square() - log_scale - 0.5 * math.log(2 * math.pi)
        return density.flatten(-3).sum(-1)


Likelihood = Bernoulli | Gaussian

LIKELIHOODS: dict[str, type[Bernoulli] | type[Gaussian]] = {
    "bernoulli": Bernoulli,
    "binarised": Binarised,
    "gaussian": Gaussian,
}
