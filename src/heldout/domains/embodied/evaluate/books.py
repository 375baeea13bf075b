"""The books of an index: which windows were scored, by which rules. Evaluations of every family share them.

They are those of any study (``ledger.trials``, ``ledger.policy``), kept in the folder of the index, since that is what
is looked at: where the evaluation lies, which workspace the contract came from and how either is called change nothing.
Other indexes in the same folder, and those that evaluations near this one name, are asked too: whoever looked at a copy
of the windows looked at the windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heldout.documents.names import HOLD_FILE, LEDGER_FILE, POLICY_FILE, PROMOTE_FILE
from heldout.domains.embodied.contract.contracts import BUILT_IN, BackboneContract, load_contract
from heldout.domains.embodied.evaluate.plan import index_named
from heldout.domains.embodied.index.known import beside, whole_ledger
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.rules import COUNTS, FORM, GATE, JSON_VALIDITY, LEAST_EPISODES, policy_sha256
from heldout.domains.embodied.score.score import FAMILIES, INTERVALS, family_of
from heldout.errors import HeldoutError
from heldout.evidence import Link, digest, head, read_json
from heldout.ledger import targets
from heldout.ledger.books import Books
from heldout.ledger.history import Groups, History, records_named
from heldout.ledger.policy import Declared
from heldout.ledger.trials import read_ledger

SCHEMA = "heldout.evaluation-rules/1"
AMEND = "heldout eval amend INDEX --backbone ID --reason ..."
COMPARISONS = "comparisons"
"""Folder of the index that holds the books of comparisons."""
ASKS = {"predictions.jsonl": "answers", "future_predictions.jsonl": "futures", "policy_predictions.jsonl": "actions"}


def rules_of(contract: BackboneContract) -> dict[str, object]:
    """What of a contract decides, in the form of a study's rules: names and prose may change, this may not."""
    primary = [str(name) for name in contract.config["primary_metrics"]]
    rules: list[dict[str, object]] = [
        {"id": name, "metric": name, "against": "trivial", "at_least": 0.0}
        for name in primary
        if name not in (COUNTS, FORM)
    ]
    if FORM in primary:
        rules.append({"id": FORM, "metric": "json_validity_strict", "at_least": JSON_VALIDITY})
    required = [str(name) for name in contract.artifacts["required_eval_files"]]
    schemas = contract.config.get("file_schemas") or {}
    gate = {
        "gate": GATE,
        "rules": rules,
        "min_groups": LEAST_EPISODES,
        "min_seeds": 0,
        "requires": sorted(f"{name} {digest(schemas.get(name))}" for name in required),
        "slices": [],
        "max_attempts": None,
        "correct_for_attempts": "none",
    }
    split = {"kind": "declared", "held_out": "test", "asks": ASKS[family_of(contract)]}
    return {
        "schema": SCHEMA,
        "gate": gate,
        "bootstrap": INTERVALS.model_dump(mode="json"),
        "split": split,
        "yardsticks": {},
    }


