"""The runbook of kits: every command in it exists with its options, and what it says of steps and variables is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from heldout.cli.main import app
from heldout.package.doctor.machine import Machine
from heldout.package.kit.build import STEPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kit.md").read_text(encoding="utf-8")
FILES = ROOT / "src" / "heldout" / "package" / "kit" / "steps"
README = (FILES / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    lines = [line for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(r"`(heldout [^`]*)`", PAGE)
    return [re.split(r" {3,}", line)[0].split() for line in [*lines, *inline] if line.startswith("heldout ")]


@pytest.mark.slow
def test_defect_8a9_and_8e34_every_command_of_the_runbook_exists() -> None:
    """A step of the runbook, such as its check after a rollback, could not be run as documented."""
    found = commands()
    assert len(found) > 20
    for words in found:
        command, rest = get_command(app), words[1:]
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        assert not hasattr(command, "commands"), words
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in rest:
            assert not word.startswith("--") or word in known, (words, word)


def test_the_order_of_flip_and_rollback_is_in_the_runbook() -> None:
    """Whoever must go back at night would find half of the way."""
    for verb in ("registry add", "registry promote", "registry flip", "registry rollback", "--back", "registry verify"):
        assert verb in PAGE


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_documented_with_the_commands_that_it_calls(step: str) -> None:
    """A page would describe the steps of another version."""
    assert step in PAGE
    text = (FILES / step).read_text()
    called = set(re.findall(r'"\$HELDOUT" ((?:kit |video )?[a-z]+)', text))
    row = next((line for line in PAGE.splitlines() if line.startswith(f"| `{step}`")), "")
    for words in called - {"kit verdict", "kit study"}:
        assert f"`heldout {words}`" in row, (step, words)


def test_every_variable_of_the_steps_is_in_the_readme_of_the_kit() -> None:
    """An operator would have to read the shells."""
    used = {name for path in FILES.glob("*.sh") for name in re.findall(r"\$\{([A-Z_]+):", path.read_text())}
    for name in used:
        assert f"`{name}`" in README, name


def test_every_token_is_in_the_table() -> None:
    """A machine would have a token that nobody explained."""
    for system in ("Linux", "Darwin", "Plan9"):
        for machine in ("x86_64", "aarch64"):
            for nvidia, ihd, amd in ((True, False, False), (False, True, False), (False, False, True), (False,) * 3):
                assert f"`{Machine(system, machine, nvidia, ihd, amd).kind}`" in PAGE
