"""How many of the labels that stage review shows first are wrong: ``python -m benchmarks.label_errors --config FILE``.

A thousand labels are drawn at random from all training labels, 5 % of them are replaced by another class at random, and
the stage is run on them. What follows the module's name are the experiment's settings; the
encoder is pretrained if it is not there.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.config import from_parsed
from pipeline.datasets.loading import load
from pipeline.parsers import stage_parser
from pipeline.stages import data, pretrain, review

DRAWS, LABELS, FLIPPED, SHOWN = 5, 1_000, 50, 50


def main(settings: list[str]) -> None:
    """Print, for each draw, how many of the labels shown first were flipped."""
    parser = stage_parser("review")
    config = from_parsed(parser.instantiate(parser.parse_args(settings)))
    train = load(config.data).train
    assert train.names is not None
    truth, names = train.labels.numpy(), np.array(train.names)
    for draw in range(DRAWS):
        generator = np.random.default_rng(draw)
        chosen = generator.permutation(np.flatnonzero(truth >= 0))[:LABELS]
        flipped = generator.permutation(LABELS)[:FLIPPED]
        given = truth[chosen]
        classes = len(train.class_names)
        given[flipped] = (given[flipped] + generator.integers(1, classes, FLIPPED)) % classes
        table = config.folder / f"flipped-{draw}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            pairs = zip(names[chosen], given.tolist(), strict=True)
            csv.writer(file).writerows([("id", "label"), *((name, train.class_names[label]) for name, label in pairs)])
        relabelled = replace(config, data=replace(config.data, labels=str(table)))
        data.run(relabelled)
        pretrain.run(relabelled)
        page = review.run(relabelled, review.Options(SHOWN))
        found = _shown(page.with_name(review.SUSPECTS)) & set(names[chosen[flipped]].tolist())
        print(f"draw {draw}: {len(found)} of the {SHOWN} labels shown first are flipped ones")


def _shown(table: Path) -> set[str]:
    """Read the names of the images in a table of suspects."""
    with table.open(newline="", encoding="utf-8") as file:
        return {row["name"] for row in csv.DictReader(file)}


if __name__ == "__main__":
    main(sys.argv[1:])
