"""A trained classifier: choosing one, describing it, and rebuilding its network from its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pipeline import methods
from pipeline.artefacts import cell_files, comparison, data_card, encoder, grid
from pipeline.artefacts.cell import CELLS, Cell
from pipeline.artefacts.description import Description, check, input_shape
from pipeline.artefacts.metrics import Metrics
from pipeline.config import ENCODERS, Experiment
from pipeline.datasets.new_images import Reading
from pipeline.errors import PipelineError
from pipeline.modes import BUILT_IN
from pipeline.plugins import check_trusted
from pipeline.store import disk
from pipeline.store.fingerprints import FORMAT
from pipeline.store.manifest import Manifest, open_artefact

if TYPE_CHECKING:
    from pipeline.evaluation.novelty import TrainingSample
    from pipeline.models.deployed import Deployed

DESCRIPTION = "description.json"


@dataclass(frozen=True)
class ClassifierChoice:
    """The options by which a user names a classifier, or chooses one among the cells of the experiment."""

    cell: Annotated[str, "folder of a trained cell or of an export; empty: choose by mode, labels and seed"] = ""
    mode: Annotated[str | None, f"one of {', '.join(BUILT_IN)}, or a mode of your own; null: any"] = None
    labels: Annotated[int | None, "label budget; null: the largest"] = None
    seed: Annotated[
        int | None,
        "number of the draw; null: any. Of all cells that fit, the best by validation is taken, or the first draw "
        "where no label was left for that",
    ] = None

    @property
    def is_made(self) -> bool:
        """Whether the user has named anything."""
        return bool(self.cell) or (self.mode, self.labels, self.seed) != (None, None, None)

    def fits(self, cell: Cell) -> bool:
        """Whether a cell has the mode, the budget and the draw that are named."""
        return self.mode in (None, cell.mode) and self.labels in (None, cell.labels) and self.seed in (None, cell.seed)


@dataclass(frozen=True)
class ReadingOptions(ClassifierChoice):
    """The options by which a user says how images are read, beside those by which a classifier is chosen."""

    resize: Annotated[bool, "scale images of another size, and convert grey and colour; else they are refused"] = False
    white: Annotated[
        float | None, "value of a white pixel; null: as in the training, if the numbers agree with that"
    ] = None
    skip_broken: Annotated[bool, "leave out pictures that cannot be read, and say which"] = False

    def applied_to(self, reading: Reading) -> Reading:
        """Return the way in which a classifier's images are read, with these options."""
        return replace(reading, resize=self.resize, white=self.white, skip_broken=self.skip_broken)


def find(config: Experiment, choice: ClassifierChoice) -> Path:
    """Return the folder of the classifier that the user has named or chosen.

    Raises:
        PipelineError: If there is no such classifier, or stage compare has to run before one can be chosen.
    """
    if choice.cell:
        if choice.mode is not None or choice.labels is not None or choice.seed is not None:
            raise PipelineError(f"cell: {choice.cell} names a classifier; leave out mode, labels and seed")
        return Path(choice.cell)
    if choice.mode is None or choice.labels is None or choice.seed is None:
        return _best(config, choice)
    return Cell(config, choice.mode, choice.labels, choice.seed).artefact().check()


def _best(config: Experiment, choice: ClassifierChoice) -> Path:
    """Return the folder of the best cell, by validation, among those of the largest budget that fit.

    Validation errors of different budgets are counted on different numbers of images, and cannot be compared. Where no
    label was left for validation, the mode has to be named, and the first draw is taken.
    """
    comparison.load(config)
    cells = [entry for entry in grid.entries(config) if isinstance(entry, Cell) and choice.fits(entry)]
    if not cells:
        raise PipelineError(
            "mode, labels, seed: no cell of the grid fits; it has the modes "
            f"{', '.join(config.grid.modes)}, the budgets {', '.join(map(str, config.grid.labels))}, "
            f"and the draws 0 to {config.grid.draws - 1}"
        )
    most = max(cell.labels for cell in cells)
    largest = [cell for cell in cells if cell.labels == most]
    if config.train.validation == "none":
        folder = _first(largest).artefact().folder
        print(f"the first draw at {most} labels, since none of them was left to choose by: {folder}")
    else:
        folder = min(largest, key=_validation).artefact().folder
        print(f"the best by validation at {most} labels: {folder}")
    return folder


def _first(cells: list[Cell]) -> Cell:
    """Return the first of several cells of one mode."""
    modes = list(dict.fromkeys(cell.mode for cell in cells))
    if len(modes) > 1:
        raise PipelineError(
            f"mode: the grid has {', '.join(modes)}, and with train.validation none no label says which is the best; "
            f"name one, such as --mode {modes[0]}"
        )
    return cells[0]


