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
from heldout.report.frames import choices_frame, folds_frame, groups_frame, metrics_frame, rules_frame
from heldout.report.notebook import Plot, plot, shown
from heldout.task.predictions import read_predictions
from heldout.task.table import table_in

if TYPE_CHECKING:
    import polars as pl

    from heldout.verify import Comparison, Verification


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
        >>> run.metrics.filter(pl.col("metric") == "rmse").to_pandas()  # doctest: +SKIP
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
    def numbers(self) -> Mapping[str, Any]:
        """The document ``metrics.json``: every number that a rule may judge."""
        found: Mapping[str, Any] = read_json(self.folder / METRICS_FILE)
        return found

    @property
    def rules(self) -> pl.DataFrame:
        """One row a rule: ``rule``, ``outcome``, ``observed``, ``bound`` and ``sentence``."""
        return rules_frame(self.document)

    @property
    def metrics(self) -> pl.DataFrame:
        """One row a contender and metric, the variant first.

        Columns: ``contender``, ``metric``, ``better``, ``mean`` over folds, ``low`` and ``high`` of its interval over
        groups, ``pooled`` over all rows, ``worst_group`` and ``worst``, and what the variant gains over that contender
        (``gain``, ``gain_low``, ``gain_high``; positive is better). What is undefined is null; ``numbers`` says why.
        """
        return metrics_frame(self.numbers, str(self.document["variant"]))

    @property
    def folds(self) -> pl.DataFrame:
        """One row a contender and fold: ``contender``, ``fold``, ``rows``, ``n_train``, and a column a metric."""
        return folds_frame(self.numbers, str(self.document["variant"]))

    @property
    def groups(self) -> pl.DataFrame:
        """One row a group, of the mean over the seeds: ``group``, ``rows``, and a column a metric."""
        return groups_frame(self.numbers)

    @property
    def predictions(self) -> pl.DataFrame:
        """One row a held-out sample.

        Columns: ``sample_id``, ``group``, ``fold``, ``target``, ``prediction`` (the mean over the seeds),
        ``p_CLASS`` of classes, and the same of each seed.
        """
        metrics = self.numbers
        return read_predictions(table_in(self.folder), metrics["seeds"], metrics["classes"]).to_frame()

    @property
    def choices(self) -> pl.DataFrame:
        """One row a seed and fold of a study that chooses: ``seed``, ``fold``, ``chosen``, and a column a candidate."""
        return choices_frame(self.folder)

    def plot(self, name: str | None = None) -> Plot:
        """A plot of the report, as a notebook shows it; the first by default.

        Raises:
            InputError: If the report has no such plot; the message names those that it has.
        """
        return plot(self.folder, name)

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT_HTML

    def _repr_html_(self) -> str:
        return shown(self.folder, self.document)

    def compare(self, other: Run | str | Path) -> Comparison:
        """What this run gains over another one of the same corpus and split, paired by group.

        Args:
            other: The run, or its folder.

        Raises:
            InputError: If they were scored on other rows, or one of them has no computed verdict.
            TamperedError: If a file of one of them is not the one that was judged.
        """
        from heldout.verify import compare_runs  # as below

        with trusting_code():
            return compare_runs(self.folder, other.folder if isinstance(other, Run) else Path(other))

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
