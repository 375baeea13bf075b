"""What a slot asks of a version before it may serve: the level of its evidence, and links that must have held.

By default the models were fitted here (or come from elsewhere, were gated and asked here), and the run was verified
with its corpus at hand: whoever replaces predictions and mends every digest is found by nothing less. A slot may ask
for more, or for less; either is an event of the history.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from heldout.errors import InputError
from heldout.gate.verdict import LEVELS
from heldout.registry import lookup
from heldout.registry.chain import Event
from heldout.registry.journal import Note, append
from heldout.registry.store import Registry
from heldout.registry.vouched import Vouched

# What can be asked for, and the links of the chain that it stands for.
ASKED: dict[str, tuple[str, ...]] = {
    "corpus": ("corpus-file", "guards", "weights"),
    "refit": ("refit",),
    "signature": ("signature",),
    "ledger": ("ledger",),
}
# A model from elsewhere is admitted only where its checkpoint gate held.
_GATE_OF_ASKED = "model-gate"
_WAYS = {
    "corpus": "give it: `heldout registry promote VERSION --corpus FILE`",
    "refit": "train again: `heldout registry promote VERSION --corpus FILE --refit`",
    "signature": "sign the run by `heldout sign`, then `heldout registry promote VERSION --key PUBLIC`",
    "ledger": "add the run where the study's trials.jsonl lies beside it",
}


@dataclass(frozen=True)
class Admission:
    """What a slot asks of a version.

    Attributes:
        levels: Levels of evidence that may serve.
        links: What must have held: see ``ASKED``.
        key_sha256: Of the public key whose signature counts; None if none is asked for.
    """

    levels: tuple[str, ...] = ("fitted", "asked")
    links: tuple[str, ...] = ("corpus",)
    key_sha256: str | None = None

    @classmethod
    def of(cls, stored: Any) -> Admission:
        """An admission as an event holds it; the default where no event does."""
        if stored is None:
            return cls()
        return cls(tuple(stored["levels"]), tuple(stored["links"]), stored["key_sha256"])

    def to_json(self) -> dict[str, object]:
        """The admission as a document."""
        return {"levels": list(self.levels), "links": list(self.links), "key_sha256": self.key_sha256}

    def sentence(self) -> str:
        """For people."""
        return f"evidence {' or '.join(self.levels)}; verified links: {', '.join(self.links) or 'the files alone'}"

    def lacking(self, level: str, known: Sequence[Vouched]) -> list[str]:
        """What a version lacks, a sentence each with what to do; empty if it may serve."""
        holding = frozenset[str]().union(*(each.holding for each in known))
        found = []
        if level not in self.levels:
            found.append(f"the evidence is {level!r}, the slot admits {' or '.join(self.levels)}")
        elif level == "asked" and _GATE_OF_ASKED not in holding:
            found.append("the model comes from elsewhere and no checkpoint gate held")
        for name in self.links:
            missing = [link for link in ASKED[name] if link not in holding]
            if missing:
                first = ASKED[name][0] in missing
                way = _WAYS[name] if first else "verify it where what it needs is installed"
                found.append(f"{name} not verified ({missing[0]}: {_why(missing[0], known)}): {way}")
        signed = {each.key_sha256 for each in known if "signature" in each.holding}
        if "signature" in self.links and "signature" in holding and self.key_sha256 not in signed:
            found.append(f"the signature is of another key than the slot asks for: {_WAYS['signature']}")
        return found


def admission_of(registry: Registry, slot: str) -> Admission:
    """What a slot asks for; the default if nobody said."""
    with registry.database.reading() as connection:
        return Admission.of(lookup.admission_at(connection, lookup.need_slot(slot)))


def set_admission(
    registry: Registry, slot: str, wanted: Admission, *, by: str | None = None, reason: str | None = None
) -> Event:
    """Let a slot ask for something else from now on; who serves already is not touched.

    Raises:
        InputError: If it asks for something that does not exist, asks for less without a reason, or changes nothing.
    """
    _check(wanted)
    note = Note(registry.now(), by, reason)
    with registry.database.writing() as connection:
        now = Admission.of(lookup.admission_at(connection, lookup.need_slot(slot)))
        if wanted == now:
            raise InputError(
                f"the slot {slot!r} asks for just this already", where=f"slot {slot}", hint="nothing to do"
            )
        if _looser(wanted, now) and not (reason or "").strip():
            raise InputError(
                f"the slot {slot!r} would ask for less than now ({now.sentence()})",
                where="--reason",
                hint='say why, for the history: --reason "..."',
            )
        return append(connection, "admission", None, {}, note, slot=slot, admission=wanted.to_json())


def _check(wanted: Admission) -> None:
    for option, names, known in (("--levels", wanted.levels, LEVELS), ("--links", wanted.links, tuple(ASKED))):
        wrong = [f"unknown name {name!r}" for name in names if name not in known]
        wrong += [f"{name!r} is named twice" for name in known if names.count(name) > 1]
        if wrong:
            raise InputError(wrong[0], where=option, hint=f"names are: {', '.join(known)}")
    if not wanted.levels:
        raise InputError("a slot that admits no level admits nothing", where="--levels", hint="write --levels fitted")
    if ("signature" in wanted.links) != (wanted.key_sha256 is not None):
        raise InputError(
            "a signature and the key that it is verified with are asked for together",
            where="--links",
            hint="add --key PUBLIC to `--links ...,signature`: any signature would do otherwise",
        )


def _looser(wanted: Admission, now: Admission) -> bool:
    more = set(wanted.levels) - set(now.levels)
    return bool(more or set(now.links) - set(wanted.links) or now.key_sha256 not in (None, wanted.key_sha256))


def _why(link: str, known: Collection[Vouched]) -> str:
    """The last reason why a link was not looked at."""
    reasons = [each.why[link] for each in known if link in each.why]
    return reasons[-1] if reasons else "not recorded"
