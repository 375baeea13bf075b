"""A process killed in the middle of a promotion leaves the old champion or the new one, and a whole history."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nightly import times
from registry_kit import Runs, place, postgres, registry, runs  # noqa: F401

from heldout.errors import InputError
from heldout.evidence import read_json
from heldout.registry import Registry, add, promote, repair, verify

KILLS = times(4, 10)
SUPPORT = Path(__file__).parents[1] / "support"
FLIP = (
    "import sys; from pathlib import Path; from registry_kit import flip;"
    "flip(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])"
)
STOP_BEFORE_PUBLISHING = (
    "import os, sys; from pathlib import Path; from heldout.registry import Registry, promote;"
    "Registry.publish = lambda self, slot: os._exit(9);"
    "promote(Registry(sys.argv[1], serving=Path(sys.argv[2])), sys.argv[3])"
)


def start(program: str, place: str, opened: Registry, *versions: str) -> subprocess.Popen[str]:  # noqa: F811
    command = [sys.executable, "-c", program, place, str(opened.serving.root), *versions]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SUPPORT)


@pytest.mark.slow
def test_a_kill_leaves_the_old_or_the_new(registry: Registry, place: str, runs: Runs) -> None:  # noqa: F811
    """After a power cut nothing would serve, or something that no event names."""
    versions = [add(registry, runs(name)).id for name in ("base", "alpha2")]
    promote(registry, versions[0])
    moments = random.Random(5)
    for _ in range(KILLS):
        champion = registry.champion("demo")
        assert champion is not None
        order = [each for each in versions if each != champion.id] + [champion.id]
        process = start(FLIP, place, registry, *order)
        assert process.stdout is not None
        assert "promoted\n" == process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        found = verify(registry)
        served = read_json(registry.serving.pointer("demo"))
        assert served["version"] in versions
        assert (served["event"]["seq"] != registry.history(slot="demo")[-1].seq) == bool(found.lagging)
        repair(registry)
        assert found.champions["demo"] == read_json(registry.serving.pointer("demo"))["version"]
    kinds = [event.body["kind"] for event in registry.history(slot="demo")]
    assert len(kinds) > KILLS


@pytest.mark.slow
@pytest.mark.first_is_fast
def test_a_kill_between_commit_and_pointer_is_seen_and_mended(registry: Registry, place: str, runs: Runs) -> None:  # noqa: F811
    """The server would go on with the old champion for ever while everyone believes in the new one."""
    old, new, third = (add(registry, runs(name)).id for name in ("base", "alpha2", "alpha3"))
    promote(registry, old)
    process = start(STOP_BEFORE_PUBLISHING, place, registry, new)
    process.communicate()
    assert 9 == process.returncode
    assert old == read_json(registry.serving.pointer("demo"))["version"]
    found = verify(registry)
    assert (new, ("demo",)) == (found.champions["demo"], found.lagging)
    promote(registry, third)
    assert () == verify(registry).lagging
    assert third == read_json(registry.serving.pointer("demo"))["version"]


def test_a_pointer_that_cannot_be_written_is_said_to_lag(registry: Registry, runs: Runs) -> None:  # noqa: F811
    """The message would say that nothing changed, although the promotion is on record."""
    version = add(registry, runs("base")).id
    registry.serving.root.mkdir(exist_ok=True)
    (registry.serving.root / "slots").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write") as caught:
        promote(registry, version)
    assert "on record" in (caught.value.hint or "")
    (registry.serving.root / "slots").unlink()
    assert ("demo",) == verify(registry).lagging
    assert ["demo"] == repair(registry)