def _validation(cell: Cell) -> tuple[float, float]:
    """Return the validation error of a cell and its validation loss, which decides between equal errors."""
    measured = cell.artefact().open()["outcome"]["e_val"]
    assert measured is not None
    return measured["error"], measured["loss"]


def describe(folder: Path) -> Description:
    """Describe a classifier, after every file was checked against its manifest.

    Raises:
        PipelineError: If the folder is neither a cell nor an export, or a file was changed.
    """
    manifest = open_artefact(folder, "name the folder of a trained cell or of an export")
    try:
        description = _described(folder, manifest)
        check(description)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PipelineError(
            f"{folder} is not described as this version does it ({type(error).__name__}: {error}); make it again"
        ) from error
    return description


def _described(folder: Path, manifest: Manifest[Any]) -> Description:
    made_from = manifest["inputs"]
    if made_from["stage"] == "export":
        description: Description = disk.read_json(folder / DESCRIPTION, "export it again")
        return description
    if made_from["stage"] != "train":
        raise PipelineError(f"{folder} was made by stage {made_from['stage']}; name a cell, as stage train makes them")
    experiment, metrics = home(folder), cast(Metrics, manifest["outcome"])
    card = data_card.find(experiment, made_from["data"])["outcome"]
    judged = cell_files.read_answers(folder).judged
    architecture = made_from.get("encoder")
    if architecture is None:
        architecture = encoder.find_manifest(experiment, made_from["pretrained"])["outcome"]["architecture"]
    return {
        "format": FORMAT,
        "fingerprint": manifest["fingerprint"],
        "input": {
            "layout": "NCHW",
            "shape": card["shape"],
            "type": "uint8",
            "range": [0, 255],
            "divided_inside_by": 255,
            "scale": card["scale"],
            "decoding": card["decoding"],
            "brightness": card["brightness"],
        },
        "classes": card["classes"],
        "encoder": architecture,
        "head_widths": (made_from["graph"] if "graph" in made_from else made_from["train"])["head_widths"],
        "data": {
            "dataset": card["dataset"],
            "sha256": card["sha256"],
            "train": card["train"],
            "test": card["test"],
        },
        "trained": {
            "mode": metrics["mode"],
            "labels": metrics["labels"],
            "seed": metrics["seed"],
            "e_in": metrics["e_in"],
            "e_val": metrics["e_val"],
            "e_out": metrics["e_out"],
        },
        "temperature": metrics["temperature"],
        "judged": {"probability": judged.probability.tolist(), "right": judged.right.tolist()},
        "provenance": manifest["provenance"],
    }


def home(folder: Path) -> Path:
    """Return the folder of the experiment that a cell or an export belongs to."""
    parent = folder.absolute().parent
    return parent.parent if parent.name == CELLS else parent


def restore(config: Experiment, folder: Path, description: Description) -> Deployed:
    """Rebuild the classifier, in eval mode.

    Raises:
        PipelineError: If only the files name the encoder's code (see ``check_trusted``), or the weights do not fit it.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = methods.from_architecture(description["encoder"])
    name = settings.encoder.name
    check_trusted(folder, name, (config.pretrain.encoder.name,), f"--pretrain.encoder.name {name}")
    check_trusted(folder, settings.method, (config.pretrain.method,), f"--pretrain.method {settings.method}")
    try:
        weights = load_file(folder / cell_files.WEIGHTS)
        if name in ENCODERS:  # however large the description says it is, no memory is taken before the weights are
            with torch.device("meta"):
                _build(description).load_state_dict(weights, assign=True)
        model = _build(description)
        model.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        raise PipelineError(f"{folder / cell_files.WEIGHTS} does not fit the encoder {name!r}: {error}") from error
    return model.eval()


def restore_sample(folder: Path, features: int) -> TrainingSample:
    """Read the sample of its training images that a classifier keeps, whose encoder makes this many features.

    Raises:
        PipelineError: If the file cannot be read, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from pipeline.evaluation.novelty import TrainingSample

    try:
        sample = TrainingSample.from_tensors(load_file(folder / cell_files.SAMPLE))
        if sample.latents.known.shape[1] != features:
            raise ValueError(f"its latents have {sample.latents.known.shape[1]} features, the encoder's {features}")
        return sample
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise PipelineError(
            f"{folder / cell_files.SAMPLE} cannot be read ({error}); make the classifier again"
        ) from error


def _build(description: Description) -> Deployed:
    """Build the network of a description, with random weights."""
    from pipeline.models.classifier import make_head
    from pipeline.models.deployed import Deployed

    settings = methods.from_architecture(description["encoder"])
    backbone = methods.new_backbone(settings, input_shape(description))
    head = make_head(backbone.out_features, len(description["classes"]), description["head_widths"])
    return Deployed(backbone, head, description["temperature"])
