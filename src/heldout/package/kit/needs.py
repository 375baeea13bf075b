"""What a study needs besides the core: extras of the product, and distributions whose plug-ins it uses."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import NamedTuple

from heldout import plugins
from heldout.backbone.beside.base import BesideBackbone
from heldout.backbone.code import code_of, own_code
from heldout.errors import StudyError
from heldout.package.kit.requirements import PRODUCT
from heldout.run.resolve import Resolved
from heldout.task.functions import function_module

_ROOMS = {"heldout.backbone.sklearn": "sklearn", "heldout.backbone.beside.python": "sklearn"}
_EXTRAS = {"video": "video", "market": "market", "embodied": "embodied"}


class Needs(NamedTuple):
    """What must be installed.

    Attributes:
        extras: Of the product, sorted.
        carried: Distributions whose plug-ins the study uses, sorted: no index may have them, so a kit takes their
            wheels.
        others: Distributions that code beside the study imports, sorted.
    """

    extras: list[str]
    carried: list[str]
    others: list[str]


def needs_of(resolved: Resolved) -> Needs:
    """What a study needs."""
    points = list(_points(resolved))
    foreign = {plugins.distribution_of(each)[0] for each in points if not _is_ours(each)}
    extras = {extra for each in points if _is_ours(each) and (extra := _extra(each))}
    beside = (each.backbone for each in (resolved.main, *resolved.baselines))
    others = {name for each in beside if isinstance(each, BesideBackbone) for name in each.packages()} - {PRODUCT}
    return Needs(sorted(extras), sorted(foreign), sorted(others - foreign))


def code_beside(resolved: Resolved) -> dict[str, bytes]:
    """Files of code from beside the study, which a kit takes along.

    Raises:
        StudyError: If one must be executable and is no ``.sh``: an archive of ours keeps that of no other.
    """
    found: dict[str, bytes] = {}
    for each in (resolved.main, *resolved.baselines):
        if isinstance(each.backbone, BesideBackbone):
            found |= each.backbone.code.files
            lost = sorted(name for name in each.backbone.code.executable if not name.endswith((".sh", ".py")))
            if lost:
                what, hint = f"a kit cannot carry {lost[0]!r} as a program", "call it NAME.sh, or name what runs it"
                raise StudyError(what, where=str(resolved.document.path), hint=f"{hint} and chmod -x {lost[0]}")
    return found


def refuse_loose_code(resolved: Resolved) -> None:
    """Refuse code that lies beside the study, or is installed as editable: no wheel holds it.

    Raises:
        StudyError: If the study uses such code.
    """
    loose = set(own_code(resolved.splitter.sources()))
    for each in (resolved.main, *resolved.baselines):
        loose |= set(code_of(each.backbone, type(resolved.reader)).user) - set(each.backbone.carries())
    for entry in (*resolved.config.get("metrics", ()), resolved.config.get("task")):
        if isinstance(entry, dict):
            module = function_module(entry["function"]) if "function" in entry else entry["plugin"]
            loose |= set(own_code([module]))
    if loose:
        raise StudyError(
            f"the module {min(loose)!r} is of no installed package, or of an editable one: a kit cannot carry it",
            where=str(resolved.document.path),
            hint="make it a package (examples/plugin is one), install it by `pip install .` without -e, build again",
        )


def _points(resolved: Resolved) -> Iterator[EntryPoint]:
    yield plugins.point_of("readers", resolved.reader.name)
    for name in sorted({resolved.main.backbone.name, *(each.backbone.name for each in resolved.baselines)}):
        yield plugins.point_of("backbones", name)
    if resolved.splitter.kind in plugins.names("splitters"):
        yield plugins.point_of("splitters", resolved.splitter.kind)
    for each in resolved.config.get("metrics", ()):
        if isinstance(each, dict) and "plugin" in each:
            yield plugins.point_of("metrics", each["name"])
    if "task" in resolved.config:
        yield plugins.point_of("tasks", resolved.config["task"]["name"])


def _is_ours(point: EntryPoint) -> bool:
    return point.module.startswith(f"{PRODUCT}.")


def _extra(point: EntryPoint) -> str | None:
    parts = point.module.split(".")
    if parts[1] == "domains":
        return _EXTRAS.get(parts[2])
    return _ROOMS.get(point.module)
