"""The images that a classifier is least sure of: its two likeliest classes are nearly as likely."""

from __future__ import annotations

import numpy as np

from pipeline.choosing import Choice, Pool, Strategy, margins, unlabelled


def _choose(pool: Pool) -> Choice:
    assert pool.probabilities is not None
    candidates = unlabelled(pool)
    margin = margins(pool.probabilities[candidates])
    least = np.argsort(margin, kind="stable")[: pool.count]
    reasons = tuple(f"its two likeliest classes are {100 * margin[place]:.1f} points apart" for place in least)
    return Choice(candidates[least], np.arange(pool.count), reasons)


STRATEGY = Strategy(
    "the images whose two likeliest classes are the closest",
    _choose,
    needs_probabilities=True,
    reference="Scheffer, Decomain and Wrobel 2001, Active hidden Markov models for information extraction",
)
