"""A fault of ours: one sentence, and the traceback in a file that it names. Nothing in here may raise."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType

from heldout import __version__
from heldout.errors import ExitCode
from heldout.evidence.secrets import without_passwords, without_secret_values

_LONGEST = 300


def internal_error(error: BaseException) -> int:
    """Say that something of ours failed; answer the exit code 70."""
    try:
        sentence = f"internal error in {_culprit(error)}: {_last_line(error)}"
        print(f"{without_passwords(sentence)}; {_kept(error)}: please report it", file=sys.stderr)
    except BaseException:  # noqa: BLE001 - even where there is no memory for a sentence, the code is right
        with contextlib.suppress(BaseException):
            print("internal error in heldout: please report it", file=sys.stderr)
    return ExitCode.INTERNAL


def _last_line(error: BaseException) -> str:
    try:
        said = str(error).strip()
    except Exception:  # noqa: BLE001 - of a foreign class
        said = ""
    line = said.splitlines()[0] if said else ""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"something left the process with code {line or 'none'}"
    return (f"{name}: {line}" if line else name)[:_LONGEST]


def _culprit(error: BaseException) -> str:
    """Whose code raised it: ours, or that of a plug-in or of a class that a study names."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame in _frames(error.__traceback__)]
    foreign = [name for name in modules if _is_foreign(name)]
    if not foreign:
        return "heldout"
    return f"heldout (raised in {foreign[-1]})"


def _is_foreign(module: str) -> bool:
    package = module.partition(".")[0]
    return package not in ("", "heldout", "__main__", "__mp_main__", "typer", "click", *sys.stdlib_module_names)


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _kept(error: BaseException) -> str:
    """Where the traceback lies, or why it lies nowhere."""
    import tempfile

    why = ""
    try:
        text = without_passwords(_text(error))
    except Exception as other:  # noqa: BLE001
        return f"the traceback could not be made ({type(other).__name__})"
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-"
            descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)  # for the owner's eyes only
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            return f"the traceback is in {path}"
        except Exception as refused:  # noqa: BLE001 - the next folder may do
            why = str(getattr(refused, "strerror", "") or refused)
    return f"the traceback could not be written ({why})"


def _text(error: BaseException) -> str:
    head = f"heldout {__version__}, Python {sys.version.split()[0]}, {sys.platform}\n"
    command = shlex.join(["heldout", *without_secret_values(sys.argv[1:])])
    return head + f"command: {command}\n\n" + "".join(traceback.format_exception(error))


def _folders() -> Iterator[Path]:
    """The user's folder of states, then the one for temporary files."""
    given = os.environ.get("XDG_STATE_HOME")
    with contextlib.suppress(RuntimeError):
        state = Path.home() / ("Library/Logs" if sys.platform == "darwin" else ".local/state")
        yield (Path(given) if given else state) / "heldout" / "failures"
    import tempfile

    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()) / f"heldout-failures-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
