"""The claims of the theory as measured studies, a file each; a study of yours is named by its import path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import plugins
from pipeline.config import Experiment

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.studies.definition import Study

ENTRY_POINTS = "pipeline.studies"
VERDICT, RESULTS = "verdict.json", "results.csv"  # what a study writes, beside its pictures

# what is asked, for the help; the files are imported when one is run, since they bring scikit-learn and matplotlib
STUDIES = {
    "bottleneck": "latent width against depth of a plain autoencoder",
    "identity": "an autoencoder without a bottleneck, against a bottleneck and denoising",
    "generation": "decoded samples of an autoencoder and a VAE, judged by an independent classifier",
    "balance": "a VAE with reconstruction only, KL only, both",
    "gradient": "a VAE's gradient with and without reparameterisation, and how far the ELBO is below log p(x)",
    "overfit": "E_in and the error on unseen images by epoch, frozen and fine-tuned",
    "methods": "which pretraining method serves which mode, and which rule finds it",
    "choose": "chosen images against random ones: errors, the cost of an error in labels, rounds, careless annotators",
    "clusters": "k-means and Gaussian mixtures on latent spaces that saw no label",
}


def find_study(name: str) -> Study:
    """Return the study of this name.

    Args:
        name: A key of ``STUDIES``, a name that an installed package adds, or the import path "module:object".

    Raises:
        PipelineError: If there is none, its module cannot be imported, or it is no ``Study``.
    """
    from pipeline.studies.definition import Study

    built_in = {own: f"pipeline.studies.{own}:STUDY" for own in STUDIES}
    return plugins.find_instance(Study, "study.name", name, built_in, ENTRY_POINTS)


def study_folder(config: Experiment) -> Path:
    """Return where the study's verdict, pictures and points lie."""
    return config.folder / config.study.name.replace(":", ".")  # an import path; Windows takes no colon
