"""Arms of a board: what finished runs predicted of dates that they had not trained on, and how often each looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.documents.names import LEDGER_FILE
from heldout.errors import InputError, RefusedError
from heldout.evidence import Link
from heldout.ledger.trials import looks_of, read_ledger, variant_key
from heldout.run.required import file_sha256
from heldout.verify.chain import walk
from heldout.verify.evidence import RunEvidence
from heldout.verify.verify import CHAIN

_BYTES = tuple(check for check in CHAIN if check.id in ("verdict-file", "files", "bound"))


@dataclass(frozen=True)
class Arm:
    """A contender over time. Refits of an unchanged variant are one arm.

    Attributes:
        id: Of the variant.
        version: Whose predictions these are: a run, or a registered version.
        forward_days: How far its own label looks ahead.
        outputs: Columns ``date``, ``asset`` and ``prediction``, one row an asset and date.
        looks: How often its variant looked at held-out rows, failures included.
        panel_sha256: The panel that it was trained on.
    """

    id: str
    version: str
    forward_days: int
    outputs: pl.DataFrame
    looks: int
    panel_sha256: str


@dataclass(frozen=True)
class Tried:
    """What the trial ledgers say.

    Attributes:
        variants: Distinct variants that ever looked.
        looks: Looks of each, by the digest of the variant.
        missing: Folders of runs without a ledger.
    """

    variants: int
    looks: Mapping[str, int]
    missing: tuple[Path, ...]


def arms_of_runs(runs: Sequence[Path], versions: Mapping[Path, str] | None = None) -> tuple[list[Arm], Tried]:
    """Read run directories; of several runs of one arm the newest counts.

    Args:
        runs: Finished runs over a price panel.
        versions: Registered version of a run, where it has one.

    Raises:
        InputError: If one is no finished run over a panel.
        TamperedError: If a file is not the one that its verdict names.
        RefusedError: If one is a smoke run.
    """
    tried = tried_in(runs)
    found: dict[str, tuple[str, Arm]] = {}
    for run in runs:
        evidence = RunEvidence.open(run)
        _refuse(evidence)
        name = str(evidence.lock["variant"])
        version = (versions or {}).get(run, str(evidence.run["run"]))
        started = str(evidence.run["started_at_utc"])
        if name not in found or started > found[name][0]:
            looks = tried.looks.get(str(evidence.run["variant_sha256"]), 1)
            found[name] = started, _arm(evidence, name, version, looks)
    return [arm for _, arm in found.values()], tried


def outputs_of(evidence: RunEvidence) -> pl.DataFrame:
    """What a run predicted of held-out rows: the mean over seeds, and over the folds that held a row out."""
    predictions = evidence.predictions
    columns = predictions.samples.select("sample_id").with_columns(prediction=pl.Series(predictions.ensemble))
    return split_ids(columns.group_by("sample_id", maintain_order=True).agg(pl.col("prediction").mean()))


def split_ids(columns: pl.DataFrame) -> pl.DataFrame:
    """Columns ``date``, ``asset`` and ``prediction`` from ``sample_id`` and ``prediction``."""
    parts = pl.col("sample_id").str.split_exact("/", 1).struct
    return columns.select(date=parts.field("field_0"), asset=parts.field("field_1"), prediction="prediction")


def _arm(evidence: RunEvidence, name: str, version: str, looks: int) -> Arm:
    block: Mapping[str, Any] = evidence.lock["corpus"]
    return Arm(name, version, int(block["forward_days"]), outputs_of(evidence), looks, file_sha256(evidence.corpus))


def _refuse(evidence: RunEvidence) -> None:
    from heldout.verify import Verification

    reader = evidence.lock["corpus"]["reader"]
    if reader != "market_panel":
        raise InputError(
            f"the reader {reader!r} has no scores by date",
            where=str(evidence.folder),
            hint="a leaderboard compares runs over a market_panel",
        )
    Verification(evidence.folder, "", "", walk(_BYTES, evidence)).raise_if_broken()
    if evidence.lock["smoke"] is not None:
        raise RefusedError(
            f"a smoke run competes with nobody: {evidence.lock['smoke']}",
            where=str(evidence.folder),
            hint="run the study as declared, without overrides",
        )


def tried_in(runs: Iterable[Path]) -> Tried:
    """Every look of the studies that these runs belong to.

    Raises:
        TamperedError: If a ledger does not hold.
    """
    entries: list[Link] = []
    missing = []
    for study in sorted({run.resolve().parent for run in runs}):
        found = read_ledger(study)
        entries += found
        missing += [] if found else [study / LEDGER_FILE]
    shas = [str(entry.record.get("variant_sha256")) for entry in looks_of(entries)]
    names, counts = np.unique(np.array(shas, dtype=str), return_counts=True)
    looks = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    return Tried(len({variant_key(entry.record) for entry in entries}), looks, tuple(missing))
