"""Pre-registration: rules, split and yardsticks are written down before anybody looks at the groups that they judge.

One file a study, ``runs/<study>/policies.jsonl``: append-only and hash-chained as the trial ledger, whose head each
record names. The first run registers what its study declares, before it fits anything. From then on those groups are
judged by it, or by something stricter, whatever file, study or features they come with; anything else needs an
amendment with a reason, and without one the verdict is HOLD. All ledgers of the folder of runs are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from heldout.documents.names import POLICY_FILE
from heldout.errors import InputError
from heldout.evidence import START, Link, append_link, digest, head, read_chain
from heldout.gate import Policy
from heldout.ledger import targets
from heldout.ledger.declaration import Move, but_for_the_axis, chooses, compared, policy_sha256
from heldout.ledger.history import Groups, History, histories
from heldout.ledger.trials import Ledger, looks_of, read_ledger

SCHEMA = "heldout.policy/1"
# How a registration came about without a reason: nobody had looked; the same rules stood elsewhere; tightened; a
# registry moved the champion.
Why = Literal["first", "same", "stricter", "moved"]
_MANY = 3


@dataclass(frozen=True)
class Declared:
    """What a run is judged by, and on which groups.

    Attributes:
        rules: Of ``declaration.rules_of``.
        groups: The held-out groups.
        axis: Along which they were cut and held out.
        axes: Those of all variants that the study declares: they are registered together.
    """

    rules: Mapping[str, Any]
    groups: Groups
    axis: str = ""
    axes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the rules."""
        return digest(self.rules)

    @property
    def policy_sha256(self) -> str:
        """Digest of gate and intervals."""
        return policy_sha256(self.rules)


class Ground(NamedTuple):
    """What lets rules be registered without a reason; if nothing does, ``why`` is None and ``against`` forbids it."""

    why: Why | None
    move: Move | None = None
    against: str | None = None

    @property
    def sentence(self) -> str:
        """For whoever plans a run."""
        match self.why:
            case "first":
                return "nobody looked at these groups yet: the first run that is no smoke run registers these rules"
            case "same":
                return "these rules are registered"
            case "stricter":
                return "no bound is looser than what is registered: the run registers these rules and counts the change"
            case "moved" if self.move is not None:
                return f"{self.move.sentence}: the run registers that"
        return (
            f"these groups were looked at under other rules ({self.against}): restore them, or give the reason with "
            "`heldout gate amend STUDY --reason ...`"
        )


def register(held: Ledger, study: Path, declared: Declared, known: Sequence[History] | None = None) -> None:
    """Write rules down if nothing forbids it and they are not written down yet.

    Args:
        held: The trial ledger, so that no look can come in between.
        study: Folder of the study's runs.
        declared: What the run at hand is judged by.
        known: Ledgers that are asked, this study's first; all of its folder of runs by default.
    """
    assert held.locked
    known = list(histories(study)) if known is None else known
    if _mine(known[0], declared) is None:
        ground = ground_of(known, declared)
        if ground.why is not None:
            _append(study, declared, why=ground.why, move=ground.move)


def amend(study: Path, declared: Declared, reason: str, ask: Callable[[], Iterable[History]] | None = None) -> Policy:
    """Allow changed rules, for a reason.

    Args:
        study: Folder of the study's runs.
        declared: The rules, and the groups that they judge.
        reason: Why they changed.
        ask: Gives the ledgers that are asked, this study's first; all of its folder of runs by default.

    Raises:
        InputError: Without a reason, or if there is nothing to amend.
    """
    if len(reason.split()) < 2:
        raise InputError("an amendment needs a reason", where="--reason", hint="say in a sentence why it changed")
    ask = ask or partial(histories, study)
    with Ledger(study):
        known = list(ask())
        if _mine(known[0], declared) is not None:
            raise InputError(
                "these rules are already registered", where=str(study / POLICY_FILE), hint="run the study: they decide"
            )
        if ground_of(known, declared).why == "first":
            raise InputError(
                "nothing was registered for these groups, and nobody looked at them",
                where=str(study / POLICY_FILE),
                hint="run the study: its rules are registered by the first run",
            )
        _append(study, declared, reason=reason)
        return policy_of(list(ask()), declared)


def policy_of(known: Sequence[History], declared: Declared) -> Policy:
    """What the ledgers say of declared rules; the study's own history comes first."""
    own = known[0]
    mine = _mine(own, declared)
    about = [link.record for link in declared.groups.registrations(own)]
    against = None if mine is not None else ground_of(known, declared).against
    return Policy(
        sha256=declared.policy_sha256,
        registered=mine is not None,
        registered_at=mine.record["ts"] if mine else None,
        amendments=tuple(_reasons(about)),
        rules_sha256=declared.sha256,
        registration=mine.sha256 if mine else None,
        head=own.policies_head,
        against=against,
        notes=(
            *_of_records(about),
            *(note for each in known[1:] for note in _of_amendments(each, declared)),
            *(note for each in known for note in _of_looks(each, declared, own=each is own)),
        ),
    )


