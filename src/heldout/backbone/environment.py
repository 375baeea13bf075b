"""What a fit is made with besides our own sources: Python, and the packages that its backbone declares."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, entry_points, version

from heldout.backbone.protocol import Backbone

_OURS = "heldout"  # its sources are in every key by digest: a new number on the same sources changes nothing


def environment(backbone: Backbone) -> dict[str, str]:
    """Versions of Python and of the installed packages that can change what this backbone fits.

    A version counts as of the first time that this process asked for it: a package that is upgraded under a running
    process is not the one that computes there.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in sorted({*backbone.packages(), *_home(backbone.name)} - {_OURS}):
        installed = _version(name)
        if installed is not None:
            found[name] = installed
    return found


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What is another version, in words: ``numpy 2.3.1 (now 2.4.6), torch 2.12.0 (now none)``."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return ", ".join(f"{name} {before.get(name, 'none')} (now {now.get(name, 'none')})" for name in names)


@functools.cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@functools.cache
def _home(backbone: str) -> frozenset[str]:
    """The distribution that brings the backbone."""
    points = entry_points(group="heldout.backbones", name=backbone)
    return frozenset(point.dist.name for point in points if point.dist is not None)
