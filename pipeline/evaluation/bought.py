"""Tells apart how much of a low error is due to images without labels, and how much to the invariances.

A pretrained encoder may be better because it saw images without labels, or because it was told, on the way, which
changes of an image leave its class as it is. Both are separated by training with and without each of them (a factorial
design with two factors, Fisher 1935), on the same draws of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy.typing as npt

from pipeline.evaluation.crossed import Crossed, Estimate

Tables = Mapping[str, npt.ArrayLike]

SCRATCH, PRETRAINED = "scratch", "finetune"  # the same network, trained as a whole, from two starts
PLAIN = " without invariances"  # what the names of arms end with that know none

# what is asked, the arm without it, and the arm with it
QUESTIONS = (
    ("unlabelled images, by pretraining", SCRATCH, PRETRAINED),
    ("unlabelled images, by pretraining, no invariances", SCRATCH + PLAIN, PRETRAINED + PLAIN),
    ("invariances, from scratch", SCRATCH + PLAIN, SCRATCH),
    ("invariances, with pretraining", PRETRAINED + PLAIN, PRETRAINED),
    ("both together", SCRATCH + PLAIN, PRETRAINED),
)


@dataclass(frozen=True)
class Purchase:
    """How much less a classifier errs because it has something.

    Attributes:
        what: The thing that is had or not, in words.
        without: The arm without it.
        having: The arm with it.
        gain: The error on the test images without it minus that with it; above 0, it helps.
    """

    what: str
    without: str
    having: str
    gain: Estimate


def purchases(tables: Tables, during: Sequence[str]) -> list[Purchase]:
    """Return the gain by each thing that two of the arms differ in.

    Args:
        tables: By the arm's name, whether each test image was taken for a wrong class, a table of draws x encoders x
            test images; see ``Crossed``. Arms that know no invariances have names that end with ``PLAIN``.
        during: Modes that use images without labels while the classifier is trained.
    """
    used = [(f"unlabelled images, by {mode}", PRETRAINED, mode) for mode in during]
    found = []
    for what, without, having in (*QUESTIONS, *used):
        if without in tables and having in tables:
            gain = Crossed([tables[without], tables[having]]).estimate([1.0, -1.0])
            found.append(Purchase(what, without, having, gain))
    return found
