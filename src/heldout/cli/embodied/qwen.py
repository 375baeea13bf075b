"""``heldout embodied qwen``: export windows, make a tiny base, train LoRA, look at validity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from heldout.cli.printing import print_json, resumable

app = typer.Typer(help="Qwen3-Omni LoRA: export, base, train, validity, fsdp.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_TARGETS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


@app.command()
def export(
    index: Annotated[Path, typer.Argument(help="Folder of the window index.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of dataset.jsonl and its media.")],
    tile: Annotated[
        str | None, typer.Option(help="Height x width of a camera's picture; 240x320, or the nearest that fits.")
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Cameras in order; repeat. All, by name.")
    ] = None,
    max_video_frames: Annotated[int, typer.Option(min=1, help="Pictures of a clip.")] = 16,
    options: Annotated[str, typer.Option(help="Label options in the prompt: full, retrieved, none.")] = "full",
    retrieved: Annotated[int, typer.Option(min=1, help="Options of each kind that are retrieved.")] = 12,
    sensors: Annotated[int, typer.Option(min=0, help="Numbers of the sensor bridge; 0 leaves it out.")] = 8,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="No sound.")] = False,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Name of the data set; that of the folder.")] = None,
    json_: JsonOption = False,
) -> None:
    """Write a window index as a Qwen-style data set. Answers of the test split are not in it."""
    from heldout.domains.embodied.qwen.export import export as write
    from heldout.domains.embodied.qwen.settings import PUBLISHED_TILE, ExportSettings, parse_tile

    mode: Any = options
    settings = ExportSettings(
        tile=parse_tile(tile or PUBLISHED_TILE),
        streams=tuple(stream or ()),
        max_video_frames=max_video_frames,
        audio=not no_audio,
        options=mode,
        retrieved=retrieved,
        sensors=sensors,
    )
    document = write(index, out, settings, run_id=run_id, fit_tile=tile is None)
    if json_:
        print_json(document)
        return
    counts = "  ".join(f"{split} {number}" for split, number in sorted(document["split_counts"].items()))
    audio = document["audio"]
    print(f"{document['num_samples']} windows of {document['num_episodes']} episodes: {counts} -> {out}")
    chosen = "x".join(map(str, document["clip_policy"]["mosaic"]["tile"]))
    if chosen != (tile or PUBLISHED_TILE):
        cameras = len(document["clip_policy"]["mosaic"]["streams"])
        print(f"tile     {chosen}: with {cameras} cameras {PUBLISHED_TILE} makes no whole blocks; --tile says another")
    print(f"sound    heard {audio['heard']}, of them silent {audio['silent']}, withheld {audio['withheld']}")


@app.command()
def base(
    dataset: Annotated[Path, typer.Argument(help="dataset.jsonl, or its folder: the words of its train windows.")],
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    width: Annotated[int, typer.Option(help="Width of the language model.")] = 128,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the language model.")] = 2,
    experts: Annotated[int, typer.Option(min=2, help="Experts in each layer.")] = 4,
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens at most.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 7,
    json_: JsonOption = False,
) -> None:
    """Make a tiny random thinker of the real classes, with a tokenizer of train words. Offline."""
    from heldout.domains.embodied.qwen.base import TinySize, describe, make_tiny
    from heldout.domains.embodied.qwen.batch import Dataset

    size = TinySize(width=width, layers=layers, experts=experts, vocabulary=vocabulary)
    found = describe(make_tiny(out, Dataset(dataset).texts(), size, seed=seed))
    if json_:
        print_json({"schema": "heldout.qwen-base-made/1", "out": str(out), **found})
    else:
        print(f"{found['model_id']} {found['sha256'][:12]} -> {out}")


@app.command()
def train(
    dataset_jsonl: Annotated[Path, typer.Argument(metavar="DATASET", help="dataset.jsonl, or its folder.")],
    output_dir: Annotated[Path, typer.Option("--out", "--output-dir", help="Checkpoints and the adapter.")],
    run_id: Annotated[str | None, typer.Option("--run-id", help="Name of the run; that of the folder.")] = None,
    results_dir: Annotated[Path | None, typer.Option("--results-dir", help="Progress and metadata.")] = None,
    model_id: Annotated[
        Path | None, typer.Option("--model-id", "--base", help="Folder of the base; $MODEL_DIR.")
    ] = None,
    backbone_config: Annotated[Path | None, typer.Option(help="Contract to check the run against.")] = None,
    train_split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    val_split: Annotated[str, typer.Option(help="Split for the validation loss.")] = "val",
    include_unspecified_in_train: Annotated[bool, typer.Option("--include-unspecified-in-train")] = False,
    max_train_samples: Annotated[int, typer.Option(min=0, help="0 takes all.")] = 0,
    max_val_samples: Annotated[int, typer.Option(min=0, help="0 leaves validation out.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the train windows.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1)] = 1,
    gradient_accumulation_steps: Annotated[int, typer.Option(min=1)] = 8,
    learning_rate: Annotated[float, typer.Option()] = 1e-4,
    weight_decay: Annotated[float, typer.Option()] = 0.0,
    max_grad_norm: Annotated[float, typer.Option()] = 1.0,
    seed: Annotated[int, typer.Option()] = 7,
    device_map: Annotated[str, typer.Option(help="auto or none.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32.")] = "auto",
    local_files_only: Annotated[bool, typer.Option("--local-files-only", help="Always so; accepted.")] = True,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Published; without effect: code of a base is never run.")
    ] = False,
    use_audio_in_video: Annotated[bool, typer.Option("--use-audio-in-video")] = False,
    gradient_checkpointing: Annotated[bool, typer.Option("--gradient-checkpointing")] = False,
    progress_every: Annotated[int, typer.Option(min=1)] = 1,
    loss_logit_tail_only: Annotated[bool, typer.Option()] = True,
    tuning_mode: Annotated[str, typer.Option(help="lora, or full: a first stage of a tiny base.")] = "lora",
    save_mode: Annotated[str, typer.Option(help="auto or none.")] = "auto",
    max_train_steps: Annotated[int, typer.Option(min=0, help="Most optimiser steps; 0 has no limit.")] = 0,
    optimizer_init: Annotated[str, typer.Option(help="before_prepare or after_model_prepare.")] = "before_prepare",
    lora_r: Annotated[int, typer.Option(min=1)] = 16,
    lora_alpha: Annotated[int, typer.Option(min=1)] = 32,
    lora_dropout: Annotated[float, typer.Option(help="0 where fused experts are adapted.")] = 0.0,
    lora_target_modules: Annotated[str, typer.Option(help="Names, with commas.")] = _TARGETS,
    checkpoint_every: Annotated[int, typer.Option(min=0, help="Steps; 0 cannot resume.")] = 50,
    lr_schedule: Annotated[str, typer.Option(help="constant or cosine.")] = "constant",
    warmup_steps: Annotated[int, typer.Option(min=0, help="Steps over which the learning rate rises.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads to use.")] = 1,
    json_: JsonOption = False,
) -> None:
    """Train. A killed training goes on where it was, to the same weights."""
    from heldout.domains.embodied.qwen.options import from_arguments
    from heldout.domains.embodied.qwen.trainer import train as fit

    options = from_arguments(dict(locals()))
    if trust_remote_code:
        typer.echo("notice: --trust-remote-code has no effect: no code that lies in a base is ever run", err=True)
    with resumable():
        document = fit(options)
    if int(os.environ.get("RANK", "0")):
        return  # of several processes, the first one speaks
    if json_:
        print_json(document)
        return
    for one in document["history"]:
        val = "-" if one["val_loss"] is None else f"{one['val_loss']:.4f}"
        print(f"epoch {one['epoch']:<4} step {one['global_step']:<6} train {one['train_loss']:.4f}  val {val}")
    print(f"{document['tuning_mode']} on {document['model_id']} -> {options.adapter}")


@app.command()
def validity(
    evaluation: Annotated[Path, typer.Argument(help="Folder of heldout eval run.")],
    json_: JsonOption = False,
) -> None:
    """Shares of valid answers, held to the schema and free."""
    from heldout.domains.embodied.qwen.validity import validity as measure

    document = measure(evaluation)
    if json_:
        print_json(document)
        return
    for name, found in (("constrained", document["constrained"]), ("free", document["free"])):
        print(f"{name:<12} all keys {found['json_validity_rate']:.4g}  strict {found['json_validity_strict']:.4g}")
    print(f"{document['samples']} answers; the schema changed {document['changed']:.4g} of them")


@app.command()
def fsdp(out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("fsdp_8gpu.yaml")) -> None:
    """Write the accelerate configuration for eight accelerators, and say how to start with it."""
    from heldout.domains.embodied.qwen.launch import write_fsdp

    print(write_fsdp(out))
