"""One process at a time in a folder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from heldout.errors import StaleError
from heldout.evidence import alone

_HOLD = """
import sys, time
from pathlib import Path
from heldout.evidence import alone
with alone(Path(sys.argv[1]), "waits there", lock=".held.lock"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_one_is_dead(tmp_path: Path) -> None:
    """Two processes would write one folder; or a killed one would keep everybody out."""
    folder = tmp_path / "new"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert "held" == holder.stdout.readline().strip()
        refused = pytest.raises(StaleError, match="another process writes there")
        with refused as caught, alone(folder, "writes there", lock=".held.lock"):
            pass
        assert (4, str(folder)) == (caught.value.exit_code, caught.value.where)
        with alone(folder, "writes there", lock=".other.lock"):
            pass
    finally:
        holder.kill()
        holder.wait()
    with alone(folder, "writes there", lock=".held.lock"):
        pass


def test_one_who_waits_is_refused_after_that_time(tmp_path: Path) -> None:
    """A worker that lingers for a moment would fail the run, or one that hangs would hang every other."""
    started = time.monotonic()
    with alone(tmp_path, "is first"), pytest.raises(StaleError), alone(tmp_path, "is second", wait=0.3):
        pass
    assert time.monotonic() - started >= 0.3


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    """A failed run could not be tried again in the same session."""
    with pytest.raises(ZeroDivisionError), alone(tmp_path, "fails"):
        _ = 1 / 0
    with alone(tmp_path, "goes on"):
        pass
