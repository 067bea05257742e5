"""Linear heads on embeddings that are trained as one batched computation, each on its own examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.classifier import Classifier


class _Linear(torch.autograd.Function):
    """``F.linear`` of several batches; of the ways to write its gradient, this one rounds as ``F.linear`` does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Of x (heads, B, features), weight (heads, classes, features) and bias (heads, classes)."""
        ctx.save_for_backward(x)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        """Of weight and bias; the embeddings are given."""
        (x,), (gradient,) = ctx.saved_tensors, gradients
        return None, torch.bmm(gradient.mT, x), gradient.sum(1)


class StackedHeads(pl.LightningModule):
    """Heads that take their steps at the same time: one matrix product for all, and one step of AdamW.

    Args:
        classifiers: Linear heads of one shape on ``nn.Identity()``, without augmentation and ema_decay.
    """

    def __init__(self, classifiers: Sequence[Classifier]) -> None:
        super().__init__()
        self.automatic_optimization = False  # see training_step
        self.classifiers, self.stacked = list(classifiers), nn.ModuleList(classifiers)
        heads = [cast(nn.Sequential, classifier.head)[-1] for classifier in classifiers]
        self.weights = [cast(Tensor, head.weight) for head in heads]
        self.biases = [cast(Tensor, head.bias) for head in heads]
        self.train()

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Train for a whole epoch in one call, as ``SideBySide`` does; each head's mean loss, shape (heads,).

        Args:
            batches: Embeddings, shape (heads, B, features), and their classes, shape (heads, B).
        """
        optimizer, parameters = self.optimizers(use_pl_optimizer=False), [*self.weights, *self.biases]
        assert isinstance(optimizer, torch.optim.Optimizer)
        steps = []
        for x, labels in batches:
            for parameter in parameters:
                parameter.grad = None
            log_probabilities = self.log_probabilities(x)
            torch.autograd.backward(_summed(log_probabilities, labels))
            optimizer.step()
            steps.append(_losses(log_probabilities, labels))
        return torch.stack([torch.stack(own).mean() for own in zip(*steps, strict=True)])

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Of the classes, each head for its own part of a batch, shape (heads, B, classes)."""
        logits: Tensor = _Linear.apply(x, torch.stack(self.weights), torch.stack(self.biases))  # type: ignore[no-untyped-call]
        return F.log_softmax(logits, -1)

    def same_bits(self, x: Tensor, labels: Tensor) -> bool:
        """Whether losses and gradients of such a batch are those of each head alone, to the bit.

        They are the same sums, but a library may add in another order where it multiplies many matrices at a time.
        """
        log_probabilities, parameters = self.log_probabilities(x), [*self.weights, *self.biases]
        alone = [
            classifier.loss(own.clone(), classes)
            for classifier, own, classes in zip(self.classifiers, x, labels, strict=True)
        ]
        together = torch.autograd.grad(_summed(log_probabilities, labels), parameters)
        pairs = [
            *zip(_losses(log_probabilities, labels), alone, strict=True),
            *zip(together, torch.autograd.grad(torch.stack(alone).sum(), parameters), strict=True),
        ]
        return all(torch.equal(first, second) for first, second in pairs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with each head's rates; heads of the same rates are one group, for each takes its time."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for classifier in self.classifiers:
            rates = classifier.rates
            groups.setdefault((rates.head_lr, rates.weight_decay), []).extend(classifier.head.parameters())
        return torch.optim.AdamW(
            [{"params": own, "lr": lr, "weight_decay": decay} for (lr, decay), own in groups.items()], fused=True
        )


def _summed(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """The sum of the heads' losses, which has the gradient of each."""
    return F.nll_loss(log_probabilities.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]


@torch.no_grad()
def _losses(log_probabilities: Tensor, labels: Tensor) -> list[Tensor]:
    """The loss of each head."""
    return [F.nll_loss(own, classes) for own, classes in zip(log_probabilities, labels, strict=True)]
