"""The scikit-learn estimators: scikit-learn's own checks, and the same bits as the command line's."""

from __future__ import annotations

import contextlib
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from safetensors.torch import load_file
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.utils.estimator_checks import check_classifiers_classes, parametrize_with_checks

from pipeline.cli import main
from pipeline.config import GraphConfig, NetworkConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.estimators import AutoencoderTransformer, SemiSupervisedClassifier, scorer
from pipeline.estimators.partial_labels import UnlabelledWarning
from pipeline.modes import BUILT_IN
from tests.conftest import in_both_precisions

Array = npt.NDArray[Any]

# tiny networks and few epochs: the tests ask whether it works, not how well
SMALL = NetworkConfig("mlp", (16,), ())
PRETRAIN = PretrainConfig(latent=8, encoder=SMALL, decoder=SMALL, corruption=0, epochs=1, batch_size=64)
TRAIN = TrainConfig(length=2, unlabelled_steps=4, evaluations=2, graph=GraphConfig(neighbours=5))


def transformer(**parameters: Any) -> AutoencoderTransformer:
    return AutoencoderTransformer(**{"pretrain": PRETRAIN, "random_state": 0, **parameters})


def classifier(mode: str = "frozen", **parameters: Any) -> SemiSupervisedClassifier:
    given = {"pretrain": PRETRAIN, "train": TRAIN, "random_state": 0, **parameters}
    return SemiSupervisedClassifier(mode, **given)


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """300 images of 8 x 8 pixels, uint8, and their labels, of which the first 80 are known."""
    images, labels = load_digits(return_X_y=True)
    y = labels[:300].astype(np.int64)
    y[80:] = -1
    return np.rint(images[:300] * 255 / 16).astype(np.uint8), y


def not_minus_one(estimator: Any) -> dict[str, str]:
    """The check takes -1 for a class, unless the estimator has the name of one of scikit-learn's own."""
    reason = "-1 means unlabelled; the check is run below, under a name that it knows as semi-supervised"
    return {"check_classifiers_classes": reason} if isinstance(estimator, SemiSupervisedClassifier) else {}


# with their default networks: the smaller ones of the other tests hide what larger sums round differently
CHECKED = [AutoencoderTransformer(epochs=1), SemiSupervisedClassifier(epochs=1)]


@parametrize_with_checks(CHECKED, expected_failed_checks=not_minus_one)  # type: ignore[untyped-decorator]
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_classes_of_any_type() -> None:
    check_classifiers_classes("SelfTrainingClassifier", classifier(head_lr=0.1, random_state=None))


