"""``heldout verify``: is a verdict, or an exported model, what its evidence says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heldout.cli.printing import print_json
from heldout.printable import printable

if TYPE_CHECKING:
    from heldout.verify import Verification

_COLOURS = {"OK": "green", "BROKEN": "bold red", "NOT CHECKED": "yellow"}


def verify(
    paths: list[Path] = typer.Argument(
        help="Runs, evaluations, verdict files, exports, packages, kits or bundles: one or several."
    ),
    run: Path | None = typer.Option(
        None, "--run", help="The run of an export; by default the one it lies in. One path only."
    ),
    corpus: Path | None = typer.Option(None, help="The corpus file: compare its rows, ask the guards again."),
    key: Path | None = typer.Option(None, help="Public key of the signer, a PEM file: the verdict must be signed."),
    refit: bool = typer.Option(False, "--refit", help="Train every fit again and compare (with --corpus)."),
    workers: int | None = typer.Option(None, min=1, help="Processes of the refit; one a processor by default."),
    trust_code: bool = typer.Option(
        False, "--trust-code", help="Run classes and scripts that the files name, though no installed package has them."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Recompute every link from the files alone. Exits 0 if all hold, 3 if one is broken, 2 if there is no verdict.

    Of several paths the worst counts.
    """
    options: dict[str, Any] = {"run": run, "corpus": corpus, "key": key, "refit_too": refit, "workers": workers}
    from heldout.plugins import installed_only, trusting_code

    with installed_only(), trusting_code(trust=trust_code):
        if len(paths) > 1:
            return _several(paths, options, as_json)
        from heldout.package.verify.any import verify_any

        found = verify_any(paths[0], **options)
    print_json(found.to_json()) if as_json else print_chain(found)
    return 0 if found.holds else 3


def _several(paths: Sequence[Path], options: Mapping[str, Any], as_json: bool) -> int:
    """One after the other, each under its path; what cannot be verified at all is said where it comes."""
    from heldout.errors import worst
    from heldout.package.verify.each import to_json, verify_each

    done = []
    for each in verify_each(paths, **options):
        done.append(each)
        if as_json:
            continue
        print(f"{each.path}:", flush=True)
        if each.found is not None:
            print_chain(each.found)
        else:
            print(f"error [{each.error.code}]: {each.error}" if each.error else "", flush=True)
    if as_json:
        print_json(to_json(done))
    return worst([each.exit_code for each in done])


def print_chain(found: Verification) -> None:
    """The chain link by link, and what it comes to; plain where there is no terminal."""
    from rich.text import Text

    from heldout.terminal import open_console

    console = open_console()
    width = max(len(link.title) for link in found.links)
    for link in found.links:
        line = Text("  ").append(f"{link.state:<12}", style=_COLOURS[link.state]).append(f"{link.title:<{width}}  ")
        console.print(line.append(printable(link.what)), end="")
        console.print(Text(f"  ({printable(link.where)})" if link.where else "", style="dim"))
    broken = found.broken
    if broken is not None:
        console.print(
            Text("TAMPERED", style="bold red").append(f" at the link {broken.title!r}: {printable(broken.what)}")
        )
    else:
        named = [(found.verdict, found.verdict_sha256)] if found.verdict else []
        for name, sha256 in (*named, *found.exports.items()):
            console.print(Text("VERIFIED", style="bold green").append(f" {name}  sha256 {sha256}"))
        console.print(Text(found.left_open, style="dim"))
