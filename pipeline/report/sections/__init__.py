"""The report's sections, a module each: its data, words and figures, and beside it a template if it needs its own.

A section is a function from the evidence to a ``Section``, or to None where there is nothing to say. To add one, write
its module and put its function into ``SECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.report.blocks import Section
from pipeline.report.evidence import Evidence
from pipeline.report.sections.bought import bought
from pipeline.report.sections.cells import every_cell
from pipeline.report.sections.classes import which_classes
from pipeline.report.sections.comparison import comparison
from pipeline.report.sections.differences import differences
from pipeline.report.sections.labels import labels_spent
from pipeline.report.sections.latent_space import latent_space
from pipeline.report.sections.modes import mode_by_mode
from pipeline.report.sections.pretraining import pretraining
from pipeline.report.sections.provenance import what_produced_it
from pipeline.report.sections.studies import studies
from pipeline.report.sections.trust import trust
from pipeline.report.sections.worth import worth

SECTIONS: tuple[Callable[[Evidence], Section | None], ...] = (
    comparison,
    bought,
    worth,
    differences,
    mode_by_mode,
    which_classes,
    trust,
    latent_space,
    pretraining,
    studies,
    labels_spent,
    every_cell,
    what_produced_it,
)


def write_sections(evidence: Evidence) -> list[Section]:
    """Return all sections that have something to say, in the order of the page."""
    found = [make(evidence) for make in SECTIONS]
    return [section for section in found if section is not None]
