"""``heldout backbone``: the contracts of embodied backbones: list, show, validate, start a new one; checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json

app = typer.Typer(help="Contracts of embodied backbones: list, show, validate, new, checkpoint.", no_args_is_help=True)
_FAILED = 1

WorkspaceOption = Annotated[Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")]
ConfigDirOption = Annotated[Path | None, typer.Option("--config-dir", help="Only the contracts of this folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_(
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    check: Annotated[bool, typer.Option("--validate", help="Check every rule too; exit 1 if one is broken.")] = False,
    backbone: Annotated[str | None, typer.Option("--backbone", help="Print this contract, as show does.")] = None,
    json_: JsonOption = False,
) -> None:
    """List the registered backbones."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry, validate

    registry = load_registry(workspace, config_dir)
    if backbone is not None:
        print_json(dict(find_contract(registry, backbone).config))
        return
    issues = [issue for one in registry.values() for issue in validate(one, workspace)] if check else []
    if json_:
        document = {
            "schema": "heldout.backbones/1",
            "config_dir": str(config_dir or workspace / "configs/backbones"),
            "backbones": [one.summary() for one in registry.values()],
        }
        print_json(document | ({"validation_issues": issues} if check else {}))
    else:
        for one in registry.values():
            print(f"{one.id}: {one.config['status']} - {one.config['training_objective']}")
        for issue in issues:
            print(issue)
    if issues:
        raise typer.Exit(_FAILED)


@app.command()
def show(
    backbone: Annotated[str, typer.Argument(help="Id of a backbone.")],
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
) -> None:
    """Print a contract as it is."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry

    print_json(dict(find_contract(load_registry(workspace, config_dir), backbone).config))


@app.command()
def validate(
    backbone: Annotated[str | None, typer.Argument(help="Id of a backbone; all of them.")] = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Check contracts against every rule. Exits 1 if one is broken."""
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry
    from heldout.domains.embodied.contract.contracts import validate as issues_of

    registry = load_registry(workspace, config_dir)
    chosen = [find_contract(registry, backbone)] if backbone else list(registry.values())
    issues = [issue for one in chosen for issue in issues_of(one, workspace)]
    if json_:
        names = [one.id for one in chosen]
        print_json({"schema": "heldout.backbones-check/1", "backbones": names, "validation_issues": issues})
    else:
        for issue in issues:
            print(issue)
        print(f"{len(chosen)} contracts, {len(issues)} issues")
    if issues:
        raise typer.Exit(_FAILED)


@app.command()
def checkpoint(
    backbone: Annotated[str, typer.Argument(help="Id of a backbone.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    training: Annotated[Path | None, typer.Option("--training", help="Folder of the training's own files.")] = None,
    base: Annotated[Path | None, typer.Option("--base", help="Folder of the base model.")] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="episode_manifest.json, or its folder.")] = None,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Run a backbone's checkpoint gate. Exits 1 if something is wrong, or could not be looked at."""
    from heldout.domains.embodied.checkpoint.gate import check_checkpoint
    from heldout.domains.embodied.checkpoint.seen import Checkpoint
    from heldout.domains.embodied.contract.contracts import find_contract, load_registry

    contract = find_contract(load_registry(workspace, config_dir), backbone)
    document = check_checkpoint(Checkpoint(folder, contract, training, base, manifest))
    if json_:
        print_json(document)
    else:
        for name, state in document["checks"].items():
            print(f"{state:<12} {name}")
        for one in document["findings"]:
            print(f"{one['code']}  {one['what']}\n         fix:   {one['hint']}")
        print(f"{document['status']}: {document['gate']}")
    if document["status"] != "pass":
        raise typer.Exit(_FAILED)


@app.command()
def new(
    name: Annotated[str, typer.Option("--id", help="Lower-case letters, digits and underscores.")],
    display_name: Annotated[str, typer.Option(help="For people.")],
    model_family: Annotated[str, typer.Option(help="The family of models.")],
    dataset_contract: Annotated[str, typer.Option(help="Versioned name of the data it needs: ..._v1.")],
    training_objective: Annotated[str, typer.Option(help="What is learnt.")],
    checkpoint_gate: Annotated[str, typer.Option(help="Name of the check of a checkpoint.")],
    template: Annotated[str, typer.Option("--template", "--template-backbone", help="Id.")] = "policy_vla_branch",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="A primary metric; repeat.")] = None,
    local_model_env: Annotated[str | None, typer.Option(help="Variable that names local weights.")] = None,
    status: Annotated[str, typer.Option(help="planned_adapter or implemented.")] = "planned_adapter",
    output_dir: Annotated[Path | None, typer.Option(help="WORKSPACE/configs/backbones.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a contract of that id.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make and validate it; write nothing.")] = False,
    workspace: WorkspaceOption = Path(),
    config_dir: ConfigDirOption = None,
) -> None:
    """Start a contract from a template: the split and what is never published stay, the file names do not."""
    from heldout.domains.embodied.contract.contracts import CONFIG_FOLDER, load_registry
    from heldout.domains.embodied.contract.scaffold import NewBackbone, scaffold

    wanted = NewBackbone(
        name,
        display_name,
        model_family,
        dataset_contract,
        training_objective,
        checkpoint_gate,
        tuple(metric or ()),
        local_model_env,
        status,
    )
    folder = output_dir or config_dir or workspace / CONFIG_FOLDER
    registry = load_registry(workspace, config_dir)
    print_json(scaffold(wanted, template, registry, folder, workspace, overwrite=overwrite, dry_run=dry_run))
