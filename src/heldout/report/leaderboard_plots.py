"""The plots of a leaderboard: leads with their intervals, now and over time, and what switching has cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heldout.report.plots import Figure
from heldout.report.svg import COLOURS, INK, figure

_MOST_ARMS, _MOST_PATHS, _COLUMNS = 40, 12, 3


def leaderboard_figures(document: Mapping[str, Any]) -> list[Figure]:
    """Every plot that the document can give."""
    judged = [row for row in document["rows"] if row["role"] == "challenger" and row["lead"]["mean"] is not None]
    found = [_forest(document, judged[:_MOST_ARMS]), _paths(document, judged[:_MOST_PATHS])] if judged else []
    switched = document["switching"] and document["switching"]["switches"]
    return [*found, _regret(document)] if switched else found


def _forest(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Figure:
    reach = _reach(rows, document)
    with figure("forest", 1, 1, 9.6, 0.42 * len(rows) + 1.1) as drawing:
        (axes,) = drawing.axes.flat
        _yardsticks(axes.axvline, document)
        for place, row in enumerate(rows):
            lead = row["lead"]
            low, high = (_end(lead[end], sign * reach) for end, sign in (("low", -1), ("high", 1)))
            axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=2.2, solid_capstyle="butt")
            axes.plot(lead["mean"], place, "o", color=COLOURS[1], markersize=6)
        axes.set_xlim(-reach, reach)
        axes.set_yticks(range(len(rows)), [_plain(row["arm"]) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(_plain(f"lead over {document['champion']}, {document['score']}"))
    caption = (
        "Mean difference on common dates (dot) and the interval that holds at every look (bar; cut at the edge where "
        "nothing is excluded yet). Solid line: no lead. Dotted line: the smallest lead worth a switch."
    )
    return Figure("forest", "Leads over the champion", caption, drawing.svg)


def _paths(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Figure:
    reach = _reach(rows, document)
    columns = min(_COLUMNS, len(rows))
    lines = math.ceil(len(rows) / columns)
    with figure("paths", lines, columns, 9.6, 2.5 * lines + 0.2, sharey=True) as drawing:
        for axes in drawing.axes.flat[len(rows) :]:
            axes.set_visible(False)
        for axes, row in zip(drawing.axes.flat, rows, strict=False):
            _path(axes, row["path"], reach)
            _yardsticks(axes.axhline, document)
            axes.set_title(_plain(f"{row['arm']}: {row['answer']}"))
            axes.set_ylim(-reach, reach)
            _dated(axes, 5)
        for axes in drawing.axes[:, 0]:
            axes.set_ylabel("mean lead")
    caption = (
        "The mean lead and its interval after every block. The band may be read on any day: all of it holds at once. "
        "An arm is better when the band leaves the solid line, and not better when it falls below the dotted one."
    )
    return Figure("paths", "How the leads came about", caption, drawing.svg)


def _path(axes: Any, path: Mapping[str, Any], reach: float) -> None:
    through = np.array(path["through"], dtype="datetime64[D]")
    low = [_end(value, -reach) for value in path["low"]]
    high = [_end(value, reach) for value in path["high"]]
    axes.fill_between(through, low, high, color=COLOURS[0], alpha=0.22, linewidth=0)
    axes.plot(through, path["mean"], color=COLOURS[0], linewidth=1.5)


def _regret(document: Mapping[str, Any]) -> Figure:
    path = document["switching"]["path"]
    with figure("regret", 1, 1, 9.6, 2.8) as drawing:
        (axes,) = drawing.axes.flat
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.plot(np.array(path["through"], dtype="datetime64[D]"), path["regret"], color=COLOURS[4], linewidth=1.6)
        axes.set_ylabel(_plain(f"running sum, {document['score']}"))
        _dated(axes, 12)
    caption = "Score of never switching minus that of what was served, summed up. Rising: switching has done harm."
    return Figure("regret", "Regret against never switching", caption, drawing.svg)


def _dated(axes: Any, ticks: int) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=ticks)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _yardsticks(line: Any, document: Mapping[str, Any]) -> None:
    line(0, color=INK, linewidth=0.9)
    line(document["design"]["effect"], color=INK, linewidth=0.9, linestyle=(0, (1, 2)))


def _reach(rows: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> float:
    """How far the axis goes: all leads and most of their final intervals, and never only one of them."""
    ends = [abs(row["lead"][key]) for row in rows for key in ("low", "high") if row["lead"][key] is not None]
    means = [abs(row["lead"]["mean"]) for row in rows]
    widest = max(1.3 * max(means), 2 * document["design"]["effect"])
    return float(1.08 * max(widest, min(max(ends, default=0.0), 6 * widest)))


def _end(value: float | None, edge: float) -> float:
    return edge if value is None else min(max(value, -abs(edge)), abs(edge))


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
