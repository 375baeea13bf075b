"""How far a regressor is off on an encoder that it never saw; writes the table of docs/video.md.

python benchmarks/unseen_encoder.py BY_SOURCE BY_ENCODER PUBLISHED_BY_ENCODER

Three runs of examples/video: `heldout run study.yaml`, the same with `--variant unseen-encoder`, and that with
`--set fit.recipe=published`, which is a smoke run. They are verified before a figure is taken.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from heldout.evidence import read_json, write_json
from heldout.verify import verify_run

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "video.md"
START, END = "<!-- measured -->", "<!-- end of measured -->"
BASELINES = ("codec-blind", "gradient-boosting", "linear")


def of_run(folder: Path) -> dict[str, Any]:
    """Folds and baselines of a verified run."""
    verify_run(folder).raise_if_broken()
    metrics = read_json(folder / "metrics.json")
    lock = read_json(folder / "run.json")
    blocks = {"ensemble": metrics["ensemble"]} | {name: metrics["baselines"][name] for name in BASELINES}
    return {
        "run": folder.name,
        "variant": lock["variant"],
        "rows": metrics["rows"],
        "mean": {name: _kept(block["mean"]) for name, block in blocks.items()},
        "folds": {name: _kept(block) for name, block in metrics["ensemble"]["folds"].items()},
    }


def table(document: dict[str, Any]) -> str:
    """The measured part of the page."""
    source, encoder, published = (document[key] for key in ("by_source", "by_encoder", "published_by_encoder"))
    lines = ["| held out | model | PLCC | RMSE | bias |", "|---|---|---:|---:|---:|"]
    sources = f"a source (mean of {len(source['folds'])})"
    lines.append(_row(sources, "standardised, 5 seeds", source["mean"]["ensemble"]))
    for name, fold in encoder["folds"].items():
        lines.append(_row(name, "standardised, 5 seeds", fold))
    lines.append(_row("an encoder (mean of 3)", "standardised, 5 seeds", encoder["mean"]["ensemble"]))
    lines += [_row("an encoder (mean of 3)", f"{name}, 1 seed", encoder["mean"][name]) for name in BASELINES]
    for name, fold in published["folds"].items():
        lines.append(_row(name, "`recipe: published`, 5 seeds", fold))
    runs = ", ".join(f"`{each['run']}`" for each in (source, encoder, published))
    return "\n".join([f"VMAF points, {source['rows']} rows; runs {runs}:", "", *lines])


def page(text: str, document: dict[str, Any]) -> str:
    """The page with its measured part replaced."""
    return f"{text[: text.index(START) + len(START)]}\n\n{table(document)}\n\n{text[text.index(END) :]}"


def _row(held_out: str, model: str, scores: dict[str, float]) -> str:
    return f"| {held_out} | {model} | {scores['plcc']:.4f} | {scores['rmse']:.2f} | {scores['bias']:+.2f} |"


def _kept(block: dict[str, Any]) -> dict[str, float]:
    return {name: block[name] for name in ("plcc", "srocc", "rmse", "mae", "bias")}


if __name__ == "__main__":
    names = ("by_source", "by_encoder", "published_by_encoder")
    found = {name: of_run(Path(folder)) for name, folder in zip(names, sys.argv[1:], strict=True)}
    write_json(HERE / "results" / "unseen_encoder.json", {"schema": "heldout.unseen-encoder/1"} | found)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(table(found))
