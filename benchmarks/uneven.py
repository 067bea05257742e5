"""Which class prior spreading should have, and what class weights do, where classes are uneven.

    python -m benchmarks.uneven /folder/of/idx/files ...

takes MNIST and every folder of files of its kind that is named, thins the classes of the training set out geometrically
until the largest has 10 or 100 times as many images as the smallest, and pretrains one encoder on each. Of four draws
of 100 labels it prints, in %, the mean error and balanced error on the images of the pool without a label: of spread
labels under each prior, and of a head on the frozen encoder with each setting of the class weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score

from pipeline.config import DataConfig, InvariancesConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.loading import load
from pipeline.datasets.splits import Draw
from pipeline.learning.classify import train_classifier
from pipeline.learning.examples import Examples
from pipeline.learning.plan import Plan, Pretrained, split_budget
from pipeline.learning.pretrain import pretrain
from pipeline.models.inputs import infer
from pipeline.models.neighbours import nearest_neighbours
from pipeline.models.propagation import Prior, similarity_graph, spread

RATIOS, LARGEST, DRAWS, LABELS, CLASSES = (10, 100), 2500, 4, 100, 10
PRIORS: Sequence[Prior] = ("uniform", "labels", "estimated")
PRETRAIN, INVARIANCES, TRAIN = PretrainConfig(), InvariancesConfig(), TrainConfig()
TRAININGS = {"none": TRAIN, "balanced": replace(TRAIN, class_weights="balanced")}
RUNTIME = RuntimeConfig(threads=1, progress=False)

Integers = npt.NDArray[np.int64]


def main(folders: list[str]) -> None:
    """Print a line for each data set, ratio, way of drawing, and setting."""
    sources = {"mnist": DataConfig("mnist")}
    sources |= {Path(folder).name: DataConfig("idx", args={"path": folder}) for folder in folders}
    print(f"{'data':<14} {'ratio':>5} {'labels drawn':<12} {'setting':<20} {'error':>6} {'balanced':>8}")
    for name, source in sources.items():
        train = load(source).train
        for ratio in RATIOS:
            index = thinned(train.labels.numpy(), ratio)
            pool = make_pool(train.images[torch.from_numpy(index)], train.labels[torch.from_numpy(index)])
            for sampling in ("random", "stratified"):
                title = f"{name:<14} {ratio:>5} {sampling:<12}"
                draws = [Draw(LABELS, seed, sampling) for seed in range(DRAWS)]
                for prior in PRIORS:
                    print_errors(f"{title} spread, {prior:<12}", [pool.by_spreading(draw, prior) for draw in draws])
                for weights, settings in TRAININGS.items():
                    print_errors(f"{title} frozen, {weights:<12}", [pool.by_head(draw, settings) for draw in draws])


def thinned(labels: Integers, ratio: int) -> Integers:
    """Return the places of images whose classes have sizes in geometric progression, the largest to the smallest."""
    generator, kept = np.random.default_rng(0), []
    for number in range(CLASSES):
        size = round(LARGEST * ratio ** (-number / (CLASSES - 1)))
        kept.append(generator.permutation(np.flatnonzero(labels == number))[:size])
    return np.sort(np.concatenate(kept))


def print_errors(title: str, errors: list[tuple[float, float]]) -> None:
    """Print the mean over the draws of the errors and the balanced errors, in %."""
    error, balanced = 100 * np.mean(errors, axis=0)
    print(f"{title} {error:>6.2f} {balanced:>8.2f}", flush=True)


@dataclass(frozen=True)
class Pool:
    """Images of uneven classes with the encoder that was pretrained on them, and the graph of its embeddings."""

    images: torch.Tensor
    labels: torch.Tensor
    pretrained: Pretrained
    graph: sparse.csr_matrix

    def by_spreading(self, draw: Draw, prior: Prior) -> tuple[float, float]:
        """Error and balanced error of the spread labels on the images without a label."""
        [split] = split_budget(TRAIN, self.labels.numpy(), CLASSES, draw)
        known = np.union1d(split.train, split.val)
        own = self.labels.numpy()[known]
        return self._errors(spread(self.graph, known, own, CLASSES, TRAIN.graph.alpha, prior).argmax(1), known)

    def by_head(self, draw: Draw, train: TrainConfig) -> tuple[float, float]:
        """Error and balanced error of a head on the frozen encoder on the images without a label."""
        splits = split_budget(train, self.labels.numpy(), CLASSES, draw)
        plan = Plan("frozen", PRETRAIN, train, INVARIANCES, RUNTIME, draw.seed)
        trained = train_classifier(plan, Examples(self.images, self.labels, CLASSES, splits), self.pretrained)
        known = np.union1d(trained.split.train, trained.split.val)
        return self._errors(infer(trained.model.head, self.pretrained.embeddings).argmax(1).numpy(), known)

    def _errors(self, predicted: Integers, known: Integers) -> tuple[float, float]:
        rest = np.setdiff1d(np.arange(len(predicted)), known)
        truth = self.labels.numpy()[rest]
        return float((predicted[rest] != truth).mean()), 1 - float(balanced_accuracy_score(truth, predicted[rest]))


def make_pool(images: torch.Tensor, labels: torch.Tensor) -> Pool:
    """Pretrain on the images, and join their embeddings to a graph."""
    encoder = pretrain(PRETRAIN, INVARIANCES, RUNTIME, images)
    graph = similarity_graph(*nearest_neighbours(encoder.embeddings, TRAIN.graph.neighbours))
    return Pool(images, labels, Pretrained(encoder.backbone.state_dict(), encoder.embeddings), graph)


if __name__ == "__main__":
    main(sys.argv[1:])
