"""The model card: what a classifier is, what it was trained on, how often it errs, and where it must not be trusted."""

from __future__ import annotations

from pipeline.artefacts.description import Description
from pipeline.artefacts.metrics import SplitMetrics
from pipeline.artefacts.results import SummaryRow
from pipeline.datasets.scale import Scale
from pipeline.evaluation.statistics import clopper_pearson
from pipeline.modes import find_mode
from pipeline.report import page
from pipeline.report.formats import percent

TEMPLATE = "model_card.md.jinja"


def write(description: Description, summary: SummaryRow | None, onnx: str | None) -> str:
    """Return the card as Markdown; names that come from the data are escaped.

    Args:
        description: The classifier, as an export describes it.
        summary: The errors of its mode and budget over all draws, where there is a comparison.
        onnx: Name of the ONNX file beside the card, if there is one.
    """
    trained = description["trained"]
    measured = {"E_in": trained["e_in"], "E_val": trained["e_val"], "E_out": trained["e_out"]}
    return page.fill_markdown(
        TEMPLATE,
        **description,
        scale_text=Scale.from_dict(description["input"]["scale"]).text,
        mode=find_mode(trained["mode"]),
        errors=[_row(name, errors) for name, errors in measured.items() if errors is not None],
        summary=summary,
        onnx=onnx,
    )


def _row(name: str, measured: SplitMetrics) -> dict[str, str]:
    """Return the errors on one split, in %; only those on the test set make an interval that holds for new images."""
    limits = [percent(limit) for limit in clopper_pearson(measured["errors"], measured["n"])]
    return {
        "name": name,
        "errors": f"{measured['errors']} of {measured['n']}",
        "percent": percent(measured["error"]),
        "interval": " to ".join(limits) if name == "E_out" else "",
    }
