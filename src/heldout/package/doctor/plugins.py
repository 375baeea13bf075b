"""Every plug-in that is installed here, and whether it loads: what ``heldout plugins`` tells."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

from heldout import plugins
from heldout.backbone import Backbone
from heldout.corpus import Reader
from heldout.errors import HeldoutError
from heldout.task.metric import Metric
from heldout.task.task import why_no_task

SCHEMA = "heldout.plugins/1"
_CLASSES: dict[str, type[Any]] = {"backbones": Backbone, "readers": Reader}


@dataclass(frozen=True)
class Plugin:
    """One plug-in.

    Attributes:
        kind: What it is one of, such as ``backbones``.
        name: Its name in studies and commands.
        distribution: Which distribution declares it.
        version: Of the distribution.
        value: Module and object.
        health: ``ok``; ``broken``: it does not load, or is no such thing; ``clash``: two have its name, and neither is
            used; ``refused``: it has the name of a command of heldout.
        why: What is wrong, in one sentence; None where nothing is.
        fix: What to do about it.
    """

    kind: str
    name: str
    distribution: str
    version: str
    value: str
    health: Literal["ok", "broken", "clash", "refused"] = "ok"
    why: str | None = None
    fix: str | None = None


def list_plugins(commands: Collection[str] = ()) -> list[Plugin]:
    """Every plug-in of every kind; each is imported, and one that is broken harms no other.

    Args:
        commands: Names of built-in commands, which no plug-in gets.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a plug-in prints as it is imported is no part of the answer
        return [_looked_at(kind, point, commands) for kind in plugins.KINDS for point in plugins.points(kind)]


def to_json(found: Collection[Plugin]) -> dict[str, object]:
    """The document."""
    return {"schema": SCHEMA, "plugins": [asdict(each) for each in found]}


def _looked_at(kind: str, point: EntryPoint, commands: Collection[str]) -> Plugin:
    distribution, version = plugins.distribution_of(point)
    plugin = (kind, point.name, distribution, version, point.value)
    others = [each for each in plugins.points(kind) if each.name == point.name and each.value != point.value]
    ours = distribution == plugins.OURS
    if kind == "commands" and not ours and (point.name in commands or any(_is_ours(each) for each in others)):
        why = f"heldout has a command {point.name!r}, which no plug-in replaces"
        return Plugin(*plugin, "refused", why, f"rename the entry point in {distribution or 'its distribution'}")
    if others and not (kind == "commands" and ours):
        why = f"{others[0].value} ({plugins.distribution_of(others[0])[0]}) has the same name: neither is used"
        return Plugin(*plugin, "clash", why, "uninstall one of the two")
    try:
        wrong = _why_not(kind, point.name, plugins.load_point(point, kind))
    except HeldoutError as error:
        return Plugin(*plugin, "broken", error.what, error.hint)
    return Plugin(*plugin, "broken", wrong, "correct the entry point, or the class") if wrong else Plugin(*plugin)


def _is_ours(point: EntryPoint) -> bool:
    return plugins.distribution_of(point)[0] == plugins.OURS


def _why_not(kind: str, name: str, found: Any) -> str | None:
    """Why something that was imported is no plug-in of its kind; None if it is one."""
    wanted = _CLASSES.get(kind)
    if wanted is not None and not (isinstance(found, type) and issubclass(found, wanted)):
        return f"it is no subclass of {wanted.__module__.rpartition('.')[0]}.{wanted.__name__}"
    if kind == "metrics" and not isinstance(found, Metric):
        return "it is no heldout.task.Metric"
    if kind == "tasks":
        return why_no_task(name, found)
    if kind == "commands" and not callable(found):
        return "it is neither a function nor a typer.Typer"
    if kind in ("backbones", "readers", "metrics") and found.name != name:
        return f"its own name is {found.name!r}"
    return None
