"""The examples in docstrings are run as they stand, and whatever users and plug-in authors touch has some."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline import estimators, methods, modes, plugins
from pipeline.config import InvariancesConfig
from pipeline.datasets import arrays, contract, image_data
from pipeline.models import classifier, pretraining
from pipeline.studies import definition

ROOT = Path(pipeline.__file__).parent

SHOWN = [
    estimators.AutoencoderTransformer,
    estimators.SemiSupervisedClassifier,
    estimators.scorer,
    plugins.find,
    modes.Mode,
    classifier.Classifier,
    classifier.Backbone,
    methods.Method,
    pretraining.Pretraining,
    image_data.ImageData,
    arrays.from_arrays,
    contract.check_dataset,
    definition.Study,
    InvariancesConfig,
]


def modules_with_examples() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        if ">>> " in path.read_text():
            yield ".".join(("pipeline", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_give_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example leaves nothing in the project
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.__name__)
def test_what_is_touched_from_outside_has_an_example(shown: Any) -> None:
    assert "Examples:\n" in (shown.__doc__ or "")
