"""Nothing in training can touch a champion: shown by what its modules can name, not by what they happen to do."""

from __future__ import annotations

import ast
from pathlib import Path

import heldout

ROOT = Path(heldout.__file__).parent
MOVES = {"promote", "rollback", "moves", "publish", "serving", "champion", "writing", "Serving"}


def named(path: Path) -> set[str]:
    """Every name, attribute and import of a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
    return found


def test_problem_02_03_04_no_room_below_the_registry_can_name_it() -> None:
    """A trainer that knows the registry could promote what it trained."""
    for room in ("run", "fit", "engine", "backbone", "task", "corpus", "split", "study"):
        for path in (ROOT / room).rglob("*.py"):
            assert "registry" not in named(path), path


def test_problem_03_the_training_process_knows_no_registry() -> None:
    """The process that runs foreign code would hold the handle with which champions are moved."""
    for name in ("trainer", "process"):  # the fence stands in a room below, which cannot name it
        assert not {"registry", "Registry"} & named(ROOT / "zoo" / f"{name}.py"), name


def test_problem_03_the_zoo_registers_and_moves_nothing() -> None:
    """One line in the zoo could let a fresh training serve, as it did for those who had to learn it."""
    for path in (ROOT / "zoo").glob("*.py"):
        used = named(path) & MOVES
        assert used <= {"serving"}, path
    training = (ROOT / "zoo" / "training.py").read_text()
    assert "serving.root" in training, "where the registry lies, so that training is kept out of it"
    assert training.count("serving") == training.count("serving.root")
    imported = [line for line in training.splitlines() if line.startswith("from heldout.registry")]
    assert ["from heldout.registry import Asked, Registry, add"] == imported


def test_problem_03_the_shadow_reads_who_serves_and_moves_nothing() -> None:
    """A challenger's good day could make it the champion without anybody deciding."""
    for path in (ROOT / "shadow").glob("*.py"):
        assert not named(path) & (MOVES - {"serving", "champion"}), path
        imports = [line for line in path.read_text().splitlines() if line.startswith("from heldout.registry import")]
        assert not {"add", "promote", "retire", "rollback"} & set(" ".join(imports).replace(",", " ").split()), path
