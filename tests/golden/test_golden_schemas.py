"""Every document has the schema and the keys, in their order, that ``schemas.json`` says.

Whoever changes one on purpose removes ``schemas.json`` and makes it again with ``make.py schemas``: the difference of
the two is what readers of older files have to be told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kept
import pytest
import recipes


@pytest.fixture(scope="module")
def committed() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(kept.SCHEMAS.read_text())
    return found


def changes(expected: dict[str, list[Any]], actual: dict[str, list[Any]]) -> dict[str, tuple[Any, Any]]:
    """By name of the file, the shapes that are not there any more, and those that are new."""
    found = {}
    for name in sorted(expected.keys() | actual.keys()):
        was, now = expected.get(name, []), actual.get(name, [])
        gone, new = [each for each in was if each not in now], [each for each in now if each not in was]
        if gone or new:
            found[name] = (gone, new)
    return found


@pytest.mark.parametrize("family", kept.FAMILIES)
def test_documents_of_then_have_the_committed_keys(
    family: str, committed: dict[str, Any], archived: Callable[..., Path]
) -> None:
    """``schemas.json`` would say something else than what users have on their disks."""
    assert {} == changes(kept.ungrouped(committed["archives"][family]), kept.shapes(archived(family)))


# The families that take longest to make again are made in CI.
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("tables", "kit", "embodied") else [])
        for name in recipes.FRESH
    ],
)
def test_documents_of_today_have_the_committed_keys(
    family: str, committed: dict[str, Any], fresh: Callable[..., Path]
) -> None:
    """A reader of files, ours of yesterday or somebody else's, would not find a key, or not know one."""
    found = committed["fresh"][family]
    expected = kept.ungrouped(committed["archives"][family] if found == "as in archives" else found)
    assert {} == changes(expected, kept.shapes(fresh(family)))
