"""``heldout package``: publish what a run says, and look through packages of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heldout.cli.printing import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

app = typer.Typer(help="Public packages: write one of a run, audit one of anyone.", no_args_is_help=True)
_REFUSED = 3
_MB = 1_000_000

Contract = Annotated[str | None, typer.Option(help="Id of a backbone contract, which says what may be published.")]
Workspace = Annotated[Path, typer.Option(help="Folder whose configs/backbones override the built-in contracts.")]
Hide = Annotated[list[str] | None, typer.Option(help="A word that must not be seen, such as a host; repeat.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def public(
    run: Annotated[Path, typer.Argument(help="A run directory, or a folder of an evaluation.")],
    out: Annotated[Path, typer.Option("--out", help="The package: .tar.gz, .tar.zst, or a new folder.")],
    contract: Contract = None,
    workspace: Workspace = Path(),
    hide: Hide = None,
    max_file_mb: Annotated[float, typer.Option(min=0.001, help="Bound of one file.")] = 50,
    as_json: Json = False,
) -> None:
    """Pack what may be published: by role, without names of persons, hosts and folders. Exits 3 if it is refused."""
    from heldout.package.public.publish import package_public

    made = package_public(
        run,
        out,
        contract=contract,
        contracts=_contracts(workspace),
        hide=hide or [],
        max_file_bytes=int(max_file_mb * _MB),
    )
    if as_json:
        print_json({**made.document, "path": str(made.path), "sha256": made.sha256})
        return
    for name, entry in made.document["files"].items():
        mark = "scrubbed" if entry["scrubbed"] else "made" if entry["original"] is None else "as it was"
        typer.echo(f"  {entry['role']:<14}  {mark:<9}  {name}")
    for name, entry in made.document["withheld"].items():
        typer.echo(f"  {'withheld':<14}  {entry['files']:>4} files  {name}")
    typer.echo(f"{made.path}  sha256 {made.sha256}")


@app.command()
def audit(
    package: Annotated[Path, typer.Argument(help="A folder, a tar or a ZIP.")],
    contract: Contract = None,
    workspace: Workspace = Path(),
    hide: Hide = None,
    as_json: Json = False,
) -> int:
    """Look for everything that must not be published. Exits 0 if there is nothing, 3 if there is."""
    from heldout.package.public.audit import audit_package

    found = audit_package(package, contract=contract, contracts=_contracts(workspace), hide=hide or [])
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            typer.echo(f"{finding.code}  {finding.where}\n    {finding.what}\n    fix:   {finding.hint}")
        typer.echo(f"CLEAN {found.files} files" if found.clean else f"REFUSED {len(found.findings)} findings")
    return 0 if found.clean else _REFUSED


def _contracts(workspace: Path) -> Mapping[str, Mapping[str, Any]]:
    from heldout.domains.embodied.contract.contracts import load_registry

    return {name: contract.config for name, contract in load_registry(workspace).items()}
