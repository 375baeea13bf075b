"""Renders the reports. Same documents, same bytes: nothing here reads a clock or the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.backbone import CurvePanel
from heldout.evidence import write_text
from heldout.report.content import Content, number, signed

if TYPE_CHECKING:
    import polars as pl
    from jinja2 import Environment

MARKDOWN, HTML = "RUN_REPORT.md", "report.html"


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
    environment = _environment()
    write_text(folder / MARKDOWN, environment.get_template("RUN_REPORT.md.j2").render(c=content))
    page = environment.get_template("report.html.j2").render(
        c=content, figures=figures(content, predictions, curves), css=_read("report.css")
    )
    write_text(folder / HTML, page)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("heldout.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "signed": signed, "cell": _cell}
    return environment


def _cell(value: Any) -> str:
    """Text that stays inside its Markdown table cell and is not taken for markup."""
    text = " ".join(str(value).split())
    for mark in ("\\", "|", "`", "*", "_", "<", "[", "]"):
        text = text.replace(mark, "\\" + mark)
    return text


def _read(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
