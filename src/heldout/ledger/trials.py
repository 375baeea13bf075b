"""The trial ledger: every look at held-out predictions, failures and smoke runs included.

One file a study, ``runs/<study>/trials.jsonl``: append-only, each record naming the one before it by digest. A record
that is edited, removed or put in later breaks the chain; a record at the end that is cut off is missed by the verdict
that names it. Judging the same predictions under the same policy again is no new look.

A look has two records: one before targets are opened, one that says what came of it. Whoever is killed in between, or
kills, has looked all the same.

A record names by sha256 what was seen, group by group (``ledger.targets``), and by which rules; documents that records
share lie in ``looks/``, each written once. It also names the head of the registrations beside it (``ledger.policy``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock

from heldout.documents.names import LEDGER_FILE
from heldout.errors import HeldoutError
from heldout.evidence import Link, append_link, read_chain, read_links

SCHEMA = "heldout.trial/1"
Outcome = Literal["PROMOTE", "HOLD", "FAILED", "OPENED"]
OPENED: Outcome = "OPENED"
Identity = tuple[str | None, str | None, str | None, str | None]
_VARIANT = ("variant_sha256", "corpus_sha256", "split_sha256", "user_code_sha256")
# Written only by looks that know them: older records, and evaluations, are without.
_OPTIONAL = ("groups_sha256", "rules_sha256", "policies_head", "axes", "axis", "elsewhere", "user_code_sha256",
             "older_split_sha256", "evidence_sha256", "opened")  # fmt: skip
_SAME = ("run", "outcome", "metrics_sha256", "gate_sha256", "groups_sha256", "rules_sha256", "policies_head")
_SAME_OPENING = ("variant_sha256", "evidence_sha256", "groups_sha256", "rules_sha256")


@dataclass(frozen=True)
class Look:
    """One look at held-out predictions.

    Attributes:
        run: Name of the run.
        variant: Id of the variant.
        variant_sha256: Digest of the resolved variant.
        corpus_sha256: Digest of the corpus.
        split_sha256: Digest of the split.
        gate_sha256: Digest of the policy that judged.
        seeds: Declared seeds.
        smoke: Why it was a smoke run, or None.
        outcome: The verdict; FAILED if there was nothing to judge; OPENED before targets are read for scoring.
        primary: Name and value of the ensemble's primary metric, pooled; None where there is none.
        metrics_sha256: Digest of ``metrics.json``; None for a failure.
        groups_sha256: Names the document of the groups that were scored.
        rules_sha256: Names the rules that the study declared.
        policies_head: Digest of the last registration at that moment.
        axes: How each variant of the study cuts and holds out, as digests.
        axis: That of them along which this look was taken.
        elsewhere: Variants of other studies in the folder of runs that had looked at these groups; None for none.
        user_code_sha256: Digest of the user's own code that is fitted; None where there is none.
        older_split_sha256: Digest of the same split in the schema in which an earlier look of this variant named it.
        evidence_sha256: Digest of the predictions that are scored, as their units name them.
        opened: Of an opening: by purpose, the number of groups whose targets were read, these included.
    """

    run: str
    variant: str
    variant_sha256: str
    corpus_sha256: str
    split_sha256: str
    gate_sha256: str
    seeds: Sequence[int]
    smoke: str | None
    outcome: Outcome
    primary: Mapping[str, Any] | None
    metrics_sha256: str | None
    groups_sha256: str | None = None
    rules_sha256: str | None = None
    policies_head: str | None = None
    axes: Sequence[str] | None = None
    axis: str | None = None
    elsewhere: int | None = None
    user_code_sha256: str | None = None
    older_split_sha256: str | None = None
    evidence_sha256: str | None = None
    opened: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, object]:
        """The look as its record states it."""
        axes = None if self.axes is None else list(self.axes)
        found = asdict(self) | {"seeds": list(self.seeds), "axes": axes}
        return {key: value for key, value in found.items() if key not in _OPTIONAL or value is not None}


@dataclass(frozen=True)
class Trial:
    """What a verdict says of the ledger.

    Attributes:
        attempt: This variant is the k-th that looked at these groups; variants of other studies count.
        of: Distinct variants that had looked when the verdict was given, this one included.
        looks: Looks in the ledger up to this one.
        ledger_head: Digest of this look's record.
    """

    attempt: int
    of: int
    looks: int
    ledger_head: str

    def to_json(self) -> dict[str, object]:
        """The block ``trial`` of a verdict."""
        return asdict(self)


class Ledger:
    """The ledger of one study, held for as long as a run counts itself, is judged and is written down."""

    def __init__(self, study: Path) -> None:
        """Name the study's folder of runs."""
        self._study, self._path = study, study / LEDGER_FILE
        self._lock = FileLock(study / f".{LEDGER_FILE}.lock")

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    @property
    def locked(self) -> bool:
        """Whether this process holds it."""
        return self._lock.is_locked

    def attempt(self, identity: Identity, elsewhere: int = 0) -> int:
        """The place that this variant has, or will have, among the variants that looked.

        Args:
            identity: What makes two looks looks of one variant.
            elsewhere: Variants of other studies that looked at these groups; what was written down at a look stays.
        """
        entries = read_links(self._path)
        variants = list(dict.fromkeys(variant_key(entry.record) for entry in entries))
        place = variants.index(identity) if identity in variants else len(variants)
        known = _elsewhere(entries, identity)
        return place + 1 + (elsewhere if known is None else known)

    def last_look(self, run: str) -> tuple[Trial, Mapping[str, Any]] | None:
        """Where the last look of a run stands, and its record; None if it was never counted here."""
        entries = read_links(self._path)
        mine = _judged(entries, run)
        return (trial_at(entries, mine[-1]), entries[mine[-1]].record) if mine else None

    def open(self, look: Look) -> None:
        """Write down that targets are about to be read, unless these predictions were scored under these rules."""
        entries = read_links(self._path)
        record = self._counted(look, entries)
        last = next((entry.record for entry in reversed(entries) if entry.record.get("run") == look.run), None)
        if last is None or any(last.get(key) != record.get(key) for key in _SAME_OPENING):
            append_link(self._path, SCHEMA, record)

    def record(self, look: Look) -> Trial:
        """Append a look, unless the run's last record says the same, and say where it stands."""
        entries = read_links(self._path)
        mine = _judged(entries, look.run)
        record = self._counted(look, entries)
        if mine and all(entries[mine[-1]].record.get(key) == record.get(key) for key in _SAME):
            return trial_at(entries, mine[-1])
        entries.append(append_link(self._path, SCHEMA, record))
        return trial_at(entries, len(entries) - 1)

    def _counted(self, look: Look, entries: Sequence[Link]) -> dict[str, object]:
        """The record of a look, with what was counted of other studies when its variant looked first."""
        record = look.to_json()
        known = _elsewhere(entries, variant_key(record))
        return record if known is None else replace(look, elsewhere=known or None).to_json()


