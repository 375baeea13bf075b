"""``python keeper.py PARENT HOME USER PROGRAM ...`` keeps a server no longer than the tests that asked for it.

It ends the server and removes its folder as soon as its own standard input is closed, which the system does for a
test run that is killed, too, or when another process has become its parent.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def keep(parent: int, home: Path, user: str, command: Sequence[str]) -> None:
    """Serve until nobody asks any more."""
    with (home / "log").open("ab") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            **({"user": user, "group": user, "extra_groups": []} if user else {}),
        )  # fmt: skip
        try:
            while server.poll() is None and os.getppid() == parent:
                if select.select([0], [], [], 1.0)[0] and not os.read(0, 4096):
                    break
        finally:
            server.send_signal(signal.SIGQUIT)  # PostgreSQL: at once, nothing is kept
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def kept(home: Path, user: str, command: Sequence[object]) -> Iterator[None]:
    """The server runs within the block, and not beyond this process; ``home`` is gone afterwards."""
    words = [sys.executable, __file__, os.getpid(), home, user, *command]
    with subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, start_new_session=True) as keeper:
        try:
            yield
        finally:
            keeper.communicate(timeout=60)


if __name__ == "__main__":
    keep(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
