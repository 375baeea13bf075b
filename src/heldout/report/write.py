"""Renders the reports. Same documents, same bytes: nothing here reads a clock or the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.backbone import CurvePanel
from heldout.documents.names import REPORT_HTML, REPORT_MD
from heldout.evidence import write_page
from heldout.report.content import Content
from heldout.report.pages import environment, template_text

if TYPE_CHECKING:
    import polars as pl

MARKDOWN, HTML = REPORT_MD, REPORT_HTML
templates_of = cache(environment)  # templates are compiled once a process; the boards add filters to one of their own


def write_reports(
    folder: Path,
    *,
    verdict: Mapping[str, Any],
    metrics: Mapping[str, Any],
    manifest: Mapping[str, Any],
    split: Mapping[str, Any],
    predictions: pl.DataFrame,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    curves: Sequence[CurvePanel] = (),
    units: str = "",
) -> None:
    """Write ``RUN_REPORT.md`` and ``report.html``, each atomically.

    Args:
        folder: The run directory; its name is the run's.
        verdict: The verdict document.
        metrics: The document ``metrics.json``.
        manifest: The document ``corpus.json``.
        split: The document ``split.json``.
        predictions: The table of ``predictions.jsonl``.
        notes: What every report of this backbone must say.
        warnings: What the units said about their own rows.
        curves: Plots of the domain's own.
        units: Unit of the target.
    """
    from heldout.report.plots import figures

    content = Content(folder.name, verdict, metrics, manifest, split, tuple(notes), tuple(warnings), units)
    templates = templates_of()
    write_page(folder / MARKDOWN, templates.get_template("RUN_REPORT.md.j2").render(c=content))
    page = templates.get_template("report.html.j2").render(
        c=content, figures=figures(content, predictions, curves), css=template_text("report.css")
    )
    write_page(folder / HTML, page)
