"""What a Python source imports, read from its syntax: nothing is executed.

The closure of a module is every module that it, or anything that it imports, names in an ``import``, at the top or
inside a function, or in ``import_module("a literal")``. A name that is put together at run time is not seen.
"""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from heldout.errors import InputError
from heldout.evidence.files import sha256_bytes
from heldout.evidence.opening import read_plain

_FOR_TYPES = "TYPE_CHECKING"
_DYNAMIC = ("import_module", "__import__")


class Source(NamedTuple):
    """Where a module's code lies, and whether it is a package."""

    path: Path
    package: bool


Find = Callable[[str], Source | None]


def closure(names: Iterable[str], find: Find, *, strict: bool = False) -> dict[str, str]:
    """Sha256 of the code of these modules and of all that they import, by module, sorted.

    Args:
        names: Dotted names to begin with.
        find: Gives the source of a module, or None for one that is not to be followed.
        strict: Refuse a source that is no Python; else importing it will say so.

    Raises:
        InputError: If strict, and there is one.
    """
    digests: dict[str, str] = {}
    waiting, seen = [*names], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        source, (parent, _, last) = find(name), name.rpartition(".")
        if parent:
            waiting.append(parent)
        if source is None:
            waiting += _held_by(find(parent), parent, last)
            continue
        data = read_plain(source.path) if source.path.is_file() else b""
        digests[name] = sha256_bytes(data)
        if source.path.suffix == ".py":
            waiting += _followed(data, name if source.package else parent, source.path if strict else None)
    return dict(sorted(digests.items()))


def modules_of(data: bytes, package: str) -> tuple[str, ...]:
    """Dotted names that a Python source may import; nothing where it is no Python."""
    return _followed(data, package, None)


def _held_by(package: Source | None, name: str, wanted: str) -> list[str]:
    """Modules that a package takes a public name from, where it loads its names on first use (PEP 562)."""
    if package is None or package.path.suffix != ".py":
        return []
    with contextlib.suppress(SyntaxError, ValueError):
        return [module for module, held in _for_types(read_plain(package.path), name) if held == wanted]
    return []


@functools.lru_cache(maxsize=4096)
def _for_types(data: bytes, package: str) -> tuple[tuple[str, str], ...]:
    """Modules and names that a source imports for readers of types alone."""
    if _FOR_TYPES.encode() not in data:
        return ()
    blocks = [node for node in ast.walk(ast.parse(data)) if _is_for_types(node)]
    imports = [node for block in blocks for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    return tuple(
        (absolute(node.module or "", package, node.level), alias.asname or alias.name)
        for node in imports
        for alias in node.names
    )


@functools.lru_cache(maxsize=4096)
def _imports(data: bytes, package: str) -> tuple[str, ...]:
    """Dotted names that a source may import; some of them are no modules but what stands in one."""
    calls = any(name.encode() in data for name in _DYNAMIC)  # which may stand in any expression
    return tuple(dict.fromkeys(_named(ast.parse(data), package, calls=calls)))


def _followed(data: bytes, package: str, refuse: Path | None) -> tuple[str, ...]:
    """What a source imports; nothing where it is no Python, unless that is to be refused, with this place."""
    try:
        return _imports(data, package)
    except (SyntaxError, ValueError) as error:
        if refuse is not None:
            raise InputError(f"the source cannot be read: {error}", where=str(refuse), hint="correct it") from None
        return ()


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(
        _FOR_TYPES in (getattr(part, "id", ""), getattr(part, "attr", "")) for part in ast.walk(node.test)
    )


def _named(tree: ast.AST, package: str, *, calls: bool) -> Iterator[str]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.module or "", package, node.level)
            if not base:  # above the outermost package: importing it will say so
                continue
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
            yield base
        elif isinstance(node, ast.Call):
            yield from _by_function(node, package)
        if _is_for_types(node):
            waiting += getattr(node, "orelse", [])
        else:
            waiting += ast.iter_child_nodes(node) if calls else _statements(node)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements inside of a statement, without its expressions, which are most of a source."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, name, ())


def _by_function(node: ast.Call, package: str) -> Iterator[str]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    if called in _DYNAMIC and isinstance(first, ast.Constant) and isinstance(first.value, str):
        bare = first.value.lstrip(".")
        yield absolute(bare, package, len(first.value) - len(bare))


def absolute(name: str, package: str, level: int) -> str:
    """A name as imported from inside a package: one dot is that package, each further one its parent."""
    if level == 0:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if base and name else base or name


def total(digests: Mapping[str, str]) -> str:
    """One digest of many."""
    return sha256_bytes("\n".join(f"{sha256}  {name}" for name, sha256 in sorted(digests.items())).encode())
