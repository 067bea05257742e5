"""Stage predict: classify images of the user's with a trained classifier; class and probabilities as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import classifier
from pipeline.artefacts.description import reading
from pipeline.config import Experiment
from pipeline.datasets.brightness import Brightness, BrightnessMeter, compare_brightness
from pipeline.datasets.new_images import Images, open_images
from pipeline.datasets.submission import read_submission
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store import disk

if TYPE_CHECKING:
    from pipeline.models.deployed import Deployed


def run(
    config: Experiment,
    images: str,
    resize: bool,
    white: float | None,
    skip_broken: bool,
    submission: str,
    out: str,
    cell: str,
    mode: str | None,
    labels: int | None,
    seed: int | None,
) -> Path:
    """Classify all images, write a row for each, and return the path of the CSV file.

    The columns are ``file`` or ``index``, ``class``, and ``p_<class name>`` for each class, or columns and rows are
    those of the sample ``submission``. Images are read as those of the training were; what their owner had better know
    is printed.

    Raises:
        PipelineError: If the classifier is missing or changed, or the images are missing, broken, or of another shape.
    """
    if not images:
        raise PipelineError(f"images: none are named; name them: `{command('predict', images='PATH')}`")
    folder = classifier.find(config, cell, mode, labels, seed)
    description = classifier.describe(folder)
    columns = _columns(description["classes"])
    how = replace(reading(description["input"]), resize=resize, white=white, skip_broken=skip_broken)
    sample = read_submission(submission, list(columns)) if submission else None
    source = open_images(Path(images), how)
    positions = sample.find(source.key, source.names) if sample else []
    model = classifier.restore(config, folder, description)
    default = classifier.home(folder) / "predictions" / f"{Path(images).resolve().name}-{folder.resolve().name}.csv"
    target, seen = Path(out).expanduser() if out else default, _Seen(Counter(), BrightnessMeter())
    rows = _rows(config, model, source, columns, seen)
    disk.write_csv(target, sample.rows(positions, list(rows)) if sample else rows)
    shares = ", ".join(f"{name} {seen.classes[name]}" for name in columns if seen.classes[name])
    training = Brightness.from_dict(description["input"]["brightness"])
    notes = source.notes + (sample.notes(positions, len(source.names)) if sample else [])
    remarks = [*notes, *compare_brightness(training, seen.brightness.result())]
    print(f"{seen.classes.total()} images by {folder}: {shares}")
    print("".join(f"  remark: {remark}\n" for remark in remarks), end="")
    return target


@dataclass(frozen=True)
class _Seen:
    """Counts kept while images are classified: images of each class, and their brightness."""

    classes: Counter[str]
    brightness: BrightnessMeter


def _columns(classes: list[str]) -> dict[str, str]:
    """The column of each class's probability."""
    if len(set(classes)) < len(classes):
        raise PipelineError(f"classes: two of {', '.join(classes)} have the same name; give each its own")
    return {name: f"p_{name}" for name in classes}


def _rows(
    config: Experiment, model: Deployed, source: Images, columns: dict[str, str], seen: _Seen
) -> Iterator[dict[str, Any]]:
    """A row for each image, in order; what is ``seen`` is added up on the way."""
    import torch
    from tqdm import tqdm

    from pipeline.models.inputs import CHUNK
    from pipeline.training.trainer import threads

    total, classes = len(source.names), list(columns)
    bar = tqdm(total=total, desc="predict", unit="image", disable=not config.runtime.progress or None)
    with bar, threads(config.runtime.threads), torch.inference_mode():
        for start in range(0, total, CHUNK):
            pixels = source.read(start, start + CHUNK)
            logits, probabilities = model.classify(pixels)
            found = [classes[number] for number in logits.argmax(1)]
            seen.classes.update(found)
            seen.brightness.add(pixels)
            rows = zip(source.names[start : start + CHUNK], found, probabilities.numpy(), strict=True)
            for name, chosen, row in rows:
                yield {source.key: name, "class": chosen, **dict(zip(columns.values(), row, strict=True))}
            bar.update(len(found))
