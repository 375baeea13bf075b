"""Sources through encoders to a corpus: one part a cell, one merged file, one manifest.

Before anything is encoded, the plan says of every cell whether it is reused, encoded or encoded again, and why. A cell
is stored as a whole or not at all, and is never encoded twice under one key. The corpus is put together from exactly
the cells of the plan, in their order. If a cell failed, no corpus is written unless gaps were allowed: what is not
complete must not look as if it were.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import NamedTuple

from heldout.domains.video.encode.cell import CellFailedError, run_cell
from heldout.domains.video.encode.decoded import PREFIX, decoded_once
from heldout.domains.video.encode.ffmpeg import FFmpeg, find_ffmpeg
from heldout.domains.video.encode.manifest import CORPUS, Failure, merge, write_manifest
from heldout.domains.video.encode.plan import Card, Plan, Planned, make_plan
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.domains.video.encode.workers import as_finished
from heldout.evidence import Events, JsonLines, Listener, alone

_WORK = ".work-"


@dataclass(frozen=True)
class EncodeResult:
    """What is there now.

    Attributes:
        corpus: The merged rows; does not exist if a cell failed and gaps were not allowed.
        manifest: What the corpus is made of, and what is missing.
        expected: Cells of the plan.
        present: Cells whose rows are there.
        failed: The others, with reasons.
        reused: Cells that were there before.
        rows: Rows of the corpus; 0 if it was not written.
    """

    corpus: Path
    manifest: Path
    expected: int
    present: int
    failed: tuple[Failure, ...] = ()
    reused: int = 0
    rows: int = 0


def preview(
    spec: EncodeSpec,
    out: Path,
    *,
    ffmpeg: Path | None = None,
    workers: int = os.cpu_count() or 1,
    allow_skips: bool = False,
) -> Plan:
    """The plan alone; nothing in ``out`` is written.

    Raises:
        HeldoutError: As ``produce`` before it encodes.
    """
    with TemporaryDirectory(prefix="heldout-") as scratch:
        program = find_ffmpeg(ffmpeg)
        return make_plan(program, spec, out, pans=Path(scratch), workers=workers, allow_skips=allow_skips)


def produce(
    spec: EncodeSpec,
    out: Path,
    *,
    ffmpeg: Path | None = None,
    workers: int = os.cpu_count() or 1,
    allow_skips: bool = False,
    on_event: Listener | None = None,
) -> EncodeResult:
    """Encode and score what is missing, merge, and write the manifest.

    Args:
        spec: Sources, encoders and quality points.
        out: Folder of the corpus; resumed if it is there.
        ffmpeg: The FFmpeg to use; None takes that of imageio-ffmpeg.
        workers: Cells at a time, each with one thread.
        allow_skips: Merge what is there though cells are missing; the manifest lists them.
        on_event: Called with each event of ``progress.jsonl``.

    Returns:
        Cells expected, present and failed: a failed cell is no exception.

    Raises:
        InputError: If a source cannot be used.
        PrerequisiteError: If FFmpeg, libvmaf or an encoder is missing.
        StaleError: If another process is writing there.
        KeyboardInterrupt: After all children were ended; finished cells are kept.
    """
    program = find_ffmpeg(ffmpeg)
    with alone(out, "encodes into this folder"), JsonLines(out / "progress.jsonl") as log:
        tell = _Teller(log, on_event, frozenset({"encoded", "failed", "reused"}))
        with tell.interruption(program):
            _sweep(out / "parts")
            plan = make_plan(program, spec, out, pans=out / "sources", workers=workers, allow_skips=allow_skips)
            tell.plan(plan)
            outcome = _encode_all(program, plan, spec.model, out / "parts", workers, tell)
            return _finish(plan, outcome, program, spec, out, allow_skips, tell)


class _Outcome(NamedTuple):
    cards: dict[str, Card]
    failures: dict[str, Failure]


def _encode_all(ffmpeg: FFmpeg, plan: Plan, model: str, parts: Path, workers: int, tell: _Teller) -> _Outcome:
    """Cards of the cells that are there afterwards, and failures of the others, by cell name."""
    cards = {planned.cell.name: planned.card for planned in plan.reused if planned.card is not None}
    failures = {planned.cell.name: Failure(planned.cell.name, planned.reason, planned.log) for planned in plan.unusable}
    one = partial(_one_cell, ffmpeg, model, parts)
    parts.mkdir(parents=True, exist_ok=True)
    with (
        decoded_once(ffmpeg, plan.pending, parts, workers) as pending,
        contextlib.closing(as_finished(one, pending, workers, ffmpeg.children)) as results,
    ):
        for index, result in results:
            name = pending[index].cell.name
            if isinstance(result, Failure):
                failures[name] = result
                tell("failed", name, reason=result.reason)
            else:
                cards[name] = result
                told = ("rows", "vmaf_mean", "enc_bytes")
                tell("encoded", name, **{key: value for key, value in result.items() if key in told})
    return _Outcome(cards, failures)


def _one_cell(ffmpeg: FFmpeg, model: str, parts: Path, planned: Planned) -> Card | Failure:
    work = Path(mkdtemp(prefix=_WORK, dir=parts))
    try:
        return planned.store(run_cell(ffmpeg, planned.cell, model, work))
    except CellFailedError as error:
        return Failure(planned.cell.name, error.what, error.log)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _finish(
    plan: Plan, outcome: _Outcome, ffmpeg: FFmpeg, spec: EncodeSpec, out: Path, allow_skips: bool, tell: _Teller
) -> EncodeResult:
    there = [planned for planned in plan.cells if planned.cell.name in outcome.cards]
    failed = tuple(outcome.failures[cell.cell.name] for cell in plan.cells if cell.cell.name in outcome.failures)
    corpus = out / CORPUS
    merged = None
    if there and (allow_skips or not failed):
        merged = merge([planned.part for planned in there], corpus)
    else:
        corpus.unlink(missing_ok=True)
    manifest = write_manifest(out, plan, outcome.cards, outcome.failures, merged, ffmpeg, spec)
    tell("incomplete" if failed and not allow_skips else "complete", "corpus", rows=merged["rows"] if merged else 0)
    return EncodeResult(
        corpus, manifest, len(plan.cells), len(there), failed, len(plan.reused), merged["rows"] if merged else 0
    )


class _Teller(Events):
    def plan(self, plan: Plan) -> None:
        """Say of every cell what will become of it, before it does."""
        self.total = len(plan.cells)
        counts = {"reused": len(plan.reused), "pending": len(plan.pending), "unusable": len(plan.unusable)}
        self("plan", f"{len(plan.reused)} cells reused, {len(plan.pending)} to encode", **counts)
        for planned in plan.reused:
            self("reused", planned.cell.name, rows=planned.card["rows"] if planned.card else 0)
        for planned in plan.unusable:
            self("failed", planned.cell.name, reason=planned.reason)
        for planned in plan.pending:
            self("planned", planned.cell.name, reason=planned.reason)

    @contextlib.contextmanager
    def interruption(self, ffmpeg: FFmpeg) -> Iterator[None]:
        """On Ctrl-C, end the children and say so in the log."""
        try:
            yield
        except KeyboardInterrupt:
            ffmpeg.children.stop()
            self("interrupted", "corpus")
            raise


def _sweep(parts: Path) -> None:
    """Remove what a killed producer left; its children, if any still run, write into files that have no name."""
    if not parts.is_dir():
        return
    for stray in (*parts.glob(f"{_WORK}*"), *parts.glob(f"{PREFIX}*")):
        shutil.rmtree(stray, ignore_errors=True)
    for stray in parts.glob(".*.partial"):
        stray.unlink(missing_ok=True)
