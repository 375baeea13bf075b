"""The plots of a report, from held-out predictions and the metrics document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heldout.backbone import CurvePanel
from heldout.report.content import Content
from heldout.report.svg import COLOURS, INK, figure

if TYPE_CHECKING:
    import polars as pl

MAX_PANELS, MAX_LINES, MAX_POINTS = 4, 40, 4000
_LARGEST = 1e100  # an axis that is longer cannot be drawn
_LONG = 1e9  # a score from here on is written with an exponent
_FADED = 0.55


class Figure(NamedTuple):
    """One plot: inline SVG, its title, and what to look for in it."""

    id: str
    title: str
    caption: str
    svg: str


def figures(content: Content, predictions: pl.DataFrame, curves: Sequence[CurvePanel]) -> list[Figure]:
    """Every plot that these documents can give, in the order of the page."""
    found = [
        each
        for place, name in enumerate(content.outputs or ("",))
        for each in _of_rows(content, predictions, name, place)
    ]
    found += [_seeds(content), _coverage(content), _curves(curves)]
    return [each for each in found if each is not None]


def _of_rows(content: Content, predictions: pl.DataFrame, output: str, place: int) -> list[Figure | None]:
    """The plots of the rows; of one of several targets under a name of its own."""
    if output:
        names = {f"{part}_{output}": part for part in ("target", "prediction")}
        predictions = predictions.select("group", *names).rename(names)
    drawn, left = _drawn(content, predictions)
    makers = (_scatter, _errors) if content.regression else (_confusion,)
    found = [make(content, drawn) for make in makers]
    found = [each if each is None else each._replace(caption=each.caption + left) for each in found]
    if not output:
        return found
    return [
        each if each is None else each._replace(id=f"{each.id}-{place + 1}", title=f"{output}: {each.title}")
        for each in found
    ]


def _worst_groups(content: Content, limit: int) -> list[str]:
    """Names of the worst groups by the primary metric, worst first."""
    blocks = content.groups
    return sorted(blocks, key=lambda group: (content.worst_first(blocks[group][content.primary]), group))[:limit]


def _by_group(predictions: pl.DataFrame, groups: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """Target and prediction of each group, at most MAX_POINTS rows evenly through it."""
    for group in groups:
        rows = predictions.filter(predictions["group"] == group)
        rows = rows.gather_every(max(1, math.ceil(rows.height / MAX_POINTS)))
        yield group, rows["target"].to_numpy(), rows["prediction"].to_numpy()


def _drawn(content: Content, predictions: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Rows that can be drawn, and a sentence about the others; empty if there are none."""
    keep = np.ones(predictions.height, dtype=bool)
    for name in ("target", "prediction") if content.regression else ():
        keep &= _can_be_drawn(predictions[name].to_numpy())
    left = int((~keep).sum())
    what = "row is" if left == 1 else "rows are"
    why = f" {left:,} {what} left out: a value that is not finite, or larger than {_LARGEST:g}." if left else ""
    return predictions.filter(keep), why


def _shown(value: float | None) -> bool:
    return value is not None and bool(_can_be_drawn(value))


def _can_be_drawn(values: Any) -> Any:
    found = np.asarray(values, dtype=np.float64)
    return np.isfinite(found) & (np.abs(found) <= _LARGEST)


def _of(shown: int, total: int, what: str) -> str:
    return f"The {shown} worst of {total} {what}." if shown < total else f"All {total} {what}, worst first."


def _scatter(content: Content, predictions: pl.DataFrame) -> Figure:
    groups = _worst_groups(content, MAX_PANELS)
    columns = min(4, len(groups))
    rows = math.ceil(len(groups) / columns)
    every = predictions.select("target", "prediction").to_numpy().ravel()
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    pad = 0.03 * (high - low or 1.0)
    blocks = content.groups
    with figure("scatter", rows, columns, 9.6, 2.35 * rows + 0.3, sharex=True, sharey=True) as drawing:
        for axes in drawing.axes.flat[len(groups) :]:
            axes.set_visible(False)
        for axes, (group, target, prediction) in zip(drawing.axes.flat, _by_group(predictions, groups), strict=False):
            axes.plot([low, high], [low, high], color=INK, linewidth=0.7, alpha=_FADED)
            axes.scatter(
                target,
                prediction,
                s=5 if len(target) > 500 else 12,
                color=COLOURS[0],
                alpha=0.5,
                linewidths=0,
                rasterized=True,
            )
            value = blocks[group][content.primary]
            score = "undefined" if value is None else f"{value:.4f}" if abs(value) < _LONG else f"{value:.4g}"
            of_all = "" if content.outputs else f" · {content.label(content.primary)} {score}"
            axes.set_title(_plain(f"{_short(group)}{of_all}"))
            axes.set_xlim(low - pad, high + pad)
            axes.set_ylim(low - pad, high + pad)
        unit = f" [{content.units}]" if content.units else ""
        for axes in drawing.axes[-1]:
            axes.set_xlabel(f"measured{unit}")
        for axes in drawing.axes[:, 0]:
            axes.set_ylabel(f"predicted{unit}")
    caption = "Held-out predictions of the ensemble against the measured target; the line is a perfect prediction. "
    total = content.metrics["groups"]
    return Figure(
        "scatter", "Predicted against measured, by group", caption + _of(len(groups), total, "groups"), drawing.svg
    )


