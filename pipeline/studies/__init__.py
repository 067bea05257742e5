"""The claims of the theory as measured studies. A study is an entry in this table; one file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.studies.study import Study

# what is asked, for the help; the files are imported when one is run, since they bring scikit-learn and matplotlib
STUDIES = {
    "bottleneck": "latent width against depth of a plain autoencoder",
    "identity": "an autoencoder without a bottleneck, against a bottleneck and denoising",
    "generation": "decoded samples of an autoencoder and a VAE, judged by an independent classifier",
    "balance": "a VAE with reconstruction only, KL only, both",
    "overfit": "E_in and the error on unseen images by epoch, frozen and fine-tuned",
    "clusters": "k-means and Gaussian mixtures on latent spaces that saw no label",
}


VERDICT, RESULTS = "verdict.json", "results.csv"  # what a study writes, beside its pictures


def find_study(name: str) -> Study:
    """The study of this name.

    Raises:
        PipelineError: There is none.
    """
    if name not in STUDIES:
        raise PipelineError(f"study.name: {name!r} is unknown; expected one of {', '.join(STUDIES)}")
    study: Study = import_module(f"pipeline.studies.{name}").STUDY
    return study
