"""The verdict of a study: whether its claim holds, with results and pictures, as verdict.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from pipeline.artefacts import data_card
from pipeline.config import Experiment
from pipeline.invocation import command
from pipeline.store import disk, provenance
from pipeline.store.fingerprints import fingerprint
from pipeline.store.provenance import Provenance
from pipeline.store.records import Record
from pipeline.studies import RESULTS, VERDICT, find_study, study_folder

if TYPE_CHECKING:
    from pipeline.studies import definition, points


class FindingRecord(TypedDict):
    """One claim put to the test, see ``definition.Finding``."""

    claim: str
    criterion: str
    measured: str
    holds: bool


class PictureRecord(TypedDict):
    """A picture beside the verdict: its file's name, and what can be seen on it."""

    file: str
    alt: str


class Verdict(TypedDict):
    """The content of verdict.json.

    Attributes:
        study: The name of the study, as in ``study.name``.
        title: The subject, in a few words.
        claim: The claim, in a sentence.
        measured: The measurements of all findings, in sentences.
        holds: Whether all of its findings hold.
        findings: The parts of the claim, one by one.
        pictures: Pictures beside the verdict.
        dataset: The name of the data set in the config.
        data_sha256: Digest of the data set.
        seeds: Number of seeds of each arm.
        arms: Names of the arms.
        provenance: Versions, machine and command.
    """

    study: str
    title: str
    claim: str
    measured: str
    holds: bool
    findings: list[FindingRecord]
    pictures: list[PictureRecord]
    dataset: str
    data_sha256: str
    seeds: int
    arms: list[str]
    provenance: Provenance


def record(folder: Path) -> Record[Verdict]:
    """Return the record of the verdict in a study's folder."""
    return Record(folder / VERDICT, f"run `{command('study')}` again")


def find(config: Experiment, planned: Sequence[points.Point]) -> Verdict | None:
    """Return the study's verdict on these points if it is whole, and so are the points; else None.

    Of the points, only the manifests and the sizes of the files are read.
    """
    found = record(study_folder(config)).find(_fingerprint(planned))
    return found if found is not None and all(point.artefact().is_finished for point in planned) else None


def _fingerprint(planned: Sequence[points.Point]) -> str:
    return fingerprint({"stage": "study", "points": [point.inputs for point in planned]})


def write(config: Experiment, planned: Sequence[points.Point]) -> Verdict:
    """Write results and pictures of points that are all measured, and the verdict, which vouches for them.

    Raises:
        PipelineError: If a point is missing or was changed, or the folder cannot be written.
    """
    study, measured = find_study(config.study.name), _open(planned)
    findings = study.conclude(measured)
    pictures = {f"{name}.png": picture for name, picture in study.draw(measured).items()}
    verdict: Verdict = {
        "study": config.study.name,
        "title": study.title,
        "claim": study.claim,
        "measured": " ".join(finding.measured for finding in findings),
        "holds": all(finding.holds for finding in findings),
        "findings": [cast(FindingRecord, asdict(finding)) for finding in findings],
        "pictures": [{"file": name, "alt": picture.alt} for name, picture in pictures.items()],
        "dataset": config.data.dataset,
        "data_sha256": data_card.load(config)["sha256"],
        "seeds": config.grid.draws,
        "arms": list(measured.arms),
        "provenance": provenance.collect(),
    }
    files: dict[str, bytes | str] = {name: picture.content for name, picture in pictures.items()}
    files |= {name: disk.as_csv(table) for name, table in study.tables(measured).items()}
    files[RESULTS] = disk.as_csv(_rows(measured))
    return record(study_folder(config)).write(_fingerprint(planned), verdict, files)


def _open(planned: Sequence[points.Point]) -> definition.Points:
    """Read the measured points, after checking every file."""
    from pipeline.studies import definition

    measured = [
        definition.MeasuredPoint(
            point.arm, point.seed, point.artefact().open()["outcome"], point.artefact().folder / "arrays.npz"
        )
        for point in planned
    ]
    return definition.Points(measured, {point.arm: point.config for point in planned})


def _rows(measured: definition.Points) -> list[dict[str, object]]:
    """Return a row for each point, with a blank for a number that only arms of other methods have."""
    columns = list(dict.fromkeys(name for point in measured.points for name in point.values))
    return [
        {"arm": point.arm, "seed": point.seed, **{name: point.values.get(name, "") for name in columns}}
        for point in measured.points
    ]
