"""The report of an evaluation, as Markdown and as one HTML file with pictures of right and wrong examples."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.labels import LABEL_FIELDS
from heldout.domains.embodied.score.score import Scored
from heldout.gate.verdict import verdict_of
from heldout.report.pages import page_head

FrameReader = Callable[[Mapping[str, Any]], NDArray[np.uint8] | None]
_EXAMPLES = 4
_RECALLS = 12
_UNRULED = "Persistence of a field other than next_action needs the true answer of the window before; it rules nothing."
_TITLES = {
    "predictor": "model",
    "adapter": "adapter",
    "dataset": "data",
    "key": "identity",
    "predictions": "predictions",
    "train_labels": "train labels",
}


_RULES = "Rules"
_COMPARED = ("trivial baselines", "better than all?")
OLDER_HEADS = {"trivial baselines": "what costs nothing", "better than all?": "beats it"}
"""Heads in reports of older versions, which must still verify."""
_STYLE = (
    "td:last-child { overflow-wrap: anywhere; } "
    ".cards figure { margin: 0; } .cards img { width: 100%; border-radius: 8px; }"
)
_WORDS = ("What was evaluated", "Skipped episodes")  # told by who evaluated; they follow from nothing


class Part(NamedTuple):
    """A part of both reports that follows from metrics and rules.

    Attributes:
        title: Its heading.
        markdown: As it stands in ``RUN_REPORT.md``.
        page: As it stands in ``report.html``.
    """

    title: str
    markdown: str
    page: str


class _Table(NamedTuple):
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def markdown(scored: Scored) -> str:
    """``RUN_REPORT.md``."""
    parts = [f"# {scored.contract.config['display_name']}: evaluation", "", f"**{verdict_of(scored.rules)}**", ""]
    for one in _tables(scored):
        parts += _markdown_table(one)
    return "\n".join(parts)


def page(scored: Scored, frames: FrameReader | None = None) -> str:
    """``report.html``: the same, and examples with the last picture that the model saw.

    Args:
        scored: What was scored.
        frames: Gives the picture of a row, ``[height, width, 3]``; None where there is none.
    """
    title = html.escape(f"{scored.contract.config['display_name']}: evaluation")
    body = [_header(scored)]
    for one in _tables(scored):
        body += [f"<h2>{html.escape(one.title)}</h2>", _html_table(one)]
    if scored.family == "predictions.jsonl":
        body.append(_examples(scored, frames))
    head = f"{page_head(title)}<style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{"".join(body)}</main></body></html>\n'


def remade_parts(scored: Scored, heads: Mapping[str, str] | None = None) -> list[Part]:
    """Everything in the reports that follows from metrics and rules alone.

    Args:
        scored: What was scored.
        heads: Heads of columns that stand in the place of today's, such as ``OLDER_HEADS``.
    """
    heads = heads or {}
    verdict = verdict_of(scored.rules)
    told = [
        one._replace(columns=[heads.get(name, name) for name in one.columns])
        for one in _tables(scored)
        if one.title not in _WORDS
    ]
    return [
        Part("verdict", f"\n**{verdict}**\n", _header(scored)),
        *(Part(one.title, "\n".join(_markdown_table(one)), _html_table(one)) for one in told),
    ]


def _header(scored: Scored) -> str:
    """The verdict before everything else, whose it is, and what is in the way."""
    verdict = verdict_of(scored.rules)
    against = [rule.sentence for rule in scored.rules if rule.outcome != "PASS"]
    why = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in against)
    why = f"<p>In the way:</p><ul>{why}</ul>" if why else "<p>Every rule passed.</p>"
    told = f'<p class="what"><b>{html.escape(scored.contract.config["display_name"])}</b>: evaluation</p>{why}'
    return f'<header class="{verdict}"><h1>{verdict}</h1>{told}</header>'


def _tables(scored: Scored) -> list[_Table]:
    metrics = scored.metrics
    facts = [("backbone", scored.contract.id), ("split", str(metrics["eval_split"]))]
    facts += [("samples", str(metrics["num_samples"])), ("held-out episodes", str(metrics["held_out_episode_count"]))]
    facts += [(_TITLES.get(key, key), str(value)) for key, value in scored.facts.items() if key in _TITLES and value]
    rules = [(rule.outcome, rule.id, rule.sentence) for rule in scored.rules]
    tables = [
        _Table("What was evaluated", ("", ""), facts),
        _Table(_RULES, ("outcome", "rule", "in words"), rules),
        _metrics(metrics["evidence"]),
    ]
    if "fields" in metrics:
        tables += [_fields(metrics["fields"]), _form(metrics)]
    skipped = scored.facts.get("skipped_episodes")
    if skipped:
        rows = [(str(one["episode_id"]), str(one.get("split", "")), str(one["code"])) for one in skipped]
        tables.append(_Table("Skipped episodes", ("episode", "split", "reason"), rows))
    return tables


def _metrics(evidence: Mapping[str, Any]) -> _Table:
    rows = []
    for name, one in sorted(evidence.items()):
        interval = one.get("interval") or {}
        baselines = [f"{key} {_number(other['value'])}" for key, other in sorted(one["baselines"].items())]
        if "judged_on" in one:  # its baselines are on another scale
            baselines = [f"judged as {one['judged_on']}"]
        beats = {True: "yes", False: "no", None: "not known"}[one["beats_trivial"]]
        span = f"{_number(interval.get('low'))} to {_number(interval.get('high'))}" if interval else ""
        shown = f"{name}, {one['unit']}" if one.get("unit") else name
        rows.append((shown, _number(one["value"]), span, ", ".join(baselines), beats))
    columns = ("metric", "value", "interval over episodes", *_COMPARED)
    kept = (one["baselines"].get("persistence", {"ruled": True}) for one in evidence.values())
    return _Table("Metrics", columns, rows, "" if all(other["ruled"] for other in kept) else _UNRULED)


def _fields(fields: Mapping[str, Any]) -> _Table:
    rows = []
    for name in (name for name in LABEL_FIELDS if name in fields):  # a document that was read back is in another order
        one = fields[name]
        if one["rows"]:
            worst = sorted(one["recall"].items(), key=lambda item: (item[1], item[0]))[:_RECALLS]
            recall = ", ".join(f"{label} {value:.3g}" for label, value in worst)
            balanced, macro = (_number(one[key]["value"]) for key in ("balanced_accuracy", "macro_f1_supported"))
            rows.append((name, str(one["rows"]), str(one["classes"]), balanced, macro, recall))
    columns = ("field", "rows", "classes", "balanced accuracy", "macro F1, supported", "recall, worst first")
    return _Table("Fields", columns, rows)


def _form(metrics: Mapping[str, Any]) -> _Table:
    window = metrics["evidence_window"]
    rows = [
        ("all keys there", _number(metrics["json_validity_rate"]), ""),
        ("keys, types and values right", _number(metrics["json_validity_strict"]), ""),
        *((f"  {why}", str(count), "") for why, count in metrics["json_problems"].items()),
        ("evidence_window exact", _number(window["exact"]), f"no evidence: {window['why']}"),
    ]
    return _Table("Form of the answers", ("", "", ""), rows)


def _examples(scored: Scored, frames: FrameReader | None) -> str:
    parts = []
    for title, correct in (("Right", 1), ("Wrong", 0)):
        rows = [row for row in scored.rows if row["correct"] == correct][:_EXAMPLES]
        parts.append(f'<h2>{title} examples</h2><div class="cards">')
        for row in rows:
            said, true = (html.escape(str(row[key])) for key in ("predicted_label", "true_label"))
            name = html.escape(str(row["id"]))
            parts.append(
                f"<figure>{_picture(row, frames)}<figcaption>{name}: said {said}; true {true}</figcaption></figure>"
            )
        parts.append("</div>" if rows else "</div><p>none</p>")
    return "".join(parts)


def _picture(row: Mapping[str, Any], frames: FrameReader | None) -> str:
    image = frames(row) if frames else None
    if image is None:
        return ""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}  # a picture in a public page carries no notes
    imsave(buffer, image, format="png", metadata=nothing)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="last picture of the window" src="data:image/png;base64,{data}">'


def _markdown_table(one: _Table) -> list[str]:
    rows = (_line([_escaped(cell) for cell in row]) for row in one.rows)
    lines = [f"## {one.title}", "", _line(one.columns), _line(["---"] * len(one.columns)), *rows, ""]
    return [*lines, one.note, ""] if one.note else lines


def _html_table(one: _Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in one.columns)
    rows = "".join(_html_row(row, judged=one.title == _RULES) for row in one.rows)
    note = f'<p class="note">{html.escape(one.note)}</p>' if one.note else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'


def _html_row(row: Sequence[str], *, judged: bool) -> str:
    cells = [f"<td>{html.escape(cell)}</td>" for cell in row]
    if judged:
        cells[0] = f'<td><span class="chip">{row[0]}</span></td>'
        cells[1] = f'<td class="name">{html.escape(row[1])}</td>'
    return f'<tr class="{row[0]}">{"".join(cells)}</tr>' if judged else f"<tr>{''.join(cells)}</tr>"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").replace("<", "&lt;").split())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
