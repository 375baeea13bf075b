"""``heldout zoo``: declared variants, trained as challengers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heldout.cli.printing import print_json, resumable
from heldout.cli.registry_options import By, Json, Place, Serving
from heldout.cli.zoo_replay import replay
from heldout.errors import ExitCode, InputError

if TYPE_CHECKING:
    from heldout.zoo import Training
    from heldout.zoo.training import Trained

app = typer.Typer(help="Declared variants, trained as challengers.", no_args_is_help=True)

app.command("replay")(replay)

StudyPath = Annotated[Path, typer.Option("--study", help="The study file.")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Folder of run directories; the study's own by default.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of one training; one a processor by default.")]
_STUDY = Path("study.yaml")
_HERE = "registry"


@app.command("list")
def list_(study: StudyPath = _STUDY, runs: Runs = None, as_json: Json = False) -> int:
    """Every variant: status, last attempt, and what it changes; exit 2 if one of them could not be trained."""
    from heldout.zoo import Roster, read_attempts

    roster = Roster.load(study)
    history = read_attempts(Path(runs or roster.file.spec.runs) / roster.name)
    broken = any(entry.problem is not None for entry in roster.entries)
    if as_json:
        variants = [
            entry.to_json() | {"attempts": [each.to_json() for each in history.of(entry.id)]}
            for entry in roster.entries
        ]
        print_json(roster.to_json() | {"variants": variants})
        return ExitCode.INPUT if broken else ExitCode.DONE
    for entry in roster.entries:
        tried = history.of(entry.id)
        last = tried[-1].outcome if tried else "never"
        typer.echo(f"{entry.id:<24}  {entry.status:<7}  {last:<13}  {_overrides(entry.spec.set if entry.spec else {})}")
        if entry.problem is not None:
            typer.echo("  " + str(entry.problem).replace("\n", "\n  "))
    return ExitCode.INPUT if broken else ExitCode.DONE


@app.command()
def show(
    variant: Annotated[str, typer.Argument(help="Id of a variant; `base` is the study itself.")],
    study: StudyPath = _STUDY,
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """One variant with its ancestors' overrides, its attempts, and what it resolves to; exit 2 if to nothing."""
    from heldout.zoo import Roster, read_attempts

    roster = Roster.load(study)
    entry = roster.entry(variant)
    history = read_attempts(Path(runs or roster.file.spec.runs) / roster.name)
    attempts = history.of(variant)
    config = dict(entry.resolved.config) if entry.resolved else None
    document = {"schema": "heldout.zoo-variant/1", **entry.to_json(), "config": config}
    if as_json:
        print_json(document | {"attempts": [each.to_json() for each in attempts]})
    else:
        for key, value in document.items():
            if key not in ("schema", "config", "problem") and value not in (None, "", {}, []):
                typer.echo(f"{key:<15} {value if isinstance(value, str) else json.dumps(value)}")
        for each in attempts:
            typer.echo(f"{'attempt':<15} {each.began}  {each.outcome}  {each.facts.get('reason', '')}")
        if entry.problem is not None:
            typer.echo(str(entry.problem))
    return ExitCode.DONE if entry.problem is None else ExitCode.INPUT


@app.command()
def diff(
    one: Annotated[str, typer.Argument(help="Id of a variant, or `base`.")],
    other: Annotated[str, typer.Argument(help="Id of a variant, or `base`.")],
    study: StudyPath = _STUDY,
    as_json: Json = False,
) -> None:
    """Where two variants differ when every default is filled in."""
    from heldout.zoo import Roster
    from heldout.zoo.roster import diff

    roster = Roster.load(study)
    found = diff(roster.entry(one), roster.entry(other))
    if as_json:
        differences = {key: {"one": mine, "other": theirs} for key, (mine, theirs) in found.items()}
        print_json({"schema": "heldout.zoo-diff/1", "one": one, "other": other, "differences": differences})
        return
    for key, (mine, theirs) in found.items():
        typer.echo(f"{key}: {json.dumps(mine)} -> {json.dumps(theirs)}")


@app.command()
def train(
    variant: Annotated[list[str] | None, typer.Option(help="Id of a variant; may be given several times.")] = None,
    all_active: Annotated[bool, typer.Option("--all-active", help="The base and every active variant.")] = False,
    study: StudyPath = _STUDY,
    runs: Runs = None,
    workers: Workers = None,
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Train variants and register them as challengers. Exit 5 if one failed; a variant that ran and lost did not."""
    from heldout.registry import Registry
    from heldout.zoo import Roster
    from heldout.zoo import train as train_these
    from heldout.zoo import train_all_active as train_all

    if bool(variant) == all_active:
        raise InputError("no variant is named", where="zoo train", hint="choose variants: --variant ID or --all-active")
    roster = Roster.load(study)
    options: Any = {"runs": runs, "workers": workers, "by": by, "listener": None if as_json else _line}
    with resumable(), Registry(place, serving=serving, create=True) as registry:
        if all_active:
            return _told(train_all(roster, registry, **options), as_json=as_json)
        return _told(train_these(roster, registry, variant or [], **options), as_json=as_json)


@app.command()
def rotate(
    budget: Annotated[int, typer.Option(help="Variants to train in this round.")],
    study: StudyPath = _STUDY,
    runs: Runs = None,
    workers: Workers = None,
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Train those whose turn it is: who never was, then who waited longest; who keeps failing sits rounds out."""
    from heldout.registry import Registry
    from heldout.zoo import Roster
    from heldout.zoo import rotate as rotate_roster

    roster = Roster.load(study)
    listener = None if as_json else _line
    with resumable(), Registry(place, serving=serving, create=True) as registry:
        found = rotate_roster(roster, registry, budget, runs=runs, workers=workers, by=by, listener=listener)
    if not as_json and found.rotation is not None:
        for name, why in found.rotation.waiting.items():
            typer.echo(f"{name:<24}  {'waits':<13}  {why}")
    return _told(found, as_json=as_json)


def _line(result: Trained) -> None:
    unchanged = "  (nothing changed since)" if result.unchanged else ""
    typer.echo(f"{result.variant:<24}  {result.state:<13}  {result.version or result.reason}{unchanged}")
    if result.version and result.reason:
        typer.echo(f"  {result.reason}")


def _told(training: Training, *, as_json: bool) -> int:
    if as_json:
        print_json(training.to_json())
    return training.exit_code


def _overrides(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {json.dumps(value)}" for key, value in overrides.items())
