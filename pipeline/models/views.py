"""An autoencoder whose latents of two changed copies of an image have to agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.batch_statistics import by_batch
from pipeline.models.encoders import perceptron_layers
from pipeline.models.inputs import as_input
from pipeline.models.losses import binary_cross_entropy
from pipeline.models.pretraining import Reconstructing


class ViewAutoencoder(Reconstructing):
    """Agreement of views by VICReg (Bardes et al. 2022, arXiv 2105.04906) beside the denoising autoencoder's task.

    Agreement teaches the encoder to leave out whatever the random changes change; variance and covariance keep it from
    making all images alike; drawing the clean image keeps what agreement has no use for.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Makes a view of an image, at random.
        projector: Units of the layers that lie between latents and agreement; they are not kept.
        weights: What each term of the loss counts, by the names that ``terms`` gives them.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        corruption: nn.Module,
        projector: Sequence[int],
        weights: Mapping[str, float],
    ) -> None:
        super().__init__(encoder, decoder, corruption)
        *hidden, last = projector
        width = int(encoder.out_features)  # type: ignore[arg-type]  # the encoder's contract
        self.projector = nn.Sequential(*perceptron_layers(width, hidden, last))
        self.weights = weights

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the weighted sum of the four terms; the labels beside the images are not read."""
        return sum(self.terms(as_input(batch[0])).values(), torch.zeros((), device=self.device))

    def terms(self, clean: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of clean images, shape (B, C, H, W), by name.

        They are the mean squared difference between the projections of two views; what the standard deviations of
        projected features lack of 1; their squared covariances; and the clean image's cross-entropy given a view's
        latent, summed over pixels.
        """
        first, second = (self.encoder(self.corruption(clean)) for _ in range(2))
        drawn = [binary_cross_entropy(self.decoder(latents), clean) for latents in (first, second)]
        a, b = self.projector(first).float(), self.projector(second).float()
        terms = {
            "invariance": F.mse_loss(a, b),
            "variance": (lacking_variance(a) + lacking_variance(b)) / 2,
            "covariance": shared_variance(a) + shared_variance(b),
            "reconstruction": (drawn[0] + drawn[1]) / 2,
        }
        return {name: self.weights[name] * term for name, term in terms.items()}

    def measure(self, images: Tensor) -> dict[str, float]:
        """Return the loss of held-out images, its agreement, and the reconstruction of images that are not changed."""
        clean = as_input(images)
        with by_batch(self):  # the changed copies are not what the statistics are of
            terms = {name: value.item() for name, value in self.terms(clean).items()}
        return {
            "holdout_loss": sum(terms.values()),
            "holdout_invariance": terms["invariance"],
            "holdout_reconstruction": float(binary_cross_entropy(self.decoder(self.embed(images)), clean)),
        }


def lacking_variance(features: Tensor) -> Tensor:
    """Return the mean shortfall below 1 of the standard deviations of features, shape (B, D)."""
    return F.relu(1 - (features.var(0) + 1e-4).sqrt()).mean()


def shared_variance(features: Tensor) -> Tensor:
    """Sum of the squared covariances between different features, shape (B, D), divided by their number."""
    count = len(features)
    centred = features - features.sum(0) / count
    covariance = centred.T @ centred / (count - 1)  # torch.cov would wait for a GPU
    return (covariance - covariance.diagonal().diag()).square().sum() / len(covariance)
