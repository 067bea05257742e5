"""Stage review: labels that are probably wrong, on a page where a person keeps or corrects them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from pipeline import labelling
from pipeline.artefacts import data_card, data_source, encoder
from pipeline.config import Experiment
from pipeline.datasets.text_table import guarded
from pipeline.errors import PipelineError
from pipeline.store import disk, provenance
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import digest

if TYPE_CHECKING:
    import torch

    from pipeline.artefacts.suspects import Suspect
    from pipeline.datasets.image_data import Dataset
    from pipeline.labelling.request import Item

MOST = 1_000  # labels on a page
BESIDE = 6  # look-alikes of each image
SUSPECTS, PAGE = "suspects.csv", "label.html"
COLUMNS = ("rank", "name", "label", "proposal", "probability", "sure", "reason")
ADVICE = (
    "Each image with the label it has, and the class that it looks like to a classifier which has not seen the label; "
    "the most doubtful first. Keep the label, take the other one, or name a third. What you leave open stays as it is."
)


class Outcome(TypedDict):
    """Counts of a review.

    Attributes:
        labels: Labels of training images.
        judged: Those of them that a classifier could judge that has not seen them.
        suspects: Labels that are contradicted, by the classifier or by a copy with another label.
        sure: Suspects that are contradicted surely.
        copies: Suspects that a copy contradicts.
        shown: Suspects on the page.
    """

    labels: int
    judged: int
    suspects: int
    sure: int
    copies: int
    shown: int


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    count: Annotated[int, "largest number of labels to show, the most doubtful first"] = 50


def run(config: Experiment, options: Options) -> Path:
    """Find the labels that are probably wrong, and write them as a CSV file and as a page to correct them on.

    Labels of training images alone are looked at; those of a test set are not, and stay as they are. At most
    ``options.count`` are shown, the most doubtful ones.

    Returns:
        The page's path, or that of the CSV file if no label is doubted.

    Raises:
        PipelineError: If the count is out of range, stage data or pretrain has not run, or there are too few labels.
    """
    count = options.count
    if not 1 <= count <= MOST:
        raise PipelineError(f"count: {count} is not allowed; expected 1 to {MOST} labels to show")
    encoder.check(config)
    data_source.check_unchanged(config)
    dataset = data_card.load_dataset(config)
    made_from = {
        "stage": "review",
        "data": dataset.sha256,
        "names": digest({"given": dataset.given.names, "left_open": dataset.given.left_open}),
        "pretrained": encoder.artefact(config).fingerprint,
        "page": provenance.source_sha256(labelling.FOLDER),
        "count": count,
    }
    review: Artefact[Outcome] = Artefact(
        config.folder, "review", made_from, lambda folder: _make(config, dataset, count, folder), "run it again"
    )
    folder = review.build()
    outcome = review.open()["outcome"]
    print(_describe(outcome, folder))
    return folder / (PAGE if outcome["shown"] else SUSPECTS)


def _describe(outcome: Outcome, folder: Path) -> str:
    lines = [
        f"review: {outcome['suspects']} of {outcome['labels']} labels are doubted, {outcome['sure']} of them surely, "
        f"{outcome['copies']} because a copy has another label",
        f"  the first {outcome['shown']}: {folder / SUSPECTS}",
    ]
    if outcome["shown"]:
        lines.append(f"  confirm or correct them on {folder / PAGE}, save labels.csv, and name it as data.labels")
    unjudged = outcome["labels"] - outcome["judged"]
    if unjudged:
        lines.append(
            f"  {unjudged} could not be judged by a classifier: copies of labelled images, or labels that are the only "
            "one of their class"
        )
    return "\n".join(lines)


def _make(config: Experiment, dataset: Dataset, count: int, folder: Path) -> Outcome:
    from pipeline.artefacts.suspects import find_suspects
    from pipeline.labelling.page import write_page
    from pipeline.labelling.request import LabelRequest
    from pipeline.training.device import threads

    with threads(config.runtime.threads):
        embeddings = encoder.load(config).embeddings
        suspects = find_suspects(dataset, embeddings)
        shown = suspects.found[:count]
        items = _items(dataset, shown, embeddings)
    disk.write_csv(
        folder / SUSPECTS, [_row(item, suspect) for item, suspect in zip(items, shown, strict=True)], COLUMNS
    )
    if items:
        title = f"{len(items)} labels of {config.name} to review"
        classes, may_add = dataset.train.class_names, dataset.held_out
        write_page(folder, LabelRequest(title, classes, items, ADVICE, may_add, dataset.given.by_name()))
    return {
        "labels": suspects.labels,
        "judged": suspects.judged,
        "suspects": len(suspects.found),
        "sure": sum(suspect.is_sure for suspect in suspects.found),
        "copies": sum(suspect.copy is not None for suspect in suspects.found),
        "shown": len(shown),
    }


def _row(item: Item, suspect: Suspect) -> dict[str, object]:
    return {
        "rank": item.rank,
        "name": guarded(item.name),
        "label": guarded(item.label),
        "proposal": guarded(item.proposal),
        "probability": "" if suspect.own is None else suspect.own,
        "sure": "yes" if suspect.is_sure else "no",
        "reason": guarded(item.reason),
    }


def _items(dataset: Dataset, suspects: list[Suspect], embeddings: torch.Tensor) -> list[Item]:
    """Describe each doubted label for the page, with the images that lie nearest to it."""
    from pipeline.labelling.request import Item, as_pictures
    from pipeline.models.neighbours import look_alikes

    train, names = dataset.train, dataset.train.names
    alike = look_alikes(embeddings, [suspect.image for suspect in suspects], BESIDE)
    items = []
    for rank, (suspect, nearest) in enumerate(zip(suspects, alike, strict=True), 1):
        beside = [suspect.copy] if suspect.copy is not None else []
        beside += [image for image in nearest if image != suspect.copy]
        image, *pictures = as_pictures(train.images[[suspect.image, *beside[:BESIDE]]].numpy())
        items.append(
            Item(
                name=names[suspect.image],
                image=image,
                rank=rank,
                reason=_reason(suspect, names),
                label=train.class_names[suspect.label],
                proposal=train.class_names[suspect.proposal],
                look_alikes=pictures,
            )
        )
    return items


def _reason(suspect: Suspect, names: tuple[str, ...]) -> str:
    if suspect.copy is not None:
        return f"a copy of {names[suspect.copy]}, which is labelled otherwise"
    assert suspect.own is not None
    if suspect.own < 0.001:
        return "right with a probability below 0.1 %"
    return f"right with a probability of {100 * suspect.own:.1f} %"
