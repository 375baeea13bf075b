"""Whether a plug-in is found under its name."""

from __future__ import annotations

from typing import Any

from heldout import plugins


def declared(kind: str, name: str) -> Any:
    """What is installed under a name.

    Raises:
        AssertionError: If nothing is.
    """
    assert name in plugins.names(kind), (
        f"no installed distribution declares {name!r}: add it to "
        f'[project.entry-points."heldout.{kind}"] in pyproject.toml and install the package again'
    )
    return plugins.load(kind, name)
