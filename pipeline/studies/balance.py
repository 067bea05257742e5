"""Study of a VAE's loss: reconstruction only, KL divergence only, and both."""

from __future__ import annotations

from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.definition import Finding, Measured, Points, Study, Subject, above, below, show
from pipeline.studies.measures import NEAR, USEFUL, are_useless, budgets, posteriors

CLAIM = (
    "Reconstruction alone drives sigma to 0 and the mus apart; the KL divergence alone makes every code the same "
    "standard normal and the features useless; together they cover the unit Gaussian in distinct blocks."
)


def _measure(subject: Subject) -> Measured:
    from pipeline.evaluation.posteriors import overlap
    from pipeline.evaluation.variational import latent_use

    found = posteriors(subject)
    use = latent_use(found.model, found.images)
    together = (use.spread.square() + found.logvar.exp().mean(0)).sqrt()
    values = {
        "sigma": float(use.sigma.mean()),
        "spread": float(use.spread.mean()),
        "aggregate": float(together.mean()),
        "overlap": overlap(found.mu, found.logvar, found.labels),
        "chance": found.chance,
    }
    return Measured(values, found.arrays)


def _conclude(points: Points) -> list[Finding]:
    _, many = budgets(points)
    return [_reconstruction_alone(points), _kl_alone(points, many), _together(points), _blocks(points, many)]


def _reconstruction_alone(points: Points) -> Finding:
    arm = "reconstruction"
    sigma, spread = points.interval(arm, "sigma"), points.difference(arm, "both", "spread")
    ratios = [s / m for s, m in zip(points.values(arm, "sigma"), points.values(arm, "spread"), strict=True)]
    return Finding(
        "Reconstruction alone drives sigma to 0 and the mus apart.",
        f"Mean sigma is below {NEAR} of the spread of mu under every seed, and mu spreads wider than with both "
        "(interval over seeds).",
        f"Sigma {show(sigma)}, {100 * max(ratios):.1f} % of the spread of mu at most; mu spreads by "
        f"{points.mean(arm, 'spread'):.2f}, with both by {points.mean('both', 'spread'):.2f}. Negative ELBO "
        f"{-points.mean(arm, 'holdout_elbo'):.1f} nats, with both {-points.mean('both', 'holdout_elbo'):.1f}.",
        max(ratios) < NEAR and above(spread),
    )


def _kl_alone(points: Points, labels: int) -> Finding:
    arm, error = "kl", f"frozen_{labels}_e_out"
    sigma, chance = points.values(arm, "sigma"), points.mean(arm, "chance")
    return Finding(
        "The KL divergence alone makes every code the same standard normal, and the features useless.",
        f"Sigma is within {NEAR} of 1 and mu spreads by less than {NEAR} under every seed; the frozen E_out at "
        f"{labels} labels is within {100 * USEFUL:.0f} points of always naming the commonest class.",
        f"Sigma {show(points.interval(arm, 'sigma'))}, spread of mu {show(points.interval(arm, 'spread'), digits=3)}, "
        f"E_out {100 * points.mean(arm, error):.1f} % (commonest class: {100 * chance:.1f} %), overlap of the classes "
        f"{points.mean(arm, 'overlap'):.2f}.",
        all(abs(s - 1) < NEAR for s in sigma) and are_useless(points, arm, error),
    )


def _together(points: Points) -> Finding:
    values = points.values("both", "aggregate")
    return Finding(
        "Together they cover the unit Gaussian.",
        f"The standard deviation of all posteriors taken together is within {NEAR} of 1 under every seed.",
        f"{show(points.interval('both', 'aggregate'))}; with reconstruction alone "
        f"{points.mean('reconstruction', 'aggregate'):.1f}.",
        all(abs(value - 1) < NEAR for value in values),
    )


def _blocks(points: Points, labels: int) -> Finding:
    overlap, error = (points.difference("both", "kl", name) for name in ("overlap", f"frozen_{labels}_e_out"))
    return Finding(
        "Together, the classes take distinct blocks of it.",
        f"Overlap of the classes and frozen E_out at {labels} labels are both less than with the KL alone (intervals "
        "over seeds).",
        f"Overlap {points.mean('both', 'overlap'):.2f} against {points.mean('kl', 'overlap'):.2f} (reconstruction "
        f"alone: {points.mean('reconstruction', 'overlap'):.2f}); E_out "
        f"{100 * points.mean('both', f'frozen_{labels}_e_out'):.1f} % against "
        f"{100 * points.mean('kl', f'frozen_{labels}_e_out'):.1f} % (reconstruction alone: "
        f"{100 * points.mean('reconstruction', f'frozen_{labels}_e_out'):.1f} %).",
        below(overlap) and below(error),
    )


def _draw(points: Points) -> dict[str, Picture]:
    first = {arm: points.first(arm) for arm in points.arms}
    panels = {
        f"{arm}: mean sigma {found['sigma'].mean():.2g}": (found["mu"], found["labels"]) for arm, found in first.items()
    }
    _, many = budgets(points)
    bars = {
        "mean sigma": "sigma",
        "spread of mu": "spread",
        "overlap of classes": "overlap",
        "ELBO, nats": "holdout_elbo",
        f"E_out, {many} labels, %": f"frozen_{many}_e_out",
    }
    return {
        "latent": charts.maps(panels, "mu, first dimension", "mu, second dimension"),
        "measures": charts.bars(
            {title: {arm: points.interval(arm, name) for arm in points.arms} for title, name in bars.items()}
        ),
    }


STUDY = Study(
    "Balance: reconstruction against KL divergence",
    CLAIM,
    {
        "reconstruction": {"pretrain": {"args": {"beta": 0}}},
        "kl": {"pretrain": {"args": {"reconstruction": 0}}},
        "both": {},
    },
    _measure,
    _conclude,
    _draw,
    has_prior=True,
)