def _errors(content: Content, predictions: pl.DataFrame) -> Figure:
    groups = _worst_groups(content, MAX_LINES)
    with figure("errors", 1, 1, 9.6, 0.27 * len(groups) + 1.0) as drawing:
        (axes,) = drawing.axes.flat
        errors = {
            place: said - true for place, (_, true, said) in enumerate(_by_group(predictions, groups)) if len(true)
        }
        found = [np.quantile(each, [0.05, 0.25, 0.5, 0.75, 0.95]) for each in errors.values()]
        places, (tail, quarter, middle, upper, top) = list(errors), np.array(found).reshape(-1, 5).T
        axes.hlines(places, tail, top, color=COLOURS[0], linewidth=1.2)
        axes.hlines(places, quarter, upper, color=COLOURS[0], linewidth=6, alpha=0.75)
        axes.plot(middle, places, marker="|", linestyle="none", color=INK, markersize=9)
        axes.axvline(0, color=INK, linewidth=0.8, alpha=_FADED)
        axes.set_yticks(range(len(groups)), [_plain(_short(group)) for group in groups])
        axes.invert_yaxis()
        axes.set_xlabel("prediction - measured" + (f" [{content.units}]" if content.units else ""))
    caption = "Error of held-out rows: median (tick), middle half (bar), 5th to 95th percentile (line). "
    total = content.metrics["groups"]
    return Figure("errors", "Error by group", caption + _of(len(groups), total, "groups"), drawing.svg)


def _seeds(content: Content) -> Figure | None:
    if not content.several:
        return None
    folds = [row["fold"] for row in content.fold_rows[:MAX_LINES]]
    members = content.members
    with figure("seeds", 1, 1, 9.6, 0.27 * len(folds) + 1.2) as drawing:
        (axes,) = drawing.axes.flat
        for index, seed in enumerate(sorted(members, key=int)):
            points = [
                (members[seed]["folds"][fold][content.primary], place)
                for place, fold in enumerate(folds)
                if _shown(members[seed]["folds"][fold][content.primary])
            ]
            axes.plot(
                [x for x, _ in points],
                [place + 0.09 * (index % 5 - 2) for _, place in points],
                "o",
                color=COLOURS[index % len(COLOURS)],
                markersize=4,
                label=f"seed {seed}",
            )
        axes.set_yticks(range(len(folds)), [_plain(_short(fold)) for fold in folds])
        axes.invert_yaxis()
        axes.set_xlabel(content.label(content.primary))
        if 1 < len(members) <= 8:
            axes.legend(ncols=len(members), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    caption = f"{content.label(content.primary)} of every seed on every held-out fold. "
    total = len(content.metrics["folds"])
    return Figure("seeds", "Spread of the seeds, by fold", caption + _of(len(folds), total, "folds"), drawing.svg)


def _coverage(content: Content) -> Figure | None:
    if content.sigma is None:
        return None
    covered = sorted(content.sigma["by_group"].items(), key=lambda item: (item[1], item[0]))[:MAX_LINES]
    with figure("coverage", 1, 1, 9.6, 0.27 * len(covered) + 1.0) as drawing:
        (axes,) = drawing.axes.flat
        axes.barh(
            [_plain(_short(group)) for group, _ in covered],
            [share for _, share in covered],
            color=COLOURS[0],
            height=0.6,
        )
        axes.axvline(0.95, color=COLOURS[4], linewidth=1.2, linestyle="--")
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.set_xlabel("share of held-out rows inside mean ± 1.96 sigma; the dashed line is the nominal 95 %")
    caption = (
        "Where the bars fall short of the line, the spread of the seeds understates the error on a group never seen."
    )
    return Figure("coverage", "Coverage of the seeds' own interval, by group", caption, drawing.svg)


def _curves(curves: Sequence[CurvePanel]) -> Figure | None:
    if not curves:
        return None
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    with figure("curves", rows, columns, 9.6, 2.9 * rows + 0.2, sharey=True) as drawing:
        for axes in drawing.axes.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, panel in zip(drawing.axes.flat, curves, strict=False):
            for index, (name, points) in enumerate(panel.series.items()):
                style = {"marker": "o", "linestyle": "-"} if index == 0 else {"marker": "x", "linestyle": "--"}
                known = [(x, y) for x, y in points if _shown(x) and _shown(y)]
                xs, ys = [x for x, _ in known], [y for _, y in known]
                axes.plot(
                    xs,
                    ys,
                    color=COLOURS[index % len(COLOURS)],
                    markersize=5,
                    linewidth=1.4,
                    label=_plain(name),
                    **style,
                )
            axes.set_title(_plain(panel.title))
            axes.set_xlabel(_plain(panel.x_label))
            axes.legend(loc="lower right")
        for axes in drawing.axes[:, 0]:
            axes.set_ylabel(_plain(curves[0].y_label))
    caption = "Means over the held-out groups, at every operating point of the corpus."
    return Figure("curves", f"{curves[0].y_label} against {curves[0].x_label}", caption, drawing.svg)


def _confusion(content: Content, predictions: pl.DataFrame) -> Figure | None:
    classes = content.metrics["classes"]
    if len(classes) > MAX_LINES:
        return None
    codes = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for truth, guess in zip(predictions["target"], predictions["prediction"], strict=True):
        counts[codes[truth], codes[guess]] += 1
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(9.6, 1.8 + 0.62 * len(classes))
    with figure("confusion", 1, 1, size, size * 0.9) as drawing:
        (axes,) = drawing.axes.flat
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.grid(visible=False)
        for row, column in np.ndindex(counts.shape) if len(classes) <= 15 else ():
            ink = "#ffffff" if share[row, column] > 0.5 else "#111111"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink)
        axes.set_xticks(range(len(classes)), [_plain(_short(name)) for name in classes], rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), [_plain(_short(name)) for name in classes])
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    caption = "Held-out rows by true and predicted class; the shade is the share of the true class."
    return Figure("confusion", "Confusion of the classes", caption, drawing.svg)


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:18]}…{name[-9:]}"


def _plain(text: str) -> str:
    """Names are data: a dollar sign must not start mathematics."""
    return text.replace("$", r"\$")
