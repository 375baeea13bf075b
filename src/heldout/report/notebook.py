"""A judged run as a notebook shows it: the verdict, why, the contenders, and the first plot of its report."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.documents.names import CORPUS_FILE, METRICS_FILE, REPORT_HTML, SPLIT_FILE
from heldout.errors import InputError, near_miss
from heldout.evidence import Listener, read_json, read_plain, sha256_bytes
from heldout.printable import printable
from heldout.report.content import Content
from heldout.report.write import templates_of

_WIDTH = 100
_FIGURE = re.compile(r'<figure id="([a-z_-]+)".*?</figure>', re.DOTALL)


def progress() -> Listener | None:
    """In a notebook, what shows the progress of a run in one line that is written over; None elsewhere."""
    return _Line() if "ipykernel" in sys.modules else None


class _Line:
    def __init__(self) -> None:
        self._longest = 0

    def __call__(self, record: Mapping[str, Any]) -> None:
        if "total" not in record or not record["total"]:
            return
        done, total = record["done"], record["total"]
        told = "" if done == total else f"{done} of {total} fits: {record['unit']}"
        text = printable(told)[:_WIDTH]
        self._longest = max(self._longest, len(text))
        # Standard error: what a cell prints stays what the user printed. At the end the line is empty again.
        print(f"\r{text:<{self._longest}}", end="" if told else "\r", file=sys.stderr, flush=True)


class Plot(NamedTuple):
    """A plot of a report, shown by a notebook as it stands there."""

    id: str
    html: str

    def _repr_html_(self) -> str:
        return self.html


def plots(folder: Path) -> dict[str, Plot]:
    """The plots of a run's report, by id, in the order of the page."""
    page, own = read_plain(folder / REPORT_HTML).decode("utf-8"), sha256_bytes(folder.name.encode())[:8]
    found = {each[1]: each[0] for each in _FIGURE.finditer(page)}
    # One notebook shows several runs, and clips are named by ids.
    return {name: Plot(name, re.sub(rf'(id="|#){name}-', rf"\g<1>{own}-{name}-", text)) for name, text in found.items()}


def plot(folder: Path, name: str | None = None) -> Plot:
    """One of them, the first by default.

    Raises:
        InputError: If the report has no such plot.
    """
    found = plots(folder)
    if not found or (name is not None and name not in found):
        what = "the report has no plots" if name is None else f"the report has no plot {name!r}"
        raise InputError(what, where=str(folder / REPORT_HTML), hint=near_miss(name or "", found, "its plots"))
    return found[name] if name is not None else next(iter(found.values()))


def shown(folder: Path, verdict: Mapping[str, Any]) -> str:
    """HTML of one cell."""
    metrics, manifest, split = (read_json(folder / name) for name in (METRICS_FILE, CORPUS_FILE, SPLIT_FILE))
    content = Content(folder.name, verdict, metrics, manifest, split, (), (), "")
    figure = next(iter(plots(folder).values()), None)
    template = templates_of().get_template("notebook.html.j2")
    return template.render(c=content, figure="" if figure is None else figure.html, page=folder / REPORT_HTML)
