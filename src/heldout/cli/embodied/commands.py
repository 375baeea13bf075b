"""``heldout embodied``: simulate episodes, look at them, select and split them, check the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.embodied.policy import app as policy_app
from heldout.cli.embodied.qwen import app as qwen_app
from heldout.cli.embodied.smollm2 import app as smollm2_app
from heldout.cli.embodied.world import app as world_app
from heldout.cli.printing import EventPrinter, Words, print_json, resumable
from heldout.errors import ExitCode

app = typer.Typer(help="Episodes of people and robots: simulate, select, split, check.", no_args_is_help=True)
app.add_typer(qwen_app, name="qwen")
app.add_typer(smollm2_app, name="smollm2")
app.add_typer(world_app, name="world")
app.add_typer(policy_app, name="policy")

_SIMULATED: Words = {
    "plan": lambda e: f"plan    {e['reused']} episodes reused, {e['total'] - e['reused']} to make",
    "made": lambda e: f"made    {e['unit']}  {e['frames']} frames{'' if e['success'] else ', not successful'}",
    "failed": lambda e: f"failed  {e['unit']}: {e['reason']}",
}
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
    """Make episodes of real physics: MetaWorld's scripted experts in MuJoCo. Exits 5 if some could not be made."""
    from heldout.domains.embodied.simulate.physics import SimOptions
    from heldout.domains.embodied.simulate.simulate import choose_tasks
    from heldout.domains.embodied.simulate.simulate import simulate as make

    cameras = () if no_video else tuple(camera or SimOptions.cameras)
    options = SimOptions(cameras, size, every, max_steps, noise, not no_audio)
    chosen = choose_tasks(count, task or [])
    with resumable(), EventPrinter("simulate", _SIMULATED, ("made", "failed"), quiet=quiet) as printer:
        result = make(chosen, seeds, out, options, workers=workers, on_event=printer.event)
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
        raise typer.Exit(ExitCode.UNITS_FAILED)


@app.command()
def select(
    roots: Annotated[list[Path], typer.Argument(help="Folders that hold episodes.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of selection.json and episode_manifest.json.")],
    target: Annotated[int | None, typer.Option(help="Episodes; 128, or as many as there are.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the hashes that order the split.")] = 7,
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.75,0.125,0.125",
    drop_smallest: Annotated[
        float | None, typer.Option(help="Share of the smallest episodes to leave out, in [0, 1).")
    ] = None,
    min_annotation_bytes: Annotated[int, typer.Option(min=0, help="Smallest annotation.")] = 0,
    per_session: Annotated[int, typer.Option(min=1, help="Episodes that one session may give.")] = 1,
    require: Annotated[
        list[str] | None, typer.Option("--require", help="A modality; repeat. All declared ones.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Require what this backbone's contract requires.")] = None,
    workspace: Annotated[
        Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")
    ] = Path(),
    allow_synthetic: Annotated[bool, typer.Option(help="Let made-up streams satisfy --require.")] = False,
    window: Annotated[int, typer.Option(min=1, help="Frames of a window, for the label statistics.")] = 20,
    stride: Annotated[int, typer.Option(min=1, help="Frames from window to window.")] = 20,
    min_label_fraction: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share a label needs.")] = 0.6,
    no_replace: Annotated[bool, typer.Option("--no-replace", help="Keep what cannot be used, and fail.")] = False,
    json_: JsonOption = False,
) -> None:
    """Select episodes, split them by session, look into each, and write the manifest. Exits 1 if the guard objects."""
    from heldout.domains.embodied.select.documents import Windowing
    from heldout.domains.embodied.select.manifest import build_manifest
    from heldout.domains.embodied.select.rules import SelectionRules, parse_fractions

    rules = SelectionRules(target, seed, parse_fractions(fractions), drop_smallest, min_annotation_bytes, per_session)
    manifest = build_manifest(
        roots,
        out,
        rules,
        required=[*(require or []), *_required_by(backbone, workspace)],
        allow_synthetic=allow_synthetic,
        windowing=Windowing(window, stride, min_label_fraction),
        replace_unusable=not no_replace,
    )
    _report_manifest(manifest, None, as_json=json_)


def _required_by(backbone: str | None, workspace: Path) -> list[str]:
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry

    if backbone is None:
        return []
    return list(find_contract(load_registry(workspace), backbone).config.get("required_modalities", []))


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="episode_manifest.json, or its folder.")],
    expect: Annotated[str | None, typer.Option(help="Usable episodes of each split: 96/16/16.")] = None,
    json_: JsonOption = False,
) -> None:
    """Run the manifest guard. Exits 1 if it objects."""
    _report_manifest(manifest, expect, as_json=json_)


def _report_manifest(path: Path, expect: str | None, *, as_json: bool) -> None:
    from heldout.domains.embodied.select.guards import check_manifest, parse_expected
    from heldout.domains.embodied.select.manifest import read_manifest

    document = read_manifest(path)
    findings = check_manifest(document, parse_expected(expect) if expect else None)
    summary = document["summary"]
    kinds = {"selected": "selected_split_counts", "complete": "complete_selected_split_counts"}
    counts = {name: summary.get(key) for name, key in (kinds | {"usable": "usable_split_counts"}).items()}
    if as_json:
        body = {"manifest": str(path), "counts": counts, "findings": [finding.to_json() for finding in findings]}
        print_json({"schema": "heldout.embodied-check/1", "skipped": document.get("skipped_episodes", [])} | body)
    else:
        for name, found in counts.items():
            known = [split for split in ("train", "val", "test") if split in (found or {})]
            print(f"{name:<9}" + "  ".join(f"{split} {found[split]}" for split in known))
        for skip in document.get("skipped_episodes", []):
            print(f"skipped  {skip['episode_path']}: {skip['code']} ({skip.get('detail', '')})")
        for finding in findings:
            print(f"{finding.code}  {finding.what}\n         where: {finding.where}\n         fix:   {finding.hint}")
        print("clean" if not findings else f"{len(findings)} findings")
    if findings:
        raise typer.Exit(ExitCode.NO)


@app.command()
def tasks(json_: JsonOption = False) -> None:
    """List the tasks that can be simulated, in the order of --tasks."""
    from heldout.domains.embodied.simulate.tasks import TASKS

    if json_:
        print_json({"schema": "heldout.embodied-tasks/1", "tasks": [task._asdict() for task in TASKS]})
        return
    for number, task in enumerate(TASKS, start=1):
        print(f"{number:2d}  {task.name:<26} {task.phrase}")
