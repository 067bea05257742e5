"""Images out of a latent space: samples, reconstructions, interpolations and the two-dimensional manifold.

Every function takes a model in eval mode and returns intensities in [0, 1], of shape (N, C, H, W), on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.inputs import as_input, in_blocks
from pipeline.models.pretraining import Reconstructing

SIDE = 20  # images along each axis of a manifold that is shown


@dataclass(frozen=True)
class LatentGaussian:
    """A Gaussian over the latent, from which images are sampled.

    Attributes:
        mean: Shape (D,).
        factor: A square root of the covariance, shape (D, D): latents are mean + factor @ noise.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def standard(cls, dimensions: int) -> LatentGaussian:
        """N(0, 1), the prior of a VAE."""
        return cls(torch.zeros(dimensions), torch.eye(dimensions))

    @classmethod
    def independent(cls, mean: Tensor, std: Tensor) -> LatentGaussian:
        """With independent dimensions of this mean and standard deviation, each of shape (D,)."""
        return cls(mean, torch.diag(std))

    @classmethod
    def fitted(cls, latents: Tensor) -> LatentGaussian:
        """With the mean and the covariance of latents, shape (N, D)."""
        # a dimension that never varies has no Cholesky factor; the eigenvectors do without one
        values, vectors = torch.linalg.eigh(torch.cov(latents.T.double()).reshape(2 * latents.shape[1:]))
        factor = vectors * values.clamp(min=0).sqrt()
        return cls(latents.mean(0), factor.to(latents.dtype))

    def place(self, noise: Tensor) -> Tensor:
        """Latents of standard normal noise, both of shape (N, D)."""
        return self.mean + noise @ self.factor.T

    def draw(self, count: int, seed: int) -> Tensor:
        """That many latents, shape (count, D)."""
        return self.place(torch.randn(count, len(self.mean), generator=torch.Generator().manual_seed(seed)))


@torch.no_grad()
def decode(model: Reconstructing, latents: Tensor) -> Tensor:
    """Return images of latents of shape (N, D)."""
    return in_blocks(lambda block: model.decode(block.to(model.device)).float().cpu(), latents)


def sample(model: Reconstructing, latent: LatentGaussian, count: int, seed: int = 0) -> Tensor:
    """That many images of latents drawn from the Gaussian."""
    return decode(model, latent.draw(count, seed))


@torch.no_grad()
def reconstruct(model: Reconstructing, images: Tensor) -> Tensor:
    """Reconstruct images of shape (N, C, H, W), uint8 or floats in [0, 1]; a VAE goes through the mean."""
    return in_blocks(lambda block: model(as_input(block.to(model.device))).float().cpu(), images)


@torch.no_grad()
def interpolate(model: Reconstructing, first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Return images along the straight line between the latents of two images, for many pairs at once.

    The images at both ends have the shape (P, C, H, W); a line has so many steps, both ends included.

    Returns:
        Line after line, shape (P * steps, C, H, W).
    """
    start, end = (model.embed(images.to(model.device)) for images in (first, second))
    share = torch.linspace(0, 1, steps, device=start.device)[:, None]
    lines = torch.lerp(start[:, None], end[:, None], share)
    return decode(model, lines.flatten(0, 1))


def manifold(model: Reconstructing, latent: LatentGaussian, side: int) -> Tensor:
    """Return a grid of side x side images over a latent of two dimensions (Kingma and Welling 2014, figure 4).

    The grid's points are equally spaced in probability: the Gaussian's quantile function makes latents of shares
    between 0 and 1, so that the picture shows each region in proportion to how often it is drawn.

    Returns:
        Row after row, the second dimension falling and the first rising: shape (side * side, C, H, W).

    Raises:
        ValueError: If the latent does not have two dimensions.
    """
    if len(latent.mean) != 2:
        raise ValueError(f"a manifold is drawn of 2 latent dimensions, not of {len(latent.mean)}")
    shares = (torch.arange(side) + 0.5) / side  # 0 and 1 themselves have no finite quantile
    axis = torch.special.ndtri(shares)
    rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([columns.flatten(), rows.flatten()], 1)
    return decode(model, latent.place(points))
