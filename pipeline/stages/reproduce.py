"""Stage reproduce: train a cell again from its manifest, in a temporary folder, and compare the two."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from pipeline import methods
from pipeline.artefacts import cell_settings, classifier, data_card, encoder
from pipeline.artefacts.cell import Cell
from pipeline.artefacts.cell_files import PREDICTIONS, WEIGHTS
from pipeline.artefacts.metrics import Metrics
from pipeline.config import Experiment, JsonObject, as_dict, from_dict
from pipeline.datasets import loading
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.modes import find_mode
from pipeline.plugins import check_trusted
from pipeline.report.formats import percent
from pipeline.store import disk
from pipeline.store.fingerprints import Inputs
from pipeline.store.manifest import MANIFEST, Manifest, open_artefact
from pipeline.store.provenance import Provenance


class MismatchError(PipelineError):
    """The new cell differs from the first by more than the tolerance; the differences are printed before."""

    status = 1


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    cell: Annotated[str, "folder of a trained cell"] = ""
    tolerance: Annotated[
        float, "share of the test images that may be classified otherwise; on the same machine, none should be"
    ] = 0.01


def run(config: Experiment, options: Options) -> Path:
    """Train a cell and its encoder again, say whether the new cell equals the first, and return the first one's folder.

    Args:
        config: The experiment; it names the data, and all code of the user's own that the cell was made with.
        options: The options of the command.

    Raises:
        PipelineError: If the folder is no cell or was changed, or its manifest names code that the settings do not
            name.
        MismatchError: If more test images than the tolerance allows are classified differently.
    """
    tolerance, folder = options.tolerance, Path(options.cell)
    if not 0 <= tolerance <= 1:
        raise PipelineError(f"tolerance: {tolerance} is not allowed; expected a share of the test images, 0 to 1")
    manifest = open_artefact(folder, f"name the folder of a trained cell: `{command('reproduce', cell='FOLDER')}`")
    made_from = manifest["inputs"]
    if made_from.get("stage") != "train":
        raise PipelineError(
            f"{folder} was made by stage {made_from.get('stage')}; name a cell, as stage train makes them"
        )
    with tempfile.TemporaryDirectory(prefix="reproduce-") as place:
        again = _make_again(_experiment(config, folder, made_from, Path(place)), made_from, manifest["fingerprint"])
        differing = _compare(folder, manifest, again)
    if differing > tolerance:
        raise MismatchError(
            f"{folder} was not reproduced: {percent(differing)} % of the test images are classified differently, "
            f"{percent(tolerance)} % are allowed"
        )
    return folder


def _make_again(experiment: Experiment, made_from: Inputs, fingerprint: str) -> Path:
    """Run every stage that leads to the cell, and return the new cell's folder.

    Raises:
        PipelineError: If the data are not the same, or this version understands the manifest differently.
    """
    loading.prepare(experiment.data)
    data_card.build(experiment)
    found = data_card.load(experiment)["sha256"]
    if found != made_from["data"]:
        raise PipelineError(
            f"the data are not those that the cell was trained on (SHA-256 {found[:8]}..., was "
            f"{made_from['data'][:8]}...); restore them, or name their folder with --data.root"
        )
    cell = Cell(
        experiment,
        made_from["mode"],
        made_from["labels"],
        made_from["seed"],
        track_unseen_error="track_unseen_error" in made_from,
    )
    again = cell.artefact()
    if again.fingerprint != fingerprint:
        raise PipelineError(
            "this version understands the cell's settings differently; use the version that made the cell"
        )
    if find_mode(cell.mode).pretrained or "choice" in made_from:
        encoder.build(experiment)
    return again.build()


# --- settings, from manifests ---------------------------------------------------------------------------------


def _experiment(config: Experiment, folder: Path, made_from: Inputs, place: Path) -> Experiment:
    """Return the experiment that makes the same cell, in another folder.

    Code that a manifest names is run only if the user's settings name it, too.
    """
    mode = made_from["mode"]
    check_trusted(folder, mode, {*config.grid.modes, *config.train.modes}, f"--grid.modes '[\"{mode}\"]'")
    home = classifier.home(folder)
    source = data_card.find(home, made_from["data"])["inputs"]
    encoder, invariances, threads = _encoder(home, made_from)
    try:
        settings = {
            "name": "again",
            "runs": str(place),
            "data": {
                "dataset": source["dataset"],
                "args": source["args"],
                "root": config.data.root,
                "labels": config.data.labels,
                "groups": config.data.groups,
            },
            "invariances": {"preset": "none", **made_from.get("invariances", invariances)},
            "pretrain": encoder,
            "train": cell_settings.restored(made_from),
            "grid": {"sampling": made_from["sampling"], "strategy": _strategy(made_from, config)},
            "runtime": {**as_dict(config.runtime), "precision": made_from["precision"], "threads": threads},
        }
    except KeyError as error:
        raise PipelineError(f"{folder}: its manifest lacks {error}; it was made by another version") from error
    experiment = from_dict(settings, str(folder / MANIFEST))
    for setting, name, named in (
        ("data.dataset", experiment.data.dataset, config.data.dataset),
        ("grid.strategy", experiment.grid.strategy, config.grid.strategy),
        ("pretrain.method", experiment.pretrain.method, config.pretrain.method),
        ("pretrain.encoder.name", experiment.pretrain.encoder.name, config.pretrain.encoder.name),
        ("pretrain.decoder.name", experiment.pretrain.decoder.name, config.pretrain.decoder.name),
    ):
        check_trusted(folder, name, (named,), f"--{setting} {name}")
    return experiment


def _strategy(made_from: Inputs, config: Experiment) -> str:
    """Return the strategy that chose the labels; where none did, that of the settings, which is not used."""
    strategy: str = made_from.get("choice", {}).get("strategy", config.grid.strategy)
    return strategy


def _encoder(home: Path, made_from: Inputs) -> tuple[JsonObject, dict[str, float], int]:
    """Return the section ``pretrain``, the invariances that it used, and the number of threads of its training."""
    pretrained = made_from.get("pretrained", made_from.get("choice", {}).get("pretrained"))
    if pretrained is not None:
        manifest = encoder.find_manifest(home, pretrained)
        settings: JsonObject = manifest["inputs"]["pretrain"]
        return settings, manifest["inputs"].get("invariances", {}), manifest["outcome"]["threads"]
    settings = as_dict(methods.from_architecture(made_from["encoder"]))
    return settings | made_from.get("track_unseen_error", {}), {}, 0


# --- comparing the two ----------------------------------------------------------------------------------------


def _compare(folder: Path, manifest: Manifest[Metrics], again: Path) -> float:
    """Print what is equal and what is not; return the share of test images that are classified differently."""
    new = open_artefact(again, "run it again")
    first, second = _predictions(folder), _predictions(again)
    differing = float((first != second).mean()) if first.shape == second.shape else 1.0
    same_weights = disk.sha256_file(folder / WEIGHTS) == disk.sha256_file(again / WEIGHTS)
    e_out = [percent(found["outcome"]["e_out"]["error"]) for found in (manifest, new)]
    print(f"weights: {'the same to the bit' if same_weights else 'not the same bits'}")
    print(f"test images: {percent(differing)} % classified differently; E_out was {e_out[0]} %, is {e_out[1]} %")
    for what, was, now in _differences(manifest["provenance"], new["provenance"]):
        print(f"made elsewhere: {what} was {was}, is {now}")
    return differing


def _predictions(folder: Path) -> np.ndarray[Any, Any]:
    with np.load(folder / PREDICTIONS, allow_pickle=False) as stored:
        found: np.ndarray[Any, Any] = stored["test_pred"]
        return found


def _differences(was: Provenance, now: Provenance) -> Iterator[tuple[str, object, object]]:
    """Yield the name and both values of everything that differs in machine and software."""
    for name in ("python", "platform", "machine", "cpus", "revision"):
        if was[name] != now[name]:
            yield name, was[name], now[name]
    for name in sorted({*was["packages"], *now["packages"]}):
        versions = was["packages"].get(name, "absent"), now["packages"].get(name, "absent")
        if versions[0] != versions[1]:
            yield name, *versions
