"""A run directory that was judged, for whoever only reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence import read_json
from heldout.gate.verdict_files import read_verdict


@dataclass(frozen=True)
class Run:
    """A run directory that was judged."""

    folder: Path

    @property
    def document(self) -> Mapping[str, Any]:
        """The verdict document."""
        found = read_verdict(self.folder)
        if found is None:
            raise InputError("the run has no verdict", where=str(self.folder), hint="run the study to its end")
        return found

    @property
    def verdict(self) -> str:
        """``PROMOTE`` or ``HOLD``."""
        return str(self.document["verdict"])

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The document ``metrics.json``."""
        found: Mapping[str, Any] = read_json(self.folder / "metrics.json")
        return found

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"
