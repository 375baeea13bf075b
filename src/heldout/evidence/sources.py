"""The sources that a program depends on: its module, and what that imports, as far as it is somebody's own code.

Imports are followed as they are written, at the top of a file or inside a function, and from file to file: within the
program's own package, and to files that belong to no installed package. Of heldout the part that is named is followed.
What is imported by a name that is only computed at run time is not seen.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Collection, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from heldout.errors import InputError
from heldout.evidence import digest
from heldout.evidence.imports import Source, closure

_OURS = "heldout"


def program_digest(modules: Sequence[str], part: str) -> str:
    """Digest of the sources of modules and of what they import, by module name.

    Args:
        modules: Where the program begins.
        part: The part of heldout that a program can depend on, such as a domain.

    Raises:
        InputError: If a module has no source.
    """
    return digest(program_sources(modules, part))


def program_sources(modules: Sequence[str], part: str) -> dict[str, str]:
    """Sha256 of each module, of its packages and of what they import, by module name; see ``program_digest``.

    Raises:
        InputError: If one of ``modules`` has no source, or a source is no Python.
    """
    for module in modules:
        if _source(module) is None:
            raise InputError(f"module {module!r} has no source", where="code", hint="check the name")
    own = {module.partition(".")[0] for module in modules} - {_OURS}

    def find(name: str) -> Source | None:
        path = _source(name) if name in modules or _counts(name, own, part) else None
        return None if path is None else Source(path, path.name == "__init__.py")

    return closure(modules, find, strict=True)


def _counts(module: str, own: Collection[str], part: str) -> bool:
    top = module.partition(".")[0]
    if top == _OURS:
        return f"{module}.".startswith(f"{part}.")
    return top in own or not _is_installed(top)


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
