"""Why a bottleneck? An over-complete autoencoder may copy its input and learn nothing."""

from __future__ import annotations

from pipeline.report.drawing import Picture, image_rows
from pipeline.studies import charts
from pipeline.studies.definition import Finding, Measured, Points, Study, Subject, below, difference, points_of
from pipeline.studies.measures import budgets, examples, squared_error

CLAIM = (
    "An autoencoder without a bottleneck copies its input: it reconstructs almost perfectly, and its features are no "
    "better than pixels. A bottleneck, or noise to be removed, makes it learn."
)
NEAR_ZERO = 0.01  # of the error that is made by showing the mean image every time
CHUNK = 1000  # images at a time
PIXELS = "logistic"  # the classical baseline that stands for pixels


def _measure(subject: Subject) -> Measured:
    from pipeline.models.inputs import as_input, chunks

    pool = subject.dataset.train.images
    mean = sum(as_input(chunk).sum(0) for chunk in chunks(pool, CHUNK)) / len(pool)
    spread = (as_input(pool[subject.held_out]) - mean).square().flatten(1).sum(1).mean()
    error = squared_error(subject)
    original, reconstruction = examples(subject)
    return Measured(
        {"squared_error": error, "unexplained": error / float(spread)},
        {"original": original, "reconstruction": reconstruction},
    )


def _conclude(points: Points) -> list[Finding]:
    few, many = budgets(points)
    return [
        _copies(points),
        *(_no_better_than_pixels(points, labels) for labels in (few, many)),
        *(_learns(points, arm, few) for arm in ("bottleneck", "denoising")),
    ]


def _copies(points: Points) -> Finding:
    values = points.values("overcomplete", "unexplained")
    listed = ", ".join(f"{100 * value:.2f} %" for value in values)
    other = points.mean("bottleneck", "unexplained")
    return Finding(
        "Without a bottleneck the reconstruction error is near zero.",
        f"Squared error on held-out images, as a share of that of the mean image: below {100 * NEAR_ZERO:.0f} % under "
        "every seed.",
        f"{listed}; with a bottleneck {100 * other:.2f} %.",
        all(value < NEAR_ZERO for value in values),
    )


def _no_better_than_pixels(points: Points, labels: int) -> Finding:
    features, pixels = (points.values("overcomplete", f"{mode}_{labels}_e_out") for mode in ("frozen", PIXELS))
    loss = difference(features, pixels)
    return Finding(
        f"With {labels} labels its features serve no better than pixels.",
        "E_out of a linear head on its features minus that of logistic regression on pixels, same draws: the interval "
        "over seeds does not lie below 0.",
        f"{points_of(loss)}.",
        not below(loss),
    )


def _learns(points: Points, arm: str, labels: int) -> Finding:
    gain = points.difference(arm, "overcomplete", f"frozen_{labels}_e_out")
    means = {name: 100 * points.mean(name, f"frozen_{labels}_e_out") for name in (arm, "overcomplete")}
    return Finding(
        f"{arm.capitalize()} makes better features than copying does.",
        f"E_out of the {arm} arm minus that of the over-complete one, at {labels} labels: the interval over seeds lies "
        "below 0.",
        f"{means[arm]:.2f} % against {means['overcomplete']:.2f} %: {points_of(gain)}.",
        below(gain),
    )


def _draw(points: Points) -> dict[str, Picture]:
    rows = {"original": points.first(points.arms[0])["original"]}
    rows |= {arm: points.first(arm)["reconstruction"] for arm in points.arms}
    panels = {"error unexplained, %": {arm: points.interval(arm, "unexplained") for arm in points.arms}}
    for labels in budgets(points):
        errors = {arm: points.interval(arm, f"frozen_{labels}_e_out") for arm in points.arms}
        errors["pixels"] = points.interval(points.arms[0], f"{PIXELS}_{labels}_e_out")
        panels[f"E_out, {labels} labels, %"] = errors
    return {
        "errors": charts.bars(panels),
        "reconstructions": image_rows(rows, "Held-out images and what each arm makes of them;"),
    }


STUDY = Study(
    "Identity: without a bottleneck",
    CLAIM,
    {"overcomplete": {}, "bottleneck": {"pretrain": {"latent": 32}}, "denoising": {"pretrain": {"corruption": 1.0}}},
    _measure,
    _conclude,
    _draw,
    decodes=True,
)
