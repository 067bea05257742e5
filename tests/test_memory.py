"""Stage data says how much memory pretraining would take, before it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig
from pipeline.learning.memory import estimate_pretraining


def test_pictures_that_would_take_gigabytes_are_remarked_and_the_remedy_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "p" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(folder / f"{number}.bmp")
    given = ["data", f"--runs={tmp_path}", "--data.dataset=folder", f"--data.args.path={tmp_path / 'p'}"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "pretraining on 224 x 224 pixels takes about 3." in said
    assert "(data.args.size 64, where the reader has it)" in said
    assert main([*given, "--data.args.size=64"]) == 0
    assert "of memory: make" not in capsys.readouterr().out


def test_the_estimate_is_near_what_was_measured() -> None:
    found = estimate_pretraining(PretrainConfig(), InvariancesConfig(), (3, 224, 224), 144)
    assert found is not None
    assert found == pytest.approx(4.2e9, rel=0.1)


@pytest.mark.parametrize("method", ["autoencoder", "views", "vae", "masked"])
def test_every_method_has_an_estimate_and_small_images_take_little(method: str) -> None:
    encoder = NetworkConfig("patches", (64, 32)) if method == "masked" else NetworkConfig()
    settings = PretrainConfig(method, encoder=encoder)
    found = estimate_pretraining(settings, InvariancesConfig(), (1, 28, 28), 60_000)
    assert found is not None
    assert 1e6 < found < 5e8


def test_networks_from_elsewhere_are_not_made_to_estimate_anything() -> None:
    foreign = PretrainConfig(encoder=NetworkConfig("nowhere:Net"))
    assert estimate_pretraining(foreign, InvariancesConfig(), (3, 224, 224), 100) is None
