"""Stage predict: classify images of the user's with a trained classifier; class and probabilities as CSV."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.artefacts import classifier, data_source
from pipeline.artefacts.classifier import ReadingOptions
from pipeline.artefacts.description import Description, Judged, reading
from pipeline.config import Experiment
from pipeline.datasets.brightness import Brightness, BrightnessMeter, compare_brightness
from pipeline.datasets.new_images import KINDS, WHITE, NewImages, open_images
from pipeline.datasets.submission import Submission, read_submission
from pipeline.errors import PipelineError, require
from pipeline.invocation import command
from pipeline.store import disk
from pipeline.store.outputs import check_target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.evaluation.novelty import TrainingSample
    from pipeline.models.deployed import Deployed

BY = "decided_by"  # the column that says who decides on an image
UNLIKE = "unlike_training"  # the column that marks images of another kind than those of the training
CLASSIFIER, PERSON = "classifier", "person"


@dataclass(frozen=True)
class Options(ReadingOptions):
    """The options of the command, beside those that say how images are read and which classifier is meant."""

    images: Annotated[str, f"{KINDS}; gzipped or not"] = ""
    coverage: Annotated[
        float | None, "share of the images that it decides; the least certain ones are left to a person"
    ] = None
    max_error: Annotated[
        float | None, "largest share of wrong answers among the images that it decides; others are left to a person"
    ] = None
    submission: Annotated[str, "a competition's sample submission, whose columns and rows are written"] = ""
    out: Annotated[str, "CSV file to write; empty: runs/<name>/predictions/<images>-<cell>.csv"] = ""


def run(config: Experiment, options: Options) -> Path:
    """Classify all images, write a row for each, and return the path of the CSV file.

    The columns are ``file`` or ``index``, ``class``, ``p_<class name>`` for each class, and ``unlike_training``, "yes"
    where an image is not of the training's kind; if the least sure are to be left to a person, also ``decided_by``,
    "classifier" or "person". Or columns and rows are those of the sample ``submission``. Images are read as those of
    the training were; what their owner had better know is printed.

    Raises:
        PipelineError: If the classifier is missing or changed, the images are missing, broken, or of another shape, an
            error is asked for that its labels cannot promise, or ``out`` is a file that is read or holds something
            else.
    """
    images, submission, max_error = options.images, options.submission, options.max_error
    if not images:
        raise PipelineError(f"images: none are named; name them: `{command('predict', images='PATH')}`")
    _check_shares(options.coverage, max_error, submission)
    folder = classifier.find(config, options)
    description = classifier.describe(folder)
    columns = _columns(description["classes"])
    threshold = None if max_error is None else _promised_threshold(description["judged"], max_error)
    how = options.applied_to(reading(description["input"]))
    sample = read_submission(submission, list(columns)) if submission else None
    if options.out:
        inputs = [*(Path(named) for named in (images, submission) if named), *data_source.named(config)]
        check_target(Path(options.out), inputs, lambda path: _is_own(path, sample), "a table of predictions")
    source = open_images(Path(images), how)
    positions = sample.find(source.key, source.names) if sample else []
    model = classifier.restore(config, folder, description)
    training_images = classifier.restore_sample(folder, int(model.backbone.out_features))  # type: ignore[arg-type]
    seen = _classify(config, model, training_images, source)
    decided = _decide(seen.probabilities.max(1), options.coverage, threshold)
    default = classifier.home(folder) / "predictions" / f"{Path(images).resolve().name}-{folder.resolve().name}.csv"
    target = Path(options.out) if options.out else default
    rows = _rows(source, seen, columns, decided)
    disk.write_csv(target, sample.rows(positions, list(rows)) if sample else rows)
    counts = Counter(seen.answers.tolist())
    shares = ", ".join(f"{name} {counts[number]}" for number, name in enumerate(columns) if counts[number])
    print(f"{len(seen.answers)} images by {folder}: {shares}")
    if decided is not None:
        print(_say_decided(int(decided.sum()), len(decided), max_error))
    column = "" if sample else f" (column {UNLIKE})"
    print(f"unlike the training images: {seen.unlike.sum()} of {len(seen.unlike)}{column}; one in a hundred is usual")
    notes = source.notes + (sample.notes(positions, len(source.names)) if sample else [])
    remarks = [*notes, *_remarks(description, training_images, seen)]
    print("".join(f"  remark: {remark}\n" for remark in remarks), end="")
    return target


def _remarks(description: Description, training_images: TrainingSample, seen: _Seen) -> list[str]:
    """Return what the owner of the images had better know of the answers."""
    training = Brightness.from_dict(description["input"]["brightness"])
    remarks = list(compare_brightness(training, seen.brightness, WHITE))
    if not description["judged"]["right"]:
        remarks.append(
            "the probabilities are not calibrated: it learnt from every label of its budget (train.validation none), "
            "so that none could say how often it is right"
        )
    unlike, total = int(seen.unlike.sum()), len(seen.unlike)
    if training_images.is_notable(unlike, total):
        remarks.append(
            f"{unlike} of {total} images are unlike those of the training, in their pixels or to "
            "the encoder: the classes that they get may mean nothing. See whether they show the same things, upright, "
            "as large, and not inverted"
        )
    return remarks


def _check_shares(coverage: float | None, max_error: float | None, submission: str) -> None:
    if submission and (coverage is not None or max_error is not None):
        raise PipelineError(
            "submission: it has no column for what is left to a person; leave out coverage and max-error"
        )
    if coverage is not None and max_error is not None:
        raise PipelineError("coverage, max-error: name one of them; either says what is left to a person")
    if coverage is not None:
        require(0 < coverage <= 1, "coverage", coverage, "a share of the images above 0, at most 1")
    if max_error is not None:
        require(0 < max_error < 1, "max-error", max_error, "a share of wrong answers between 0 and 1")


def _is_own(path: Path, sample: Submission | None) -> bool:
    """Return whether a file holds predictions, or, if a sample is given, its columns and rows."""
    with contextlib.suppress(OSError, ValueError, csv.Error), path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if UNLIKE in header:
            return True
        return sample is not None and header == [*sample.columns] and [row[0] for row in rows] == sample.table.names
    return False


def _columns(classes: list[str]) -> dict[str, str]:
    """Return the column of each class's probability."""
    if len(set(classes)) < len(classes):
        raise PipelineError(f"classes: two of {', '.join(classes)} have the same name; give each its own")
    return {name: f"p_{name}" for name in classes}


