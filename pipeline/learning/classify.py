"""Classifying: from images, a few labels and maybe a pretrained encoder to a classifier; each mode's way."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from pipeline import methods
from pipeline.config import GraphConfig, InvariancesConfig
from pipeline.datasets.invariances import augmentation
from pipeline.datasets.splits import Indices, LabelSplit, union
from pipeline.errors import PipelineError
from pipeline.evaluation.errors import SplitErrors, evaluate, pooled
from pipeline.learning.checks import check_encoder
from pipeline.learning.fitting import Examples, Fitting, Network
from pipeline.learning.plan import Plan, Pretrained
from pipeline.learning.pretrain import embed_views
from pipeline.models.classifier import Backbone, Classifier, Rates, make_head
from pipeline.models.inputs import Images
from pipeline.models.propagation import Floats, nearest_neighbours
from pipeline.training import checkpoints
from pipeline.training.recording import FitResult
from pipeline.training.trainer import seed_everything


@dataclass(frozen=True, order=True)
class Trial:
    """What some settings reached on the validation labels, at the measurement that was kept; the least is the best.

    Attributes:
        e_val: Error, the mean over the folds of a cross-validation.
        loss_val: Cross-entropy in nats, likewise; it decides where the errors are equal, as they often are with few
            labels.
    """

    e_val: float
    loss_val: float

    @classmethod
    def of(cls, result: FitResult) -> Self:
        """The trial that a training's last fit was."""
        return cls(result.row["e_val"], result.row["loss_val"])


@dataclass(frozen=True)
class Trained:
    """A classifier after training.

    Attributes:
        model: The classifier with the weights of the measurement that was kept.
        result: What the last fit left behind; of a cross-validation, the fit that the measurement was chosen by, each
            number the mean over the folds.
        digests: SHA-256 of the encoder's weights and BatchNorm statistics, "before" and "after".
        out_of_fold: Where the classifier was trained again on all labels, the errors of each validation image by the
            network that did not see it, at the measurement that was kept, in the order of the split; else None.
        trials: What each of the plan's candidates reached.
        split: The labels that it was trained on, and those that it was chosen by.
    """

    model: Classifier
    result: FitResult
    digests: dict[str, str]
    out_of_fold: SplitErrors | None
    trials: Sequence[Trial]
    split: LabelSplit

    @property
    def chosen(self) -> int:
        """Which of the candidates the model is, from 0."""
        return best(self.trials)


def best(trials: Sequence[Trial]) -> int:
    """Which of the candidates is kept: of equal ones, the first."""
    return trials.index(min(trials))


