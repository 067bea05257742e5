"""One recipe for every mode: when it stops, what a converged head is, how steps go, and that all arms know the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.batches import StepBatches
from pipeline.datasets.invariances import Augmentation
from pipeline.learning import fitting
from pipeline.learning.heads import converge, fit_path
from pipeline.learning.plan import Plan
from pipeline.models.classifier import Classifier, Rates, make_head
from pipeline.models.self_training import SelfTrainingClassifier
from pipeline.models.side_by_side import Schedule, SideBySide
from pipeline.modes import BUILT_IN, FitConfig
from pipeline.store import disk
from pipeline.training import checkpoints, trainer
from pipeline.training.recording import FitResult, Rounds, Row
from pipeline.training.stopping import Selection, Stopping
from tests.conftest import Run
from tests.test_cells import cell

# --- made learning curves -------------------------------------------------------------------------------------


def course(losses: list[float], errors: list[float] | None = None, se: float = 0.05) -> tuple[int, int]:
    """The measurement that is kept, and the last one, of a training with these validation losses and E_in."""
    selection, stopping = Selection(), Stopping(minimum=4, patience=3)
    for number, loss in enumerate(losses):
        selection.take({"loss_val": loss, "se_val": se, "e_in": errors[number] if errors else 0.0})
        if selection.ends(stopping):
            break
    return selection.kept, selection.seen - 1


def test_a_curve_that_falls_is_trained_to_the_end() -> None:
    assert course([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]) == (6, 6)


def test_a_curve_that_rises_is_stopped_and_the_best_is_kept() -> None:
    assert course([1.0, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1]) == (1, 4)


def test_what_cannot_be_told_apart_from_the_best_does_not_stop_it() -> None:
    """A minimum by chance, as twenty validation images have it, ends no training, and the longest trained is kept."""
    assert course([1.0, 0.5, 0.53, 0.54, 0.52, 0.53, 0.54]) == (6, 6)
    assert course([1.0, 0.5, 0.53, 0.54, 0.7, 0.8, 0.9, 1.0, 1.1]) == (3, 6)


def test_no_training_stops_before_its_minimum() -> None:
    assert course([0.5, 0.7, 0.8, 0.9, 1.0]) == (0, 3)


def test_an_arm_whose_e_in_is_still_falling_is_not_stopped() -> None:
    losses = [0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4]
    falling = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4]
    assert course(losses, falling) == (0, 8)
    assert course(losses) == (0, 3)


@given(st.lists(st.floats(0, 9), min_size=1, max_size=30), st.floats(0, 1))
def test_what_is_kept_is_within_a_standard_error_of_the_lowest(losses: list[float], se: float) -> None:
    selection = Selection()
    for loss in losses:
        selection.take({"loss_val": loss, "se_val": se, "e_in": 0.0})
    assert losses[selection.kept] <= min(losses) + se
    assert all(loss > min(losses) + se for loss in losses[selection.kept + 1 :])


# --- converged heads ------------------------------------------------------------------------------------------


def embedded(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(90) % 3
    return torch.randn(90, 8, generator=generator) + torch.nn.functional.one_hot(labels, 8), labels


def untrained() -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Identity(), make_head(8, 3), False, nn.Identity(), Rates())


@pytest.mark.parametrize("strength", [0.1, 3.0, 100.0])
def test_a_converged_head_is_the_logistic_regression_of_scikit_learn(strength: float) -> None:
    x, labels = embedded()
    classifier = untrained()
    loss = converge(classifier, x, labels, strength)
    theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10000).fit(x.double().numpy(), labels.numpy())
    probabilities = classifier(x).softmax(1).detach()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(x.numpy()), atol=1e-4)
    assert loss == pytest.approx(float(nn.functional.nll_loss(probabilities.log(), labels)), rel=1e-4)


def test_the_path_goes_from_the_strongest_penalty_to_the_weakest_and_keeps_the_best() -> None:
    x, labels = embedded()
    classifier, losses = untrained(), iter([0.9, 0.4, 0.5])
    seen = []

    def measure() -> Row:
        seen.append(classifier.head[0].weight.detach().clone())  # type: ignore[index]
        return {"loss_val": next(losses)}

    result = fit_path([classifier], [(x, labels)], [1.0, 100.0, 10.0], measure)
    assert [row["l2"] for row in result.history] == [100, 10, 1]
    assert result.row["l2"] == 10
    assert torch.equal(classifier.head[0].weight, seen[1])  # type: ignore[index]
    assert seen[0].norm() < seen[1].norm() < seen[2].norm()


def test_a_class_without_a_label_makes_no_head_infinite() -> None:
    x, labels = embedded()
    few = labels < 2
    classifier = untrained()
    converge(classifier, x[few], labels[few], 1.0)
    assert all(parameter.isfinite().all() for parameter in classifier.head.parameters())
    assert set(classifier(x).argmax(1).tolist()) == {0, 1}


# --- steps ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 6), st.integers(0, 9))
def test_rounds_of_steps_are_one_stream_of_shuffled_passes(n: int, size: int, steps: int, seed: int) -> None:
    places, rounds = torch.arange(5, n + 5), iter(range(4))
    loader = StepBatches(torch.arange(n + 5), torch.arange(n + 5), places, size, steps, seed, lambda: next(rounds))
    stream = torch.cat([labels for _ in range(4) for _, labels in loader])
    assert len(stream) == 4 * steps * size
    passes = torch.split(stream, n)
    assert all(sorted(whole.tolist()) == places.tolist() for whole in passes[:-1])
    again = StepBatches(torch.arange(n + 5), torch.arange(n + 5), places, size, steps, seed, lambda: 3)
    assert torch.equal(torch.cat([labels for _, labels in again]), stream[-steps * size :])


def test_the_rate_rises_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=500, warmup=50)
    factors = [schedule.factor(step) for step in range(500)]
    assert factors[:50] == pytest.approx(np.arange(1, 51) / 50)
    assert factors[49] == factors[50] == 1
    assert np.all(np.diff(factors[50:]) < 0)
    assert 0 < factors[-1] < 1e-3
    assert max(Schedule(steps=4, warmup=50).factor(step) for step in range(4)) == 1  # short trainings warm up, too


def test_more_labels_take_more_steps() -> None:
    def steps(mode: str, budget: int) -> int:
        return Plan(mode, PretrainConfig(), TrainConfig(), InvariancesConfig(), RuntimeConfig(), 0).steps(budget)

    assert [steps("scratch", budget) for budget in (100, 1000)] == [500, 1580]
    assert steps("self_train", 100) == steps("propagate", 1000) == 2000


@pytest.mark.parametrize("mode", ["scratch", "self_train"])
def test_a_killed_training_goes_on_with_the_same_bits(
    mode: str, runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps, augmentation, EMA, rates and what early stopping has seen: all go on where they were."""
    assert tiny("train", f"--mode={mode}") == 0
    folder = cell(runs, mode)
    whole = [disk.sha256_file(folder / name) for name in ("weights.safetensors", "history.csv")]
    folder.rename(runs / "whole")
    save, killed = checkpoints.SaveEpochs.on_train_epoch_end, []

    def save_and_die(self: Any, lightning: Any, model: Any) -> None:
        save(self, lightning, model)
        if lightning.current_epoch == 1 and isinstance(model, SideBySide) and model.classifiers[0].train_backbone:
            killed.append(self.path)
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "BRIEF", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.SaveEpochs, "on_train_epoch_end", save_and_die)
        assert tiny("train", f"--mode={mode}") == 130
    [checkpoint] = killed
    assert checkpoint.exists()
    assert tiny("train", f"--mode={mode}") == 0
    assert [disk.sha256_file(folder / name) for name in ("weights.safetensors", "history.csv")] == whole
    assert not checkpoint.exists()


