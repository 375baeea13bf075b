"""``heldout registry``: versions, champions, and the history of how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from heldout.cli.printing import print_json
from heldout.errors import InputError

if TYPE_CHECKING:
    from heldout.registry import Event, Registry
    from heldout.registry.audit import Scope

registry_app = typer.Typer(help="Versions, champions, and the history of how they came about.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Option("--registry", envvar="HELDOUT_REGISTRY", help="Folder, sqlite:///FILE or postgresql://USER@HOST/DB."),
]
Serving = Annotated[
    Path | None,
    typer.Option("--serving", envvar="HELDOUT_SERVING", help="Folder of the pointers; with PostgreSQL: registry."),
]
Freeze = Annotated[Path | None, typer.Option("--freeze", help="File of freeze windows; freeze.yaml beside the slots.")]
By = Annotated[str | None, typer.Option("--by", envvar="HELDOUT_ACTOR", help="Who does it, for the history.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the history.")]
Expect = Annotated[
    str, typer.Option("--expect", help="The champion to be replaced, or `none`; by default whoever it is now.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
VersionName = Annotated[str, typer.Argument(help="Id of a version, or the hash at its end.")]
_HERE = "registry"
_ANY = "*"


@registry_app.command("list")
def list_(place: Place = _HERE, serving: Serving = None, as_json: Json = False) -> None:
    """Every version: id, stage, verdict, and where it serves."""
    from heldout.registry.glance import all_versions

    versions = all_versions(place, serving)
    if as_json:
        print_json({"schema": "heldout.versions/1", "versions": [version.to_json() for version in versions]})
        return
    for version in versions:
        serves = f"  serves {', '.join(version.slots)}" if version.slots else ""
        verdict = version.content["verdict"]["verdict"]
        typer.echo(f"{version.id:<40}  {version.stage:<10}  {verdict:<7}  {version.content['study']}{serves}")


@registry_app.command()
def show(version: VersionName, place: Place = _HERE, serving: Serving = None) -> None:
    """One version with all that it was registered with, as JSON."""
    from heldout.registry.glance import one_version

    print_json(one_version(place, version, serving).to_json())


@registry_app.command()
def add(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    label: Annotated[str | None, typer.Option(help="First part of the id; the variant by default.")] = None,
    challenger: Annotated[bool, typer.Option("--challenger", help="To run in shadow.")] = False,
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Verify a run's evidence and register it. The same run is the same version, however often it is added."""
    from heldout.registry import add

    with _open(place, serving, create=True) as registry:
        version = add(registry, run, label=label, challenger=challenger, by=by, reason=reason)
    print_json(version.to_json()) if as_json else typer.echo(f"{version.id}  {version.stage}")


@registry_app.command()
def promote(
    version: VersionName,
    slot: Annotated[str | None, typer.Option(help="Where it is to serve; by default named like its study.")] = None,
    expect: Expect = _ANY,
    override: Annotated[bool, typer.Option("--override", help="Against a HOLD or a freeze; needs --reason.")] = False,
    freeze: Freeze = None,
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Make a version the champion of a slot: exit 3 if its evidence does not carry it, 4 if someone was first."""
    from heldout.registry import promote

    with _open(place, serving, freeze) as registry:
        expected = None if expect == "none" else expect
        event = promote(registry, version, slot=slot, expected=expected, override=override, by=by, reason=reason)
        _print_move(registry, event, as_json=as_json)


@registry_app.command()
def rollback(
    slot: Annotated[str, typer.Argument(help="The slot.")],
    to: Annotated[str | None, typer.Option(help="Which earlier champion; the one before by default.")] = None,
    expect: Expect = _ANY,
    freeze: Freeze = None,
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Return to an earlier champion, after its files were verified."""
    from heldout.registry import rollback

    with _open(place, serving, freeze) as registry:
        expected = None if expect == "none" else expect
        event = rollback(registry, slot, to=to, expected=expected, by=by, reason=reason)
        _print_move(registry, event, as_json=as_json)


@registry_app.command()
def retire(
    version: VersionName,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the history.")],
    place: Place = _HERE,
    serving: Serving = None,
    by: By = None,
) -> None:
    """Take a version out of the running, for good."""
    from heldout.registry import retire

    with _open(place, serving) as registry:
        event = retire(registry, version, reason=reason, by=by)
    typer.echo(f"{event.body['version']}  retired")


@registry_app.command()
def history(
    slot: Annotated[str | None, typer.Option(help="Only this slot's promotions and rollbacks.")] = None,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    place: Place = _HERE,
    serving: Serving = None,
    as_json: Json = False,
) -> None:
    """Who did what, when and why, oldest first."""
    with _open(place, serving) as registry:
        events = registry.history(slot=slot, version=version)
    if as_json:
        print_json({"schema": "heldout.history/1", "events": [event.to_json() for event in events]})
        return
    for event in events:
        typer.echo(_line(event))


@registry_app.command()
def verify(
    files: Annotated[str, typer.Option(help="Whose run directories to read: champions, all or none.")] = "champions",
    anchor: Annotated[str | None, typer.Option(help="The sha256 of an event, noted earlier.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Rewrite a champion.json that lags behind.")] = False,
    place: Place = _HERE,
    serving: Serving = None,
    as_json: Json = False,
) -> int:
    """Recompute the history and all that follows from it; exit 3 names the first broken link, 1 a lagging pointer."""
    from heldout.registry import repair as repair_all
    from heldout.registry import verify

    if files not in ("champions", "all", "none"):
        raise InputError(f"{files!r} says not whose files", where="--files", hint="write champions, all or none")
    with _open(place, serving) as registry:
        found = verify(registry, files=cast("Scope", files), anchor=anchor)
        mended = repair_all(registry) if repair else []
    lagging = [slot for slot in found.lagging if slot not in mended]
    if as_json:
        print_json(found.to_json() | {"repaired": mended, "lagging": lagging})
    else:
        parts = (f"{found.events} events", f"{found.versions} versions", f"{found.folders} run directories")
        typer.echo(f"VERIFIED  {', '.join(parts)}\nhead      {found.head}")
        for slot in mended:
            typer.echo(f"repaired  champion.json of {slot}")
        for slot in lagging:
            typer.echo(f"LAGGING   champion.json of {slot}: mend it by --repair")
    return 1 if lagging else 0


@registry_app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    place: Place = _HERE,
    serving: Serving = None,
) -> None:
    """Write versions and history as one strict JSON document, verified first."""
    from heldout.evidence import write_json
    from heldout.registry import export_registry

    with _open(place, serving) as registry:
        document = export_registry(registry)
    write_json(out, document)
    typer.echo(f"{out}  head {document['head']['sha256']}")


