"""The ledgers of a folder of runs, read together: whoever renames a study does not rename what it looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from heldout.documents.names import HOLD_FILE, LEDGER_FILE, POLICY_FILE, PROMOTE_FILE, RUN_FILE
from heldout.errors import HeldoutError, TamperedError
from heldout.evidence import START, Link, read_chain, read_json
from heldout.ledger import targets
from heldout.ledger.seen import Match, match
from heldout.ledger.trials import Identity, looks_of, read_ledger, variant_key
from heldout.ledger.weighed import compare_weights


@dataclass(frozen=True)
class History:
    """Looks and registrations of one study, in order.

    Attributes:
        study: Its folder of runs.
        looks: Records of ``trials.jsonl``.
        policies: Records of ``policies.jsonl``.
    """

    study: Path
    looks: tuple[Link, ...]
    policies: tuple[Link, ...]

    @classmethod
    def read(cls, study: Path) -> History:
        """Both chains.

        Raises:
            TamperedError: If a chain does not hold, or a record names one that is not there.
            InputError: At a line that is no record.
        """
        found = cls(study, tuple(read_ledger(study)), tuple(read_chain(study / POLICY_FILE)))
        found._check_names()
        return found

    @classmethod
    def whole(cls, study: Path) -> History:
        """Both chains, compared with the verdicts beside them too: none of what these name may be missing.

        Raises:
            TamperedError: If a ledger is missing or shortened.
        """
        found = cls.read(study)
        for name, document in _verdicts(study):
            found.refuse_missing(records_named(document), f"the verdict of {name}")
            policy = document.get("policy")
            if isinstance(policy, Mapping) and policy.get("registered") and not found.policies:
                raise _shortened(study, POLICY_FILE, f"the verdict of {name}")
        return found

    def refuse_missing(self, named: Iterable[tuple[str, object]], by: str) -> None:
        """None of the records that a document names may be missing.

        Args:
            named: File and digest of each record.
            by: The document, for the complaint.

        Raises:
            TamperedError: If one is: a ledger is missing or shortened.
        """
        looks, policies = self.heads
        for name, record in named:
            if record not in (looks if name == LEDGER_FILE else policies):
                raise _shortened(self.study, name, by)

    def __bool__(self) -> bool:
        """Whether anything was written down."""
        return bool(self.looks or self.policies)

    def until(self, looks: int, policies_head: str) -> History:
        """The history as it was before a look, when a registration was the last one."""
        places = [place for place, link in enumerate(self.policies, start=1) if link.sha256 == policies_head]
        return History(self.study, self.looks[:looks], self.policies[: places[0] if places else 0])

    @cached_property
    def heads(self) -> tuple[set[str], set[str]]:
        """Digests of all looks and of all registrations."""
        return {link.sha256 for link in self.looks}, {START, *(link.sha256 for link in self.policies)}

    @property
    def policies_head(self) -> str:
        """Digest of the last registration."""
        return self.policies[-1].sha256 if self.policies else START

    def _check_names(self) -> None:
        """Each file names records of the other; one that is named and not there was taken away."""
        policies = self.heads[1]
        for link in self.looks:
            if link.record.get("policies_head", START) not in policies:
                raise _shortened(self.study, POLICY_FILE, LEDGER_FILE)
        places = {link.sha256: place for place, link in enumerate(self.looks, start=1)} | {START: 0}
        for number, link in enumerate(self.policies, start=1):
            place = places.get(str(link.record["ledger_head"]))
            if place is None:
                raise _shortened(self.study, LEDGER_FILE, POLICY_FILE)
            if link.record["looks"] != self._counted(link.record, place):
                raise TamperedError(
                    f"the record counts {link.record['looks']} looks before it; the ledger has another number",
                    where=f"{self.study / POLICY_FILE}:{number}",
                    hint="put the file back as it was written",
                )

    def _counted(self, record: Mapping[str, Any], place: int) -> int:
        """Looks before a registration: all of them, or, in older records, those at its corpus file."""
        if "rules_sha256" in record:
            return len(looks_of(self.looks[:place]))
        return sum(link.record["corpus_sha256"] == record["corpus_sha256"] for link in self.looks[:place])


@dataclass(frozen=True)
class Groups:
    """The groups of a run, and which of them any record is about.

    Attributes:
        document: Of ``targets.group_targets``.
        corpus_sha256: Digest of the corpus, by which older records name it.
        split_sha256: Digest of the split, the same.
        same_split: Whether another digest is of the same split, in the schema of an older record.
        elsewhere: The same groups as ledgers beside the corpus know them, by the folder of such a ledger.
    """

    document: Mapping[str, Any]
    corpus_sha256: str
    split_sha256: str
    same_split: Callable[[str], bool] | None = None
    elsewhere: Mapping[Path, Groups] = field(default_factory=dict, compare=False)
    _known: dict[tuple[Path, str], Match] = field(default_factory=dict, compare=False)
    _weighed: dict[tuple[Path, str], tuple[bool, bool]] = field(default_factory=dict, compare=False)

    def matched(self, study: Path, record: Mapping[str, Any]) -> Match:
        """Which of these groups a record is about.

        Raises:
            TamperedError: If the document that it names is not there, or not the one.
        """
        if study in self.elsewhere:
            return self.elsewhere[study].matched(study, record)
        named = record.get("groups_sha256")
        if named is None:
            same = record["corpus_sha256"] == self.corpus_sha256
            every = {name: name for name in self.document["groups"]} if same else {}
            return Match(every, recut=same and not self._is_mine(record["split_sha256"]), of=len(every))
        key = (study, str(named))
        if key not in self._known:
            self._known[key], self._weighed[key] = self._compared(targets.read(study, str(named)))
        return self._known[key]

    def _compared(self, theirs: Mapping[str, Any]) -> tuple[Match, tuple[bool, bool]]:
        """Which groups are common, and whether they weighed otherwise; of several targets, any by which they are."""
        pairs = [(mine, other) for mine in targets.of_each(self.document) for other in targets.of_each(theirs)]
        found = [match(mine, other) for mine, other in pairs]
        nearest = max(range(len(pairs)), key=lambda place: len(found[place].seen))
        weighed = compare_weights(found[nearest].seen, *(each["groups"] for each in pairs[nearest]))
        seen = {name: known for each in found for name, known in each.seen.items()} | dict(found[nearest].seen)
        again = tuple(name for name in found[nearest].reappeared if name not in seen)
        return replace(found[nearest], seen=seen, reappeared=again), weighed

    def _is_mine(self, split_sha256: str) -> bool:
        known = split_sha256 == self.split_sha256
        return known or (self.same_split is not None and self.same_split(split_sha256))

    def reweighted(self, study: Path, record: Mapping[str, Any]) -> bool:
        """Whether rows of these groups counted otherwise in what a record is about.

        Of groups that were cut otherwise no digest is the same; there the corpus file says it, by its bytes.
        """
        if study in self.elsewhere:
            return self.elsewhere[study].reweighted(study, record)
        seen, named = self.matched(study, record).seen, record.get("groups_sha256")
        if named is None:  # of before there were weights
            return any("weights" in self.document["groups"][name] for name in seen)
        alike, otherwise = self._weighed[study, str(named)]
        return alike or (otherwise and record["corpus_sha256"] != self.corpus_sha256)

    def registrations(self, history: History) -> list[Link]:
        """The registrations of a study that are about any of these groups, in order."""
        return [link for link in history.policies if self.matched(history.study, link.record).seen]


def histories(study: Path) -> Iterator[History]:
    """Those of all studies in the same folder of runs, this one first.

    Raises:
        TamperedError: If one of them does not hold: what was looked at cannot be known then.
    """
    yield History.whole(study)
    runs = study.parent
    others = sorted(path for path in runs.iterdir() if path.is_dir() and path != study) if runs.is_dir() else []
    for other in others:
        if (other / LEDGER_FILE).exists() or (other / POLICY_FILE).exists() or next(_verdicts(other), None):
            yield History.whole(other)


def records_named(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The look and the registration that a verdict names, each with its file; older ones name less."""
    trial, policy = document.get("trial"), document.get("policy")
    if isinstance(trial, Mapping):
        yield LEDGER_FILE, trial.get("ledger_head")
    if isinstance(policy, Mapping) and policy.get("head") is not None:
        yield POLICY_FILE, policy["head"]


