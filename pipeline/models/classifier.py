"""A shallow head on an encoder, which is frozen or trained along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.models.encoders import perceptron_layers
from pipeline.models.inputs import as_input


class Backbone(nn.Module):
    """An encoder whose features are standardised, so that one learning rate of the head suits every encoder.

    The statistics are BatchNorm's without scale and shift: measured once on the unlabelled images when the encoder
    is pretrained, and learnt along when it is not.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``.
        epsilon: Added to the variances: features that vary less than this stay small.

    Examples:
        >>> from pipeline.models.encoders import MLPEncoder
        >>> backbone = Backbone(MLPEncoder((1, 8, 8), out_features=5, widths=[16])).eval()
        >>> backbone(torch.rand(3, 1, 8, 8)).shape
        torch.Size([3, 5])
    """

    def __init__(self, encoder: nn.Module, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.out_features = int(encoder.out_features)  # type: ignore[arg-type]  # the encoder's contract
        self.encoder = encoder
        self.norm = nn.BatchNorm1d(self.out_features, eps=epsilon, affine=False)

    def calibrate(self, features: Tensor) -> None:
        """Take mean and variance from the encoder's features of many images, shape (N, features)."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        self.norm.running_mean.copy_(features.mean(0))
        # a unit that never fires would be blown up to noise of size one
        self.norm.running_var.copy_(features.var(0).clamp(min=1e-8))

    def unstandardise(self, features: Tensor) -> Tensor:
        """The encoder's own features from standardised ones, shape (B, features)."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        return features * (self.norm.running_var + self.norm.eps).sqrt() + self.norm.running_mean

    def forward(self, x: Tensor) -> Tensor:
        """Standardised features, shape (B, features)."""
        features: Tensor = self.norm(self.encoder(x).float())
        return features


def make_head(in_features: int, classes: int, widths: Sequence[int] = ()) -> nn.Sequential:
    """A linear classifier, or one with hidden layers: (B, in_features) to logits (B, classes)."""
    return nn.Sequential(*perceptron_layers(in_features, widths, classes))


@dataclass(frozen=True)
class Rates:
    """How AdamW moves the weights, and towards what.

    Attributes:
        head_lr: Highest learning rate of the head.
        encoder_lr: Highest learning rate of the backbone.
        weight_decay: Weight decay.
        ema_decay: Share of its value that the exponential moving average (EMA) of the weights keeps at each step, less
            in the first ones; 0 for no average.
        label_smoothing: Share of a given label that is spread evenly over all classes.
        class_weights: The factor of each class in the cross-entropy; none gives all classes the same.
    """

    head_lr: float = 0.0
    encoder_lr: float = 0.0
    weight_decay: float = 0.0
    ema_decay: float = 0.0
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()


class Classifier(nn.Module):
    """Backbone and head under cross-entropy; ``SideBySide`` trains them.

    A frozen backbone stays in eval mode whatever ``train()`` says and gets no gradient, so that neither its weights
    nor its BatchNorm statistics move. Frozen training on embeddings computed once is this same module with
    ``nn.Identity()`` for a backbone.

    With an ema_decay, the EMA of the weights and of BatchNorm's statistics answers in eval mode.

    Args:
        backbone: (B, ...) to features (B, features).
        head: Features to logits (B, classes).
        train_backbone: Whether the backbone is trained along.
        augment: Changes training images at random, (B, C, H, W) to the same.
        rates: How fast the weights move.

    Examples:
        A mode with another loss is a subclass with a ``loss`` of its own:

        >>> class Smooth(Classifier):
        ...     def loss(self, x, labels):
        ...         return F.cross_entropy(self(self.augment(as_input(x))), labels, label_smoothing=0.1)
        >>> model = Smooth(nn.Flatten(), make_head(64, 10), False, nn.Identity(), Rates(head_lr=0.01))
        >>> model.loss(torch.rand(4, 1, 8, 8), torch.arange(4)).shape
        torch.Size([])
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, train_backbone: bool, augment: nn.Module, rates: Rates
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.augment = backbone, head, augment
        self.train_backbone, self.rates = train_backbone, rates
        self.ema: AveragedModel | None = None
        if rates.ema_decay:
            self.ema = AveragedModel(self._network, use_buffers=True).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, but for a frozen backbone and the average."""
        super().train(mode)
        if not self.train_backbone:
            self.backbone.eval()
        if self.ema is not None:
            self.ema.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B, classes), of uint8 images, of floats in [0, 1], or of embeddings."""
        if self.ema is None or self.training:
            return self._logits(as_input(x))
        logits: Tensor = self.ema(as_input(x))
        return logits

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of an augmented batch.

        Args:
            x: uint8 images, floats in [0, 1], or embeddings, shape (B, ...).
            labels: Classes, shape (B,), or weighed probabilities of them, shape (B, classes), which are not smoothed.
        """
        return self.cross_entropy(self._logits(self.augment(as_input(x))), labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of logits, shape (B, classes), with the class weights and the smoothing that the rates name.

        The labels are those of ``loss``.
        """
        rates = self.rates
        weight = logits.new_tensor(rates.class_weights) if rates.class_weights else None
        smoothing = 0.0 if labels.is_floating_point() else rates.label_smoothing
        return F.cross_entropy(logits, labels, weight, label_smoothing=smoothing)

    def groups(self) -> list[dict[str, Any]]:
        """The optimiser's groups: the head and, if it is trained, the backbone."""
        rates = self.rates
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters()), "lr": rates.head_lr}]
        if self.train_backbone:
            groups.append({"params": list(self.backbone.parameters()), "lr": rates.encoder_lr})
        return groups

    def averaging(self) -> Callable[[], None]:
        """Return a function that takes the weights of a step into the EMA, if there is one.

        It holds the tensors themselves, and so serves only until the network is moved to another device.
        """
        if self.ema is None:
            return lambda: None
        return _Averaging(self.ema, self._network, self.rates.ema_decay).update

    def keep_ema(self) -> None:
        """Put the average in place of the last weights, if there is one; training is over."""
        if self.ema is not None:
            self._network.load_state_dict(self.ema.module.state_dict())
            self.ema = None

    @property
    def _network(self) -> nn.Sequential:
        return nn.Sequential(self.backbone, self.head)

    def _logits(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_backbone):
            features = self.backbone(x)
        logits: Tensor = self.head(features)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


