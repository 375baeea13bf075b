"""The roster: the variants of a study as arms, with what each of them changes, checked before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, InputError, StudyError
from heldout.run import Champion, Opener
from heldout.run.resolve import IDENTITY, Resolved, resolve
from heldout.study import BASE, BudgetSpec, StudyFile, VariantSpec, load_study

SCHEMA = "heldout.zoo/1"


@dataclass(frozen=True)
class Entry:
    """One arm of the roster.

    Attributes:
        id: Of the variant; ``base`` for the study itself.
        spec: As declared; None for the base.
        line: The ids of its ancestors, the base first, and its own.
        set: Everything that it changes against the base, by dotted key: its ancestors' overrides, then its own.
        resolved: With every default filled in; None if it cannot be resolved.
        problem: Why it cannot be trained; None if it can.
    """

    id: str
    spec: VariantSpec | None
    line: tuple[str, ...]
    set: Mapping[str, Any]
    resolved: Resolved | None
    problem: HeldoutError | None

    @property
    def status(self) -> str:
        """active, paused or retired; the base is always active."""
        return self.spec.status if self.spec else "active"

    @property
    def priority(self) -> int:
        """Higher goes first among those that have waited equally long."""
        return self.spec.priority if self.spec else 0

    @property
    def budget(self) -> BudgetSpec:
        """Of one training process."""
        return self.spec.budget if self.spec else BudgetSpec()

    @property
    def why_not(self) -> str | None:
        """Why it is not trained although it could be; None if it is active."""
        if self.spec is None or self.status == "active":
            return None
        if self.status == "retired":
            return f"retired on {self.spec.retired_on}: {self.spec.retired_because}"
        return "paused"

    def to_json(self) -> dict[str, object]:
        """The entry as a document."""
        told: dict[str, object] = {"description": "", "hypothesis": "", "owner": None, "retired_on": None}
        told["retired_because"] = None
        if self.spec is not None:
            dumped = self.spec.model_dump(mode="json")
            told = {key: dumped[key] for key in told}
        elif self.resolved is not None:
            told["description"] = self.resolved.spec.description
        return {
            "id": self.id,
            **told,
            "parent": self.spec.parent if self.spec else None,
            "line": list(self.line),
            "status": self.status,
            "priority": self.priority,
            "budget": self.budget.model_dump(mode="json"),
            "own": dict(self.spec.set) if self.spec else {},
            "set": dict(self.set),
            "variant_sha256": self.resolved.sha256 if self.resolved else None,
            "problem": None if self.problem is None else str(self.problem),
        }


@dataclass(frozen=True)
class Roster:
    """All arms of a study, the base first, then in the order of the file."""

    file: StudyFile
    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, path: str | Path) -> Roster:
        """Read a study and check every variant of it; what is wrong with one is kept with it.

        Raises:
            StudyError: If the study itself is wrong.
        """
        file = load_study(Path(path))
        base = Entry(BASE, None, (BASE,), {}, resolve(file, BASE), None)
        entries = [base, *(_entry(file, variant) for variant in file.spec.variants)]
        return cls(file, tuple(_twins_told(entries)))

    @property
    def name(self) -> str:
        """Of the study."""
        return self.file.spec.study

    @property
    def active(self) -> tuple[Entry, ...]:
        """The arms that train: the base and every active variant.

        Raises:
            InputError: If no variant is active: a zoo of one compares nothing, and silence would pass for work done.
        """
        found = tuple(entry for entry in self.entries if entry.status == "active")
        if len(found) < 2:
            declared = len(self.entries) - 1
            raise InputError(
                f"the roster is empty: none of {declared} variants is active" if declared else "the roster is empty",
                where=f"{self.file.document.path}: variants",
                hint="declare variants under `variants:`, or set `status: active`",
            )
        return found

    def entry(self, variant: str) -> Entry:
        """One arm.

        Raises:
            StudyError: If there is none of that id.
        """
        if variant != BASE:
            self.file.lineage(variant)
        return next(entry for entry in self.entries if entry.id == variant)

    def to_json(self) -> dict[str, object]:
        """The roster as a document."""
        variants = [entry.to_json() for entry in self.entries]
        return {"schema": SCHEMA, "study": self.name, "variants": variants}


def diff(one: Entry, other: Entry) -> dict[str, tuple[Any, Any]]:
    """Where two resolved arms differ, by dotted key: the values of both; a key that one has not is None there.

    Raises:
        HeldoutError: If one of them cannot be resolved.
    """
    sides = []
    for entry in (one, other):
        if entry.resolved is None:
            raise entry.problem or StudyError("it cannot be resolved", where=entry.id)
        sides.append(_leaves({part: entry.resolved.config[part] for part in IDENTITY}))
    mine, theirs = sides
    keys = sorted(mine | theirs)
    blocks = {key.rpartition(".")[0] for key in keys}  # an empty block differs by what the other one holds
    different = [key for key in keys if mine.get(key) != theirs.get(key) and key not in blocks]
    return {key: (mine.get(key), theirs.get(key)) for key in different}


def _entry(file: StudyFile, variant: VariantSpec) -> Entry:
    line = file.lineage(variant.id)
    overrides = {key: value for _, each in line for key, value in each.set.items()}
    resolved, problem = None, None
    try:
        resolved = checked(file, variant.id)
    except HeldoutError as error:
        problem = error
    return Entry(variant.id, variant, (BASE, *(each.id for _, each in line)), overrides, resolved, problem)


def checked(file: StudyFile, variant: str, opener: Opener = Champion.open) -> Resolved:
    """A variant with every override of its own shown to be allowed and to change what is trained.

    Raises:
        StudyError: Naming the first key that is not allowed, with those that are, or that changes nothing.
    """
    if variant == BASE:
        return resolve(file, BASE, opener)
    index, spec = file.lineage(variant)[-1]
    for key in spec.set:
        if key.partition(".")[0] not in IDENTITY:
            raise StudyError(
                f"the variant {variant!r} may not set `{key}`",
                where=file.document.where(("variants", index, "set", key)),
                hint=f"allowed: keys of {', '.join(IDENTITY)}; rules are the same for all",
            )
    resolved = resolve(file, variant, opener)
    for key in spec.set:
        if _identity_without(file, index, key) == resolved.sha256:
            raise StudyError(
                f"`{key}` of the variant {variant!r} changes nothing that is trained",
                where=file.document.where(("variants", index, "set", key)),
                hint="leave it out: a default is that already, or it says where and not what",
            )
    return resolved


def _identity_without(file: StudyFile, index: int, key: str) -> str | None:
    """The identity that a variant would have without one of its overrides; None where it needs that one."""
    variant = file.spec.variants[index]
    rest = {name: value for name, value in variant.set.items() if name != key}
    variants = list(file.spec.variants)
    try:
        if not rest:
            return resolve(file, variant.parent).sha256
        variants[index] = variant.model_copy(update={"set": rest})
        spec = file.spec.model_copy(update={"variants": variants})
        return resolve(replace(file, spec=spec), variant.id).sha256
    except HeldoutError:
        return None


def _twins_told(entries: Sequence[Entry]) -> list[Entry]:
    """Two arms of one identity are one arm under two names."""
    first: dict[str, str] = {}
    found = []
    for entry in entries:
        twin = first.setdefault(entry.resolved.sha256, entry.id) if entry.resolved else entry.id
        if twin != entry.id:
            what = f"the variant {entry.id!r} is {twin!r} under another name: nothing that is trained differs"
            problem = StudyError(what, where=f"variants: {entry.id}", hint="remove one, or change what it sets")
            found.append(replace(entry, resolved=None, problem=problem))
        else:
            found.append(entry)
    return found


def _leaves(value: Any, prefix: str = "") -> dict[str, object]:
    if isinstance(value, Mapping) and (value or not prefix):
        return {name: leaf for key in value for name, leaf in _leaves(value[key], f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): value}
