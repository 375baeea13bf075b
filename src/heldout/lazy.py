"""Public names that load on first use, so that a command pays only for the rooms that it enters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(package: str, holds: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package's ``__init__`` (PEP 562).

    Args:
        package: Its ``__name__``.
        holds: By submodule, the public names that it holds. None may be a submodule's own name: the import of that
            submodule would take its place.
    """
    names = {name: module for module, held in holds.items() for name in held}

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{names[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
