"""``heldout registry``: versions, champions, and the history of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from heldout.cli.printing import print_json
from heldout.cli.registry_options import EVIDENCE, Desk, desk_command
from heldout.errors import ExitCode, InputError

if TYPE_CHECKING:
    from heldout.registry import Event, Registry
    from heldout.registry.audit import Scope

registry_app = typer.Typer(help="Versions, champions, and the history of how they came about.", no_args_is_help=True)

VersionName = Annotated[str, typer.Argument(help="Id of a version, the hash at its end, or its run directory.")]
Expect = Annotated[
    str, typer.Option("--expect", help="The champion to be replaced, or `none`; by default whoever it is now.")
]
_ANY = "*"
_command = partial(desk_command, registry_app)


@_command("list", "as_json")
def list_(desk: Desk) -> None:
    """Every version: id, stage, verdict, and where it serves."""
    from heldout.registry.glance import all_versions

    versions = all_versions(desk.place, desk.serving)
    if desk.as_json:
        print_json({"schema": "heldout.versions/1", "versions": [version.to_json() for version in versions]})
        return
    for version in versions:
        serves = f"  serves {', '.join(version.slots)}" if version.slots else ""
        verdict = version.content["verdict"]["verdict"]
        typer.echo(f"{version.id:<40}  {version.stage:<10}  {verdict:<7}  {version.content['study']}{serves}")


@_command("show")
def show(desk: Desk, version: VersionName) -> None:
    """One version with all that it was registered with and how much of it was verified, as JSON."""
    from heldout.registry.glance import described

    print_json(described(desk.place, version, desk.serving))


@_command("add", *EVIDENCE, "trust_code", "by", "reason", "as_json")
def add(
    desk: Desk,
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    label: Annotated[str | None, typer.Option(help="First part of the id; the variant by default.")] = None,
    challenger: Annotated[bool, typer.Option("--challenger", help="To run in shadow.")] = False,
) -> None:
    """Verify a run's evidence and register it. The same run is the same version, however often it is added.

    The corpus is looked for where the run's record says, and in a bundle that carries it, and verified if it is there.
    """
    from heldout.registry import add
    from heldout.registry.glance import described
    from heldout.registry.vouched import Vouched

    with desk.open(create=True) as registry:
        version = add(
            registry, run, label=label, challenger=challenger, asked=desk.asked(), by=desk.by, reason=desk.reason
        )
    document = described(desk.place, version.id, desk.serving)
    if desk.as_json:
        print_json(document)
        return
    typer.echo(f"{version.id}  {version.stage}")
    typer.echo(Vouched.merged([Vouched.of_record(each) for each in document["verified"]]).sentence(), err=True)


@_command("promote", *EVIDENCE, "freeze", "by", "reason", "as_json")
def promote(
    desk: Desk,
    version: VersionName,
    slot: Annotated[str | None, typer.Option(help="Where it is to serve; by default named like its study.")] = None,
    expect: Expect = _ANY,
    override: Annotated[
        bool, typer.Option("--override", help="Against a HOLD, a freeze, or what the slot asks for; needs --reason.")
    ] = False,
) -> None:
    """Make a version the champion of a slot: exit 3 if its evidence does not carry it, 4 if someone was first.

    The run's chain is verified again first, and what the slot asks for (`heldout registry admission SLOT`) must hold.
    """
    from heldout.registry import promote

    with desk.open() as registry:
        expected = None if expect == "none" else expect
        event = promote(
            registry,
            version,
            slot=slot,
            expected=expected,
            override=override,
            asked=desk.asked(),
            by=desk.by,
            reason=desk.reason,
        )
        _print_move(registry, event, as_json=desk.as_json)


@_command("rollback", "freeze", "by", "reason", "as_json")
def rollback(
    desk: Desk,
    slot: Annotated[str, typer.Argument(help="The slot.")],
    to: Annotated[str | None, typer.Option(help="Which earlier champion; the one before by default.")] = None,
    expect: Expect = _ANY,
) -> None:
    """Return to an earlier champion, after its files were verified."""
    from heldout.registry import rollback

    with desk.open() as registry:
        expected = None if expect == "none" else expect
        event = rollback(registry, slot, to=to, expected=expected, by=desk.by, reason=desk.reason)
        _print_move(registry, event, as_json=desk.as_json)


@_command("admission", "key", "by", "reason", "as_json")
def admission(
    desk: Desk,
    slot: Annotated[str, typer.Argument(help="The slot.")],
    levels: Annotated[
        str | None, typer.Option(help="Levels of evidence that may serve, such as fitted,asked (the default).")
    ] = None,
    links: Annotated[
        str | None,
        typer.Option(help="What must hold: corpus (the default), refit, signature, ledger; or none."),
    ] = None,
) -> None:
    """Show what a slot asks of a version, or ask for something else. To ask for less needs --reason."""
    from heldout.registry.admission import Admission, admission_of, set_admission
    from heldout.registry.vouched import key_digest

    changes = levels is not None or links is not None or desk.key is not None
    with desk.open(create=changes) as registry:
        now = admission_of(registry, slot)
        if changes:
            named = _names(links, now.links)
            key = key_digest(desk.key) if desk.key else now.key_sha256 if "signature" in named else None
            now = Admission(_names(levels, now.levels), named, key)
            event = set_admission(registry, slot, now, by=desk.by, reason=desk.reason)
    if desk.as_json:
        print_json(event.to_json() if changes else {"schema": "heldout.admission/1", "slot": slot, **now.to_json()})
        return
    typer.echo(f"{slot}  {now.sentence()}")


@_command("retire", "by", "as_json")
def retire(
    desk: Desk,
    version: VersionName,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the history.")],
) -> None:
    """Take a version out of the running, for good."""
    from heldout.registry import retire

    with desk.open() as registry:
        event = retire(registry, version, reason=reason, by=desk.by)
    print_json(event.to_json()) if desk.as_json else typer.echo(f"{event.body['version']}  retired")


@_command("history", "as_json")
def history(
    desk: Desk,
    slot: Annotated[str | None, typer.Option(help="Only this slot's promotions and rollbacks.")] = None,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
) -> None:
    """Who did what, when and why, oldest first."""
    with desk.open() as registry:
        events = registry.history(slot=slot, version=version)
    if desk.as_json:
        print_json({"schema": "heldout.history/1", "events": [event.to_json() for event in events]})
        return
    for event in events:
        typer.echo(_line(event))


@_command("verify", "as_json")
def verify(
    desk: Desk,
    files: Annotated[str, typer.Option(help="Whose run directories to read: champions, all or none.")] = "champions",
    anchor: Annotated[str | None, typer.Option(help="The sha256 of an event, noted earlier.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Rewrite a champion.json that lags behind.")] = False,
) -> int:
    """Recompute the history and all that follows from it; exit 3 names the first broken link, 4 a lagging pointer."""
    from heldout.registry import repair as repair_all
    from heldout.registry import verify

    if files not in ("champions", "all", "none"):
        raise InputError(f"{files!r} says not whose files", where="--files", hint="write champions, all or none")
    with desk.open() as registry:
        found = verify(registry, files=cast("Scope", files), anchor=anchor)
        mended = repair_all(registry) if repair else []
    lagging = [slot for slot in found.lagging if slot not in mended]
    if desk.as_json:
        print_json(found.to_json() | {"repaired": mended, "lagging": lagging})
    else:
        parts = (f"{found.events} events", f"{found.versions} versions", f"{found.folders} run directories")
        typer.echo(f"VERIFIED  {', '.join(parts)}\nhead      {found.head}")
        for slot in mended:
            typer.echo(f"repaired  champion.json of {slot}")
        for slot in lagging:
            typer.echo(f"LAGGING   champion.json of {slot}: mend it by --repair")
    return ExitCode.STALE if lagging else ExitCode.DONE


@_command("export")
def export(desk: Desk, out: Annotated[Path, typer.Argument(help="The JSON file to write.")]) -> None:
    """Write versions and history as one strict JSON document, verified first."""
    from heldout.evidence import write_json
    from heldout.evidence.overwriting import refuse_overwriting
    from heldout.registry import export_registry

    refuse_overwriting(out, "export of a registry", b'"schema": "heldout.registry/')
    with desk.open() as registry:
        document = export_registry(registry)
    write_json(out, document)
    typer.echo(f"{out}  head {document['head']['sha256']}")


@_command("import")
def import_(
    desk: Desk,
    document: Annotated[Path, typer.Argument(help="A file of `heldout registry export`.")],
) -> None:
    """Take over a document, verified first, into an empty registry or one that is behind it."""
    from heldout.evidence import read_json
    from heldout.registry import import_registry

    value = read_json(document)
    with desk.open(create=True) as registry:
        count = import_registry(registry, value, where=str(document))
    typer.echo(f"{count} events taken over")


@registry_app.command("flip")
def flip_(
    models: Annotated[Path, typer.Argument(help="registry.json, beside the exported members.")],
    verdict: Annotated[Path | None, typer.Option(help="PROMOTE.json of the run that they were exported from.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Take the last flip back, if its files still verify.")] = False,
) -> None:
    """Video: let registry.json name the members that individually cleared the gate."""
    from heldout.domains.video.published.registry_json import flip, flip_back

    if back == (verdict is not None):
        raise InputError("a flip goes one way", where="flip", hint="give --verdict PROMOTE.json, or --back")
    if verdict is None:
        tracking = flip_back(models)
        typer.echo(f"{models} is as it was before the flip\ntracking {tracking}")
        return
    changed = flip(models, verdict)
    typer.echo("\n".join(changed) or "nothing to change")


@registry_app.command()
def validate(models: Annotated[Path, typer.Argument(help="registry.json, beside its models.")]) -> int:
    """Video: check registry.json: schema, files, digests, sidecars, weights inside. Exit 1 lists what is wrong."""
    from heldout.domains.video.published.registry_json import validate_registry

    problems = validate_registry(models)
    typer.echo("\n".join(problems) or f"{models} is valid")
    return ExitCode.NO if problems else ExitCode.DONE


def _print_move(registry: Registry, event: Event, *, as_json: bool) -> None:
    from heldout.registry.tracking import hold_file

    if as_json:
        print_json(event.to_json())
        return
    typer.echo(_line(event))
    pointer = registry.serving.pointer(event.body["slot"])
    typer.echo(f"pointer  {pointer}")
    if event.body["kind"] == "rolled-back":
        typer.echo(f"tracking {hold_file(pointer, event)}")


def _names(text: str | None, now: tuple[str, ...]) -> tuple[str, ...]:
    """The names in an option, ``none`` for none at all; those of now where it was left out."""
    if text is None:
        return now
    return () if text.strip() == "none" else tuple(part.strip() for part in text.split(","))


def _admitted(stored: Mapping[str, Any]) -> str:
    from heldout.registry.admission import Admission

    return f"asks for {Admission.of(stored).sentence()}"


def _line(event: Event) -> str:
    body = event.body
    words = [f"{event.seq:>5}  {body['at_utc']}  {body['kind']:<11}"]
    words += [body["version"]] if body["version"] else []
    words += [f"in {body['slot']}"] if "slot" in body else []
    words += [f"for {body['previous']}"] if "previous" in body else []
    words += [_admitted(body["admission"])] if body["kind"] == "admission" else []
    words += [f"OVERRIDE of: {'; '.join(body['overridden'])}"] if "overridden" in body else []
    words += [f"by {body['by']}"] if body["by"] else []
    words += [f'"{body["reason"]}"'] if body["reason"] else []
    return "  ".join(words)