def may_decide(known: Sequence[History], declared: Declared) -> Ground:
    """Whether a run under these rules can PROMOTE: they are registered, or would be.

    Args:
        known: Ledgers that are asked, that of the study at hand first.
        declared: Its rules, and the groups that they judge.
    """
    return Ground("same") if _mine(known[0], declared) is not None else ground_of(known, declared)


def read_policies(study: Path) -> list[dict[str, Any]]:
    """Every record, in order.

    Raises:
        TamperedError: At the first record that does not name the one before it.
    """
    return [link.record for link in read_chain(study / POLICY_FILE)]


def ground_of(known: Sequence[History], declared: Declared) -> Ground:
    """Why rules may be registered without a reason, if they may."""
    said = _said_otherwise(known, declared)
    if said is not None:
        return said
    against, stricter = None, None
    registered = [(history.study, link.record) for history in known for link in declared.groups.registrations(history)]
    for study, record in registered:
        if _same(record, declared, study):
            return Ground("same")
        ground = _no_looser(record, declared, study)
        stricter = stricter or ground
        weighed = ", with other weights" if declared.groups.reweighted(study, record) else ""
        against = against or f"registered for the study {study.name} on {record['ts'][:10]}{weighed}"
    if registered:
        return stricter or Ground(None, against=against)
    return _another_test_set(known, declared) or _ground_of_looks(known, declared)


def registered_too_late(
    then: History, registration: str | None, declared: Declared, asked: Callable[[History], History] = lambda each: each
) -> int | None:
    """Number of a registration without a reason that stands after a look, and is not stricter than what stood there.

    Args:
        then: The history up to the look at hand.
        registration: Digest of its record.
        declared: What it declares.
        asked: What of a history is asked.
    """
    places = {link.sha256: place for place, link in enumerate(then.looks, start=1)} | {START: 0}
    for number, link in enumerate(then.policies):
        if link.sha256 == registration and link.record["reason"] is None:
            last = then.policies[number - 1].sha256 if number else START
            before = asked(then.until(places[str(link.record["ledger_head"])], last))
            if ground_of([before], declared).why is None:
                return number + 1
    return None


def _said_otherwise(known: Sequence[History], declared: Declared) -> Ground | None:
    """What forbids another word on how groups were held out of the same model, once it was scored on some of them."""
    for sha256, said in declared.rules.get("held_out", {}).items():
        for history in known:
            for record in (link.record for link in history.looks if link.record.get("rules_sha256")):
                before = targets.read(history.study, str(record["rules_sha256"])).get("held_out", {})
                if before.get(sha256, said) != said and declared.groups.matched(history.study, record).seen:
                    what = f"how these groups were held out of the model was stated otherwise by run {record['run']}"
                    return Ground(None, against=what)
    return None


def _another_test_set(known: Sequence[History], declared: Declared) -> Ground | None:
    """What forbids a test set that somebody chose when another one of the same corpus had been scored."""
    if not chooses(declared.rules):
        return None
    for history in known:
        for record in (link.record for link in history.looks if link.record["outcome"] != "FAILED"):
            same_file = record["corpus_sha256"] == declared.groups.corpus_sha256
            if not same_file or "rules_sha256" not in record or declared.axis in record.get("axes", ()):
                continue
            if chooses(targets.read(history.study, str(record["rules_sha256"]))):
                what = f"other groups of this corpus were scored by run {record['run']}: the test set was changed"
                return Ground(None, against=what)
    return None


def _ground_of_looks(known: Sequence[History], declared: Declared) -> Ground:
    """Nothing is registered: what was declared when these groups were first looked at still binds, in every study."""
    found: list[Ground] = []
    for history in known:
        for link in history.looks:
            seen = declared.groups.matched(history.study, link.record).seen
            if not seen or link.record["outcome"] == "FAILED":
                continue
            if _same(link.record, declared, history.study):
                found.append(Ground("first"))
            else:
                what = "a smoke run" if link.record["smoke"] else "run"
                against = (
                    f"{len(seen)} groups were scored by {what} {link.record['run']} of the study {history.study.name}"
                )
                found.append(_no_looser(link.record, declared, history.study) or Ground(None, against=against))
            break
    return next((each for each in found if each.why is None), found[0] if found else Ground("first"))


def _mine(own: History, declared: Declared) -> Link | None:
    """The study's own registration of exactly these rules."""
    about = declared.groups.registrations(own)
    return next((link for link in about if _same(link.record, declared, own.study)), None)