def train_classifier(
    plan: Plan,
    examples: Examples,
    pretrained: Pretrained | None = None,
    graph: sparse.csr_matrix | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train one classifier, the way its mode says.

    With several splits, one network is trained for each, and then one on all labels, as long as these took to be best
    together; so it is with one split, if ``train.refit`` says so. Where the plan has several candidates, all are
    trained, and the validation labels choose among them before the training on all labels. After a kill, only the last
    training goes on; those before it begin anew. Seeds the global random generators with the plan's seed, for each
    training.

    Args:
        plan: How.
        examples: On what.
        pretrained: Where the mode starts from a pretrained encoder.
        graph: Of nearest neighbours among the embeddings, shape (N, N), where the mode spreads labels.
        checkpoint: File that the training is saved to now and then and goes on from, see ``training.fit``; None for
            none.

    Raises:
        PipelineError: The training diverged, or an encoder changed against its mode.
    """
    mode = plan.definition
    assert (pretrained is not None, graph is not None) == (mode.pretrained, mode.spreads_labels)
    fittings = [Fitting(candidate, examples, pretrained, graph) for candidate in plan.candidates]
    resumable = checkpoint if len(fittings) == 1 and not plan.refits else None
    tried = [_train(fitting, examples.splits, resumable) for fitting in fittings]
    trials = [Trial.of(results[-1]) for _, results, _ in tried]
    chosen = best(trials)
    networks, results, before = tried[chosen]
    split, out_of_fold = union(examples.splits), None
    if plan.refits:
        out_of_fold = _judge(networks, examples)
        split = LabelSplit(np.union1d(split.train, split.val), split.val)
        everything = LabelSplit(split.train, np.empty(0, dtype=np.int64))
        networks, _, before = _train(fittings[chosen], [everything], checkpoint, results)
    digests = {"before": before, "after": digest(networks[0].backbone)}
    if (digests["before"] != digests["after"]) != mode.trains_encoder:
        changed = "not changed" if mode.trains_encoder else "changed"
        raise PipelineError(f"mode {plan.mode}: the encoder was {changed} by training, against its mode")
    return Trained(_classifier(networks[0]), results[-1], digests, out_of_fold, trials, split)


def neighbours(
    settings: GraphConfig,
    invariances: InvariancesConfig,
    embeddings: Tensor,
    sources: Callable[[], tuple[Backbone, Images]],
    device: torch.device,
) -> tuple[Indices, Floats]:
    """The nearest neighbours that the graph is made of, see ``propagation.nearest_neighbours``.

    Args:
        settings: Say how many, and whether an image is where its embedding is or where those of its views are.
        invariances: The changes that views of an image are made by.
        embeddings: Of the images, shape (N, features).
        sources: Gives the pretrained backbone, in eval mode, and the images, shape (N, C, H, W), a tensor or in files;
            asked only where there are views.
        device: Where views are embedded and distances are computed.

    Raises:
        PipelineError: There are not more images than neighbours.
    """
    if len(embeddings) <= settings.neighbours:
        raise PipelineError(f"train.graph.neighbours: {settings.neighbours} of {len(embeddings)} images; lower it")
    if settings.views:
        backbone, images = sources()
        view = augmentation(invariances, settings.view_strength)
        embeddings = embed_views(backbone, images, view, settings.views, 0, device)
    return nearest_neighbours(embeddings.to(device), settings.neighbours)


def _train(
    fitting: Fitting, splits: Sequence[LabelSplit], checkpoint: Path | None, again: Sequence[FitResult] = ()
) -> tuple[list[Network], list[FitResult], str]:
    """Train a network for each split, all from the same start.

    Args:
        fitting: What the trainings have in common.
        splits: The labels of each network; without validation labels where choices are repeated.
        checkpoint: File that the last fit is saved to and goes on from; None for none.
        again: Fits of the same kinds whose choices are repeated; none to choose by the validation labels.

    Returns:
        The networks, what each fit left behind, and the encoder's digest before them.
    """
    plan = fitting.plan
    seed_everything(plan.seed)
    backbone, head = start(fitting)
    networks = [Network(*copy.deepcopy((backbone, head)), split) for split in splits]
    fits, resumes = _fits(fitting), checkpoints.usable(checkpoint)
    results = []
    for number, fit in enumerate(fits):
        is_last = number == len(fits) - 1
        if is_last or not resumes:  # a checkpoint of the last fit holds what those before it made
            results.append(fit(networks, again[number] if again else None, checkpoint if is_last else None))
    return networks, results, digest(backbone)


def _fits(fitting: Fitting) -> list[Callable[[Sequence[Network], FitResult | None, Path | None], FitResult]]:
    """The fits of a mode, in their order."""
    mode = fitting.plan.definition
    if not mode.trains_encoder:
        return [fitting.heads]
    return [fitting.heads, fitting.everything] if mode.fit.head_first else [fitting.everything]


def start(fitting: Fitting) -> tuple[Backbone, nn.Module]:
    """Encoder and head before any label is seen."""
    plan, examples = fitting.plan, fitting.examples
    backbone = methods.new_backbone(plan.pretrain, examples.shape)
    head = make_head(backbone.out_features, examples.classes, plan.head_widths)
    if fitting.pretrained is None:
        check_encoder(backbone, examples.images)
    else:
        backbone.load_state_dict(fitting.pretrained.weights)
    return backbone, head


def _classifier(network: Network) -> Classifier:
    """The network as it is now, without what trained it."""
    return Classifier(network.backbone, network.head, True, nn.Identity(), Rates())


def _judge(networks: Sequence[Network], examples: Examples) -> SplitErrors:
    """Each label's image by the network that did not see it."""
    parts = []
    for network in networks:
        index = torch.from_numpy(network.split.val)
        parts.append(evaluate(_classifier(network), examples.images[index], examples.labels[index], examples.classes))
    return pooled(parts, np.argsort(np.concatenate([network.split.val for network in networks])))


def digest(backbone: Backbone) -> str:
    """SHA-256 of every weight and every BatchNorm statistic of the encoder."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