def tried_elsewhere(known: Sequence[History], groups: Groups, identity: Identity) -> int:
    """Variants of other studies that looked at most of these groups, or whose groups are mostly among these.

    Whoever renames a study, or tries on a part of the groups, does not try anew.

    Args:
        known: Ledgers of a folder of runs, that of the study at hand first.
        groups: Those at hand.
        identity: That of the variant at hand.
    """
    own, *others = known
    mine = {identity, *(variant_key(link.record) for link in own.looks)}
    found = {
        variant_key(link.record)
        for history in others
        for link in history.looks
        if link.record["outcome"] != "FAILED" and _mostly(groups.matched(history.study, link.record), groups)
    }
    return len(found - mine)


def _mostly(found: Match, groups: Groups) -> bool:
    """Whether most of the groups of either side are common."""
    here, there = len(groups.document["groups"]), found.of
    return bool(found.seen) and (2 * len(found.seen) >= here or 2 * len({*found.seen.values()}) >= there)


def _verdicts(study: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The verdict of each run that was made here; what cannot be read is the business of that run."""
    folders = sorted(study.iterdir()) if study.is_dir() else []
    for folder in folders:
        for name in (PROMOTE_FILE, HOLD_FILE):
            if not (folder / name).is_file():
                continue
            try:
                run, document = read_json(folder / RUN_FILE), read_json(folder / name)
                if (run["run"], run["study"]) != (folder.name, study.name):
                    continue  # a copy from elsewhere, counted there
            except (HeldoutError, OSError, KeyError, TypeError):
                continue
            if isinstance(document, Mapping):
                yield folder.name, document


def _shortened(study: Path, name: str, by: str) -> HeldoutError:
    path = study / name
    there = path.is_file()
    what = f"{name} lacks a record that {by} names" if there else f"{name} is missing, and {by} names a record of it"
    return TamperedError(
        what,
        where=str(path),
        hint="put the file back from a copy: without it nobody knows what was looked at. A run folder that came from "
        "elsewhere belongs into another folder of runs",
    )