def _same(record: Mapping[str, Any], declared: Declared, study: Path) -> bool:
    """Whether a registration or a look was under exactly these rules, over groups that were cut like these.

    Or cut as a variant that the study had declared by then: who judges one model by film and by encoder says so before.
    """
    if _chosen_otherwise(record, declared, study) or declared.groups.reweighted(study, record):
        return False
    if declared.axis and record.get("axis") == declared.axis and declared.groups.matched(study, record).recut:
        return False  # the same words, and other groups: a column that was shuffled, rows that were left out
    if "rules_sha256" in record and declared.axis in record.get("axes", ()):
        known = targets.read(study, str(record["rules_sha256"]))
        return but_for_the_axis(known) == but_for_the_axis(declared.rules)
    if declared.groups.matched(study, record).recut:
        return False
    if "rules_sha256" in record:
        return bool(record["rules_sha256"] == declared.sha256)
    if "policy_sha256" in record:
        return bool(record["policy_sha256"] == declared.policy_sha256)
    return "groups_sha256" not in record and bool(record["gate_sha256"] == digest(declared.rules["gate"]))


def _chosen_otherwise(record: Mapping[str, Any], declared: Declared, study: Path) -> bool:
    """Whether the same words of a split that somebody chooses held out other groups then.

    A column, a class of one's own and a draw by names do not say which groups they hold out: their block stays as it
    is, and what is scored changes.
    """
    if "rules_sha256" not in record or not chooses(declared.rules):
        return False
    if targets.read(study, str(record["rules_sha256"])).get("split") != declared.rules["split"]:
        return False  # declared as another variant, or refused as other words
    found = declared.groups.matched(study, record)
    return bool(found.seen) and not len(found.seen) == found.of == len(declared.groups.document["groups"])


def _no_looser(record: Mapping[str, Any], declared: Declared, study: Path) -> Ground | None:
    if "rules_sha256" not in record or declared.groups.matched(study, record).recut:
        return None
    if _chosen_otherwise(record, declared, study) or declared.groups.reweighted(study, record):
        return None
    known = targets.read(study, str(record["rules_sha256"]))
    fine, move = compared(declared.rules, known)
    if not fine:
        return None
    return Ground("moved" if move else "same" if declared.rules["gate"] == known["gate"] else "stricter", move)


def _append(
    study: Path, declared: Declared, *, why: Why | None = None, move: Move | None = None, reason: str | None = None
) -> None:
    looks = read_ledger(study)
    read_chain(study / POLICY_FILE)  # nothing is written behind a broken record
    record = {
        "corpus_sha256": declared.groups.corpus_sha256,
        "split_sha256": declared.groups.split_sha256,
        "policy_sha256": declared.policy_sha256,
        "rules_sha256": targets.store(study, declared.rules),
        "groups_sha256": targets.store(study, declared.groups.document),
        "axes": list(declared.axes),
        **({"axis": declared.axis} if declared.axis else {}),  # an evaluation has none
        "why": why or "amended",
        "moved": move.sentence if move else None,
        "reason": reason,
        "looks": len(looks_of(looks)),
        "ledger_head": head(looks),
    }
    append_link(study / POLICY_FILE, SCHEMA, record)


def _of_records(about: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was registered without a reason, and counted."""
    stricter = sum(record.get("why") == "stricter" for record in about)
    found = [f"bounds were made stricter {_times(stricter)} after a look"] if stricter else []
    return found + [str(record["moved"]) for record in about if record.get("moved")]


def _reasons(about: Sequence[Mapping[str, Any]]) -> list[str]:
    """The reasons that were given for changed rules."""
    return [str(record["reason"]) for record in about if record["reason"] is not None]


def _of_amendments(other: History, declared: Declared) -> list[str]:
    """What another study gave as reasons for changed rules over these groups: a new name does not drop them."""
    reasons = "; ".join(_reasons([link.record for link in declared.groups.registrations(other)]))
    return [f"rules were amended in the study {other.study.name}, with reasons: {reasons}"] if reasons else []


def _of_looks(history: History, declared: Declared, *, own: bool) -> list[str]:
    """Names that reappear with other targets, and groups that were scored before and are not now."""
    again: set[str] = set()
    gone: set[str] = set()
    for sha256 in dict.fromkeys(str(link.record.get("groups_sha256", "")) for link in history.looks):
        if not sha256:
            continue
        found = declared.groups.matched(history.study, {"groups_sha256": sha256})
        again |= set(found.reappeared)
        if own and found.seen and not found.recut:
            gone |= set(targets.read(history.study, sha256)["groups"]) - set(found.seen.values())
    where = "" if own else f" in the study {history.study.name}"
    if not own and 2 * len(again) < len(declared.groups.document["groups"]):
        again = set()  # a few names in common say nothing about another study
    notes = []
    if again:
        notes.append(f"names reappear with other targets than at an earlier look{where}: {_some(again)}")
    if gone:
        notes.append(f"groups were scored before and are not scored now: {_some(gone)}")
    return notes


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _some(names: set[str]) -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(sorted(names)[:_MANY]) + more
