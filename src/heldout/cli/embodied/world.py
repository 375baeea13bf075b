"""``heldout embodied world``: pairs of present and future, the model that is trained on them, Cosmos beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json

app = typer.Typer(help="World models: export pairs of present and future, train, bind Cosmos.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--out", help="Folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def export(
    index: Annotated[Path, typer.Argument(help="Folder of the window index.")],
    out: OutOption,
    horizon: Annotated[float, typer.Option("--horizon", help="Seconds from a window to its future.")] = 0.25,
    grid: Annotated[int, typer.Option(min=1, help="Cells a side of a picture.")] = 8,
    action_bins: Annotated[int, typer.Option(min=1, help="Parts that actions on the way are averaged in.")] = 8,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Name; that of the folder.")] = None,
    json_: JsonOption = False,
) -> None:
    """Pair every window with its future, and measure both."""
    from heldout.domains.embodied.world.export import FutureSettings
    from heldout.domains.embodied.world.export import export as make

    document = make(index, out, FutureSettings(horizon, grid, action_bins=action_bins), run_id=run_id)
    if json_:
        print_json(document)
        return
    counts = "  ".join(f"{split} {number}" for split, number in sorted(document["split_counts"].items()))
    print(f"{document['num_pairs']} pairs {horizon:g} s apart: {counts} -> {out}")
    for split, codes in sorted(document["skipped"].items()):
        print(f"skipped  {split}: " + ", ".join(f"{number} {code}" for code, number in sorted(codes.items())))
    print(f"{len(document['features']['names'])} features, none of language")


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="Folder of the export.")],
    out: OutOption,
    conditioning: Annotated[str, typer.Option(help="none, or actions: those on the way are given.")] = "none",
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 120,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without a better validation loss.")] = 25,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option()] = 1e-3,
    weight_decay: Annotated[float, typer.Option()] = 0.02,
    hidden: Annotated[int, typer.Option(min=1, help="Width.")] = 256,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9)] = 0.1,
    seed: Annotated[int, typer.Option()] = 7,
    json_: JsonOption = False,
) -> None:
    """Train on an export. The same data and options give the same weights; a killed training starts again."""
    from heldout.domains.embodied.world.train import TrainOptions
    from heldout.domains.embodied.world.train import train as fit

    options = TrainOptions(
        conditioning, epochs, patience, batch_size, learning_rate, weight_decay, hidden, dropout, seed
    )
    document = fit(data, out, options)
    if json_:
        print_json(document)
        return
    best = next(one for one in document["history"] if one["epoch"] == document["best_epoch"])
    val = "-" if best["val_loss"] is None else f"{best['val_loss']:.4f}"
    print(f"epoch {best['epoch']} of {len(document['history'])}  train {best['train_loss']:.4f}  val {val}")
    print(f"{document['num_train_samples']} pairs of {len(document['fitted_on'])} episodes -> {out / 'checkpoint'}")


@app.command()
def cosmos(
    data: Annotated[Path, typer.Argument(help="Folder of the export.")],
    out: OutOption,
    height: Annotated[int, typer.Option(min=16, help="Pixels of what is generated.")] = 480,
    width: Annotated[int, typer.Option(min=16, help="Pixels of what is generated.")] = 480,
    conditioning_frames: Annotated[int, typer.Option(min=1, help="Pictures of the past, 4 n + 1.")] = 5,
    num_inference_steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 35,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 7,
    dtype: Annotated[str, typer.Option(help="Number type of the weights.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="Where it runs.")] = "cuda",
    json_: JsonOption = False,
) -> None:
    """Bind the Diffusers weights of $COSMOS_MODEL_DIR to an export; nothing is trained."""
    from heldout.domains.embodied.world.cosmos import Generation, make_checkpoint

    told = Generation(height, width, conditioning_frames, num_inference_steps, seed, dtype, device)
    document = make_checkpoint(data, out, told)
    if json_:
        print_json(document)
    else:
        print(f"base {document['base_sha256'][:12]} -> {out / 'checkpoint'}")