@dataclass(frozen=True)
class IndexBooks(Books):
    """Ledger and registrations of one index, or of the comparisons on it, which lie in a folder of theirs.

    Attributes:
        index: Folder of the index.
        index_sha256: Digest of the index.
        near: A folder of evaluations: indexes that they name are asked too.
        silent: Whether a record says nothing against the rules at hand, by the folder that it is in.
    """

    index: Path
    index_sha256: str
    near: Path | None = None
    silent: Callable[[Path, Link], bool] = lambda study, link: False

    @property
    def head(self) -> str:
        """Digest of the last look."""
        return head(read_ledger(self.folder))

    def known(self) -> Iterator[History]:
        """What these books and all others near them say.

        Raises:
            TamperedError: If one does not hold, or an evaluation near it names a record that is missing.
        """
        part = self.folder.relative_to(self.index)
        if self.folder == self.index:
            own = whole_ledger(self.index)
            self._check_named(own)
        else:
            own = History.read(self.folder)
        yield self.relevant(own)
        for other in (index / part for index in sorted(self._others())):
            if any((other / name).exists() for name in (LEDGER_FILE, POLICY_FILE)):
                yield self.relevant(History.read(other))

    def still(self, verdict: Mapping[str, Any], contract: BackboneContract) -> bool:
        """Whether the books say the same of a verdict's rules now as when it was given; nothing is opened for it."""
        stated = verdict.get("policy")
        if not isinstance(stated, Mapping):
            return "trial" not in verdict
        look = next(
            (link.record for link in read_ledger(self.folder) if link.sha256 == verdict["trial"]["ledger_head"]), {}
        )
        if "groups_sha256" not in look:
            return False
        document = targets.read(self.folder, str(look["groups_sha256"]))
        groups = Groups(document, self.index_sha256, str(look["split_sha256"]))
        policy = self.policy(Declared(rules_of(contract), groups)).to_json()
        return all(policy[key] == stated.get(key) for key in ("registered", "registration", "amendments"))

    def relevant(self, history: History) -> History:
        """A history without the records that say nothing against the rules at hand."""
        looks, policies = (
            tuple(link for link in links if not self.silent(history.study, link))
            for links in (history.looks, history.policies)
        )
        return replace(history, looks=looks, policies=policies)

    def _others(self) -> set[Path]:
        """Other indexes: in the folder of this one, and those that evaluations near it name."""
        named = {index.resolve() for _, index in _evaluations(self.near)}
        return {*beside(self.index), *named} - {self.index.resolve()}

    def _check_named(self, own: History) -> None:
        """None of the records that evaluations near these books name may be missing."""
        for folder, index in _evaluations(self.near):
            for document in _verdicts(folder) if index.resolve() == self.index.resolve() else ():
                if self._is_of(document):
                    own.refuse_missing(records_named(document), f"the verdict of {folder.name}")

    def _is_of(self, document: Mapping[str, Any]) -> bool:
        """Whether a verdict was given over the index that lies here now."""
        judged = document.get("judged")
        return isinstance(judged, Mapping) and judged.get("index_sha256") == self.index_sha256


def books_of(source: IndexSource, contract: BackboneContract, near: Path | None = None) -> IndexBooks:
    """The books of an index, as they concern a contract."""
    mine, asks = policy_sha256(contract.config["primary_metrics"], older=True), ASKS[family_of(contract)]
    known = [
        each
        for each in map(load_contract, sorted(BUILT_IN.glob("*.json")))
        if any(name in FAMILIES for name in each.artifacts["required_eval_files"])
    ]
    others = [each.config["primary_metrics"] for each in known if ASKS[family_of(each)] != asks]
    fine = {mine, *(policy_sha256(primary, older=True) for primary in others)}
    chosen_before = digest(rules_of(contract)) in {digest(rules_of(each)) for each in known}

    def silent(study: Path, link: Link) -> bool:
        """Older looks under these rules; and of another question, if these rules are built in, so nobody chose them."""
        if "rules_sha256" not in link.record:
            return "gate_sha256" in link.record and link.record["gate_sha256"] in fine
        return chosen_before and targets.read(study, link.record["rules_sha256"])["split"].get("asks") != asks

    return IndexBooks(source.folder, source.folder, source.sha256, near, silent)


def _evaluations(near: Path | None) -> Iterator[tuple[Path, Path]]:
    """Evaluations in a folder, each with the index that it names."""
    if near is None or not near.is_dir():
        return
    for folder in sorted(path for path in near.iterdir() if path.is_dir()):
        index = index_named(folder)
        if index is not None:
            yield folder, index


def _verdicts(folder: Path) -> Iterator[Mapping[str, Any]]:
    for name in (PROMOTE_FILE, HOLD_FILE):
        try:
            document = read_json(folder / name)
        except HeldoutError:
            continue
        if isinstance(document, Mapping):
            yield document
