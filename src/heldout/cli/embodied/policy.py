"""``heldout embodied policy``: behaviour cloning, and runs of what was learnt in the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json, resumable

app = typer.Typer(help="Policies: train one from demonstrations, let it act in the simulator.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--out", help="Folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def train(
    index: Annotated[Path, typer.Argument(help="Folder of the window index.")],
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1500,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="Falls to nothing by a cosine.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option()] = 0.01,
    hidden: Annotated[int, typer.Option(min=1, help="Width.")] = 256,
    points: Annotated[int, typer.Option(min=1, help="Places that each camera's filters name.")] = 16,
    side: Annotated[int, typer.Option(min=16, help="Pixels of a picture's side.")] = 48,
    stride: Annotated[int, typer.Option(min=1, help="Frames from instant to instant.")] = 2,
    chunk: Annotated[int, typer.Option(min=1, help="Actions at once.")] = 8,
    path: Annotated[int, typer.Option(min=1, help="Frames of the hand's path.")] = 10,
    low: Annotated[float, typer.Option(help="Least value of an action.")] = -1.0,
    high: Annotated[float, typer.Option(help="Greatest.")] = 1.0,
    seed: Annotated[int, typer.Option()] = 7,
    json_: JsonOption = False,
) -> None:
    """Learn from the train episodes. The same data and options give the same weights; a killed one starts again."""
    from heldout.domains.embodied.policy.train import PolicyOptions
    from heldout.domains.embodied.policy.train import train as fit

    options = PolicyOptions(
        steps, batch_size, learning_rate, weight_decay, hidden, points, side, stride, chunk, path, low, high, seed
    )
    document = fit(index, out, options)
    if json_:
        print_json(document)
        return
    for one in document["history"]:
        val = "-" if one["val_loss"] is None else f"{one['val_loss']:.4f}"
        print(f"step {one['global_step']:<6} train {one['train_loss']:.4f}  val {val}")
    print(f"{document['num_train_samples']} instants of {len(document['fitted_on'])} episodes -> {out / 'checkpoint'}")


@app.command()
def rollout(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of the checkpoint, or of its training.")],
    out: OutOption,
    task: Annotated[list[str] | None, typer.Option("--task", help="By name; repeat. Those of the training.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each task.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="Seeds that the training never saw.")] = 1000,
    max_steps: Annotated[int, typer.Option(min=1, help="Longest run.")] = 150,
    no_expert: Annotated[bool, typer.Option("--no-expert", help="Leave the scripted expert out.")] = False,
    size: Annotated[int, typer.Option(help="Height and width of a picture, pixels, as in training.")] = 96,
    every: Annotated[int, typer.Option(min=1, help="Steps from picture to picture, as in training.")] = 4,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    json_: JsonOption = False,
) -> int:
    """Let the policy act, from unseen seeds, beside the untrained one. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.policy.closed_loop import RolloutOptions, closed_loop

    options = RolloutOptions(tuple(task or ()), first_seed, seeds, max_steps, not no_expert, size, every)
    with resumable():
        document = closed_loop(checkpoint, out, options, workers=workers)
    if json_:
        print_json(document)
    else:
        for name, rates in document["by_task"].items():
            print(f"{name:<28}" + "  ".join(f"{who} {rate:.2f}" for who, rate in rates.items()))
        print(f"{document['verdict']}  {document['rule']['sentence']}")
    return 0 if document["verdict"] == "PROMOTE" else 1
