"""What a source imports is found without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import heldout
from heldout.evidence.imports import Source, _imports, absolute, closure

TREE = {
    "start.py": "import plain\nfrom pack import member\nfrom pack.sub import thing as other\n",
    "plain.py": "def f():\n    import late\n    from importlib import import_module\n    import_module('dynamic')\n",
    "late.py": "raise SystemExit('nothing is executed')\n",
    "dynamic.py": "__import__('by_name')\nimport importlib\nimportlib.import_module('.near', __package__)\n",
    "by_name.py": "import start  # a circle\n",
    "near.py": "",
    "pack/__init__.py": "from . import beside\nfrom .lazy_home import *\n",
    "pack/beside.py": "from .sub import deep\nfrom ..nowhere import x\n",
    "pack/member.py": "broken source here (\n",
    "pack/lazy_home.py": "import numpy, os.path\n",
    "pack/sub/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.held import thing\n",
    "pack/sub/deep.py": "from .. import held\nfrom ... import start  # beyond the outermost package\n",
    "pack/held.py": "",
    "unused.py": "import start\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, code in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return tmp_path


def found(root: Path, *names: str) -> dict[str, str]:
    def find(name: str) -> Source | None:
        place = root.joinpath(*name.split("."))
        if (place / "__init__.py").is_file():
            return Source(place / "__init__.py", True)
        return Source(place.with_suffix(".py"), False) if place.with_suffix(".py").is_file() else None

    return closure(names, find)


def test_everything_that_is_imported_is_found(tree: Path) -> None:
    """An edit of a helper would leave the models of the old code under the new code's name."""
    everything = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in TREE}
    assert everything - {"unused"} == set(found(tree, "start"))


@pytest.mark.parametrize("name", sorted(set(TREE) - {"unused.py"}))
def test_an_edit_of_any_of_them_shows(tree: Path, name: str) -> None:
    """A module that is named and not looked into could be edited unseen."""
    before = found(tree, "start")
    (tree / name).write_text(TREE[name] + "# edited\n")
    after = found(tree, "start")
    assert 1 == sum(before[module] != after[module] for module in before)


def test_what_is_not_imported_does_not_count(tree: Path) -> None:
    """A comment in a demonstration would cost every model."""
    before = found(tree, "start")
    (tree / "unused.py").write_text("")
    assert before == found(tree, "start")
    assert {"by_name", "start"} <= set(found(tree, "by_name"))


@pytest.mark.parametrize(
    ("name", "package", "level", "expected"),
    [
        ("a.b", "x", 0, "a.b"),
        ("", "x.y", 1, "x.y"),
        ("a", "x.y", 1, "x.y.a"),
        ("a", "x.y", 2, "x.a"),
        ("a", "x", 2, "a"),
    ],
)
def test_relative_names(name: str, package: str, level: int, expected: str) -> None:
    """A helper in the package above would not be found."""
    assert expected == absolute(name, package, level)


def test_statements_hold_every_import_of_our_own_sources() -> None:
    """A source whose import was not seen could change what a fit computes, and no unit would be fitted again."""
    sources = sorted(Path(heldout.__file__).parent.rglob("*.py"))
    assert len(sources) > 400
    for path in sources:
        data = path.read_bytes()
        found = set(_imports(data, "heldout.some"))
        assert {
            name
            for node in _outside_types(ast.parse(data))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [absolute(node.module or "", "heldout.some", node.level)]
            )
        } <= found | {""}, path


def _outside_types(tree: ast.AST) -> list[ast.AST]:
    waiting, found = [tree], list[ast.AST]()
    while waiting:
        node = waiting.pop()
        found.append(node)
        children = ast.iter_child_nodes(node)
        waiting += node.orelse if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) else children
    return found
