"""A look at versions without the library that changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from heldout.errors import InputError
from heldout.registry import Registry, add, promote
from heldout.registry.glance import all_versions, one_version


def test_a_look_says_what_the_registry_says(registry: Registry, place: str, copied: object, tmp_path: Path) -> None:
    """`show` and `list` would tell of another stage, champion or content than promotion goes by."""
    serving = tmp_path / "registry"
    assert [] == all_versions(place, serving)
    first, second = (add(registry, copied(name)) for name in ("base", "alpha2"))  # type: ignore[operator]
    promote(registry, first.id, slot="demo")
    promote(registry, first.id, slot="another")
    assert registry.versions() == all_versions(place, serving)
    for name in (first.id, second.id, second.id[-8:]):
        assert registry.version(name) == one_version(place, name, serving)
    assert ("another", "demo") == one_version(place, first.id, serving).slots


@pytest.mark.parametrize("name", ["nobody", "", "%"])
def test_an_unknown_version_is_refused_as_the_registry_does(lite: Registry, tmp_path: Path, name: str) -> None:
    """Two commands would give two answers to one mistake."""
    said = []
    for look in (lambda: lite.version(name), lambda: one_version(str(tmp_path / "registry"), name)):
        with pytest.raises(InputError) as caught:
            look()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_what_is_no_registry_is_refused_and_not_made(tmp_path: Path) -> None:
    """A misspelt folder would show an empty list, or leave a file behind."""
    with pytest.raises(InputError, match="there is no registry"):
        all_versions(str(tmp_path / "nowhere"))
    (tmp_path / "registry.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 30)
    with pytest.raises(InputError):
        all_versions(str(tmp_path))
    assert not (tmp_path / "nowhere").exists()
