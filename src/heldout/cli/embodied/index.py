"""``heldout index``: the window index, the root of every backbone's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heldout.cli.printing import print_json
from heldout.errors import InputError

if TYPE_CHECKING:
    from heldout.corpus.guards.finding import FindingBlock
    from heldout.domains.embodied.index.shape import IndexManifest

app = typer.Typer(help="The window index: build it, import one, check it.", no_args_is_help=True)
_FAILED = 1

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the index.")]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="Name of the index; that of the folder.")]
WorkspaceOption = Annotated[Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")]
ConfigDirOption = Annotated[Path | None, typer.Option("--config-dir", help="Only the contracts of this folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the manifest.")]


@app.command()
def build(
    manifest: Annotated[Path, typer.Argument(help="episode_manifest.json, or its folder.")],
    out: OutOption,
    window: Annotated[int, typer.Option(min=1, help="Frames of a window.")] = 20,
    stride: Annotated[int, typer.Option(min=1, help="Frames from window to window.")] = 20,
    scale: Annotated[list[str] | None, typer.Option("--scale", help="window/stride instead; repeat.")] = None,
    context_frames: Annotated[int, typer.Option(min=1, help="Frames of context, the window included.")] = 120,
    context: Annotated[str, typer.Option(help="causal, or centred: the published one, which looks ahead.")] = "causal",
    min_label_fraction: Annotated[float, typer.Option(help="Share a label needs.")] = 0.6,
    max_windows: Annotated[int, typer.Option(min=0, help="Most windows of one episode and scale; 0 keeps all.")] = 0,
    max_video_frames: Annotated[int, typer.Option(min=1, help="That a model is shown.")] = 32,
    run_id: RunIdOption = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Cut the episodes of a manifest into windows. Exits 1 if the index guard objects."""
    from heldout.domains.embodied.contract.contracts import load_registry
    from heldout.domains.embodied.index.build import build_index
    from heldout.domains.embodied.index.windows import Scale, WindowOptions, parse_scale

    if context not in ("causal", "centred"):
        raise InputError(f"no context {context!r}", where="--context", hint="causal or centred")
    scales = tuple(parse_scale(one) for one in scale or []) or (Scale(window, stride),)
    mode: Any = context
    options = WindowOptions(scales, context_frames, mode, min_label_fraction, max_windows, max_video_frames)
    document = build_index(manifest, out, options, load_registry(workspace, config_dir), run_id=run_id)
    _report(document, out, as_json=json_)


@app.command("import")
def import_(
    dataset: Annotated[Path, typer.Argument(help="A Qwen-style dataset.jsonl.")],
    out: OutOption,
    dataset_manifest: Annotated[Path | None, typer.Option(help="dataset_manifest.json; that beside it.")] = None,
    run_id: RunIdOption = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Convert a data set that was exported for one model. Exits 1 if the index guard objects."""
    from heldout.domains.embodied.contract.contracts import load_registry
    from heldout.domains.embodied.index.importing import import_dataset

    contracts = load_registry(workspace, config_dir)
    document = import_dataset(dataset, out, contracts, manifest=dataset_manifest, run_id=run_id)
    _report(document, out, as_json=json_)


@app.command()
def check(
    index: Annotated[Path, typer.Argument(help="window_index.jsonl, or its folder.")],
    manifest: Annotated[Path | None, typer.Option(help="episode_manifest.json, or its folder.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run the index guard. Exits 1 if it objects."""
    from heldout.domains.embodied.index.guards import check_index
    from heldout.domains.embodied.index.names import INDEX_FILE
    from heldout.domains.embodied.select.manifest import read_manifest

    path = index / INDEX_FILE if index.is_dir() else index
    findings = check_index(path, read_manifest(manifest) if manifest else None)
    found = [finding.to_json() for finding in findings]
    if json_:
        print_json({"schema": "heldout.index-check/1", "index": str(path), "findings": found})
    else:
        _print_findings(found)
    if any(finding.blocking for finding in findings):
        raise typer.Exit(_FAILED)


def _report(document: IndexManifest, out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        counts = "  ".join(f"{split} {number}" for split, number in sorted(document["sample_split_counts"].items()))
        print(f"{document['num_records']} windows of {document['num_episodes']} episodes: {counts} -> {out}")
        for split, codes in sorted(document.get("skipped_windows", {}).items()):
            print(f"skipped  {split}: " + ", ".join(f"{number} {code}" for code, number in sorted(codes.items())))
        _print_findings(document["findings"])
    if any(finding["blocking"] for finding in document["findings"]):
        raise typer.Exit(_FAILED)


def _print_findings(findings: list[FindingBlock]) -> None:
    for one in findings:
        print(f"{one['code']}  {one['what']}\n         where: {one['where']}\n         fix:   {one['hint']}")
    print("clean" if not findings else f"{len(findings)} findings")
