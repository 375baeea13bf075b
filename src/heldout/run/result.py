"""A run directory that was judged, for whoever only reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.documents.names import METRICS_FILE, REPORT_HTML
from heldout.errors import InputError
from heldout.evidence import read_json
from heldout.gate.verdict_files import read_verdict
from heldout.plugins import trusting_code

if TYPE_CHECKING:
    from heldout.verify import Verification


@dataclass(frozen=True)
class Run:
    """A run directory that was judged.

    ``verdict`` and ``document`` say what the verdict file says: enough for a run that this process has just made. Of a
    folder that came from elsewhere, ask ``verify()`` first.

    Example:
        >>> from heldout import Run
        >>> run = Run(Path("runs/demo/base-20261121-0f3a9c1e"))
        >>> run.verify().raise_if_broken()  # doctest: +SKIP
        >>> run.verdict  # doctest: +SKIP
        'PROMOTE'
    """

    folder: Path

    @property
    def document(self) -> Mapping[str, Any]:
        """The verdict document as it lies there, not verified.

        Raises:
            InputError: If there is none.
        """
        found = read_verdict(self.folder)
        if found is None:
            raise InputError("the run has no verdict", where=str(self.folder), hint="run the study to its end")
        return found

    @property
    def verdict(self) -> str:
        """``PROMOTE`` or ``HOLD``, as the verdict file says; not verified."""
        return str(self.document["verdict"])

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The document ``metrics.json``."""
        found: Mapping[str, Any] = read_json(self.folder / METRICS_FILE)
        return found

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT_HTML

    def verify(self, *, corpus: str | Path | None = None, refit: bool = False) -> Verification:
        """The chain of evidence, recomputed from the files: ``holds``, or ``raise_if_broken()`` at the first link.

        Args:
            corpus: The corpus file: its rows are compared, the guards and the stored models asked again.
            refit: Train every fit again and compare; needs ``corpus``.

        Raises:
            InputError: If there is no verdict, or its evidence is incomplete.
            PrerequisiteError: If something that was asked for cannot be checked here.
        """
        from heldout.verify import verify_run  # a floor above: only who holds a run asks, no stage of a run does

        with trusting_code():  # who made the run in this process has its classes here
            return verify_run(self.folder, corpus=corpus, refit_too=refit)
