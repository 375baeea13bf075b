"""What no test waits for: plots that it does not look at, metadata read again, the disk, sources compiled again."""

from __future__ import annotations

import compileall
import functools
import os
import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from heldout.report import svg

SOURCES = Path(__file__).parents[2] / "src"
PREFIXES = tuple(Path(each).resolve() for each in (sys.prefix, sys.base_prefix))
_REAL = svg._drawn


def without_rendering(patch: Any) -> None:
    """Let figures be empty: our code fills them as ever, and Matplotlib writes no SVG of it."""
    patch.setattr(svg, "_drawn", lambda _: "<svg ></svg>")


def with_each_kind_drawn_once(patch: Any) -> None:
    """Draw a figure only if none was drawn that has the same axes, artists and orders of magnitude."""
    known: dict[object, str] = {}

    def drawn(canvas: Any) -> str:
        kind = tuple(_kind(axes) for axes in canvas.axes)
        if kind not in known:
            known[kind] = _REAL(canvas)
        return known[kind]

    patch.setattr(svg, "_drawn", drawn)


def _kind(axes: Any) -> tuple[object, ...]:
    """What a failure of Matplotlib may depend on: words but no figures, and limits by their decade."""
    limits = np.array([*axes.get_xlim(), *axes.get_ylim()], dtype=np.float64)
    decades = np.floor(np.log10(np.abs(limits), where=limits != 0, out=np.zeros(4)))
    artists = Counter(type(artist).__name__ for artist in axes.get_children())
    words = axes.get_xlabel(), axes.get_ylabel(), axes.get_title().partition(" · ")[0]
    return (*words, axes.get_visible(), *sorted(artists.items()), *decades.tolist(), *np.sign(limits).tolist())


def with_rendering(patch: Any) -> None:
    """Where a test looks at plots."""
    patch.setattr(svg, "_drawn", _REAL)


def with_sources_compiled() -> None:
    """Compile our sources: where Python may not write bytecode, each of a thousand children would do it again."""
    compileall.compile_dir(SOURCES, quiet=2)


def without_waiting_for_the_disk(patch: Any) -> None:
    """Let a flush of this process be none: a small run does a hundred. ``tests/faults`` flushes, as children do."""
    patch.setattr(os, "fsync", lambda _: None)


def with_metadata_read_once(patch: Any) -> None:
    """Read the entry points of all distributions again only where one may have come, gone or changed.

    A run asks twenty times, and each time a hundred and fifty files are opened.
    """
    from heldout import plugins

    patch.setattr(plugins, "entry_points", read_once(entry_points))


def read_once(read: Callable[[], EntryPoints]) -> Callable[..., EntryPoints]:
    """The same answers as ``importlib.metadata.entry_points``, where nothing is installed into Python's own folders."""

    @functools.lru_cache(8)
    def whole(_: object) -> EntryPoints:
        return read()

    def asked(**chosen: str) -> EntryPoints:
        return whole(tuple((each, _state(each)) for each in sys.path)).select(**chosen)

    return asked


@functools.cache
def _python_s_own(entry: str) -> bool:
    return any(Path(entry).resolve().is_relative_to(prefix) for prefix in PREFIXES)


def _state(entry: str) -> object:
    """What changes when a distribution comes to this entry of the path, goes or changes."""
    folder = Path(entry)
    if _python_s_own(entry) or not folder.is_dir():
        return None
    found = [*folder.glob("*.*-info"), *folder.glob("*.*-info/entry_points.txt")]
    return tuple((path.name, path.parent.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(found))
