"""Distributions as pip would install them, written by hand: no network, no build tools."""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from heldout import plugins

EntryPoints = Mapping[str, Mapping[str, str]]


def install(
    site: Path,
    name: str,
    files: Mapping[str, str],
    points: EntryPoints,
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> Path:
    """Write a distribution into a folder of installed packages, and answer its ``.dist-info``."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    groups = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for group, each in points.items()
    ]
    written = {
        **files,
        f"{info}/METADATA": "\n".join(head) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join(groups),
    }
    for path, text in written.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
    lines = [f"{path},sha256={_sha256(site / path)},{(site / path).stat().st_size}" for path in sorted(written)]
    (site / info / "RECORD").write_text("\n".join([*lines, f"{info}/RECORD,,"]) + "\n")
    return site / info


def install_project(project: Path, site: Path) -> Path:
    """Install the project of a ``pyproject.toml`` with its packages under ``src``."""
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    source = project / "src"
    files = {path.relative_to(source).as_posix(): path.read_text() for path in sorted(source.rglob("*.py"))}
    return install(
        site,
        described["name"],
        files,
        described["entry-points"],
        version=described["version"],
        requires=described["dependencies"],
    )


def _sha256(path: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()


@contextmanager
def importable(site: Path, *modules: str) -> Iterator[None]:
    """Inside, this process and those that it starts find what is installed there."""
    before = dict(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
        importlib.invalidate_caches()
        plugins._roots.cache_clear()  # where distributions are installed was asked before this folder was one
        yield
    plugins._roots.cache_clear()
    for name in [name for name in sys.modules if name not in before and name.partition(".")[0] in modules]:
        del sys.modules[name]
