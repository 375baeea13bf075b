"""What a command loads. Times differ between machines; the modules that a command does without do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from registry_kit import write_study

from heldout import Study
from heldout.registry import Registry, add

# Each costs tens to hundreds of milliseconds.
NUMBERS = {"numpy", "polars", "scipy", "sklearn", "torch", "numba", "matplotlib", "onnx", "jinja2", "msgspec", "skops"}
DATABASE = {"sqlalchemy", "psycopg"}
PROGRAM = """
import sys
from heldout.cli.main import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code
print("loaded:", code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and a registry that holds it."""
    folder = tmp_path_factory.mktemp("desk")
    run = Study.load(write_study(folder)).run(runs=folder / "runs", workers=1)
    with Registry(folder / "registry", create=True) as registry:
        (folder / "version").write_text(add(registry, run.folder).id)
    run.folder.rename(folder / "run")
    return folder


def loaded(desk: Path, *words: str, code: int = 0) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, cwd=desk, check=False
    )
    last = done.stdout.splitlines()[-1].split()
    assert ["loaded:", str(code)] == last[:2], done.stdout + done.stderr
    return set(last[2:])


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["gate", "--help"], ["registry", "--help"]])
def test_help_loads_nothing_heavy(desk: Path, words: list[str]) -> None:
    """If this failed, whoever asks what a command does would wait for libraries that answer nothing."""
    assert set() == loaded(desk, *words) & (NUMBERS | DATABASE | {"rich", "yaml"})


@pytest.mark.slow
def test_a_verdict_is_verified_without_what_trains_or_draws(desk: Path) -> None:
    """If this failed, `heldout gate` in a release pipeline would load what only a run needs."""
    needed = {"numpy", "polars", "scipy", "sklearn"}  # metrics and parameters are looked at before it is believed
    assert set() == loaded(desk, "gate", "run") & ((NUMBERS | DATABASE) - needed)


@pytest.mark.parametrize("words", [["list"], ["show"]])
def test_a_version_is_shown_without_what_promotes_it(desk: Path, words: list[str]) -> None:
    """If this failed, `heldout registry show` would load what trains, reads corpora, or keeps the history."""
    version = [(desk / "version").read_text()] if words == ["show"] else []
    assert set() == loaded(desk, "registry", *words, *version) & (NUMBERS | DATABASE | {"yaml"})


def test_a_command_that_is_not_there_is_refused_as_ever(desk: Path) -> None:
    """If this failed, naming only the wanted command would hide the others from whoever mistypes."""
    done = subprocess.run(
        [sys.executable, "-m", "heldout.cli.main", "regstry"], capture_output=True, text=True, cwd=desk, check=False
    )
    assert 2 == done.returncode
    assert "registry" in done.stderr
