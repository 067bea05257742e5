"""Stage pretrain: learn an encoder from images without labels, and embed every training image once."""

from __future__ import annotations

from pathlib import Path

from pipeline import extras
from pipeline.artefacts import encoder
from pipeline.config import Experiment


def run(config: Experiment) -> Path:
    """Pretrain unless it is done, and return the encoder's folder.

    Raises:
        PipelineError: If stage data has not run, a package is missing, or the training diverged.
    """
    if config.runtime.tensorboard:
        extras.require("tensorboard", "runtime.tensorboard")
    return encoder.build(config)
