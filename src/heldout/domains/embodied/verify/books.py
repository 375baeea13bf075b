"""The registration of an evaluation, where its index still lies: what its books said when it was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heldout.documents.names import LEDGER_FILE, POLICY_FILE
from heldout.domains.embodied.evaluate.books import books_of, rules_of
from heldout.domains.embodied.index.known import named_groups
from heldout.domains.embodied.score.score import Row
from heldout.domains.embodied.verify.index import index_of
from heldout.domains.embodied.verify.rules import contract_of, is_older, policy_stated
from heldout.ledger import targets
from heldout.ledger.history import Groups, History
from heldout.ledger.policy import Declared, policy_of, registered_too_late
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.evaluations import EvaluationEvidence

_ANSWERS = "predictions.jsonl"
_STATED = ("sha256", "rules_sha256", "registered", "registered_at", "registration", "amendments", "head")


def check_registration(evidence: EvaluationEvidence, family: str, rows: Sequence[Row]) -> str:
    """The rules were written down in the books of the index as the verdict says, before the look that it names.

    Raises:
        BrokenError: If they were not.
        NotCheckedError: If the index is not there, or nothing was registered for these windows.
    """
    contract = contract_of(evidence)
    if is_older(evidence, contract.config["primary_metrics"]):
        raise NotCheckedError("the verdict is of an older gate, for which nobody registered rules")
    if "trial" not in evidence.verdict:
        raise NotCheckedError("no rules are registered for windows that are not sealed, or without an index")
    source, where = index_of(evidence), f"{evidence.verdict_file.name}: policy"
    history, head = History.read(source.folder), evidence.verdict["trial"]["ledger_head"]
    place = [link.sha256 for link in history.looks].index(head)  # the link `look` found it there
    look = history.looks[place].record
    document = targets.read(source.folder, str(look.get("groups_sha256")))
    if family == _ANSWERS and evidence.metrics["smoke"] is None:
        _compare_groups(document, rows)
    stated, declared = policy_stated(evidence), Declared(rules_of(contract), Groups(document, source.sha256, ""))
    if look["rules_sha256"] != declared.sha256 or look["policies_head"] != stated.head:
        raise BrokenError("the ledger names other rules for this look", f"{LEDGER_FILE}:{place + 1}")
    books, then = books_of(source, contract), history.until(place, str(stated.head))
    known = policy_of([books.relevant(then)], declared)
    if any(getattr(known, key) != getattr(stated, key) for key in _STATED):
        raise BrokenError("the rules were written down otherwise", where)
    late = registered_too_late(then, stated.registration, declared, books.relevant)
    if late is not None:
        what = "rules were registered without a reason, after a look at these windows"
        raise BrokenError(what, f"{POLICY_FILE}:{late}")
    if not stated.registered:
        return "the rules were not registered when these windows were looked at, as the verdict says"
    return f"registered {stated.registered_at}; amended {len(stated.amendments)} times"


def _compare_groups(document: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """The episodes that the ledger names are those of the rows, by what these say is true."""
    mine = named_groups([(str(row["episode_id"]), row["true_json"]) for row in rows])["groups"]
    for name in sorted({*mine, *document["groups"]}):
        ours, theirs = mine.get(name), document["groups"].get(name, {})
        if (ours["targets"] if ours else None) != theirs.get("targets"):
            raise BrokenError(f"the ledger names other answers for {name!r}", LEDGER_FILE)
