"""The draw of a cell's labels; where they are chosen by a strategy, the chosen images are an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np

from pipeline import choosing
from pipeline.artefacts import data_card, encoder
from pipeline.config import Experiment
from pipeline.datasets.splits import Draw
from pipeline.plugins import source_of
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs

ORDER = "order.npy"


class ChoiceSize(TypedDict):
    """The number of images that were chosen from, and the number of those that were chosen."""

    images: int
    chosen: int


def inputs(config: Experiment) -> Inputs:
    """Return what a draw is made from beside budget and seed: the sampling, and maybe encoder and strategy."""
    made_from: Inputs = {"sampling": config.grid.sampling}
    if config.grid.sampling == "chosen":
        made_from["choice"] = {
            "pretrained": encoder.artefact(config).fingerprint,
            "strategy": config.grid.strategy,
            "code": source_of("grid.strategy", config.grid.strategy, choosing.BUILT_IN, choosing.ENTRY_POINTS),
        }
    return made_from


def draw(config: Experiment, labels: int, seed: int) -> Draw:
    """Return the draw of so many labels with this seed; images are chosen now if they have to be and are not yet.

    Raises:
        PipelineError: If images have to be chosen by an encoder that is missing, or the strategy is impossible.
    """
    if config.grid.sampling != "chosen":
        return Draw(labels, seed, config.grid.sampling)
    chosen = artefact(config, labels, seed)
    folder = chosen.build()
    chosen.open()
    return Draw(labels, seed, "chosen", tuple(np.load(folder / ORDER, allow_pickle=False).tolist()))


def artefact(config: Experiment, labels: int, seed: int) -> Artefact[ChoiceSize]:
    """Return the artefact of the chosen images, made or not."""
    made_from = {
        "stage": "choice",
        "data": data_card.load(config)["sha256"],
        "labels": labels,
        "seed": seed,
        **inputs(config),
    }
    return Artefact(
        config.folder,
        f"choices/{labels}-{seed}",
        made_from,
        lambda folder: _make(config, labels, seed, folder),
        "run it again",
    )


def _make(config: Experiment, labels: int, seed: int, folder: Path) -> ChoiceSize:
    """Choose among the images that have a label, as if none had."""
    known = np.flatnonzero(data_card.load_dataset(config).train.labels.numpy() >= 0)
    embeddings = encoder.load(config).embeddings.numpy()[known]
    nothing = np.array([], dtype=np.int64)
    pool = choosing.Pool(embeddings, nothing, labels, np.random.default_rng(seed))
    order = known[choosing.choose(config.grid.strategy, pool).index]
    np.save(folder / ORDER, order)
    return {"images": len(known), "chosen": len(order)}
