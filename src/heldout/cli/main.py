"""The command line: parse, call one function, print. Commands load when they are named, so that help is quick."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from heldout import __version__
from heldout.cli.ending import ended, listen
from heldout.streams import prepare

# By command: the module of `heldout.cli` that holds it, and its function or its app there. Commands of domains and of
# other distributions are entry points `heldout.commands`.
COMMANDS = {
    "run": ("run", "run"),
    "merge": ("run", "merge"),
    "try": ("run", "try_out"),
    "judge": ("judge", "judge"),
    "check": ("check", "check"),
    "init": ("init", "init"),
    "gate": ("gate", "app"),
    "verify": ("verify", "verify"),
    "sign": ("sign", "sign"),
    "registry": ("registry", "registry_app"),
    "zoo": ("zoo", "app"),
    "shadow": ("shadow", "app"),
    "doctor": ("doctor", "doctor"),
    "kit": ("kit", "app"),
    "package": ("package", "app"),
    "demo": ("demo", "app"),
    "study": ("study", "app"),
    "schema": ("schema", "schema"),
    "plugins": ("plugins", "plugins"),
}


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Prove that a new model deserves to replace the old one."""


def build(arguments: Sequence[str] | None = None) -> typer.Typer:
    """The command line: with the one command that the arguments name, or else with all of them.

    Args:
        arguments: What was typed. Commands of plug-ins that it does not name are listed and not imported; None imports
            all of them.
    """
    app = typer.Typer(
        name="heldout",
        help="Prove that a new model deserves to replace the old one.",
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    named = next((word for word in arguments or () if not word.startswith("-")), "")
    for name in [named] if named in COMMANDS else COMMANDS:
        module, attribute = COMMANDS[name]
        _add(app, name, getattr(import_module(f"heldout.cli.{module}"), attribute))
    if named not in COMMANDS:
        from heldout.cli.plugged import add_plugged

        add_plugged(app, _add, COMMANDS, None if arguments is None else named)
    return app


def _add(app: typer.Typer, name: str, command: Any) -> None:
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def __getattr__(name: str) -> Any:
    if name == "app":
        return build()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Entry point: turns whatever happens into a message and an exit code."""
    gc.set_threshold(
        50_000, 20, 20
    )  # nearly all that a command makes lives to its end: circles are looked for less often
    out, _ = prepare()
    listen()
    sys.exit(ended(_command, out))


def _command() -> object:
    """What the command that the arguments name answers.

    Typer's own way to call it would turn a closed pipe into exit code 1, and an interruption into nothing.
    """
    if "_HELDOUT_COMPLETE" in os.environ:  # a shell asks for completions
        return build()(standalone_mode=False)
    command = typer.main.get_command(build(sys.argv[1:]))
    with command.make_context("heldout", sys.argv[1:]) as context:
        return command.invoke(context)


if __name__ == "__main__":
    main()
