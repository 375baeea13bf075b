"""``heldout eval``: predict held-out windows, put shards together, score predictions of anyone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from heldout.cli.printing import print_json, print_verdict

app = typer.Typer(help="Evaluate embodied backbones: run, merge, score.", no_args_is_help=True)

BackboneOption = Annotated[str, typer.Option("--backbone", help="Id of a contract: metrics, files, rules.")]
WorkspaceOption = Annotated[Path, typer.Option(help="Its configs/backbones stand above the built-in contracts.")]
ConfigDirOption = Annotated[Path | None, typer.Option("--config-dir", help="Only the contracts of this folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="Predictions in the published format.")],
    backbone: BackboneOption,
    train_labels: Annotated[
        Path, typer.Option("--train-labels", help="Window index, dataset.jsonl or train_labels.json.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write the contract's files there.")] = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> int:
    """Score predictions beside what costs nothing. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluation_score import score_file

    contract = find_contract(load_registry(workspace, config_dir), backbone)
    return _show(score_file(contract, predictions, train_labels, out), out, as_json=json_)


def _show(document: Mapping[str, Any], out: Path | None, *, as_json: bool) -> int:
    verdict = document["verdict"]
    if as_json:
        print_json(document)
    else:
        _print_evidence(document["metrics"]["evidence"])
        print_verdict(verdict)
        if out is not None:
            print(f"\nreport   {out / 'report.html'}")
    return 0 if verdict["verdict"] == "PROMOTE" else 1


def _print_evidence(evidence: Mapping[str, Any]) -> None:
    for name, one in sorted(evidence.items()):
        interval = one.get("interval") or {}
        span = f" ({_number(interval.get('low'))} to {_number(interval.get('high'))})" if interval else ""
        others = ", ".join(f"{key} {_number(other['value'])}" for key, other in sorted(one["baselines"].items()))
        print(f"{name:<42} {_number(one['value'])}{span}  {others}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
