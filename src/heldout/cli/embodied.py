"""``heldout embodied``: simulate episodes, look at them, select and split them, check the manifest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from heldout.cli.printing import print_json, resumable

app = typer.Typer(help="Episodes of people and robots: simulate, select, split, check.", no_args_is_help=True)
_FAILED = 1

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder of the store; resumed if it is there.")],
    count: Annotated[int, typer.Option("--tasks", help="The first N tasks.")] = 12,
    seeds: Annotated[int, typer.Option("--seeds", help="Episodes of each task.")] = 8,
    task: Annotated[list[str] | None, typer.Option("--task", help="A task by name instead; repeat.")] = None,
    camera: Annotated[list[str] | None, typer.Option("--camera", help="corner2, gripperPOV, ...; repeat.")] = None,
    no_video: Annotated[
        bool, typer.Option("--no-video", help="No pictures: nothing to render with is needed.")
    ] = False,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the synthetic sound out.")] = False,
    size: Annotated[int, typer.Option(help="Height and width of a picture, pixels.")] = 96,
    every: Annotated[int, typer.Option(help="A picture every so many steps of 12.5 ms.")] = 4,
    max_steps: Annotated[int, typer.Option(help="Longest episode, steps.")] = 150,
    noise: Annotated[float, typer.Option(min=0.0, max=1.0, help="On the expert's actions.")] = 0.05,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one a processor.")] = None,
    json_: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Make episodes of real physics: MetaWorld's scripted experts in MuJoCo."""
    from heldout.domains.embodied.physics import SimOptions
    from heldout.domains.embodied.simulate import choose_tasks
    from heldout.domains.embodied.simulate import simulate as make

    cameras = () if no_video else tuple(camera or SimOptions.cameras)
    options = SimOptions(cameras, size, every, max_steps, noise, not no_audio)
    chosen = choose_tasks(count, task or [])
    with resumable():
        result = make(chosen, seeds, out, options, workers=workers, on_event=None if quiet else _show)
    if json_:
        print_json(
            {
                "schema": "heldout.embodied-simulate/1",
                "out": str(out),
                "episodes": len(result.episodes),
                "made": result.made,
                "unsuccessful": result.unsuccessful,
                "failed": [{"episode": name, "reason": reason} for name, reason in result.failed],
            }
        )
    else:
        reused = len(result.episodes) - result.made
        print(f"{len(result.episodes)} episodes ({reused} reused), {result.unsuccessful} not successful -> {out}")
    if result.failed:
        raise typer.Exit(_FAILED)


@app.command()
def tasks(json_: JsonOption = False) -> None:
    """List the tasks that can be simulated, in the order of --tasks."""
    from heldout.domains.embodied.tasks import TASKS

    if json_:
        print_json({"schema": "heldout.embodied-tasks/1", "tasks": [task._asdict() for task in TASKS]})
        return
    for number, task in enumerate(TASKS, start=1):
        print(f"{number:2d}  {task.name:<26} {task.phrase}")


def _show(event: Mapping[str, Any]) -> None:
    words = {
        "plan": lambda e: f"plan    {e['reused']} episodes reused, {e['total'] - e['reused']} to make",
        "made": lambda e: f"made    {e['unit']}  {e['frames']} frames{'' if e['success'] else ', not successful'}",
        "failed": lambda e: f"failed  {e['unit']}: {e['reason']}",
    }
    say = words.get(event["event"])
    if say:
        print(say(event), file=sys.stderr)
