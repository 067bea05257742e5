"""What a classifier promises of its answers is held, and what it cannot promise is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import Answers, fit_temperature
from pipeline.evaluation.selective import labels_needed, promised_threshold, risk_and_coverage


def sampled(generator: np.random.Generator, count: int, power: float) -> Answers:
    """Answers that are wrong with probability (1 - p) ** power, where p, the probability they name, is uniform."""
    probability = generator.uniform(0, 1, count)
    return Answers(probability, generator.uniform(0, 1, count) >= (1 - probability) ** power)


@pytest.mark.parametrize(("power", "labels"), [(2.0, 600), (3.0, 300)])
def test_a_promise_is_broken_in_no_more_than_five_of_a_hundred_samples(power: float, labels: int) -> None:
    """The law is known: above a threshold t, the share of wrong answers is (1 - t) ** power / (power + 1)."""
    generator, trials, max_error = np.random.default_rng(0), 400, 0.05
    broken = promised = 0
    for _ in range(trials):
        try:
            threshold = promised_threshold(sampled(generator, labels, power), max_error)
        except PipelineError:
            continue
        promised += 1
        broken += (1 - max(threshold, 0)) ** power / (power + 1) > max_error
    assert promised > 100
    assert broken <= stats.binom.ppf(0.999, trials, 0.05)


def test_a_promise_that_is_just_untrue_is_given_to_no_more_than_five_of_a_hundred() -> None:
    """The hardest law: however sure, an answer is wrong a little more often than is to be promised."""
    generator, trials, max_error = np.random.default_rng(0), 400, 0.05
    given = 0
    for _ in range(trials):
        answers = Answers(generator.uniform(0, 1, 400), generator.uniform(0, 1, 400) >= 1.0001 * max_error)
        try:
            promised_threshold(answers, max_error)
            given += 1
        except PipelineError:
            pass
    assert 0 < given <= stats.binom.ppf(0.999, trials, 0.05)


def test_a_promise_is_held_on_digits_in_95_of_100_splits() -> None:
    images, labels = load_digits(return_X_y=True)
    kept = given = 0
    for seed in range(100):
        rest, held_out, y, y_held_out = train_test_split(images, labels, train_size=600, random_state=seed)
        model = LogisticRegression(C=0.01, max_iter=50, tol=1e-2).fit(rest[:200], y[:200])
        judged, tested = (
            Answers(model.predict_proba(x).max(1), model.predict(x) == truth)
            for x, truth in ((rest[200:], y[200:]), (held_out, y_held_out))
        )
        try:
            threshold = promised_threshold(judged, 0.03)
        except PipelineError:
            kept += 1
            continue
        given += 1
        own = tested.probability > threshold
        kept += (~tested.right[own]).mean() <= 0.03
    assert given >= 90
    assert kept >= 95


def test_too_few_labels_are_refused_with_the_number_that_is_needed() -> None:
    sure = Answers(np.linspace(0.5, 1, 298), np.ones(298, dtype=bool))
    with pytest.raises(PipelineError, match=r"at least 299 labels .* it has 298\. .* promise less, from 0.011 on"):
        promised_threshold(sure, 0.01)
    assert promised_threshold(sure, 1 - 0.05 ** (1 / 298)) == -1
    assert labels_needed(0.01) == 299


def test_wrong_answers_among_the_surest_are_refused_in_words() -> None:
    wrong = np.zeros(400, dtype=bool)
    wrong[-3:] = True
    with pytest.raises(PipelineError, match=r"of the 299 surest of the 400 answers .* 3 are wrong"):
        promised_threshold(Answers(np.linspace(0.5, 1, 400), ~wrong), 0.01)


def test_answers_that_are_equally_sure_are_accepted_together_or_not_at_all() -> None:
    right = np.ones(200, dtype=bool)
    right[150:] = False
    answers = Answers(np.where(right, 0.9, 0.6), right)
    assert promised_threshold(answers, 0.05) == 0.6
    with pytest.raises(PipelineError, match="cannot be promised"):
        promised_threshold(Answers(np.full(200, 0.9), right), 0.05)


def test_a_temperature_undoes_what_was_done_to_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)
    before, after = Answers.of(3 * logits, labels), Answers.of(3 * logits, labels, fit_temperature(3 * logits, labels))
    assert after.calibration_error < 0.03 < before.calibration_error


def test_a_few_right_answers_promise_no_certainty() -> None:
    logits = torch.eye(10)[torch.arange(20) % 10] * 8
    labels = torch.arange(20) % 10
    probability = Answers.of(logits, labels, fit_temperature(logits, labels)).probability
    assert 0.99 < probability.mean() < 0.99999


def test_risk_and_coverage_count_the_surest_first() -> None:
    coverage, risk = risk_and_coverage(Answers(np.array([0.5, 0.9, 0.7]), np.array([False, True, True])))
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3])
