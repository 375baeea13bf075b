"""Which of the product's extras a study needs: found from where its reader and its backbones live."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from heldout.errors import StudyError
from heldout.package.kit.requirements import PRODUCT
from heldout.run.resolve import Resolved

_ROOMS = {"heldout.backbone.sklearn": "sklearn"}
_EXTRAS = {"video": "video", "market": "market", "embodied": "embodied"}


def extras_of(resolved: Resolved) -> list[str]:
    """Extras of the product, sorted.

    Raises:
        StudyError: If a plug-in of somebody else's is used: a kit could not carry it.
    """
    backbones = {resolved.main.backbone.name, *(each.backbone.name for each in resolved.baselines)}
    points = [_point("readers", resolved.reader.name), *(_point("backbones", name) for name in sorted(backbones))]
    return sorted({extra for point in points if (extra := _extra(point))})


def _point(kind: str, name: str) -> EntryPoint:
    return next(point for point in entry_points(group=f"{PRODUCT}.{kind}") if point.name == name)


def _extra(point: EntryPoint) -> str | None:
    module = point.module
    if not module.startswith(f"{PRODUCT}."):
        raise StudyError(
            f"the plug-in {point.name!r} comes from another package, which a kit cannot carry",
            where=point.value,
            hint="build the kit of a study that uses heldout's own plug-ins",
        )
    parts = module.split(".")
    if parts[1] == "domains":
        return _EXTRAS.get(parts[2])
    return _ROOMS.get(module)
