"""What newcomers read first is what the repository is."""

from __future__ import annotations

import importlib
import re
import tomllib

import pytest
from page_kit import ROOT, links

import heldout.testing

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    table = page[page.index(f"| {head}") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_links_lead_somewhere() -> None:
    """A newcomer would follow a link into nothing."""
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]
    assert [] == [target for target in links(GUIDE) if not (ROOT / target).exists()]


def test_rooms_stand_in_the_order_of_their_imports() -> None:
    """Somebody would build on a room that may not know his; or miss one."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [name for layer in layers for name in re.findall(r"heldout\.(\w+)", layer)]
    assert order == [room.strip("`") for room, _ in rows(PAGE, "room of")]
    source = ROOT / "src/heldout"
    assert [] == [name for name in order if not ((source / name).is_dir() or (source / f"{name}.py").is_file())]
    assert {path.parent.name for path in source.glob("*/__init__.py")} <= set(order)


def test_protocols_have_the_methods_and_conformance_classes_that_the_page_says() -> None:
    """Somebody would write a plug-in against a method that is no more."""
    for protocol, says, conformance in rows(PAGE, "protocol"):
        module, _, name = protocol.strip("`").rpartition(".")
        found = getattr(importlib.import_module(module), name)
        assert [] == [each for each in re.findall(r"`(\w+)`", says) if not hasattr(found, each)], protocol
        assert hasattr(heldout.testing, conformance.strip("`")), protocol


@pytest.mark.parametrize(
    "place", [place for _, places, _ in rows(GUIDE, "to add") for place in re.findall(r"`([\w./]+)/`", places)]
)
def test_places_where_things_go_are_there(place: str) -> None:
    """A contributor would put a new thing where nobody looks."""
    assert (ROOT / place).is_dir()


def test_targets_of_make_are_there() -> None:
    """The first command that a contributor types would be unknown."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", GUIDE, re.MULTILINE))
    assert named
    assert named <= targets


def test_words_are_not_said_twice() -> None:
    """Two meanings of one word are none."""
    words = [word for entry, _ in rows(PAGE, "word") for word in entry.split(", ")]
    assert len(words) == len(set(words))
