"""A registered version, and the champion's pointer, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypedDict

from heldout.errors import InputError
from heldout.evidence import loads

FILE = "registry.sqlite"  # in a registry's folder


class VersionDocument(TypedDict):
    """A version as a document."""

    schema: str
    id: str
    sha256: str
    stage: str
    place: str
    slots: list[str]
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        id: ``{label}-{date}-{hash8}``.
        sha256: Digest of the content; the id holds its first eight digits.
        stage: smoke, candidate, challenger, champion or retired.
        place: Its run directory, relative to the folder of the pointers.
        slots: Slots whose champion it is.
        content: Configuration, digests, environment, metrics, verdict and files, as registered.
    """

    id: str
    sha256: str
    stage: str
    place: str
    slots: tuple[str, ...]
    content: Mapping[str, Any]

    def to_json(self) -> VersionDocument:
        """The version as a document."""
        return {
            "schema": "heldout.registered/1",
            "id": self.id,
            "sha256": self.sha256,
            "stage": self.stage,
            "place": self.place,
            "slots": list(self.slots),
            "content": dict(self.content),
        }


@dataclass(frozen=True)
class Pointer:
    """The champion of a slot, and the number of the event that made it so."""

    version: str
    seq: int


def record_of(body: Mapping[str, Any]) -> dict[str, object]:
    """What an event recorded of a version's evidence, as a document; an older heldout recorded the links alone."""
    about = {"at_utc": body["at_utc"], "by": body["by"], "on": body["kind"]}
    return about | {"links": body["verified"], "level": None, **body.get("evidence", {})}


def version_of(row: Iterable[str], slots: Iterable[str]) -> Version:
    """The version in a joined row of the tables `versions` and `stages`: id, sha256, content, stage, place."""
    identifier, sha256, text, stage, place = row
    content: Mapping[str, Any] = loads(text, where=f"version {identifier}")
    return Version(identifier, sha256, stage, place, tuple(slots), content)


def only_match(places: Mapping[str, str], name: str) -> str:
    """The id that is ``name``, or the only one that ends in ``-name`` (its hash), or whose run is called so.

    Args:
        places: Run directory of every version, by id, sorted.
        name: What was asked for; a run by the name of its directory, or by its path.

    Raises:
        InputError: If there is none, or more than one.
    """
    ids, run = list(places), PurePath(name).name
    exact, ending = [found for found in ids if found == name], [found for found in ids if found.endswith(f"-{name}")]
    of_run = [found for found, place in places.items() if PurePath(place).name == run]
    matches = exact or ((ending or of_run) if name else [])
    if len(matches) != 1:
        what = f"{len(matches)} versions go by" if matches else "there is no version"
        known = ", ".join(matches or ids[-5:]) or "none yet"
        raise InputError(f"{what} {name!r}", where="version", hint=f"name one of: {known}")
    return matches[0]
