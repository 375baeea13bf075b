"""Commands by entry point, and `heldout plugins`: what is installed, what is broken, and what cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_kit import importable, install

from heldout import plugins

GREETING = '''"""``heldout greet``: say hello to whoever asks."""

import sys

import typer


def greet(name: str = typer.Argument("you"), fail: bool = False) -> int:
    """Say hello."""
    print(f"hello {name}")
    return 5 if fail else 0


sys.modules["greeting_was_imported"] = sys
'''


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """Two distributions: one that is well made, and one that breaks whatever can be broken."""
    site = tmp_path / "site-packages"
    install(site, "greeter", {"greeting.py": GREETING}, {"heldout.commands": {"greet": "greeting:greet"}})
    wrong = "print('I am imported')\nNumber = 3\n\n\nclass Other:\n    name = 'other'\n"
    points = {
        "heldout.backbones": {"gone": "no_such_module:Gone", "odd": "wrong:Other"},
        "heldout.readers": {"quits": "quitting:Reader"},
        "heldout.metrics": {"number": "wrong:Number"},
        "heldout.commands": {"run": "greeting:greet", "eval": "greeting:greet", "number": "wrong:Number"},
        "heldout.verifiers": {"twice": "wrong:Other"},
    }
    install(site, "wrong-one", {"wrong.py": wrong, "quitting.py": "raise SystemExit(0)\n"}, points)
    install(site, "third", {}, {"heldout.verifiers": {"twice": "greeting:greet"}})
    with importable(site, "greeting", "wrong", "quitting"):
        yield site


def listed(heldout: Any, *words: str, code: int = 0) -> dict[tuple[str, str, str], dict[str, Any]]:
    answer = heldout("plugins", "--json", *words)
    assert code == answer.code, answer
    found = json.loads(answer.out)
    assert "heldout.plugins/1" == found["schema"]
    return {(each["kind"], each["name"], each["distribution"]): each for each in found["plugins"]}


def test_every_plug_in_of_ours_loads(heldout: Any) -> None:
    """An entry point would lead nowhere, and nobody notice until a study names it."""
    found = {key: each for key, each in listed(heldout).items() if key[2] == "heldout"}
    kinds = {"backbones", "commands", "metrics", "readers", "splitters", "tasks", "verifiers"}
    assert kinds == {kind for kind, _, _ in found}
    assert {"ok"} == {each["health"] for each in found.values()}
    assert {None} == {each["why"] for each in found.values()}


@pytest.mark.usefixtures("site")
def test_a_broken_plug_in_is_named_and_harms_no_other(heldout: Any) -> None:
    """One package that lacks a library would hide all others, or end the command."""
    found = listed(heldout)
    seen = {key[:2]: (each["health"], each["why"]) for key, each in found.items() if key[2] in ("wrong-one", "third")}
    assert "broken" == seen["backbones", "gone"][0]
    assert "ModuleNotFoundError: No module named 'no_such_module'" in seen["backbones", "gone"][1]
    assert ("broken", "it is no subclass of heldout.backbone.Backbone") == seen["backbones", "odd"]
    assert ("broken", "it is no heldout.task.Metric") == seen["metrics", "number"]
    assert ("broken", "it is neither a function nor a typer.Typer") == seen["commands", "number"]
    assert "SystemExit" in seen["readers", "quits"][1]
    assert ("refused", "heldout has a command 'run', which no plug-in replaces") == seen["commands", "run"]
    assert ("refused", "heldout has a command 'eval', which no plug-in replaces") == seen["commands", "eval"]
    assert (
        "greeting:greet (third) has the same name: neither is used" == found["verifiers", "twice", "wrong-one"]["why"]
    )
    assert all(each["fix"] for each in found.values() if each["health"] != "ok")
    assert "ok" == found["commands", "greet", "greeter"]["health"]
    assert "ok" == found["commands", "eval", "heldout"]["health"]
    assert found == listed(heldout, "--strict", code=2)
    shown = heldout("plugins")
    assert 0 == shown.code
    assert "I am imported" not in shown.out
    assert "fix: rename the entry point in wrong-one" in " ".join(shown.out.split())


@pytest.mark.usefixtures("site")
def test_another_distribution_adds_a_command(heldout: Any) -> None:
    """A domain could not have commands without an edit of the core."""
    assert (0, "hello Ada\n") == heldout("greet", "Ada")[:2]
    assert 5 == heldout("greet", "--fail").code
    assert "Say hello." in heldout("greet", "--help").out
    assert 2 == heldout("number").code
    assert "is no command but int" in heldout("number").err
    assert "no such option" in heldout("run", "--fail").err.lower()  # ours
    assert "Evaluate embodied backbones" in heldout("eval", "--help").out
    assert "Did you mean 'greet'?" in heldout("gret").err


def test_help_names_commands_that_it_does_not_import(site: Path, tmp_path: Path) -> None:
    """Whoever asks for help would wait for every plug-in, or get a traceback of the one that is broken."""
    program = (
        "import sys; from heldout.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(done.stderr.split())
    assert (
        set() == {"greeting", "wrong", "heldout.cli.embodied", "heldout.cli.video", "heldout.cli.leaderboard"} & loaded
    )
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("  ")}
    assert "Say hello to whoever asks." == lines["greet"]
    assert lines["eval"].startswith("Predict held-out windows")
    (site / "greeting.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "heldout.cli.main", "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert "Of greeter 1.0." in done.stdout


def test_a_clash_is_told_with_both_names(tmp_path: Path) -> None:
    """One of two models would be fitted, by the luck of an installation."""
    for name in ("first", "second"):
        install(tmp_path / "site-packages", name, {}, {"heldout.backbones": {"same": f"{name}:Model"}})
    with importable(tmp_path / "site-packages"), pytest.raises(plugins.StudyError, match="first:Model, second:Model"):
        plugins.load("backbones", "same")
