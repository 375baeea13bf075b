"""The sources that a program depends on: its module, and what that imports, as far as it is somebody's own code.

Imports are followed as they are written, at the top of a file or inside a function, and from file to file: within the
program's own package, and to files that belong to no installed package. Of heldout the part that is named is followed.
What is imported by a name that is only computed at run time is not seen.
"""

from __future__ import annotations

import ast
import importlib.util
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from heldout.errors import InputError
from heldout.evidence import digest, read_plain, sha256_file

_OURS = "heldout"


def program_digest(modules: Sequence[str], part: str) -> str:
    """Digest of the sources of modules and of what they import, by module name.

    Args:
        modules: Where the program begins.
        part: The part of heldout that a program can depend on, such as a domain.

    Raises:
        InputError: If a module has no source.
    """
    return digest({name: sha256_file(path) for name, path in program_sources(modules, part).items()})


def program_sources(modules: Sequence[str], part: str) -> dict[str, Path]:
    """Source file of each module, of its packages and of what they import, by module name; see ``program_digest``.

    Raises:
        InputError: If one of ``modules`` has no source.
    """
    found: dict[str, Path] = {}
    for module in modules:
        path = _source(module)
        if path is None:
            raise InputError(f"module {module!r} has no source", where="code", hint="check the name")
        _follow(module, path, {module.partition(".")[0]} - {_OURS}, part, found)
    return dict(sorted(found.items()))


def _follow(module: str, path: Path, own: Collection[str], part: str, found: dict[str, Path]) -> None:
    waiting = [(module, path)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for other in (*_packages(name), *_imports(path, name)):
            if other not in found and _counts(other, own, part):
                there = _source(other)
                waiting += [(other, there)] if there else []


def _counts(module: str, own: Collection[str], part: str) -> bool:
    top = module.partition(".")[0]
    if top == _OURS:
        return f"{module}.".startswith(f"{part}.")
    return top in own or not _is_installed(top)


def _packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _imports(path: Path, module: str) -> Iterator[str]:
    """Names that a file imports; of ``from a import b`` both ``a`` and ``a.b``, which may be a module."""
    if path.suffix != ".py":
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(read_plain(path), str(path))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"the source cannot be read: {error}", where=str(path), hint="mend it") from None


@lru_cache(maxsize=4096)
def _source(module: str) -> Path | None:
    """The file of a module; None for what is none, is built in, or is a folder without ``__init__.py``."""
    spec = _spec(module)
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.is_file() else None


@lru_cache(maxsize=4096)
def _spec(module: str) -> ModuleSpec | None:
    """Where a module is, without importing anything: what it would do is not asked here."""
    parent = module.rpartition(".")[0]
    try:
        if not parent:
            return importlib.util.find_spec(module)
        package = _spec(parent)
        inside = package.submodule_search_locations if package else None
        return PathFinder.find_spec(module, list(inside)) if inside is not None else None
    except (ImportError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _is_installed(top: str) -> bool:
    """Whether a package belongs to Python or was installed; one that is not there is nobody's."""
    spec = _spec(top)
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    folders = [Path(place) for place in places if place and Path(place).exists()]
    return not any(_is_somebodys(folder) for folder in folders)


def _is_somebodys(path: Path) -> bool:
    return not any(path.is_relative_to(root) for root in _roots()) and "site-packages" not in path.parts


@lru_cache(maxsize=1)
def _roots() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
