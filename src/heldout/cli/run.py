"""``heldout run``: the whole road, for one variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heldout.aside import words_aside
from heldout.cli.printing import RunPrinter, SeedLogs, print_json, resumable

if TYPE_CHECKING:
    from heldout.evidence import Listener
    from heldout.run import Run


def run(
    study: Path = typer.Argument(help="The study file."),
    variant: str = typer.Option("base", help="Id of a declared variant; `base` is the study itself."),
    sets: list[str] = typer.Option([], "--set", help="Override, such as fit.epochs=5. Makes a smoke run."),
    runs: Path | None = typer.Option(None, help="Folder of run directories; the study's own by default."),
    workers: int | None = typer.Option(None, min=1, help="Processes; one a processor by default."),
    shard: str | None = typer.Option(
        None, help="Fit every n-th unit and judge nothing: 0/2 is the first of two halves. Then: heldout merge."
    ),
    also: str | None = typer.Option(
        None, help="Predictions in further forms, where there are more than 5,000 and they are Parquet: jsonl,csv."
    ),
    logs: Path | None = typer.Option(None, help="Folder of a log a seed, seed0_20260131T120000Z.log and so on."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Read, split, guard and plan; fit nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print the verdict only."),
) -> int:
    """Train, score on held-out groups, and decide PROMOTE (exit 0) or HOLD (exit 1). Goes on where it was stopped."""
    with resumable():
        from heldout.api import Study
        from heldout.run import Run
        from heldout.run.also import forms_of, write_also
        from heldout.run.execute import execute

        _refuse_idle({"--dry-run": dry_run, "--shard": shard is not None, "--also": also is not None})
        forms = forms_of(also) if also is not None else ()
        with words_aside(as_json or quiet or dry_run):
            prepared = Study.load(study, sets).prepare(variant, runs=runs)
        if dry_run:
            from heldout.run.planning import run_plan

            print_json(run_plan(prepared))
            return 0
        there: Mapping[str, Any] | None = None
        with words_aside(as_json or quiet), RunPrinter(quiet=quiet or as_json) as printer:
            listener = _told_to(printer, logs)
            if shard is not None:
                from heldout.run.shards import fit_shard, shard_of

                there = fit_shard(prepared, shard_of(shard), workers=workers, listener=listener)
            else:
                execute(prepared, workers=workers, listener=listener)
        if there is not None:
            return _told_shard(there, as_json)
        copies = write_also(prepared.folder.path, forms)
    return _told(Run(prepared.folder.path), printer, as_json, copies)


def merge(
    study: Path = typer.Argument(help="The study file."),
    folders: list[Path] = typer.Argument(help="Run directories of `heldout run --shard`, or folders of runs."),
    variant: str = typer.Option("base", help="Id of a declared variant; `base` is the study itself."),
    sets: list[str] = typer.Option([], "--set", help="Overrides, as the shards had them."),
    runs: Path | None = typer.Option(None, help="Folder of run directories; the study's own by default."),
    workers: int | None = typer.Option(None, min=1, help="Processes; one a processor by default."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print the verdict only."),
) -> int:
    """Bring the shards of a run together, and judge it: PROMOTE (exit 0) or HOLD (exit 1)."""
    with resumable():
        from heldout.api import Study
        from heldout.run import Run
        from heldout.run.execute import execute
        from heldout.run.shards import bring

        prepared = Study.load(study, sets).prepare(variant, runs=runs)
        bring(prepared, folders)
        with words_aside(as_json or quiet), RunPrinter(quiet=quiet or as_json) as printer:
            execute(prepared, workers=workers, listener=printer.event)
    return _told(Run(prepared.folder.path), printer, as_json)


def try_out(
    study: Path = typer.Argument(help="The study file."),
    share: float = typer.Option(0.5, help="Of the groups, drawn by their content; in a split in time the early part."),
    variant: str = typer.Option("base", help="Id of a declared variant; `base` is the study itself."),
    sets: list[str] = typer.Option([], "--set", help="Override, such as fit.params.alpha=10."),
    runs: Path | None = typer.Option(None, help="Folder of run directories; the study's own by default."),
    workers: int | None = typer.Option(None, min=1, help="Processes; one a processor by default."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Try a study out on a part of its groups: no verdict, and no look at the others."""
    with resumable():
        from heldout.api import Study
        from heldout.run import Run
        from heldout.run.begin.trying import part_of
        from heldout.run.execute import execute

        with words_aside(as_json):
            loaded = Study.load(study, sets)
            place = runs or loaded.file.spec.runs
            part = part_of(loaded.resolve(variant), share, place)
            there = Study(loaded.file.with_value("corpus.path", str(part.table.resolve())))
            prepared = there.prepare(variant, runs=place)
        with words_aside(as_json), RunPrinter(quiet=as_json) as printer:
            execute(prepared, workers=workers, listener=printer.event)
    found = Run(prepared.folder.path)
    if as_json:
        print_json({"schema": "heldout.try/1", "groups": list(part.groups), "of": part.of, "run": str(found.folder),
                    "rules": found.document["rules"], "findings": found.document["findings"]})  # fmt: skip
    else:
        print(f"tried on {len(part.groups)} of {part.of} groups: no verdict, and no look at the others")
        printer.tried(found.document, found.folder)
    return 0


def _told_to(printer: RunPrinter, logs: Path | None) -> Listener:
    kept = SeedLogs(logs) if logs is not None else None

    def listen(record: Mapping[str, Any]) -> None:
        printer.event(record)
        if kept is not None:
            kept.event(record)

    return listen


def _refuse_idle(given: Mapping[str, bool]) -> None:
    """A plan has no shards, and neither has predictions: one of two such options would do nothing."""
    options = [name for name, is_given in given.items() if is_given]
    if len(options) > 1:
        from heldout.errors import InputError

        raise InputError("these options do not go together", where=", ".join(options), hint="leave all but one out")


def _told(found: Run, printer: RunPrinter, as_json: bool, copies: Sequence[Path] = ()) -> int:
    if as_json:
        also = {"also": [str(path) for path in copies]} if copies else {}
        print_json({**found.document, "run": str(found.folder), "report": str(found.report)} | also)
    else:
        printer.verdict(found.document, found.folder)
        for path in copies:
            print(f"also     {path}")
    return 0 if found.verdict == "PROMOTE" else 1


def _told_shard(there: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(there)
    else:
        print(f"{there['units']} of {there['of']} units are there, and nothing is judged")
        print(f"run      {there['run']}")
        print("next     the other shards, then: heldout merge STUDY FOLDER FOLDER ...")
    return 0