# --- what the classifier says ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """The answers of a classifier on new images.

    Attributes:
        answers: The number of each image's class, shape (N,).
        probabilities: Calibrated if labels were left for that, shape (N, classes).
        unlike: Whether each image is of another kind than those of the training, shape (N,).
        brightness: The brightness of the images.
    """

    answers: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    unlike: npt.NDArray[np.bool_]
    brightness: Brightness


def _classify(config: Experiment, model: Deployed, training: TrainingSample, source: NewImages) -> _Seen:
    import numpy as np
    import torch
    from tqdm import tqdm

    from pipeline.evaluation.novelty import looks
    from pipeline.models.inputs import CHUNK
    from pipeline.training.device import threads

    total, answers, probabilities, unlike, meter = len(source.names), [], [], [], BrightnessMeter()
    bar = tqdm(total=total, desc="predict", unit="image", disable=not config.runtime.progress or None)
    with bar, threads(config.runtime.threads), torch.inference_mode():
        for start in range(0, total, CHUNK):
            pixels = source.read(start, start + CHUNK)
            logits, probability, features = model.classify(pixels)
            answers.append(logits.argmax(1))
            probabilities.append(probability)
            unlike.append(training.unlike(features.numpy(), looks(pixels)))
            meter.add(pixels)
            bar.update(len(pixels))
    together = torch.cat(probabilities).numpy()
    return _Seen(torch.cat(answers).numpy(), together, np.concatenate(unlike), meter.result())


def _rows(
    source: NewImages, seen: _Seen, columns: dict[str, str], decided: npt.NDArray[np.bool_] | None
) -> Iterator[dict[str, Any]]:
    """Yield a row for each image, in order."""
    classes = list(columns)
    for number, name in enumerate(source.names):
        probabilities = dict(zip(columns.values(), seen.probabilities[number], strict=True))
        row = {source.key: name, "class": classes[seen.answers[number]], **probabilities}
        row[UNLIKE] = "yes" if seen.unlike[number] else "no"
        if decided is not None:
            row[BY] = CLASSIFIER if decided[number] else PERSON
        yield row


# --- what is left to a person ---------------------------------------------------------------------------------


def _promised_threshold(judged: Judged, max_error: float) -> float:
    """Return the probability above which the classifier decides by itself."""
    import numpy as np

    from pipeline.evaluation.calibration import Answers
    from pipeline.evaluation.selective import promised_threshold

    answers = Answers(np.array(judged["probability"], dtype=np.float64), np.array(judged["right"], dtype=np.bool_))
    return promised_threshold(answers, max_error)


def _decide(
    sureness: npt.NDArray[np.float32], coverage: float | None, threshold: float | None
) -> npt.NDArray[np.bool_] | None:
    """Whether the classifier decides on each image; None if it decides on all without being asked."""
    import numpy as np

    if threshold is not None:
        return sureness > threshold
    if coverage is None:
        return None
    decided = np.zeros(len(sureness), dtype=np.bool_)
    decided[np.argsort(-sureness, kind="stable")[: round(coverage * len(sureness))]] = True
    return decided


def _say_decided(own: int, total: int, max_error: float | None) -> str:
    text = f"left to a person, being the least sure: {total - own} of {total} images (column {BY})"
    if max_error is None:
        return text
    return (
        f"{text}; of the other {own}, at most {100 * max_error:g} % are wrong, with 95 % confidence, "
        "if the images come as its labels did"
    )
