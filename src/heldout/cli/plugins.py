"""``heldout plugins``: what is installed, from where, and whether it loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from heldout.cli.printing import print_json
from heldout.errors import ExitCode

if TYPE_CHECKING:
    from heldout.package.doctor.plugins import Plugin


def plugins(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if one of them cannot be used.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List every plug-in with its distribution and health. A broken one harms no other: exit 0, unless --strict."""
    from heldout.cli.main import COMMANDS
    from heldout.package.doctor.plugins import list_plugins, to_json

    found = list_plugins(COMMANDS)
    print_json(to_json(found)) if as_json else print_plugins(found)
    return ExitCode.INPUT if strict and any(each.health != "ok" for each in found) else ExitCode.DONE


def print_plugins(found: list[Plugin]) -> None:
    """A line a plug-in; under one that cannot be used, why, and what to do."""
    from rich.text import Text

    from heldout.printable import printable
    from heldout.terminal import open_console

    console = open_console()
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        line = Text(f"{each.kind:<10}  ", "dim").append(f"{printable(each.name):<{width}}  ", "default")
        line.append(f"{each.health:<7}", "green" if each.health == "ok" else "bold red")
        console.print(line.append(printable(f"  {each.distribution} {each.version}  {each.value}"), "default"))
        if each.why:
            console.print(Text(f"{'':<12}{printable(each.why)}; fix: {printable(each.fix or '')}", "dim"))
