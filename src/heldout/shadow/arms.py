"""Who runs in the shadow of a slot: one version an arm, and an arm keeps its place until its outcomes have matured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heldout.errors import InputError
from heldout.registry import Registry, Version


@dataclass(frozen=True)
class Arm:
    """A variant as a contender over time: refits of an unchanged variant are versions of one arm.

    Attributes:
        id: Variant and the first digits of its identity.
        versions: Live challengers, the newest last; that one predicts.
    """

    id: str
    versions: tuple[Version, ...]

    @property
    def version(self) -> Version:
        """The version that predicts for the arm."""
        return self.versions[-1]


def arm_id(version: Version) -> str:
    """The arm that a version belongs to."""
    return f"{version.content['variant']}-{version.content['judged']['variant_sha256'][:8]}"


def live_arms(registry: Registry, champion: Version) -> list[Arm]:
    """Every arm with a challenger of the champion's study, by id."""
    by_arm: dict[str, list[Version]] = {}
    for version in registry.versions():
        same = version.content["study"] == champion.content["study"]
        if same and version.stage == "challenger" and version.id != champion.id:
            by_arm.setdefault(arm_id(version), []).append(version)
    return [Arm(name, tuple(sorted(found, key=_age))) for name, found in sorted(by_arm.items())]


def within(
    arms: list[Arm], most: int, pending: Mapping[str, str], tried: Mapping[str, str]
) -> tuple[list[Arm], list[Arm]]:
    """Those that have a place, and those that wait for one.

    Whoever has predictions whose outcomes are not known yet keeps its place, the longest first; then comes who has
    waited longest since it was tried. A newer version never takes the place of another arm: it takes that of its own.

    Args:
        arms: Live arms.
        most: Places.
        pending: By arm with predictions that have not matured: when the first of them was made.
        tried: By arm: when it was last tried.
    """

    def turn(arm: Arm) -> tuple[object, ...]:
        return (arm.id not in pending, pending.get(arm.id, ""), tried.get(arm.id, ""), _age(arm.versions[0]))

    order = sorted(arms, key=turn)
    return order[:most], order[most:]


def served_slot(registry: Registry) -> str:
    """The one slot that has a champion.

    Raises:
        InputError: If there is none, or more than one.
    """
    found = sorted({slot for version in registry.versions() for slot in version.slots})
    if len(found) != 1:
        raise InputError(
            f"{len(found) or 'no'} slots have a champion",
            where=registry.database.name,
            hint=f"give --slot: {', '.join(found)}" if found else "`heldout registry promote` makes one",
        )
    return found[0]


def _age(version: Version) -> tuple[str, str]:
    return (str(version.content["started_at_utc"]), version.id)
