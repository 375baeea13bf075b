"""Finding plug-ins by entry point: ``heldout.backbones``, ``heldout.readers`` and ``heldout.verifiers``.

A plug-in loads only when it is named, so a broken one harms no other.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from heldout.errors import PrerequisiteError, StudyError, near_miss


def names(kind: str) -> list[str]:
    """Names of the installed plug-ins of a kind (``backbones``, ``readers`` or ``verifiers``), sorted."""
    return sorted({point.name for point in entry_points(group=f"heldout.{kind}")})


def load(kind: str, name: str, *, where: str | None = None) -> Any:
    """Load a plug-in by name.

    Raises:
        StudyError: If no plug-in has that name, or two have.
        PrerequisiteError: If it is installed but cannot be imported.
    """
    points = [point for point in entry_points(group=f"heldout.{kind}") if point.name == name]
    if not points:
        raise StudyError(
            f"there is no {kind.removesuffix('s')} named {name!r}",
            where=where,
            hint=near_miss(name, names(kind), "installed"),
        )
    if len({point.value for point in points}) > 1:
        raise StudyError(
            f"two plug-ins are named {name!r}: {', '.join(point.value for point in points)}",
            where=where,
            hint="uninstall one of them",
        )
    return _import(points[0], kind)


def _import(point: EntryPoint, kind: str) -> Any:
    try:
        return point.load()
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # one that calls `exit`, or panics in Rust, too
        raise PrerequisiteError(
            f"the {kind.removesuffix('s')} {point.name!r} cannot be imported: {type(error).__name__}: {error}",
            where=point.value,
            hint="install what it needs, or upgrade the package that provides it",
        ) from error