# --- what the arms know ---------------------------------------------------------------------------------------


def test_a_mode_has_no_augmentation_schedule_average_or_length_of_its_own() -> None:
    assert {field.name for field in dataclasses.fields(FitConfig)} == {"encoder_lr", "head_lr", "head_first"}


def test_every_arm_that_trains_an_encoder_knows_the_same(
    runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the trainer, by whatever way; those that learn from all images have another length and decay."""
    told: dict[str, list[Any]] = {}
    fit = trainer.fit

    def noted(model: SideBySide, data: Any, runtime: Any, rounds: Rounds, *rest: Any) -> FitResult:
        [classifier] = model.classifiers
        if classifier.train_backbone:
            augment = classifier.augment
            assert isinstance(augment, Augmentation)
            kept = {name: value for name, value in vars(augment).items() if isinstance(value, int | float)}
            rates = classifier.rates
            shared = (rates.ema_decay, rates.label_smoothing)
            told[mode] = [kept, shared, model.schedule.warmup, rounds.count, rounds.stopping]
            labelled = classifier.batch_size if isinstance(classifier, SelfTrainingClassifier) else data.batch_size
            told[mode] += [labelled, runtime]
            lengths[mode] = model.schedule.steps, rates.weight_decay
        return fit(model, data, runtime, rounds, *rest)

    lengths: dict[str, tuple[int, float]] = {}
    monkeypatch.setattr(fitting, "fit", noted)
    for mode, entry in BUILT_IN.items():
        if entry.trains_encoder:
            assert tiny("train", f"--mode={mode}", "--labels=50") == 0
    assert told.keys() == {mode for mode, entry in BUILT_IN.items() if entry.trains_encoder}
    first = told["scratch"]
    assert all(what == first for what in told.values())
    of_labels = {lengths[mode] for mode, entry in BUILT_IN.items() if mode in told and not entry.self_trains}
    of_all = {lengths[mode] for mode, entry in BUILT_IN.items() if mode in told and entry.self_trains}
    assert (len(of_labels), len(of_all)) == (1, 1)
