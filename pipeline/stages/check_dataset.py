"""Stage check-dataset: check that a data set keeps the contract before any work, and describe it on a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artefacts import data_card
from pipeline.config import Experiment, JsonObject
from pipeline.datasets import loading
from pipeline.datasets.facts import scale_text
from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.artefact import Artefact

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.contract import Card
    from pipeline.datasets.image_data import ImageData

COLUMNS = 10  # images a row of the contact sheet
PAIRS = 20  # near copies that are shown
SHOWN, COPIES = 6, 8  # images that are shown augmented, and how often


def run(config: Experiment) -> Path:
    """Load the data anew, print its card, and return the folder with the card and a contact sheet.

    Raises:
        PipelineError: If the data set cannot be loaded, or breaks the contract.
    """
    from pipeline.datasets.contract import examine

    card = examine(loading.find_loader(config.data))
    made_from = {
        **data_card.inputs(config, card.facts["sha256"]),
        "stage": "check-dataset",
        "invariances": config.invariances.amounts(config.train.augment),
    }
    folder = Artefact(
        config.folder, "check-dataset", made_from, lambda folder: _make(config, card, folder), "run it again"
    ).build()
    print(_text(card, folder))
    if card.problems:
        raise PipelineError(f"{config.data.dataset} breaks the contract of a data set: " + "; ".join(card.problems))
    return folder


def _make(config: Experiment, card: Card, folder: Path) -> JsonObject:
    from pipeline.models.inputs import as_input
    from pipeline.report.contact_sheet import write_contact_sheet

    write_contact_sheet(folder / "contact_sheet.png", as_input(_contact_sheet(card.dataset.train)), COLUMNS)
    if card.near_copies.pairs:
        write_contact_sheet(folder / "near_copies.png", as_input(_near_copies(card)), 2)
    found = {**card.facts, "problems": list(card.problems)}
    write_contact_sheet(folder / "augmented.png", _augmented(config, card.dataset.train), 1 + COPIES)
    disk.write_json(folder / "card.json", found)
    return found


def _contact_sheet(train: ImageData) -> torch.Tensor:
    """Return the first images of each class in a row, those without a label in the last, and black for missing ones."""
    import torch

    present = [*range(len(train.class_names)), *([-1] if (train.labels < 0).any() else [])]
    sheet = torch.zeros(len(present), COLUMNS, *train.shape, dtype=torch.uint8)
    for row, label in zip(sheet, present, strict=True):
        images = train.images[torch.nonzero(train.labels == label).flatten()[:COLUMNS]]
        row[: len(images)] = images
    return sheet.flatten(0, 1)


def _near_copies(card: Card) -> torch.Tensor:
    """Test images, each beside the training image that it is nearly a copy of, the most alike first."""
    import torch

    test, train = torch.tensor(card.near_copies.pairs[:PAIRS]).unbind(1)
    images = [card.dataset.test.images[test], card.dataset.train.images[train]]
    return torch.stack(images, 1).flatten(0, 1)


def _augmented(config: Experiment, train: ImageData) -> torch.Tensor:
    """Return images of as many classes as there are, each beside copies of it as training sees them, in rows."""
    import torch

    from pipeline.datasets.invariances import augmentation
    from pipeline.models.inputs import as_input

    everything = torch.arange(len(train))
    first = train.examples(everything, SHOWN)
    others = everything[~torch.isin(everything, first)]
    clean = as_input(train.images[torch.cat([first, others])[:SHOWN]])
    augment = augmentation(config.invariances, config.train.augment)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        copies = [augment(clean) for _ in range(COPIES)]
    return torch.stack([clean, *copies], 1).flatten(0, 1)


def _text(card: Card, folder: Path) -> str:
    """Return the card, for a terminal."""
    facts = card.facts
    width = max((len(name) for name in facts["classes"]), default=5)
    channels, height, side = facts["shape"]
    unlabelled = facts["unlabelled"]
    lines = [
        f"{facts['dataset']}: {facts['train']} training and {facts['test']} test images",
        f"  images      {channels} channel{'s' * (channels > 1)}, {height} x {side} pixels (height x width), uint8",
        f"  intensities {facts['range'][0]:g} to {facts['range'][1]:g}, mean {facts['brightness']['mean']:g}",
        f"  scale       {scale_text(facts)}",
        f"  test set    {'held out of the labelled images' if facts['held_out'] else 'official'}",
        f"  unlabelled  {unlabelled} ({100 * unlabelled / facts['train']:.1f} % of the training images)",
        f"  copies      {facts['duplicates_in_train']} inside the training set, {facts['duplicates_in_test']} inside "
        f"the test set, {facts['left_out_because_in_test']} in both (left out of training)",
        f"  constant    {facts['constant_in_train']} training images, {facts['constant_in_test']} test images",
        f"  {'class'.ljust(width)}  training      test",
    ]
    rows = zip(facts["classes"], facts["train_per_class"], facts["test_per_class"], strict=True)
    lines += [f"  {name.ljust(width)}  {train:>8}  {test:>8}" for name, train, test in rows]
    if facts["suggested_budgets"]:
        lines.append(f"  suggested   --grid.labels {facts['suggested_budgets']}")
    lines.append(f"  pictures    {folder / 'contact_sheet.png'}: a class a row, unlabelled last")
    lines.append(f"  augmented   {folder / 'augmented.png'}: images, and copies of them that count as the same class")
    if facts["near_copies"]:
        lines.append(f"  alike       {folder / 'near_copies.png'}: test images, each beside its nearest training image")
    lines += [f"  remark: {remark}" for remark in card.remarks]
    return "\n".join(lines)
