"""How a command ends: whatever happened becomes one exit code and one message, and the code 1 stays an answer."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer

from heldout.cli.failure import internal_error
from heldout.errors import ExitCode, HeldoutError, InputError, PrerequisiteError
from heldout.evidence.machine import machine_error
from heldout.evidence.secrets import without_passwords, without_secret_values
from heldout.streams import Output

_ASKED_TO_END = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def listen() -> None:
    """Let a request to end act as Ctrl-C does. What ignores a lost terminal from the start, as under nohup, goes on."""
    for number in _ASKED_TO_END:
        with contextlib.suppress(ValueError):  # not in the main thread: it is the host program's to decide
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)


def ended(command: Callable[[], object], out: Output) -> int:
    """The exit code of a command. Nothing that it raises comes through."""
    try:
        answer = command()
        out.flush()
        return answer if isinstance(answer, int) else ExitCode.DONE
    except BaseException as error:  # noqa: BLE001 - the last handler there is
        return _code(error, out)


def _code(error: BaseException, out: Output) -> int:
    try:
        if isinstance(error, KeyboardInterrupt):
            return _interrupted(error)
        if out.failed is not None:
            return _unread(out.failed)
        with contextlib.suppress(OSError):
            out.flush()  # what was said before the error comes before it
        if isinstance(error, typer.Exit):
            return _unread(out.failed) if out.failed is not None else int(error.exit_code)
        if isinstance(error, SystemExit) and _is_completion(error):
            return ExitCode.INPUT if error.code else ExitCode.DONE
        if isinstance(error, typer.Abort):  # a question that got no answer
            return _interrupted(KeyboardInterrupt())
        if hasattr(error, "show"):  # Click's usage errors, which are 2, and its other ones, which would be 1
            error.show()
            return ExitCode.INPUT
        known = error if isinstance(error, HeldoutError) else _told(error)
        if known is not None:
            print(without_passwords(f"error [{known.code}]: {known}"), file=sys.stderr)
            return int(known.exit_code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BaseException as another:  # noqa: BLE001 - the message itself may be what fails
        error = another
    return internal_error(error)


def _is_completion(error: SystemExit) -> bool:
    """Whether Typer itself left the process, as it does after it completed a word or installed the completion."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("typer.")


def _interrupted(error: KeyboardInterrupt) -> int:
    for number in (signal.SIGINT, *_ASKED_TO_END):  # a second one would end the message
        with contextlib.suppress(ValueError):
            signal.signal(number, signal.SIG_IGN)
    kept = str(error) or "interrupted"
    print(f"{kept}. Go on with:\n  {shlex.join(['heldout', *without_secret_values(sys.argv[1:])])}", file=sys.stderr)
    return ExitCode.INTERRUPTED


def _unread(failed: OSError) -> int:
    """Nobody reads standard output, or it has no room. What the command did is in its files all the same."""
    if failed.errno == errno.EPIPE or (os.name == "nt" and failed.errno == errno.EINVAL):
        return ExitCode.CLOSED_PIPE
    what = f"standard output cannot be written: {failed.strerror or failed}"
    hint = "send it where there is room; the files that the command wrote are complete"
    print(f"error [{InputError.code}]: {InputError(what, where='standard output', hint=hint)}", file=sys.stderr)
    return ExitCode.INPUT


def _told(error: BaseException) -> HeldoutError | None:
    """What the machine or an installation refused, in the three parts of every message; None if it is a fault."""
    found = machine_error(error)
    if found is not None:
        return found
    if isinstance(error, OSError):
        hint = "check the path, its rights and the free space; what was there before is unchanged"
        where = str(error.filename) if error.filename is not None else None
        return InputError(f"the system refused: {error.strerror or error}", where=where, hint=hint)
    if isinstance(error, UnicodeEncodeError):
        broken = next((text for text in sys.argv[1:] if not _is_text(text)), None)
        if broken is not None:
            hint = "file names may hold any bytes; names of slots, versions and options are UTF-8 text"
            return InputError("an argument is not UTF-8 text", where=broken, hint=hint)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "heldout":
        package = error.name.partition(".")[0]
        return PrerequisiteError(f"the package {package!r} is not installed", where=error.name, hint="install it")
    return None


def _is_text(argument: str) -> bool:
    """Whether it has no bytes that are no UTF-8, which Python passes on as halves of surrogate pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in argument)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
