"""What ``heldout video`` prints: a bar on a terminal, plain lines elsewhere, one JSON document on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from heldout.cli.printing import EventPrinter, Words, print_json

if TYPE_CHECKING:
    from heldout.domains.video.encode.ffmpeg import FFmpeg
    from heldout.domains.video.encode.plan import Plan
    from heldout.domains.video.encode.probe import Probe
    from heldout.domains.video.encode.produce import EncodeResult


def encoding(*, quiet: bool) -> EventPrinter:
    """Prints the events of a producer on standard error."""
    words: Words = {
        "plan": lambda e: f"plan    {e['unit']}",
        "planned": lambda e: None if e["reason"] == "new" else f"again   {e['unit']}: {e['reason']}",
        "encoded": lambda e: f"ok      {_cell(e)}  {e['rows']} rows, vmaf {e['vmaf_mean']:.2f}, {e['enc_bytes']} bytes",
        "failed": lambda e: f"FAILED  {_cell(e)}: {e['reason']}",
    }
    return EventPrinter("encode", words, ("encoded", "failed", "reused"), quiet=quiet)


def _cell(event: Mapping[str, Any]) -> str:
    return f"{event['done']}/{event['total']}  {event['unit']}"


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
