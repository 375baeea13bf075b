"""The archives, opened once, and the same families as the code writes them today."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside the tests

import kept
import recipes

Home = Callable[[str], Path]


@pytest.fixture(scope="session")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A family as it was written. Not to be written to."""
    opened: dict[str, Path] = {}

    def home(family: str) -> Path:
        if family not in opened:
            opened[family] = kept.unpack(family, tmp_path_factory.mktemp(family))
        return opened[family]

    return home


@pytest.fixture(scope="session")
def fresh(archived: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A family as the code writes it today, from the inputs in its archive. Not to be written to."""
    made: dict[str, Path] = {}

    def home(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(f"fresh-{family}")
            for pattern in recipes.INPUTS.get(family, ()):
                _copy(archived(family), made[family], pattern)
            with pytest.MonkeyPatch.context() as patch:  # nobody looks at the plots, and they take half of the time
                recipes.without_plots(patch)
                recipes.FRESH[family](made[family])
        return made[family]

    return home


def _copy(source: Path, target: Path, pattern: str) -> None:
    for path in source.glob(pattern):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place)
