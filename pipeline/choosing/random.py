"""Any images: what every other strategy has to beat."""

from __future__ import annotations

import numpy as np

from pipeline.choosing import Choice, Pool, Strategy, unlabelled


def _choose(pool: Pool) -> Choice:
    index = pool.generator.permutation(unlabelled(pool))[: pool.count]
    return Choice(index, np.arange(pool.count), ("drawn at random",) * pool.count)


STRATEGY = Strategy("any images, drawn at random", _choose)
