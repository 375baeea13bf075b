"""The command line: parse, call one function, print. Commands load when they are named, so that help is quick."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any

import typer

from heldout import __version__
from heldout.errors import HeldoutError, InputError

# By command: the module of `heldout.cli` that holds it, and its function or its app there.
_COMMANDS = {
    "run": ("run", "run"),
    "check": ("check", "check"),
    "init": ("init", "init"),
    "gate": ("gate", "app"),
    "verify": ("verify", "verify"),
    "sign": ("sign", "sign"),
    "registry": ("registry", "registry_app"),
    "zoo": ("zoo", "app"),
    "shadow": ("shadow", "app"),
    "embodied": ("embodied", "app"),
    "doctor": ("doctor", "doctor"),
    "kit": ("kit", "app"),
    "package": ("package", "app"),
    "index": ("index", "app"),
    "leaderboard": ("leaderboard", "leaderboard"),
    "demo": ("demo", "app"),
    "backbone": ("backbone", "app"),
    "eval": ("eval", "app"),
    "watch": ("watch", "watch"),
    "study": ("study", "app"),
    "video": ("video", "app"),
}

_PIPE = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Prove that a new model deserves to replace the old one."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command line: with the one command that the arguments name, or else with all of them."""
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
    named = next((word for word in arguments if not word.startswith("-")), "")
    for name in [named] if named in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        command: Any = getattr(import_module(f"heldout.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        return build()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Entry point: turns the error tree into messages and exit codes."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result: Any = build(sys.argv[1:])(standalone_mode=False)
    except HeldoutError as error:
        print(f"error [{error.code}]: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"interrupted; go on with: {shlex.join(['heldout', *sys.argv[1:]])}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output went away, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_PIPE)
    except OSError as error:  # Python's own exit code would be that of a HOLD
        print(f"error [{InputError.code}]: {_sentence(error)}", file=sys.stderr)
        sys.exit(InputError.exit_code)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        if hasattr(error, "show"):
            error.show()
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)


def _sentence(error: OSError) -> InputError:
    """What a file system refused, in the three parts of every message."""
    hint = "check the path, its rights and the free space; what was there before is unchanged"
    where = str(error.filename) if error.filename is not None else None
    return InputError(f"the system refused: {error.strerror or error}", where=where, hint=hint)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
