"""``heldout check``: every guard, before compute is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heldout.aside import words_aside
from heldout.cli.printing import print_json
from heldout.printable import printable

if TYPE_CHECKING:
    from heldout.run.check import Checked

_COLOURS = {"OK": "green", "FOUND": "bold red", "NOT APPLICABLE": "dim"}


def check(
    study: Path = typer.Argument(help="The study file."),
    variant: str = typer.Option("base", help="Id of a declared variant; `base` is the study itself."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Ask every guard about corpus, split and backbone. Exits 0 if nothing blocks, 1 if something does."""
    from heldout.api import Study

    with words_aside(as_json):
        checked = Study.load(study).check(variant)
    print_json(checked.to_json()) if as_json else print_guards(checked)
    return 1 if checked.blocking else 0


def print_guards(checked: Checked) -> None:
    """A line a guard, and under it what it found; plain where there is no terminal."""
    from rich.text import Text

    from heldout.terminal import open_console

    console = open_console()
    width = max(len(result.title) for result in checked.results)
    for result in checked.results:
        blocks = any(finding.blocking for finding in result.findings)
        colour = _COLOURS[result.state] if blocks or not result.findings else "yellow"
        line = Text("  ").append(f"{result.state:<14}", style=colour).append(f" {result.code}  ")
        if result.state == "NOT APPLICABLE":
            console.print(line.append(f"{result.title:<{width}}  ").append(str(result.not_applicable), style="dim"))
        else:
            console.print(line.append(result.title))
        for finding in result.findings:
            console.print(Text(f"    {'blocks' if finding.blocking else 'reported'}: {printable(finding.what)}"))
            console.print(
                Text(
                    f"    where: {printable(str(finding.where))}\n    fix:   {printable(str(finding.hint))}",
                    style="dim",
                )
            )
    count, found = len(checked.blocking), sum(len(result.findings) for result in checked.results)
    if count:
        words = "finding blocks" if count == 1 else "findings block"
        console.print(Text("BLOCKED", style="bold red").append(f" {count} {words}: a run would end in HOLD"))
    else:
        more = f"; {found} finding{'s' * (found > 1)} reported" if found else ""
        words = f" {checked.study} / {checked.variant}: nothing blocks{more}"
        console.print(Text("CLEAN", style="bold green").append(words, ""))
