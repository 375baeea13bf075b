"""``heldout eval``: predict held-out windows, put shards together, score predictions of anyone, compare two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from heldout.cli.printing import print_json, print_verdict, resumable

app = typer.Typer(help="Evaluate embodied backbones: run, merge, score, compare.", no_args_is_help=True)

BackboneOption = Annotated[str, typer.Option("--backbone", help="Id of a contract: metrics, files, rules.")]
WorkspaceOption = Annotated[Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")]
ConfigDirOption = Annotated[Path | None, typer.Option("--config-dir", help="Only the contracts of this folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_LEVELS = {
    "predicted": "(predicted: predictions from elsewhere, scored here on the windows of the index)",
    "reported": "(reported: only numbers from elsewhere, which nothing here can make again)",
}
LoopOption = Annotated[
    Path | None, typer.Option("--closed-loop", help="Folder of `embodied policy rollout`: judged too.")
]


@app.command()
def run(
    index: Annotated[Path, typer.Argument(help="Folder of the window index.")],
    backbone: BackboneOption,
    predictor: Annotated[str, typer.Option("--predictor", help="majority, nearest, or module:name.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the evaluation; resumed if it is there.")],
    adapter: Annotated[Path | None, typer.Option("--adapter", help="Folder of the weights.")] = None,
    split: Annotated[str, typer.Option("--split", help="Split to evaluate; only test can PROMOTE.")] = "test",
    limit: Annotated[int, typer.Option("--sample-limit", min=0, help="Smoke: the first N, before shards.")] = 0,
    offset: Annotated[int, typer.Option("--sample-offset", min=0, help="Number of this shard, from 0.")] = 0,
    stride: Annotated[int, typer.Option("--sample-stride", min=1, help="Number of shards; 1 scores at once.")] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    decoding: Annotated[
        list[str] | None, typer.Option("--decoding", help="How text is made, such as mode=free; repeat.")
    ] = None,
    closed_loop: LoopOption = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> int:
    """Predict held-out windows, then score. A killed run goes on where it was. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluate.plan import Plan, parse_decoding
    from heldout.domains.embodied.evaluate.run import run as evaluate
    from heldout.predict.shards import Shard

    contract = find_contract(load_registry(workspace, config_dir), backbone)
    plan = Plan(index, predictor, adapter, split, limit, parse_decoding(decoding or ()))
    with resumable():
        document = evaluate(plan, contract, out, shard=Shard(offset, stride), workers=workers, closed_loop=closed_loop)
    if "verdict" in document:
        return _show(document, out, as_json=json_)
    if json_:
        print_json(document)
    else:
        print(f"shard {offset} of {stride}: {document['samples']} of {document['of']} windows predicted -> {out}")
    return 0


@app.command()
def merge(
    shards: Annotated[list[Path], typer.Argument(help="Folders of all shards.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the whole evaluation.")],
    closed_loop: LoopOption = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> int:
    """Put shards together and score them. Missing, doubled, foreign or mixed predictions are refused."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluate.plan import read_plan
    from heldout.domains.embodied.evaluate.run import merge_shards

    contract = find_contract(load_registry(workspace, config_dir), read_plan(shards[0])[1])
    return _show(merge_shards(shards, contract, out, closed_loop=closed_loop), out, as_json=json_)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="Predictions in the published format.")],
    backbone: BackboneOption,
    index: Annotated[
        Path | None, typer.Option("--index", help="Folder of the window index that the rows are held to.")
    ] = None,
    train_labels: Annotated[
        Path | None, typer.Option("--train-labels", help="dataset.jsonl or train_labels.json, where there is no index.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the contract's files and the verdict.")] = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> int:
    """Score predictions and compare them with trivial baselines. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluate.reported import score_file

    contract = find_contract(load_registry(workspace, config_dir), backbone)
    return _show(score_file(contract, predictions, train_labels, out, index=index), out, as_json=json_)


@app.command()
def amend(
    index: Annotated[Path, typer.Argument(help="Folder of the window index.")],
    backbone: BackboneOption,
    reason: Annotated[str, typer.Option("--reason", help="Why the rules changed, in a sentence; verdicts show it.")],
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> int:
    """Register the rules of a contract that changed after a look at test windows, with the reason."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.evaluate.sitting import amend as register

    contract = find_contract(load_registry(workspace, config_dir), backbone)
    policy = register(index, contract, reason)
    if json_:
        print_json({"schema": "heldout.eval-amend/1", "policy": policy.to_json()})
    else:
        print(f"the rules of {contract.id} may decide on this index now; verdicts show the reason: {reason}")
    return 0


@app.command()
def compare(
    challenger: Annotated[Path, typer.Argument(help="Folder of the challenger's evaluation.")],
    champion: Annotated[Path, typer.Argument(help="Folder of the champion's evaluation.")],
    gain: Annotated[
        str | None, typer.Option("--gain", help="Metric that must be better by its interval; the first primary one.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="Share of its value that any other primary metric may lose.")
    ] = 0.02,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of comparison.json and the verdict.")] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why metric, margin or champion differ from the first comparison.")
    ] = None,
    json_: JsonOption = False,
) -> int:
    """Whether a challenger deserves the champion's place, on the same windows. PROMOTE exits 0, HOLD exits 1."""
    from heldout.domains.embodied.verify.compare import Rules
    from heldout.domains.embodied.verify.compare import compare as judge

    document = judge(challenger, champion, Rules(gain, margin), out, reason)
    if json_:
        print_json(document)
    else:
        for name, one in document["metrics"].items():
            span = f"{_number(one['gain'])} ({_number(one['low'])} to {_number(one['high'])})"
            print(f"{name:<42} {_number(one['challenger']):>8} {_number(one['champion']):>8}  gain {span}")
        print_verdict(document["verdict"])
    return 0 if document["verdict"]["verdict"] == "PROMOTE" else 1


def _show(document: Mapping[str, Any], out: Path | None, *, as_json: bool) -> int:
    verdict = document["verdict"]
    if as_json:
        print_json(document)
    else:
        _print_evidence(document["metrics"]["evidence"])
        print_verdict(verdict, _LEVELS.get(verdict["evidence"], ""))
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
