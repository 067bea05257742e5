"""Stage study: train the arms of one claim under several seeds, measure them, and say whether the claim holds."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pipeline.artefacts import data_source
from pipeline.config import Experiment
from pipeline.studies import VERDICT, find_study, points, study_folder, verdict
from pipeline.studies.verdict import Verdict


def run(config: Experiment) -> Path:
    """Train and measure what is missing, write results, pictures and the verdict, print it, and return its path.

    Raises:
        PipelineError: If the study or an arm is not what it has to be, an earlier stage has not run, or the training
            of a point failed; the others are kept.
    """
    data_source.check_unchanged(config)
    planned = points.plan(config, find_study(config.study.name))
    found = verdict.find(config, planned)
    if found is None:
        points.train_and_measure(config, planned)
        found = verdict.write(config, planned)
    _print(found)
    return study_folder(config) / VERDICT


def _print(found: Verdict) -> None:
    print(_wrapped(f"{found['title']}. Claim: {found['claim']}", ""))
    for finding in found["findings"]:
        print(_wrapped(finding["claim"], f"  [{'holds' if finding['holds'] else 'does not hold'}] "))
        print(_wrapped(finding["measured"], " " * 6))


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=" " * len(indent))