def read_ledger(study: Path) -> list[Link]:
    """Every record, in order.

    Raises:
        TamperedError: At the first record that does not name the one before it.
        InputError: At a line that is no record.
    """
    return read_chain(study / LEDGER_FILE)


def trial_at(entries: Sequence[Link], place: int) -> Trial:
    """Where the record at ``place`` stands among the records up to it."""
    variants = list(dict.fromkeys(variant_key(entry.record) for entry in entries[: place + 1]))
    mine = variants.index(variant_key(entries[place].record)) + 1
    more = int(entries[place].record.get("elsewhere", 0))
    looks = len(looks_of(entries[: place + 1]))
    return Trial(attempt=mine + more, of=len(variants) + more, looks=looks, ledger_head=entries[place].sha256)


def looks_of(entries: Sequence[Link]) -> list[Link]:
    """One record a look: what came of it, or its opening where nobody knows."""
    found: list[Link] = []
    after: set[str] = set()  # runs whose next record says what came of an opening
    for entry in reversed(entries):
        run, opening = str(entry.record.get("run")), entry.record.get("outcome") == OPENED
        if not (opening and run in after):
            found.append(entry)
        (after.discard if opening else after.add)(run)
    return found[::-1]


def _judged(entries: Sequence[Link], run: str) -> list[int]:
    """Places of the records of a run that say what came of a look."""
    return [
        place
        for place, entry in enumerate(entries)
        if entry.record.get("run") == run and entry.record["outcome"] != OPENED
    ]


def _elsewhere(entries: Sequence[Link], key: Identity) -> int | None:
    """What was counted of other studies when a variant looked first; None if it saw no truth yet."""
    looks = (entry.record for entry in entries if variant_key(entry.record) == key)
    return next((int(each.get("elsewhere", 0)) for each in looks if each["outcome"] != "FAILED"), None)


def variant_key(record: Mapping[str, Any]) -> Identity:
    """What makes two looks looks of one variant: configuration, corpus, split, and the user's own code."""
    variant, corpus, split, code = (record.get(key) for key in _VARIANT)
    return variant, corpus, record.get("older_split_sha256") or split, code


def older_split(runs: Path, variant: str, corpus: str, split_sha256: str, same: Callable[[str], bool]) -> str | None:
    """The digest by which looks of before name the split at hand; None where no look of this variant does.

    Args:
        runs: Folder of all studies' runs.
        variant: Digest of the variant.
        corpus: Digest of the corpus.
        split_sha256: Digest of the split, as it is now.
        same: Whether another digest is of the same split.
    """
    for path in sorted(runs.glob(f"*/{LEDGER_FILE}")):
        with suppress(HeldoutError):  # what is wrong with a ledger is said where looks are counted
            for link in read_links(path):
                named = str(link.record.get("older_split_sha256") or link.record["split_sha256"])
                mine = (link.record["variant_sha256"], link.record["corpus_sha256"]) == (variant, corpus)
                if mine and named != split_sha256 and same(named):
                    return named
    return None
