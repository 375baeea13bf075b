"""Make the golden archives: ``OMP_NUM_THREADS=1 python tests/golden/make.py [FAMILY ...]``.

Each ``tests/golden/FAMILY.tar.xz`` holds files as heldout wrote them at the commit that its ``golden.json`` names as
``sources``, and what commands answered about them then. The first edition is of 9d5e936, the last commit before modules
moved and documents became types. An archive that is there is never written again: what was given to users
must stay readable, so a new edition gets a new name and lies beside the old one. ``make.py schemas`` writes
``schemas.json``, the shapes of all documents; it too refuses where one is: a changed shape is a decision, and whoever
takes it removes the file by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parent
sys.path[:0] = [str(GOLDEN), str(GOLDEN.parent / "support")]

import asked  # noqa: E402
import kept  # noqa: E402
import recipes  # noqa: E402
from attack_kit import heldout  # noqa: E402


def commit_of_sources() -> str:
    """The last commit that touched ``src``; what is not committed cannot be named."""
    git = ["git", "-C", str(GOLDEN.parents[1])]
    if subprocess.run([*git, "status", "--porcelain", "--", "src"], capture_output=True, text=True, check=True).stdout:
        sys.exit("src has changes that are not committed: no archive could say what made it")
    found = subprocess.run([*git, "log", "-1", "--format=%H", "--", "src"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def make(family: str) -> None:
    path = kept.archive_of(family)
    if path.exists():
        sys.exit(f"{path.name} is there: what was written once stays readable; give a new edition a new name")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "made"
        home.mkdir()
        getattr(recipes, family)(home)
        shutil.copytree(home, Path(folder) / "asked")
        card: dict[str, Any] = {"sources": commit_of_sources(), "asked": answers(family, Path(folder) / "asked")}
        (home / kept.CARD).write_text(json.dumps(card, indent=1) + "\n")
        kept.pack(home, path)
    print(f"{path.name}  {path.stat().st_size} bytes, {len(card['asked'])} answers")


def answers(family: str, home: Path) -> list[dict[str, Any]]:
    """What a family answers to all that it is asked."""
    found = []
    for folder, words in asked.of(family, home):
        answer = heldout(*words, cwd=folder)
        place = folder.relative_to(home).as_posix()
        found.append({"in": place, "words": words, "code": int(answer.code), "gist": kept.gist(answer.out)})
    return found


def schemas() -> None:
    if kept.SCHEMAS.exists():
        sys.exit(f"{kept.SCHEMAS.name} is there: remove it, if a shape is to change")
    found: dict[str, Any] = {"archives": {}, "fresh": {}}
    for family in kept.FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            found["archives"][family] = kept.grouped(kept.shapes(kept.unpack(family, Path(folder))))
    for name, build in recipes.FRESH.items():
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder))
            now = kept.shapes(Path(folder))
            found["fresh"][name] = groups = kept.grouped(now)
            if groups == found["archives"].get(name):
                found["fresh"][name] = "as in archives"
    kept.SCHEMAS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{kept.SCHEMAS.name}  {kept.SCHEMAS.stat().st_size} bytes")


if __name__ == "__main__":
    os.environ["HELDOUT_ACTOR"] = "golden"
    for name in sys.argv[1:] or [*kept.FAMILIES, "schemas"]:
        schemas() if name == "schemas" else make(name)