@pytest.fixture(scope="module")
def command_line(digits: tuple[Array, Array], precision: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of an experiment on the same images, pretrained."""
    folder = tmp_path_factory.mktemp("command_line")
    images, labels = load_digits(return_X_y=True)
    np.savez(
        folder / "some.npz",
        images=digits[0],
        labels=digits[1],
        test_images=np.rint(images[300:400] * 255 / 16).astype(np.uint8),
        test_labels=labels[300:400],
    )
    settings = {
        "runs": folder,
        "name": "t",
        "data.dataset": "numpy",
        "data.args.path": folder / "some.npz",
        "pretrain.encoder.widths": "[8,16]",
        "pretrain.encoder.hidden": "[32]",
        "pretrain.epochs": 1,
        "pretrain.holdout": 0,
        "pretrain.seed": 3,
        "grid.labels": "[80]",
        "runtime.precision": precision,
        "train.length": 2,
        "train.unlabelled_steps": 4,
        "train.evaluations": 2,
    }
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    for stage in ("data", "pretrain"):
        assert main([stage, *arguments]) == 0
    return arguments


@in_both_precisions
@pytest.mark.parametrize("mode", BUILT_IN)
def test_an_estimator_has_the_bits_of_the_command_line(
    mode: str, precision: Any, digits: tuple[Array, Array], command_line: list[str]
) -> None:
    images, y = digits
    assert main(["train", *command_line, f"--mode={mode}", "--labels=80", "--seed=3"]) == 0
    runs = Path(command_line[0].removeprefix("--runs=")) / "t"
    [cell] = (path for path in runs.glob(f"cells/{mode}-*") if path.is_dir())
    stored = load_file(cell / "weights.safetensors")

    settings = PretrainConfig(encoder=NetworkConfig(widths=(8, 16), hidden=(32,)), epochs=1)
    train = TrainConfig(unlabelled_steps=4, evaluations=2)
    common: dict[str, Any] = {
        "pretrain": settings,
        "runtime": RuntimeConfig(progress=False, precision=precision),
        "random_state": 3,
    }
    ours = SemiSupervisedClassifier(mode, train=train, length=2, **common).fit(images, y)
    assert ours.model_.state_dict().keys() == stored.keys()
    for name, value in ours.model_.state_dict().items():
        assert torch.equal(value, stored[name]), name
    with np.load(cell / "predictions.npz", allow_pickle=False) as predictions:
        assert (predictions["val_index"] == ours.split_.val).all()
        assert (ours.classes_[predictions["val_pred"]] == ours.predict(images[ours.split_.val])).all()

    if mode == "frozen":
        [pretrained] = (path for path in runs.glob("pretrain-*") if path.is_dir())
        embeddings = load_file(pretrained / "embeddings.safetensors")["train"].numpy()
        encoder = AutoencoderTransformer(**common).fit(images)
        assert (encoder.transform(images) == embeddings).all()


def test_labels_for_early_stopping_come_out_of_those_handed_in(digits: tuple[Array, Array]) -> None:
    images, y = digits
    fitted = classifier().fit(images, y)
    assert 12 <= len(fitted.split_.val) <= 20
    seen = np.concatenate([fitted.split_.train, fitted.split_.val])
    assert sorted(seen) == np.flatnonzero(y >= 0).tolist()
    assert fitted.history_[fitted.kept_]["loss_val"] == min(row["loss_val"] for row in fitted.history_)


def test_strings_may_be_classes(digits: tuple[Array, Array]) -> None:
    """-1, its string and the empty string all say that there is no label, as they do to the readers of data sets."""
    images, y = digits
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    as_objects = np.array([names[code] if code >= 0 else -1 for code in y], dtype=object)
    fitted = classifier().fit(images, as_objects)
    assert fitted.classes_.tolist() == sorted(names)
    for same in (as_objects.tolist(), np.where(y >= 0, names[y], ""), np.where(y >= 0, names[y], "-1")):
        assert (classifier().fit(images, same).predict_proba(images) == fitted.predict_proba(images)).all()
    assert fitted.score(images, as_objects) == np.mean(fitted.predict(images[:80]) == as_objects[:80])


def test_score_leaves_out_what_has_no_label(digits: tuple[Array, Array]) -> None:
    images, y = digits
    fitted = classifier(head_lr=0.1).fit(images, y)
    weights = np.arange(300)
    assert fitted.score(images, y) == np.mean(fitted.predict(images[:80]) == y[:80]) > 0.3
    assert fitted.score(images, y, weights) == np.average(fitted.predict(images[:80]) == y[:80], weights=weights[:80])
    with pytest.raises(ValueError, match="no image has a label"):
        fitted.score(images[80:], y[80:])


def test_images_may_come_in_any_layout_and_scale(digits: tuple[Array, Array]) -> None:
    rows, _ = digits
    expected = transformer().fit_transform(rows)
    assert expected.dtype == np.float32
    for layout in ((300, 8, 8), (300, 1, 8, 8)):
        fitted = transformer().fit(rows.reshape(layout))
        assert fitted.image_shape_ == (1, 8, 8)
        assert (fitted.transform(rows.reshape(layout)) == expected).all()
        assert (fitted.transform(rows) == expected).all()
        assert fitted.inverse_transform(expected).shape == layout
    for scaled in (rows / 255, rows.astype(float), 7 - rows.astype(np.float32) * -3, rows.astype(int)):
        np.testing.assert_allclose(transformer().fit_transform(scaled), expected, atol=1e-3)


def test_the_networks_suit_the_images() -> None:
    rng = np.random.default_rng(0)
    for width, asked, shape, name in (
        (64, None, (1, 8, 8), "ConvEncoder"),
        (13, None, (1, 1, 13), "MLPEncoder"),
        (64, (1, 1, 64), (1, 1, 64), "MLPEncoder"),
        (192, (3, 8, 8), (3, 8, 8), "ConvEncoder"),
        (160, (8, 20), (1, 8, 20), "ConvEncoder"),
    ):
        fitted = AutoencoderTransformer(2, 1, image_shape=asked, random_state=0).fit(rng.random((20, width)))
        assert fitted.image_shape_ == shape
        assert type(fitted.backbone_.encoder).__name__ == name
        assert fitted.get_feature_names_out().tolist() == ["autoencodertransformer0", "autoencodertransformer1"]


@pytest.mark.parametrize("method", ["autoencoder", "vae"])
def test_embeddings_become_the_models_own_reconstructions(method: Any, digits: tuple[Array, Array]) -> None:
    images = digits[0] * 2.0 - 100
    fitted = transformer(pretrain=replace(PRETRAIN, method=method)).fit(images)
    again = fitted.inverse_transform(fitted.transform(images))
    with torch.no_grad():
        expected = fitted.model_(torch.from_numpy(digits[0]).reshape(-1, 1, 8, 8)) * 510 - 100
    np.testing.assert_allclose(again, expected.reshape(300, 64), rtol=1e-3, atol=0.05)


def test_reconstructions_become_alike(digits: tuple[Array, Array]) -> None:
    images = digits[0]
    fitted = transformer(epochs=15, pretrain=replace(PRETRAIN, batch_size=32)).fit(images)
    again = fitted.inverse_transform(fitted.transform(images))
    assert np.mean((again - images) ** 2) < 0.8 * images.var(axis=0).mean()  # the mean image would have 1


def test_nothing_is_written_and_nobody_elses_random_numbers_change(
    digits: tuple[Array, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # type: ignore[index]
    classifier("propagate").fit(*digits)
    transformer().fit(digits[0])
    after = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # type: ignore[index]
    assert states == after
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_a_pickle_holds_the_networks_and_not_the_data(digits: tuple[Array, Array]) -> None:
    images, y = digits
    fitted = classifier().fit(images, y)
    stored = pickle.dumps(fitted)
    assert (pickle.loads(stored).predict_proba(images) == fitted.predict_proba(images)).all()
    twice = classifier().fit(np.concatenate([images, images]), np.append(y, np.full(300, -1)))
    assert len(pickle.dumps(twice)) - len(stored) < 1000
    encoder = transformer().fit(images)
    again, embeddings = pickle.loads(pickle.dumps(encoder)), encoder.transform(images)
    assert (again.transform(images) == embeddings).all()
    assert (again.inverse_transform(embeddings) == encoder.inverse_transform(embeddings)).all()


def test_a_random_state_decides(digits: tuple[Array, Array]) -> None:
    images, y = digits

    def probabilities(random_state: Any) -> Array:
        return np.asarray(classifier(random_state=random_state).fit(images, y).predict_proba(images))

    assert (probabilities(1) == probabilities(1)).all()
    assert not np.allclose(probabilities(1), probabilities(2))
    shared = np.random.RandomState(0)
    assert not np.allclose(probabilities(shared), probabilities(shared))
    assert not np.allclose(probabilities(None), probabilities(None))


def test_a_grid_is_searched_with_few_labels(digits: tuple[Array, Array]) -> None:
    images, y = digits
    name = "semisupervisedclassifier__"
    grid = [
        {f"{name}mode": ["frozen", "scratch"], f"{name}latent": [4], f"{name}epochs": [1]},
        {f"{name}train": [replace(TRAIN, l2=(strength,)) for strength in (1e6, 1.0)], f"{name}latent": [8]},
    ]
    search = GridSearchCV(make_pipeline(MinMaxScaler(), classifier()), grid, cv=2, error_score="raise")
    search.fit(images, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[3] == scores.max() > scores[2]
    assert search.best_estimator_[-1].model_.head[-1].in_features == 8
    assert search.score(images, y) > 0.3


@pytest.mark.parametrize(
    "partner", [SelfTrainingClassifier(LogisticRegression(max_iter=1000)), LabelSpreading(kernel="knn")]
)
def test_scikit_learns_semi_supervised_classifiers_take_the_embeddings(
    partner: Any, digits: tuple[Array, Array]
) -> None:
    images, y = digits
    fitted = make_pipeline(transformer(epochs=5), clone(partner)).fit(images, y)
    assert fitted.score(images[:80], y[:80]) > 0.5


def test_self_training_takes_the_classifier(digits: tuple[Array, Array]) -> None:
    images, y = digits
    fitted = SelfTrainingClassifier(classifier(head_lr=0.1), max_iter=2).fit(images, y)
    assert fitted.score(images[:80], y[:80]) > 0.3


def test_embeddings_come_as_a_data_frame_where_asked(digits: tuple[Array, Array]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(digits[0], index=np.arange(300)[::-1]).rename(columns="pixel{}".format)
    fitted = transformer().set_output(transform="pandas").fit(frame)
    embeddings = fitted.transform(frame)
    assert embeddings.columns.tolist() == fitted.get_feature_names_out().tolist()
    assert (embeddings.index == frame.index).all()
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "thawed"}, "mode: 'thawed' is unknown"),
        ({"latent": 0}, "pretrain.latent: 0 is not allowed"),
        ({"head_lr": -1.0}, "head_lr: -1.0 is not allowed"),
        ({"random_state": -1}, "random_state|Seed|seed"),
        ({"image_shape": (4, 4)}, r"image_shape: \(4, 4\) is not the shape of images of 64 pixels"),
        ({"train": TrainConfig(val_fraction=0.01)}, "raise train.val_fraction"),
        ({"mode": "propagate", "train": TrainConfig(graph=GraphConfig(neighbours=300))}, "train.graph.neighbours: 300"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], message: str, digits: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match=message):
        classifier().set_params(**change).fit(*digits)


def test_wrong_images_and_labels_are_named(digits: tuple[Array, Array]) -> None:
    images, y = digits
    fitted = classifier().fit(images, y)
    broken = images.astype(float)
    broken[7, 7] = np.nan
    for wrong, message in (
        (broken, "X contains NaN"),
        (images.reshape(300, 8, 4, 2), None),
        (images.reshape(300, 4, 4, 4), r"X has images of shape \(4, 4, 4\), but .* is expecting \(1, 8, 8\)"),
        (images[:, :60], "60 features"),
        (images.reshape(300, 8, 8, 1), "expected channels first"),
        (images.reshape(300, 1, 2, 4, 8), r"expected \(N, pixels\), \(N, H, W\) or"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.predict(wrong)
    with pytest.raises(ValueError, match=r"the labels are of 1 class\(es\)"):
        classifier().fit(images, np.where(y == 3, 3, -1))
    with pytest.raises(ValueError, match="range that float64 can hold"):
        transformer().fit(np.array([[-1e308, 1e308], [0, 0]]))
    encoder = transformer().fit(images)
    with pytest.raises(ValueError, match="X has 3 features, but AutoencoderTransformer makes 8"):
        encoder.inverse_transform(np.zeros((2, 3)))


# --- the scale ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fitted", "asked", "said"),
    [
        (16, 1, "X runs from 0 to 1, but fit took 0 and 16 for black and white"),
        (1, 255, "X runs from 0 to 255, but fit took 0 and 1 for black and white"),
        (255, 1, "X runs from 0 to 1, but fit took 0 and 255 for black and white"),
        (255, 16, "X runs from 0 to 16, but fit took 0 and 255 for black and white"),
    ],
)
def test_images_of_another_scale_than_those_of_fit_are_warned_of(
    fitted: int, asked: int, said: str, digits: tuple[Array, Array]
) -> None:
    unit = load_digits().data[:300] / 16
    model = classifier("scratch").fit(unit * fitted, digits[1])
    model.predict(unit[:1] * fitted)  # no warning: one image, and dim ones
    model.predict(unit * fitted * 0.3)
    with pytest.warns(UserWarning, match=said):
        model.predict(unit * asked)


def test_black_and_white_are_found_by_the_rule_of_the_pipeline(digits: tuple[Array, Array]) -> None:
    rows, _ = digits
    for images, expected in (
        (rows // 2, (0, 255)),  # bytes
        (rows / 300, (0, 1)),  # floats whose brightest is not quite white
        (rows / 252, (0, 1)),  # a hair above it
        (rows.astype(int), (0, 255)),
        (rows / 255 - 0.5, (-0.5, 0.5)),  # an estimator takes what is standardised
    ):
        assert transformer().fit(images).pixel_range_ == expected
    with pytest.warns(UserWarning, match="bytes 0 and 1 alone, .* and 255 is white"):
        assert transformer().fit((rows > 127).astype(np.uint8)).pixel_range_ == (0, 1)
    assert transformer().fit(rows > 127).pixel_range_ == (0, 1)


# --- labels that are missing, and scikit-learn's tools around them --------------------------------------------


@pytest.mark.parametrize("kind", ["NaN", "None", "None beside words", "a series"])
def test_none_and_nan_are_no_label(kind: str, digits: tuple[Array, Array]) -> None:
    images, y = digits
    words = np.array(["odd" if label % 2 else "even" for label in y], dtype=object)
    none: Any = None
    missing: Any = {
        "NaN": np.where(y < 0, np.nan, y),
        "None": np.where(y < 0, none, y.astype(object)),
        "None beside words": np.where(y < 0, none, words),
        "a series": pd.Series(words).where(y >= 0),
    }[kind]
    expected = classifier().fit(images, np.where(y < 0, "", words) if "words" in kind or "series" in kind else y)
    fitted = classifier().fit(images, missing)
    assert fitted.classes_.tolist() == expected.classes_.tolist()
    assert (fitted.predict_proba(images) == expected.predict_proba(images)).all()
    assert fitted.score(images, missing) == np.mean(fitted.predict(images[:80]) == np.asarray(missing)[:80])


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss"])
def test_a_standard_scorer_is_warned_of_and_ours_leaves_out_what_has_no_label(
    scoring: str, digits: tuple[Array, Array]
) -> None:
    images, y = digits
    fitted = classifier(head_lr=0.1).fit(images, y)
    known = get_scorer(scoring)(fitted, images[:80], y[:80])  # no warning
    assert scorer(scoring)(fitted, images, y) == known
    assert scorer(scoring)(fitted, pd.DataFrame(images), pd.Series(y).where(y >= 0)) == known
    with pytest.warns(UnlabelledWarning, match=r"-1.*pipeline\.estimators\.scorer"), contextlib.suppress(ValueError):
        assert get_scorer(scoring)(fitted, images, y) < known - 0.2
    assert pickle.loads(pickle.dumps(scorer(scoring)))(fitted, images, y) == known
    with pytest.raises(ValueError, match="no image has a label"):
        scorer(scoring)(fitted, images[80:], y[80:])


def test_a_search_scores_by_our_scorer_and_sets_fields_of_a_section(digits: tuple[Array, Array]) -> None:
    images, y = digits
    grid = {"pretrain__latent": [4, 6], "train__length": [1.0]}
    search = GridSearchCV(classifier("scratch"), grid, scoring=scorer("balanced_accuracy"), cv=2).fit(images, y)
    assert {row["pretrain__latent"] for row in search.cv_results_["params"]} == {4, 6}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best: Any = search.best_estimator_
    assert best.pretrain.latent == search.best_params_["pretrain__latent"]
    assert best.pretrain.encoder == PRETRAIN.encoder
    wider: Any = classifier().set_params(pretrain__encoder__widths=(9,))
    assert wider.pretrain.encoder.widths == (9,)
    with pytest.raises(ValueError, match="pretrain__latents: there is no field 'latents'; expected one of method"):
        classifier().set_params(pretrain__latents=3)
    with pytest.raises(ValueError, match=r"pretrain\.latent: 0 is not allowed"):
        classifier().set_params(pretrain__latent=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda member: VotingClassifier([("a", member)], n_jobs=2),
        lambda member: BaggingClassifier(member, n_estimators=2, n_jobs=2),
        lambda member: OneVsRestClassifier(member, n_jobs=2),
    ],
)
def test_an_ensemble_that_fits_elsewhere_is_warned_of_too(
    make: Any, digits: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SemiSupervisedClassifier, "fit", lambda self, *_: self)
    # in a thread, whoever called is no more to be seen than in a process
    with parallel_config("threading"), pytest.warns(UnlabelledWarning, match="-1.* takes for a class of their own"):
        make(classifier("scratch")).fit(*digits)


def test_an_ensemble_that_counts_minus_one_is_warned_of_and_can_be_made_right(digits: tuple[Array, Array]) -> None:
    images, y = digits
    with pytest.warns(UnlabelledWarning, match="-1.*VotingClassifier takes for a class of their own.*FrozenEstimator"):
        wrong = VotingClassifier([("a", classifier("scratch"))]).fit(images, y)
    assert -1 in wrong.classes_
    with pytest.warns(UnlabelledWarning, match="BaggingClassifier"):
        BaggingClassifier(classifier("scratch"), n_estimators=1, max_samples=1.0, random_state=0).fit(images, y)
    members = [classifier(head_lr=0.1, random_state=seed).fit(images, y) for seed in range(3)]
    frozen = [(str(number), FrozenEstimator(member)) for number, member in enumerate(members)]
    voting = VotingClassifier(frozen, voting="soft").fit(images[y >= 0], y[y >= 0])
    expected = np.mean([member.predict_proba(images) for member in members], axis=0)
    np.testing.assert_allclose(voting.predict_proba(images), expected)
    assert -1 not in voting.classes_
