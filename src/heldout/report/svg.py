"""Matplotlib figures as inline SVG that takes the page's own text colour, so that one file serves light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Replaced by `currentColor` in the output; no other element may use it.
INK = "#010203"
PAGE = 9.6
_LEAST = 38.0  # rem that a full figure needs to be read
COLOURS = ("#3b82c4", "#e07b39", "#2fa37c", "#b65fcf", "#d1495b", "#a88a1f", "#6b7fd7", "#4f9da6")
_SETTINGS: Mapping[str, Any] = {
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # or every title asks where every tick is
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 8.5,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "patch.edgecolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def figure(name: str, rows: int, columns: int, width: float, height: float, **options: Any) -> Iterator[_Drawing]:
    """A grid of axes; ``drawing.svg`` is there after the block.

    Args:
        name: Unique in the page: it salts the ids that matplotlib makes.
        rows: Rows of axes.
        columns: Columns of axes.
        width: Inches.
        height: Inches.
        options: For ``Figure.subplots``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        canvas = Figure(figsize=(width, height), dpi=110, facecolor="none")
        drawing = _Drawing(canvas.subplots(rows, columns, squeeze=False, **options))
        yield drawing
        text = _drawn(canvas)
    drawing.svg = _inline(text, name, width)


def _drawn(canvas: Figure) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
    canvas.set_layout_engine("none")  # or saving would lay out twice more
    buffer = io.StringIO()
    FigureCanvasSVG(canvas).print_svg(buffer, metadata={"Date": None, "Creator": None})  # `savefig` would draw twice
    return buffer.getvalue()


class _Drawing:
    """Axes to draw on, shape ``[rows, columns]``, and the SVG that came of it."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.svg = ""


def _inline(text: str, name: str, width: float) -> str:
    """Without XML head and metadata, with ids that are unique in the page, in the page's colour.

    A figure of ``PAGE`` inches fills the page; no other is drawn at a larger scale. On a narrow screen it scrolls.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    share = min(1.0, width / PAGE)
    fit = f'style="max-width: {100 * share:.4g}%; min-width: {_LEAST * share:.3g}rem"'
    return re.sub(r'<svg ([^>]*?)width="[^"]*" ([^>]*?)height="[^"]*"', rf"<svg {fit} \1\2", text, count=1)
