"""How wide, how deep? A plain autoencoder's latent width against the depth of its encoder."""

from __future__ import annotations

import numpy as np

from pipeline.config import JsonObject
from pipeline.report.drawing import Picture, image_rows
from pipeline.studies import charts
from pipeline.studies.definition import (
    Finding,
    Measured,
    Points,
    Study,
    Subject,
    above,
    below,
    difference,
    points_of,
    show,
)
from pipeline.studies.measures import budgets, examples, squared_error

CLAIM = (
    "A deeper encoder learns higher-level features, a wider bottleneck keeps lower-level detail; between them lies a "
    "trade-off with a best region."
)


def _arms() -> dict[str, JsonObject]:
    """Return three depths by four widths of the latent, each arm named after both."""
    arms = {}
    for depth in (1, 2, 3):
        for latent in (2, 8, 32, 128):
            layers = {"widths": [256] * depth}
            arms[f"depth{depth}-latent{latent}"] = {
                "pretrain": {"latent": latent, "encoder": layers, "decoder": layers}
            }
    return arms


def _measure(subject: Subject) -> Measured:
    original, reconstruction = examples(subject)
    return Measured({"squared_error": squared_error(subject)}, {"original": original, "reconstruction": reconstruction})


class _Map:
    """The arms as a map of depth and width."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.place = {
            arm: (len(config.pretrain.encoder.widths), config.pretrain.latent)
            for arm, config in points.settings.items()
        }
        self.depths = sorted({depth for depth, _ in self.place.values()})
        self.widths = sorted({width for _, width in self.place.values()})

    def by_seed(self, name: str, depth: int | None = None, width: int | None = None) -> list[float]:
        """Return a number by seed, averaged over the arms of this depth and width; None stands for all."""
        chosen = [arm for arm, (d, w) in self.place.items() if depth in (None, d) and width in (None, w)]
        means: list[float] = np.mean([self.points.values(arm, name) for arm in chosen], axis=0).tolist()
        return means

    def grid(self, name: str) -> np.ndarray:
        """Return means over the seeds, shape (depths, widths); NaN where there is no such arm."""
        values = np.full((len(self.depths), len(self.widths)), np.nan)
        for arm, (depth, width) in self.place.items():
            values[self.depths.index(depth), self.widths.index(width)] = self.points.mean(arm, name)
        return values


def _conclude(points: Points) -> list[Finding]:
    arms, both = _Map(points), budgets(points)
    return [
        *(_deeper(arms, labels) for labels in both),
        _wider(arms),
        *(_best_region(arms, labels) for labels in both),
    ]


def _deeper(arms: _Map, labels: int) -> Finding:
    name = f"frozen_{labels}_e_out"
    shallow, deep = arms.depths[0], arms.depths[-1]
    gain = difference(arms.by_seed(name, depth=deep), arms.by_seed(name, depth=shallow))
    return Finding(
        f"A deeper encoder's features serve a linear head on {labels} labels better.",
        f"E_out of {deep} hidden layers minus that of {shallow}, averaged over the widths: the interval over seeds "
        "lies below 0.",
        f"{points_of(gain)}.",
        below(gain),
    )


def _wider(arms: _Map) -> Finding:
    narrow, wide = arms.widths[0], arms.widths[-1]
    parts = {
        depth: difference(
            arms.by_seed("squared_error", depth, wide),
            arms.by_seed("squared_error", depth, narrow),
        )
        for depth in arms.depths
    }
    listed = "; ".join(f"depth {depth}: {show(part, digits=1)}" for depth, part in parts.items())
    return Finding(
        "A wider bottleneck keeps more detail.",
        f"Squared reconstruction error an image of {wide} latent dimensions minus that of {narrow}, on images held out "
        "of pretraining: the interval over seeds lies below 0 at every depth.",
        f"{listed}.",
        all(below(part) for part in parts.values()),
    )


def _best_region(arms: _Map, labels: int) -> Finding:
    """Return the best width by validation labels, so that its test error is not too low for having been chosen."""
    name = f"frozen_{labels}_e_out"
    validation = {width: np.mean(arms.by_seed(f"frozen_{labels}_e_val", width=width)) for width in arms.widths}
    best = min(validation, key=lambda width: validation[width])
    ends = [width for width in (arms.widths[0], arms.widths[-1]) if width != best]
    losses = {end: difference(arms.by_seed(name, width=end), arms.by_seed(name, width=best)) for end in ends}
    listed = "; ".join(f"{end} dimensions err by {points_of(loss)} more" for end, loss in losses.items())
    return Finding(
        f"With {labels} labels, neither the narrowest nor the widest bottleneck gives the best features.",
        "The width with the least validation error lies between the ends, and the E_out of both ends minus its own has "
        "an interval above 0, averaged over the depths.",
        f"Validation chooses {best} of {', '.join(map(str, arms.widths))} dimensions; {listed}.",
        len(losses) == 2 and all(above(loss) for loss in losses.values()),
    )


def _draw(points: Points) -> dict[str, Picture]:
    arms = _Map(points)
    panels = {"squared reconstruction error an image": (arms.grid("squared_error"), 1)}
    for labels in budgets(points):
        for quantity, name in (("E_in", "e_in"), ("E_out", "e_out")):
            panels[f"frozen {quantity}, {labels} labels, %"] = (100 * arms.grid(f"frozen_{labels}_{name}"), 1)
    deepest = {width: arm for arm, (depth, width) in arms.place.items() if depth == arms.depths[-1]}
    rows = {"original": points.first(deepest[arms.widths[0]])["original"]}
    rows |= {f"{width}": points.first(deepest[width])["reconstruction"] for width in sorted(deepest)}
    return {
        "map": charts.heatmaps(panels, "hidden layers", arms.depths, "latent dimensions", arms.widths),
        "reconstructions": image_rows(
            rows, f"Held-out images and their reconstructions by number of latent dimensions, {arms.depths[-1]} layers;"
        ),
    }


STUDY = Study(
    "Bottleneck: width against depth",
    CLAIM,
    _arms(),
    _measure,
    _conclude,
    _draw,
    any_arms=True,
    validates=True,
    decodes=True,
)
