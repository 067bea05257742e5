"""Imported once by the process that the others are forked from; nothing here starts a thread."""

from __future__ import annotations

import importlib

# the pipeline comes first: it mends what others would stumble over
for _module in (
    "pipeline.cli",
    "pipeline.learning.classify",
    "pipeline.learning.pretrain",
    "pipeline.models.generation",
    "pipeline.report.sections",
    "pipeline.studies.balance",
    "joblib",
    "sklearn.decomposition",
    "sklearn.linear_model",
    "torchvision",
):
    importlib.import_module(_module)
