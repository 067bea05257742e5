"""Stage suggest: which images to label, from the embeddings alone or, in later rounds, from a classifier, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import numpy as np

from pipeline import choosing, labelling
from pipeline.artefacts import data_card, encoder, graph
from pipeline.choosing import Choice, Floats, Indices, Pool
from pipeline.config import Experiment, check_seed
from pipeline.datasets import loading
from pipeline.datasets.text_table import guarded
from pipeline.errors import PipelineError, require
from pipeline.plugins import source_of
from pipeline.store import disk, provenance
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs, digest

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import Dataset, ImageData
    from pipeline.labelling.request import Item

MOST = 1_000  # images on a page
BESIDE = 6  # look-alikes of each image
SUGGESTED, PAGE = "suggested.csv", "label.html"
ADVICE = (
    "The most telling images first; beside each are its look-alikes, for which its label will stand. Label what you "
    "can tell, and leave the rest open."
)


_STRATEGIES = "; ".join(f"{name}: {choosing.find_strategy(name).summary}" for name in choosing.NAMES)


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    labels: Annotated[int, "number of images to choose"] = 40
    round: Annotated[
        int | None,
        "number of the round, from 1; from the second on, it learns from the labels so far, which data.labels names; "
        "null: 2 where some images have a label, else 1",
    ] = None
    strategy: Annotated[str, f"{_STRATEGIES}; or the import path 'module:OBJECT' of your own"] = choosing.NAMES[0]
    seed: Annotated[int, "seed of the choice"] = 0


class Outcome(TypedDict):
    """Counts of a suggestion.

    Attributes:
        images: Images that were chosen from.
        labelled: Other images, which had a label already.
        suggested: Images that were chosen.
    """

    images: int
    labelled: int
    suggested: int


@dataclass(frozen=True)
class _Request:
    """The options of the command, with the number of the round where they leave it open."""

    labels: int
    round: int
    strategy: str
    seed: int


@dataclass(frozen=True)
class _Known:
    """The labels that there are.

    Attributes:
        labels: The class of each labelled image by the image's name, those of test images that were held out included;
            "" for an image that a person could not tell.
        open: Indices of the training images that a person could not tell, which are not asked about again, shape (m,).
        index: Indices of the training images among them, shape (n,).
        classes: Names of the classes, in their order.
        codes: The number of the class of each image at ``index``, shape (n,).
    """

    labels: dict[str, str]
    open: Indices
    index: Indices
    classes: tuple[str, ...]
    codes: Indices


def run(config: Experiment, options: Options) -> Path:
    """Choose the images that are worth a label most, and write them as a CSV file and as a page to label them on.

    Images and encoder are those of the experiment without ``data.labels``: few labels are not enough to hold a test set
    out of, and the encoder stays the same from round to round. It is pretrained if it is not there yet. From the second
    round on, the labels are spread over the graph of the embeddings, and the strategy gets the probabilities that each
    image has then.

    Args:
        config: The experiment; ``data.labels`` names the labels of earlier rounds.
        options: The options of the command.

    Returns:
        The page's path.

    Raises:
        PipelineError: If an argument is out of range, a later round has no labels to go on from, the strategy is
            unknown, or the data cannot be loaded.
    """
    labels, round = options.labels, options.round
    require(2 <= labels <= MOST, "labels", labels, f"2 to {MOST} images; take further ones in another round")
    require(round is None or round >= 1, "round", round, "a number from 1")
    check_seed("seed", options.seed)
    choosing.find_strategy(options.strategy)
    base = replace(config, data=replace(config.data, labels=""))
    loading.prepare(base.data)
    data_card.build(base)
    dataset = data_card.load_dataset(base)
    known = _known(config, dataset)
    if round is None:
        round = 2 if 0 < len(known.index) < len(dataset.train) else 1
    request = _Request(labels, round, options.strategy, options.seed)
    known = _gone_on_from(known, dataset, request)
    encoder.build(base)
    artefact = _artefact(base, dataset, known, request)
    folder = artefact.build()
    _describe(artefact.open()["outcome"], request, folder)
    if round == 1 and len(known.index):
        print(
            f"  remark: {len(known.index)} images have a label; a first round learns nothing of them: "
            "--round 2 asks what these labels leave open"
        )
    return folder / PAGE


def _known(config: Experiment, dataset: Dataset) -> _Known:
    """Find the labels that there are."""
    train = dataset.train
    given = loading.load_given(config.data) if config.data.labels else dataset.given
    labels = given.by_name()
    names = train.names
    index = np.array([place for place, name in enumerate(names) if labels.get(name)], dtype=np.int64)
    unknown = np.array([place for place, name in enumerate(names) if labels.get(name) == ""], dtype=np.int64)
    classes = tuple(dict.fromkeys([*train.class_names, *sorted({*labels.values()} - {""})]))
    codes = np.array([classes.index(labels[names[place]]) for place in index], dtype=np.int64)
    return _Known(labels, unknown, index, classes, codes)


def _gone_on_from(known: _Known, dataset: Dataset, request: _Request) -> _Known:
    """Return the labels that a round goes on from: none in a first round where every image has one, a rehearsal.

    Raises:
        PipelineError: If too few images are left, or a later round has no labels.
    """
    if request.round == 1 and len(known.index) == len(dataset.train):
        print("suggest: every image has a label already; they are chosen from as if none had")
        known = replace(known, labels={}, index=known.index[:0], codes=known.codes[:0])
    left = len(dataset.train) - len(known.index) - len(known.open)
    if not left:
        raise PipelineError(
            "labels: every image has a label or was left open as one that cannot be told, so none is left to choose; "
            "compare the modes now, or name in data.labels only the labels that you want to go on from"
        )
    require(request.labels <= left, "labels", request.labels, f"at most {left}, the number of images without a label")
    if request.round > 1 and not len(known.index):
        raise PipelineError(
            f"round: {request.round} goes on from labels, and no image has one; name those of the round before as "
            "data.labels"
        )
    return known


def _artefact(config: Experiment, dataset: Dataset, known: _Known, request: _Request) -> Artefact[Outcome]:
    made_from: Inputs = {
        "stage": "suggest",
        "data": dataset.sha256,
        "names": digest({"names": dataset.train.names}),
        "labels": digest(known.labels),
        "pretrained": encoder.artefact(config).fingerprint,
        "page": provenance.source_sha256(labelling.FOLDER),
        "code": source_of("strategy", request.strategy, choosing.BUILT_IN, choosing.ENTRY_POINTS),
        "request": vars(request),
    }
    if request.round > 1:
        made_from["graph"] = graph.inputs(config)
        made_from["alpha"] = config.train.graph.alpha
    return Artefact(
        config.folder,
        f"suggest-{request.labels}-round-{request.round}",
        made_from,
        lambda folder: _make(config, dataset, known, request, folder),
        "run it again",
    )


def _make(config: Experiment, dataset: Dataset, known: _Known, request: _Request, folder: Path) -> Outcome:
    from pipeline.labelling.page import write_page
    from pipeline.labelling.request import LabelRequest
    from pipeline.training.device import threads

    probabilities = _spread(config, known) if request.round > 1 else None
    with threads(config.runtime.threads):
        embeddings = encoder.load(config).embeddings
        generator = np.random.default_rng([request.seed, request.round])
        asked = np.union1d(known.index, known.open)
        pool = Pool(embeddings.numpy(), asked, request.labels, generator, probabilities)
        choice = choosing.choose(request.strategy, pool)
        proposals = [""] * request.labels
        if probabilities is not None:
            proposals = [known.classes[code] for code in probabilities[choice.index].argmax(1)]
        items = _items(dataset.train, choice, embeddings, proposals)
    _write_table(folder, items)
    title = f"{len(items)} images of {config.name} to label"
    write_page(folder, LabelRequest(title, known.classes, items, ADVICE, dataset.held_out, known.labels))
    labelled = len(known.index)
    return {"images": len(dataset.train) - len(asked), "labelled": labelled, "suggested": len(items)}


def _spread(config: Experiment, known: _Known) -> Floats:
    """Spread the labels over the graph of the embeddings; return the probabilities of the classes, shape (N, K)."""
    from pipeline.models.propagation import probabilities, spread

    scores = spread(graph.load(config), known.index, known.codes, len(known.classes), config.train.graph.alpha)
    return probabilities(scores)


def _items(train: ImageData, choice: Choice, embeddings: torch.Tensor, proposals: Sequence[str]) -> list[Item]:
    """Describe each chosen image for the page, with the images that lie nearest to it."""
    from pipeline.labelling.request import Item, as_pictures
    from pipeline.models.neighbours import look_alikes

    names = train.names
    chosen, items = choice.index.tolist(), []
    for place, (index, beside) in enumerate(zip(chosen, look_alikes(embeddings, chosen, BESIDE), strict=True)):
        image, *pictures = as_pictures(train.images[[index, *beside]].numpy())
        items.append(
            Item(
                name=names[index],
                image=image,
                rank=place + 1,
                cluster=int(choice.cluster[place]),
                reason=choice.reasons[place],
                proposal=proposals[place],
                look_alikes=pictures,
            )
        )
    return items


def _write_table(folder: Path, items: list[Item]) -> None:
    from pipeline.labelling.page import image_column

    column = image_column([item.name for item in items])
    rows = [
        {"rank": item.rank, column: guarded(item.name), "cluster": item.cluster, "reason": guarded(item.reason)}
        for item in items
    ]
    disk.write_csv(folder / SUGGESTED, rows)


def _describe(outcome: Outcome, request: _Request, folder: Path) -> None:
    known = outcome["labelled"]
    print(
        f"suggest: {outcome['suggested']} of {outcome['images']} images without a label, chosen by {request.strategy}"
        f"{f' in round {request.round}, beside {known} labels' if known else ''}: {folder / SUGGESTED}"
    )
    print(f"  label them on {folder / PAGE}, save labels.csv, and name it as data.labels")
