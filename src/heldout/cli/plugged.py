"""Commands by entry point ``heldout.commands``: a domain's, and those of other distributions. Help imports none."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import typer

import heldout
from heldout import plugins
from heldout.errors import HeldoutError, StudyError

_ROOT = Path(heldout.__file__).parents[1]
_HEAD = 4000  # characters


def add_plugged(
    app: typer.Typer, add: Callable[[typer.Typer, str, Any], None], taken: Collection[str], named: str | None
) -> None:
    """Add the commands of plug-ins to the command line: the named one, else all of them by name alone.

    Args:
        app: The command line.
        add: Adds a command that is loaded.
        taken: Names that no plug-in gets.
        named: What was typed; None imports every command that can be imported.

    Raises:
        HeldoutError: If the named one cannot be loaded.
    """
    found = {point.name: point for point in plugins.points("commands") if point.name not in taken}
    for name in [named] if named in found else found:
        if name == named:
            add(app, name, load_command(name))
            continue
        if named is None:
            try:
                add(app, name, load_command(name))
                continue
            except HeldoutError:
                pass  # it is listed, and whoever calls it is told why
        app.command(name, short_help=_said(found[name]))(_not_loaded)


def load_command(name: str) -> Any:
    """The function or Typer app of a command.

    Raises:
        HeldoutError: If it cannot be loaded, or is neither.
    """
    found = plugins.load("commands", name)
    if not callable(found):
        raise StudyError(
            f"the command {name!r} is no command but {type(found).__name__}",
            where=f"heldout.commands: {name}",
            hint="let the entry point lead to a function or a typer.Typer",
        )
    return found


def _not_loaded() -> None:
    """Stands in help for a command that is loaded once it is named."""


def _said(point: EntryPoint) -> str:
    """What help says of a command: the first line of its module's docstring, read and not imported."""
    name, version = plugins.distribution_of(point)
    place = point.module.replace(".", "/") + ".py"
    path = _ROOT / place if name == plugins.OURS or point.dist is None else Path(str(point.dist.locate_file(place)))
    try:
        with path.open(encoding="utf-8") as file:
            head = (line.strip() for line in file.read(_HEAD).splitlines())
        line = next((line for line in head if line and not line.startswith("#")), "")
        words = str(ast.literal_eval(line if line.count('"""') > 1 else f'{line}"""'))
    except (OSError, ValueError, SyntaxError):
        return f"Of {name} {version}." if name else "Of another distribution."
    words = words.removeprefix(f"``heldout {point.name}``: ")
    return words[:1].upper() + words[1:]
