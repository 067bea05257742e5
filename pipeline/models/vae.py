"""The variational autoencoder (Kingma and Welling 2014)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models.expectations import Expectation, reparameterised
from pipeline.models.gaussian import kl_from_prior, soft_clamp
from pipeline.models.inputs import Images, as_input, chunks
from pipeline.models.likelihoods import LIKELIHOODS, Likelihood
from pipeline.models.pretraining import Reconstructing

CHUNK = 1000  # images at a time where nothing is trained


class MeanEncoder(nn.Module):
    """q(z | x) = N(mu, sigma^2) by one network that puts out mu and log sigma^2 side by side; its features are mu.

    Args:
        network: (B, C, H, W) to (B, 2 * features), with ``out_features``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.out_features = int(network.out_features) // 2  # type: ignore[arg-type]  # the encoder's contract

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each of shape (B, features)."""
        mu, logvar = self.network(x).chunk(2, dim=1)
        return mu, soft_clamp(logvar)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean, shape (B, features)."""
        return self.posterior(x)[0]


@dataclass(frozen=True)
class Bound:
    """The evidence lower bound of log p(x), averaged over images, in its two parts; nats.

    Attributes:
        reconstruction: -E log p(x | z), from one sample of z an image.
        kl: KL(q(z | x) || p(z)) of each latent dimension, shape (D,), in closed form.
    """

    reconstruction: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound itself."""
        return -self.reconstruction - self.kl.sum()

    def objective(self, beta: float, free_bits: float, reconstruction: float = 1.0) -> Tensor:
        """Return what is minimised: the negative bound, its KL weighted (Higgins et al. 2017) above a free allowance.

        Args:
            beta: Weight of the KL; 1 is the bound itself.
            free_bits: Nats of each dimension, averaged over the images, that cost the same as none, so that a
                dimension has nothing to gain from falling silent (Kingma et al. 2016, appendix C.8).
            reconstruction: Weight of the reconstruction; 0 leaves the KL alone.
        """
        return reconstruction * self.reconstruction + beta * self.kl.clamp(min=free_bits).sum()


class VAE(Reconstructing):
    """Encode to a distribution, decode a sample of it; the loss is the negative ELBO in nats an image.

    It is summed over pixels and latent dimensions: averaged over pixels, the KL would weigh 784 times too much.

    Args:
        encoder: Gives the posterior.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Distorts the encoder's input in training (Im et al. 2017); None for not at all.
        likelihood: "bernoulli", "binarised" or "gaussian", see ``likelihoods``.
        beta: Weight of the KL.
        kl_warmup: Epochs over which that weight rises linearly from 0 (Bowman et al. 2016).
        free_bits: Nats of each latent dimension that the KL does not charge for.
        reconstruction: Weight of the reconstruction; 0 leaves the KL alone.

    Attributes:
        expectation: How the reconstruction, which is an expectation over codes, is estimated.
    """

    encoder: MeanEncoder

    def __init__(
        self,
        encoder: MeanEncoder,
        decoder: nn.Module,
        corruption: nn.Module | None = None,
        likelihood: str = "bernoulli",
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        free_bits: float = 0.0,
        reconstruction: float = 1.0,
    ) -> None:
        super().__init__(encoder, decoder, corruption)
        self.expectation: Expectation = reparameterised
        self.likelihood: Likelihood = LIKELIHOODS[likelihood]()
        self.beta, self.kl_warmup, self.free_bits, self.reconstruction = beta, kl_warmup, free_bits, reconstruction

    @property
    def steps_alike(self) -> bool:
        """Whether the weight of the KL is the same at every step."""
        return not self.kl_warmup

    def parts(self) -> dict[str, nn.Module]:
        """Return the decoder, and the likelihood, which may have learnt a scale."""
        return {**super().parts(), "likelihood": self.likelihood}

    def bound(self, clean: Tensor, seen: Tensor, generator: torch.Generator | None = None) -> Bound:
        """Return the bound from one sample of each posterior.

        Args:
            clean: What is to be reconstructed, shape (B, C, H, W), in [0, 1].
            seen: What the encoder is shown, same shape.
            generator: Draws the samples; None takes the global one.
        """
        mu, logvar = self.encoder.posterior(seen)
        error = functools.partial(self.reconstruction_error, clean)
        return Bound(self.expectation(error, mu, logvar, generator).mean(), kl_from_prior(mu, logvar).mean(0))

    def reconstruction_error(self, clean: Tensor, z: Tensor) -> Tensor:
        """Return -log p(x | z) in nats, shape (B,), of images (B, C, H, W) in [0, 1] and codes (B, features)."""
        return -self.likelihood.log_prob(self.decoder(z), clean)

    def clean_pass(self, images: Tensor) -> object:
        """Reconstruct images from samples of the posteriors, as for the measured bound."""
        clean = self.likelihood.target(as_input(images))
        return self.bound(clean, clean)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a corrupted batch; the labels beside the images are not read."""
        clean = self.likelihood.target(as_input(batch[0]))
        return self._objective(self.bound(clean, self.corruption(clean)), self.current_beta())

    def _objective(self, bound: Bound, beta: float) -> Tensor:
        return bound.objective(beta, self.free_bits, self.reconstruction)

    def current_beta(self) -> float:
        """Return the weight of the KL at this step."""
        if not self.kl_warmup:
            return self.beta
        trainer = self.trainer
        assert trainer.max_epochs is not None
        steps = self.kl_warmup * int(trainer.estimated_stepping_batches) / trainer.max_epochs
        return self.beta * min(1.0, trainer.global_step / steps)

    def measure(self, images: Tensor) -> dict[str, float]:
        """Return the ELBO and its parts, and the loss in full: that is, after any warm-up."""
        bound = evaluate_bound(self, images)
        return {
            "holdout_loss": float(self._objective(bound, self.beta)),
            "holdout_elbo": float(bound.elbo),
            "holdout_reconstruction": float(bound.reconstruction),
            "holdout_kl": float(bound.kl.sum()),
        }


@torch.no_grad()
def evaluate_bound(model: VAE, images: Images, seed: int = 0) -> Bound:
    """Return the bound on clean images, shape (N, C, H, W), uint8 or floats in [0, 1]; the model is in eval mode.

    The seed decides the posteriors' samples, and the binarisation if there is one; so measuring does not change a
    training.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    reconstruction, kl = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for chunk in chunks(images, CHUNK):
        clean = model.likelihood.target(as_input(chunk.to(model.device)), generator)
        bound, share = model.bound(clean, clean, generator), len(chunk) / len(images)
        reconstruction = reconstruction + share * bound.reconstruction.cpu().double()
        kl = kl + share * bound.kl.cpu().double()
    return Bound(reconstruction, kl)
