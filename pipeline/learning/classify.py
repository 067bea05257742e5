"""Classifying: from images, a few labels and maybe a pretrained encoder to a classifier; each mode's way."""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from pipeline.config import FitConfig, GraphConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.datasets.splits import Indices, LabelSplit
from pipeline.errors import PipelineError
from pipeline.evaluation.errors import evaluate
from pipeline.learning.plan import Plan, Pretrained
from pipeline.methods import find_method
from pipeline.models.classifier import Backbone, Classifier, make_head
from pipeline.models.encoders import Shape
from pipeline.models.inputs import Images
from pipeline.models.propagation import Floats, nearest_neighbours, soft_labels, spread
from pipeline.modes import find_mode
from pipeline.training import FitResult, fit, make_distortion, seed_everything


@dataclass(frozen=True)
class Examples:
    """What a classifier learns from.

    Attributes:
        images: uint8 or floats in [0, 1], shape (N, C, H, W); a tensor, or in files.
        labels: int64, shape (N,); those outside the split are not trained on, nor is anything chosen by them.
        classes: Number of classes.
        split: Which labels are trained on, and which early stopping looks at.
        unseen: Labelled images on which the error is told epoch by epoch, for the eyes only; None for none.
    """

    images: Images
    labels: Tensor
    classes: int
    split: LabelSplit
    unseen: Indices | None = None

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


@dataclass(frozen=True)
class Trained:
    """A classifier after training.

    Attributes:
        model: With the weights of the best epoch.
        result: What the last fit left behind.
        digests: SHA-256 of the encoder's weights and BatchNorm statistics, "before" and "after".
    """

    model: Classifier
    result: FitResult
    digests: dict[str, str]


def train_classifier(
    plan: Plan, examples: Examples, pretrained: Pretrained | None = None, graph: sparse.csr_matrix | None = None
) -> Trained:
    """Train one classifier, the way its mode says; the only way a classifier is trained.

    Seeds the global random generators with the plan's seed.

    Args:
        plan: How.
        examples: On what.
        pretrained: Where the mode starts from a pretrained encoder.
        graph: Of nearest neighbours among the embeddings, shape (N, N), where the mode propagates.

    Raises:
        PipelineError: The training diverged, or an encoder changed against its mode.
    """
    mode = find_mode(plan.mode)
    assert (pretrained is not None, graph is not None) == (mode.pretrained, mode.propagates)
    seed_everything(plan.seed)
    backbone, head = _networks(plan, examples.shape, examples.classes)
    if pretrained is not None:
        backbone.load_state_dict(pretrained.weights)
    before = _digest(backbone)
    targets = _targets(plan, examples, graph)
    if not mode.trains_encoder:
        result = _fit_head(plan, plan.settings, backbone, head, examples, pretrained, targets)
    elif plan.settings.head_first:
        _fit_head(plan, plan.train.frozen, backbone, head, examples, pretrained, targets)
    model = _classifier(plan, plan.settings, backbone, head, mode.trains_encoder)
    if mode.trains_encoder:
        result = _fit(plan, plan.settings, model, examples.images, examples, targets)
    digests = {"before": before, "after": _digest(backbone)}
    if (digests["before"] != digests["after"]) != mode.trains_encoder:
        raise PipelineError(
            f"mode {plan.mode}: the encoder was {'not ' * mode.trains_encoder}changed by training, against its mode"
        )
    return Trained(model, result, digests)


def neighbours(settings: GraphConfig, embeddings: Tensor) -> tuple[Indices, Floats]:
    """The nearest neighbours that the graph is made of, see ``propagation.nearest_neighbours``.

    Raises:
        PipelineError: There are not more images than neighbours.
    """
    if len(embeddings) <= settings.neighbours:
        raise PipelineError(f"train.graph.neighbours: {settings.neighbours} of {len(embeddings)} images; lower it")
    return nearest_neighbours(embeddings, settings.neighbours)


def _networks(plan: Plan, shape: Shape, classes: int) -> tuple[Backbone, nn.Module]:
    backbone = find_method(plan.pretrain).make_backbone(plan.pretrain, shape)
    return backbone, make_head(backbone.out_features, classes, plan.head_widths)


@dataclass(frozen=True)
class Targets:
    """What is learnt from.

    Attributes:
        labels: Classes, shape (N,), or weighed probabilities of them, shape (N, classes), of all training images.
        index: The images that are trained on.
        batch_size: Images a step.
    """

    labels: Tensor
    index: Tensor
    batch_size: int


def _targets(plan: Plan, examples: Examples, graph: sparse.csr_matrix | None) -> Targets:
    """The labels of the split; if they are to be spread first, soft labels of every image but the validation ones."""
    split, settings = examples.split, plan.train
    if graph is None:
        return Targets(examples.labels, torch.from_numpy(split.train), settings.batch_size)
    known = examples.labels.numpy()[split.train]
    scores = spread(graph, split.train, known, examples.classes, settings.graph.alpha)
    pool = np.setdiff1d(np.arange(len(examples.labels)), split.val)
    return Targets(soft_labels(scores, split.train, known), torch.from_numpy(pool), settings.graph.batch_size)


def _fit_head(
    plan: Plan,
    settings: FitConfig,
    backbone: Backbone,
    head: nn.Module,
    examples: Examples,
    pretrained: Pretrained | None,
    targets: Targets,
) -> FitResult:
    """Fit the head on the frozen backbone: on embeddings computed once, or image by image if these are augmented."""
    if plan.train.augment is None:
        assert pretrained is not None
        model = _classifier(plan, settings, nn.Identity(), head, train_backbone=False)
        return _fit(plan, settings, model, pretrained.embeddings, examples, targets)
    model = _classifier(plan, settings, backbone, head, train_backbone=False)
    return _fit(plan, settings, model, examples.images, examples, targets)


def _classifier(
    plan: Plan, settings: FitConfig, backbone: nn.Module, head: nn.Module, train_backbone: bool
) -> Classifier:
    factory: Callable[..., Classifier] = pkgutil.resolve_name(find_mode(plan.mode).classifier)
    return factory(
        backbone,
        head,
        train_backbone,
        make_distortion(plan.train.augment),
        settings.encoder_lr,
        settings.head_lr,
        settings.weight_decay,
    )


def _fit(
    plan: Plan, settings: FitConfig, model: Classifier, x: Images, examples: Examples, targets: Targets
) -> FitResult:
    """Train on the targets, stop on the validation part, keep E_in and E_val of every epoch."""
    parts = {"in": torch.from_numpy(examples.split.train), "val": torch.from_numpy(examples.split.val)}
    if examples.unseen is not None:
        parts["unseen"] = torch.from_numpy(examples.unseen)
    measured = {name: (x[index], examples.labels[index]) for name, index in parts.items()}

    def measure() -> dict[str, float]:
        row: dict[str, float] = {}
        for name, (inputs, labels) in measured.items():
            errors = evaluate(model, inputs, labels, examples.classes)
            row |= {f"e_{name}": errors.error, f"loss_{name}": errors.loss}
        return row

    batches = InMemoryData(x, targets.labels, targets.index, targets.batch_size, plan.seed)
    return fit(
        model,
        batches,
        plan.runtime,
        settings.max_epochs,
        measure,
        monitor="loss_val",
        patience=settings.patience,
    )


def _digest(backbone: Backbone) -> str:
    """SHA-256 of every weight and every BatchNorm statistic of the encoder."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
