"""``heldout video recommend``: the cheapest encode that is good enough."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heldout.errors import InputError, UnitError

if TYPE_CHECKING:
    from heldout.domains.video.recommend.recommend import Candidate, Recommendation

_NONE = 1


def recommend(
    export: Annotated[Path, typer.Argument(help="Folder of an export, or its manifest.")],
    rows: Annotated[Path | None, typer.Argument(help="Per-frame features of the candidates, .jsonl.")] = None,
    target: Annotated[float, typer.Option(help="VMAF points that the clip's mean must reach.")] = 93.0,
    confidence: Annotated[float, typer.Option(help="That it does reach them, over sources never seen.")] = 0.95,
    encoder: Annotated[list[str] | None, typer.Option("--encoder", help="Look at these alone; repeat.")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="A clip to encode first, instead of rows.")] = None,
    cq: Annotated[list[int] | None, typer.Option("--cq", help="A quality point (with --source); repeat.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep what is encoded there (with --source).")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Choose the cheapest encode whose lower bound meets the target. Exits 1 if a clip has none, 3 if it refuses."""
    from heldout.cli.printing import print_json
    from heldout.domains.video.recommend.recommend import recommend as choose

    if (rows is None) == (source is None):
        raise InputError("name the candidates once", where="ROWS or --source", hint="a .jsonl file, or a clip")
    if rows is not None and (cq or out):
        raise InputError("--cq and --out go with --source", where="--cq, --out", hint="leave them out")
    names = [name.partition(":")[0] for name in encoder or []]
    if rows is not None:
        found = choose(export, rows, target, confidence, names)
    else:
        assert source is not None
        with tempfile.TemporaryDirectory(prefix="heldout-ladder-") as scratch:
            made = _encode(source, encoder or [], cq or [], out or Path(scratch))
            found = choose(export, made, target, confidence, names)
    print_json(found.to_json()) if json_ else _print(found)
    if not found.complete:
        raise typer.Exit(_NONE)


def _encode(source: Path, encoders: list[str], cqs: list[int], out: Path) -> Path:
    from heldout.domains.video.encode.produce import produce
    from heldout.domains.video.encode.spec import spec_from_options

    made = produce(spec_from_options([source], encoders, cqs, {}, None), out)
    if made.failed:
        first = made.failed[0]
        raise UnitError(f"{len(made.failed)} encodes failed: {first.reason}", where=str(source), hint="mend the cause")
    return made.corpus


def _print(found: Recommendation) -> None:
    print(
        f"{found.export}: target {found.target:g}, confidence {found.confidence:g}, "
        f"margin {found.margin:.2f} from {found.sources} held-out sources"
    )
    for choice in found.choices:
        chosen = choice.chosen
        print(f"\n{choice.src}: " + (_name(chosen) if chosen else "no candidate meets the target"))
        for each in choice.candidates:
            mark = "->" if each is chosen else "  "
            said = each.why or ("meets it" if each.meets else "")
            line = (
                f"{mark} {_name(each):<28} {each.bytes:>12,} bytes  mean {each.mean:6.2f}  at least {each.lower:6.2f}"
            )
            print(f"{line}  {said}".rstrip())


def _name(each: Candidate) -> str:
    return f"{each.encoder}{':' + each.preset if each.preset else ''} cq {each.cq}"
