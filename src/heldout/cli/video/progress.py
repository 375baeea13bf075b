"""What ``heldout video`` prints: a bar on a terminal, plain lines elsewhere, one JSON document on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import typer

from heldout.cli.printing import print_json

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from heldout.domains.video.encode.ffmpeg import FFmpeg
    from heldout.domains.video.encode.plan import Plan
    from heldout.domains.video.encode.probe import Probe
    from heldout.domains.video.encode.produce import EncodeResult

_UNREMARKABLE = {"new"}


class Progress:
    """Prints the events of a producer on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Print one event."""
        if self._quiet:
            return
        if event["event"] == "plan":
            self._start(event)
        if line := self._line(event):
            self._print(line)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=event["done"], total=event["total"])

    def _start(self, event: Mapping[str, Any]) -> None:
        if self._bar is not None:
            self._task = self._bar.add_task("encode", total=event["total"])

    def _line(self, event: Mapping[str, Any]) -> str | None:
        """The event in words; None for those that the bar alone tells."""
        unit, place = event["unit"], f"{event['done']}/{event['total']}"
        match event["event"]:
            case "plan":
                return f"plan    {unit}"
            case "planned":
                return None if event["reason"] in _UNREMARKABLE else f"again   {unit}: {event['reason']}"
            case "encoded" if self._bar is None:
                facts = f"{event['rows']} rows, vmaf {event['vmaf_mean']:.2f}, {event['enc_bytes']} bytes"
                return f"ok      {place}  {unit}  {facts}{self._remaining(event)}"
            case "failed":
                return f"FAILED  {place}  {unit}: {event['reason']}"
            case _:
                return None

    def _remaining(self, event: Mapping[str, Any]) -> str:
        """Time left at the pace of the cells encoded so far."""
        now, done = time.monotonic(), event["done"]
        if self._first is None:
            self._first = (now, done)
        start, before = self._first
        left = event["total"] - done
        return f", {(now - start) / (done - before) * left:.0f} s left" if done > before and left else ""

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            typer.echo(line, err=True)


def print_result(result: EncodeResult, *, as_json: bool) -> None:
    """What a producer left."""
    if as_json:
        document = {
            "schema": "heldout.video-encode/1",
            "corpus": str(result.corpus) if result.rows else None,
            "manifest": str(result.manifest),
            "expected": result.expected,
            "present": result.present,
            "reused": result.reused,
            "rows": result.rows,
            "failed": [failure._asdict() | {"log": list(failure.log)} for failure in result.failed],
        }
        print_json(document)
        return
    where = f"{result.rows} rows -> {result.corpus}" if result.rows else "no corpus was written"
    typer.echo(f"{result.present} of {result.expected} cells ({result.reused} reused); {where}")
    if result.failed:
        first = result.failed[0]
        typer.echo(f"{len(result.failed)} cells failed, the first {first.name}: {first.reason}", err=True)
        typer.echo(f"  where: {result.manifest}", err=True)
        if not result.rows:
            typer.echo("  fix:   run the same command again, or go on without them by --allow-skips", err=True)


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """What would be encoded, cell by cell."""
    cells = [{"cell": planned.cell.name, "reason": planned.reason, "key": planned.key} for planned in plan.cells]
    counts = {"reused": len(plan.reused), "pending": len(plan.pending), "unusable": len(plan.unusable)}
    if as_json:
        sources = [source.to_json() for source in plan.sources]
        document = {"schema": "heldout.video-plan/1", "cells": cells, "sources": sources, **counts}
        print_json(document)
        return
    for cell in cells:
        typer.echo(f"{cell['cell']}: {cell['reason']}")
    typer.echo(f"{counts['reused']} reused, {counts['pending']} to encode, {counts['unusable']} cannot be encoded")


def print_probes(ffmpeg: FFmpeg, probes: Sequence[Probe], *, as_json: bool) -> None:
    """Which encoders can run."""
    if as_json:
        document = {
            "schema": "heldout.video-probe/1",
            "ffmpeg": {"path": str(ffmpeg.path), "version": ffmpeg.version},
            "encoders": [probe.to_json() for probe in probes],
        }
        print_json(document)
        return
    typer.echo(f"ffmpeg {ffmpeg.version} ({ffmpeg.path})")
    for probe in probes:
        facts = probe.to_json()
        knob = f"-{facts['knob']} {facts['range'][0]}..{facts['range'][1]}, preset {probe.preset}"
        typer.echo(f"{'yes' if probe.usable else 'no ':3}  {probe.name:18} {knob if probe.usable else probe.reason}")


def _make_bar() -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from heldout.terminal import open_console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Bar(*columns, TextColumn("left"), TimeRemainingColumn(), console=open_console(stderr=True))
