"""Files of predictions, judged."""

from __future__ import annotations

from pathlib import Path

from heldout.api import Study
from heldout.corpus.parts import beside
from heldout.predicted.study import LEDGER, Question, first_file, write_study
from heldout.run import Run


def judge_files(question: Question, ledger: Path | None = None) -> Run:
    """The judged run.

    Args:
        question: Files, columns and rules.
        ledger: Folder of runs, with the record of every look; ``heldout-runs`` beside the first file by default.

    Raises:
        HeldoutError: With what is wrong, where, and what to do.
    """
    folder = ledger or beside(first_file(question)) / LEDGER
    return Study.load(write_study(question, folder)).run(runs=folder, workers=1)
