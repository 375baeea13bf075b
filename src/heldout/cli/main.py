"""The command line: parse, call one function, print. Commands load when they are named, so that help is quick."""

from __future__ import annotations

import shlex
import signal
import sys
from types import FrameType
from typing import Any

import typer

from heldout import __version__
from heldout.errors import HeldoutError

app = typer.Typer(
    name="heldout",
    help="Prove that a new model deserves to replace the old one.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Prove that a new model deserves to replace the old one."""


def _mount() -> None:
    from heldout.cli import check, embodied, gate, init, registry, run, sign, study, verify, video

    app.command("run")(run.run)
    app.command("check")(check.check)
    app.command("init")(init.init)
    app.add_typer(gate.app, name="gate")
    app.command("verify")(verify.verify)
    app.command("sign")(sign.sign)
    app.add_typer(registry.registry_app, name="registry")
    app.add_typer(embodied.app, name="embodied")
    app.add_typer(study.app, name="study")
    app.add_typer(video.app, name="video")


_mount()


def main() -> None:
    """Entry point: turns the error tree into messages and exit codes."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result: Any = app(standalone_mode=False)
    except HeldoutError as error:
        print(f"error [{error.code}]: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"interrupted; go on with: {shlex.join(['heldout', *sys.argv[1:]])}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        if hasattr(error, "show"):
            error.show()
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
