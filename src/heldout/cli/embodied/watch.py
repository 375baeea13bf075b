"""``heldout watch``: wait for a training, then gate its checkpoint and evaluate it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heldout.cli.printing import print_json, resumable

if TYPE_CHECKING:
    from heldout.domains.embodied.watch.watch import WatchOptions


def watch(
    training: Annotated[Path, typer.Argument(help="Folder of the training: progress.jsonl.")],
    backbone: Annotated[str, typer.Option("--backbone", help="Id of a contract.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the window index.")],
    predictor: Annotated[str, typer.Option("--predictor", help="majority, nearest, or module:name.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the evaluations and of watch.jsonl.")],
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder of the weights; TRAINING by default.")
    ] = None,
    base: Annotated[Path | None, typer.Option("--base", help="Folder of the base model.")] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="episode_manifest.json.")] = None,
    poll_seconds: Annotated[float, typer.Option(min=0.0, help="Seconds between two looks at progress.jsonl.")] = 60.0,
    timeout_hours: Annotated[float, typer.Option(min=0.0, help="Give up waiting after this many hours.")] = 12.0,
    stale_minutes: Annotated[
        float, typer.Option(min=0.0, help="Warn when the training has logged nothing for this many minutes.")
    ] = 30.0,
    smoke_sample_limit: Annotated[int, typer.Option(min=1, help="Validation windows in the smoke evaluation.")] = 8,
    full_eval_sample_limit: Annotated[
        int, typer.Option(min=0, help="Test windows in the full evaluation; 0 takes all.")
    ] = 0,
    skip_full_eval: Annotated[bool, typer.Option("--skip-full-eval", help="End after the smoke evaluation.")] = False,
    skip_checkpoint: Annotated[bool, typer.Option("--skip-checkpoint", help="Skip the checkpoint gate.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that predict.")] = 1,
    decoding: Annotated[
        list[str] | None, typer.Option("--decoding", help="How text is made, such as mode=free; repeat.")
    ] = None,
    workspace: Annotated[
        Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")
    ] = Path(),
    json_: Annotated[bool, typer.Option("--json", help="Print the last event as one JSON document.")] = False,
) -> int:
    """Watch a training to its end, gate its checkpoint, evaluate. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.checkpoint.seen import Checkpoint
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluate.plan import Plan, parse_decoding
    from heldout.domains.embodied.watch.watch import Watch, WatchOptions

    contract = find_contract(load_registry(workspace), backbone)
    weights = checkpoint or training
    options = WatchOptions(
        poll_seconds=poll_seconds,
        timeout_hours=timeout_hours,
        stale_minutes=stale_minutes,
        smoke_limit=smoke_sample_limit,
        skip_checkpoint=skip_checkpoint,
        skip_full=skip_full_eval,
        workers=workers,
    )
    plan = Plan(index, predictor, checkpoint, limit=full_eval_sample_limit, decoding=parse_decoding(decoding or ()))
    gated = Checkpoint(weights, contract, training, base, manifest)
    with resumable("stopped; what was evaluated is kept"):
        last = Watch(training, gated, plan, out, options, on_event=lambda event: _show(event, options)).run()
    if json_:
        print_json({"schema": "heldout.watch/1", **last})
    return 0 if last["verdict"] in (None, "PROMOTE") else 1


def _show(event: Mapping[str, Any], options: WatchOptions) -> None:
    facts = "  ".join(
        f"{name} {value}" for name, value in event.items() if name not in ("event", "time") and value is not None
    )
    print(f"{event['time']}  {event['event']:<28} {facts}", file=sys.stderr)
    if "waits_for" in event:
        rhythm = f"looks every {options.poll_seconds:g} s, for {options.timeout_hours:g} h at most"
        print(f"  nothing is there yet: {rhythm}; Ctrl-C stops, the same command goes on", file=sys.stderr)
