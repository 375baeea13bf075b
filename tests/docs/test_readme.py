"""The README is executed: what it tells people to type must work as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = dict(os.environ, PATH=path)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_links_lead_somewhere() -> None:
    """A reader would follow a link of the README into nothing."""
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [] == [target for target in targets if not (ROOT / target).exists()]
    assert len(targets) >= 4


def test_every_command_of_the_readme_exists() -> None:
    """The README would name a command or an option that was renamed."""
    from typer.main import get_command

    from heldout.cli.main import app

    lines = [line.split("#")[0].split() for block in _blocks("sh") for line in block.splitlines()]
    for words in (line for line in lines if line[:1] == ["heldout"]):
        command = get_command(app)
        rest = words[1:]
        while hasattr(command, "commands"):
            if rest[0] not in command.commands and "judge" in command.commands:
                rest.insert(0, "judge")  # `heldout gate DIR` judges
            assert rest[0] in command.commands, " ".join(words)
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert [] == [word for word in rest if word.startswith("--") and word not in options], " ".join(words)


@pytest.mark.slow
def test_the_door_runs_as_written_from_its_first_block_to_its_last(tmp_path: Path) -> None:
    """A newcomer would stop at the first command that does not work, or that answers something else."""
    door = README.partition("## What you can rely on")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", door, re.DOTALL | re.MULTILINE)
    assert {"sh", "text", "yaml", "python"} == {language for language, _ in blocks}
    said = ""
    for language, text in blocks:
        if language == "sh":
            said = _typed(text, tmp_path)
        elif language == "text":
            _check_said(text, said)
        elif language == "yaml":
            (tmp_path / text.split()[1]).write_text(text)
        else:
            done = _run(sys.executable, "-c", text, cwd=tmp_path)
            assert 0 == done.returncode, done.stderr
            assert done.stdout.startswith("PROMOTE\n")
    assert "HOLD diabetes-forest / base" in said
    assert "the forest gains -1.021 (-3.285 to 1.243)" in door
    assert "-1.021 (-3.285 to 1.243," in said
    assert "champion" in said.splitlines()[-1]


def _typed(block: str, folder: Path) -> str:
    """What the commands of a block print, one after the other; a HOLD is an answer."""
    said = ""
    for line in block.replace("\\\n", " ").replace("examples/", f"{ROOT}/examples/").splitlines():
        if not line.startswith("pip install "):
            done = _run("bash", "-c", line, cwd=folder)
            assert done.returncode == 0 or (done.returncode, "HOLD" in done.stdout) == (1, True), line + done.stderr
            said += done.stdout
    return said


def _check_said(block: str, said: str) -> None:
    """Each line was printed; three dots stand for anything."""
    for line in (each for each in block.splitlines() if each.strip() != "..."):
        wanted = ".*".join(map(re.escape, line.split("...")))
        assert re.search(f"^{wanted}", said, re.MULTILINE), f"{line}\n{said}"
