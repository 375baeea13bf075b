"""A process to supervise: does what its task says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.zoo.process import answer


def act(task: Mapping[str, Any]) -> dict[str, Any]:
    match task["do"]:
        case "answer":
            return {"said": task["say"], "registry": os.environ.get("HELDOUT_REGISTRY"), "folder": str(Path.cwd())}
        case "sleep":
            time.sleep(600)
        case "crash":
            os._exit(7)
        case "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "error":
            raise InputError("wrong", where="here", hint="mend it")
        case "memory-error":
            raise MemoryError
        case "eat":
            kept = []
            while True:
                kept.append(bytearray(os.urandom(1 << 20)))
        case "eat-in-a-child":
            code = "import os,time\nkept = [os.urandom(1 << 20) for _ in range(400)]\ntime.sleep(600)"
            subprocess.run([sys.executable, "-c", code], check=True)
        case "orphan":
            code = (
                f"import os,time,pathlib; pathlib.Path({task['note']!r}).write_text(str(os.getpid())); time.sleep(600)"
            )
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
            while not (Path(task["note"]).exists() and Path(task["note"]).read_text()):
                time.sleep(0.01)
        case "write":
            found = {}
            for name in task["paths"]:
                for how in (_write, _shell, _remove, _cut):
                    try:
                        how(Path(name))
                        found[f"{how.__name__} {Path(name).name}"] = "done"
                    except (OSError, subprocess.SubprocessError):
                        found[f"{how.__name__} {Path(name).name}"] = "refused"
            return found
    return {}


def _write(path: Path) -> None:
    path.write_text("mine")


def _shell(path: Path) -> None:
    subprocess.run(["sh", "-c", f"echo mine > '{path}'"], check=True, stderr=subprocess.DEVNULL)


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    os.truncate(path, 0)


if __name__ == "__main__":
    answer(act)
