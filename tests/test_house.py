"""The house plan, held: no circles, imports that are declared, folders and functions that can be read."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

import heldout
from heldout.documents import names

SRC = Path(heldout.__file__).parent
ROOT = SRC.parents[1]
# Words of one domain that the core has not unlearnt yet, by file: the list may only become shorter.
_DOMAIN_WORDS = re.compile(r"(?i)vmaf|episode|encoder|loso|qwen|\bpanel\b")
_STILL = {
    "package/doctor/doctor.py", "package/doctor/machine.py", "package/kit/build.py", "package/kit/results.py",
    "package/public/roles.py", "predict/progress.py",
}  # fmt: skip
_MOST_FILES = 27
_ASKED_OF_A_RUN = ("heldout.run.result", "heldout.verify")


class Module:
    """A module, and what it imports of heldout and of others."""

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        self.path, self.name = path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.room = path.parent.relative_to(SRC).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.imports = set(_imports(self.tree))


def _imports(node: ast.AST) -> Iterable[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (each.name for each in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield from (f"{child.module}.{each.name}" for each in child.names)
        yield from _imports(child)


@cache
def modules() -> dict[str, Module]:
    found = [Module(path) for path in sorted(SRC.rglob("*.py"))]
    return {each.name: each for each in found}


def _ours(name: str) -> str | None:
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


def _arrows() -> dict[str, set[str]]:
    """By module, the modules of heldout that it imports, inside functions too."""
    found = {}
    for name, module in modules().items():
        targets = {_ours(each) for each in module.imports if each.partition(".")[0] == "heldout"}
        found[name] = {each for each in targets if each is not None} - {name}
    return found


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """A way that leads back to where it began; empty if there is none."""
    done: set[str] = set()

    def walk(place: str, way: list[str]) -> list[str]:
        if place in way:
            return [*way[way.index(place) :], place]
        if place in done:
            return []
        for following in sorted(arrows.get(place, ())):
            found = walk(following, [*way, place])
            if found:
                return found
        done.add(place)
        return []

    return next((found for place in sorted(arrows) if (found := walk(place, []))), [])


def test_a_circle_is_found() -> None:
    """The next test could not fail."""
    assert ["b", "c", "b"] == circle({"a": ["b"], "b": ["c"], "c": ["b"]})
    assert [] == circle({"a": ["b", "c"], "b": ["c"], "c": []})


@pytest.mark.slow
def test_no_module_imports_what_imports_it() -> None:
    """Nobody could read, test or move one of them without the other."""
    assert [] == circle(_arrows())


def test_no_room_imports_a_room_that_imports_it() -> None:
    """A folder would be a drawer and no part of an architecture."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, targets in _arrows().items():
        here = modules()[name].room
        # The object that users hold offers to verify itself; no stage of a run does.
        rooms[here] |= {
            modules()[each].room for each in targets if (name, each) != ("heldout.run.result", "heldout.verify")
        }
    for here, there in rooms.items():
        there -= {here, "."}
    assert [] == circle({here: there for here, there in rooms.items() if here != "."})


def test_folders_can_be_read() -> None:
    """Nobody finds a file in a wall of eighty."""
    assert {} == {room: n for room, n in Counter(each.room for each in modules().values()).items() if n > _MOST_FILES}


def test_functions_and_files_can_be_read() -> None:
    """Code that grows a line at a time becomes code that nobody reads to its end."""
    functions = sorted(
        node.end_lineno - node.lineno + 1
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    files = sorted(len(each.path.read_text(encoding="utf-8").splitlines()) for each in modules().values())
    assert functions[int(0.95 * len(functions))] <= 30
    assert files[int(0.95 * len(files))] <= 285


def test_documents_are_typed() -> None:
    """A key that is misspelt, or a value of another type, would be found by whoever runs it, and not before."""
    texts = [each.path.read_text(encoding="utf-8") for each in modules().values()]
    untyped = sum(text.count("dict[str, Any]") for text in texts)
    assert untyped / sum(len(text.splitlines()) for text in texts) <= 0.25 / 100


def test_names_of_files_stand_in_one_place() -> None:
    """A file that is renamed would still be looked for under its old name somewhere."""
    known = {value for key, value in vars(names).items() if key.isupper()}
    found = [
        f"{module.path.relative_to(SRC)}:{node.lineno}: {node.value}"
        for module in modules().values()
        if module.room.partition("/")[0] not in ("domains", "documents", "cli")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    ]
    assert [] == found


def test_targets_have_one_door() -> None:
    """Whoever read them past the corpus would stand in no ledger."""
    found = {
        module.path.relative_to(SRC).as_posix()
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "truth" and ast.unparse(node.value).endswith("corpus")
    }
    assert {"ledger/targets.py"} == found, "ask `corpus.targets(purpose)`"


def test_the_core_has_no_words_of_one_domain() -> None:
    """A rule that names one domain is no rule of the others."""
    found = {
        module.path.relative_to(SRC).as_posix()
        for module in modules().values()
        if module.room.partition("/")[0] not in ("domains", "cli")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
        if _DOMAIN_WORDS.search(node.value)
    }
    assert set() == found - _STILL
    assert set() == _STILL - found, "shorten the list"


def test_every_import_is_declared() -> None:
    """An installation without it would work by luck, until it does not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        re.match(r"[A-Za-z0-9._-]+", each)[0].lower().replace("_", "-").replace(".", "-")  # type: ignore[index]
        for each in [
            *project["dependencies"],
            *(item for extra in project["optional-dependencies"].values() for item in extra),
        ]
    }
    providers = importlib.metadata.packages_distributions()
    foreign = {each.partition(".")[0] for module in modules().values() for each in module.imports}
    missing = []
    for name in sorted(foreign - {"heldout", "__future__"} - set(sys.stdlib_module_names)):
        names = {each.lower().replace("_", "-") for each in providers.get(name, [])}
        if names and not names & declared:
            missing.append(name)
    assert [] == missing


# Who has a verdict put together and written by the one door: the road, evaluations of windows and comparisons of two,
# and folders of the published video system. The list may only become shorter.
_JUDGES = {
    "domains/embodied/evaluate/reported.py", "domains/embodied/evaluate/run.py",
    "domains/embodied/evaluate/sitting.py", "domains/embodied/verify/compare.py", "domains/video/published/judge.py",
    "run/execute.py", "run/judging.py",
}  # fmt: skip
_DOOR = "heldout.run.verdict"
_OF_VERDICTS = {"PROMOTE_FILE", "HOLD_FILE", "PROMOTE.json", "HOLD.json"}


def _named(node: ast.AST) -> str:
    """The last part of a name, or a text."""
    found = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
    return found or str(getattr(node, "value", ""))


def test_verdicts_have_one_door() -> None:
    """A judge of its own would promote by rules that nobody registered, and count no look."""
    puts_together, writes, asks = set(), set(), set()
    for name, module in modules().items():
        place = module.path.relative_to(SRC).as_posix()
        if "heldout.documents.verdict.Verdict" in module.imports and module.room != "documents":
            puts_together.add(place)
        if any(each.startswith(_DOOR) for each in module.imports) and name != _DOOR:
            asks.add(place)
        for call in (each for each in ast.walk(module.tree) if isinstance(each, ast.Call)):
            given = {_named(each) for part in (*call.args, call.func) for each in ast.walk(part)}
            if given & _OF_VERDICTS and re.match(r"write|dump|atomic|open$|replace$|rename$", _named(call.func)):
                writes.add(place)
    assert ({"run/verdict.py"}, set()) == (puts_together, writes), f"ask {_DOOR}"
    assert asks == _JUDGES