class _Averaging:
    """Takes the weights of a network into its EMA, step by step.

    An average over hundreds of steps would still be of the start after as many; so its share is less in the first ones.

    Args:
        ema: Holds the averages of weights and buffers, and how many steps they are of.
        network: The network that is trained.
        decay: Share of itself that an average keeps at each step.
    """

    def __init__(self, ema: AveragedModel, network: nn.Module, decay: float) -> None:
        averages, values = _state(ema.module), _state(network)
        floats = [value.is_floating_point() for value in values]
        self.averages, self.values = list(compress(averages, floats)), list(compress(values, floats))
        counts = [not is_float for is_float in floats]  # BatchNorm counts its batches
        self.copies, self.counts = list(compress(averages, counts)), list(compress(values, counts))
        self.decay, self.steps, self.step = decay, ema.n_averaged, int(ema.n_averaged)

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are now into the average."""
        keep = min(self.decay, (1 + self.step) / (10 + self.step)) if self.step else 0.0
        torch._foreach_lerp_(self.averages, self.values, 1 - keep)
        if self.counts:
            torch._foreach_copy_(self.copies, self.counts)
        self.step += 1
        self.steps += 1


def _state(network: nn.Module) -> list[Tensor]:
    """Weights and buffers of a network, in the same order for each of its copies."""
    return [*network.parameters(), *network.buffers()]