@registry_app.command("import")
def import_(
    document: Annotated[Path, typer.Argument(help="A file of `heldout registry export`.")],
    place: Place = _HERE,
    serving: Serving = None,
) -> None:
    """Take over a document, verified first, into an empty registry or one that is behind it."""
    from heldout.evidence import read_json
    from heldout.registry import import_registry

    value = read_json(document)
    with _open(place, serving, create=True) as registry:
        count = import_registry(registry, value, where=str(document))
    typer.echo(f"{count} events taken over")


@registry_app.command("flip")
def flip_(
    models: Annotated[Path, typer.Argument(help="registry.json, beside the exported members.")],
    verdict: Annotated[Path | None, typer.Option(help="PROMOTE.json of the run that they were exported from.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Take the last flip back, if its files still verify.")] = False,
) -> None:
    """Video: let registry.json name the members that individually cleared the gate."""
    from heldout.domains.video.registry_json import flip, flip_back

    if back == (verdict is not None):
        raise InputError("a flip goes one way", where="flip", hint="give --verdict PROMOTE.json, or --back")
    if verdict is None:
        flip_back(models)
        typer.echo(f"{models} is as it was before the flip")
        return
    changed = flip(models, verdict)
    typer.echo("\n".join(changed) or "nothing to change")


@registry_app.command()
def validate(models: Annotated[Path, typer.Argument(help="registry.json, beside its models.")]) -> int:
    """Video: check registry.json: schema, files, digests, sidecars, weights inside. Exit 1 lists what is wrong."""
    from heldout.domains.video.registry_json import validate_registry

    problems = validate_registry(models)
    typer.echo("\n".join(problems) or f"{models} is valid")
    return 1 if problems else 0


@contextmanager
def _open(place: str, serving: Path | None, freeze: Path | None = None, *, create: bool = False) -> Iterator[Registry]:
    from heldout.registry import Registry

    with Registry(place, serving=serving, freeze=freeze, create=create) as registry:
        yield registry


def _print_move(registry: Registry, event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json(event.to_json())
        return
    typer.echo(_line(event))
    typer.echo(f"pointer  {registry.serving.pointer(event.body['slot'])}")


def _line(event: Event) -> str:
    body = event.body
    words = [f"{event.seq:>5}  {body['at_utc']}  {body['kind']:<11}  {body['version']}"]
    words += [f"in {body['slot']}"] if "slot" in body else []
    words += [f"for {body['previous']}"] if "previous" in body else []
    words += [f"OVERRIDE of: {'; '.join(body['overridden'])}"] if "overridden" in body else []
    words += [f"by {body['by']}"] if body["by"] else []
    words += [f'"{body["reason"]}"'] if body["reason"] else []
    return "  ".join(words)
