"""The rules of an evaluation, judged again from its metrics by the contract that the verdict names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heldout.documents.names import METRICS_FILE
from heldout.domains.embodied.contract.contracts import BUILT_IN, BackboneContract, parse_contract
from heldout.domains.embodied.contract.file_schemas import breaches
from heldout.domains.embodied.evaluate.books import rules_of
from heldout.domains.embodied.evaluate.held import held_rule
from heldout.domains.embodied.evaluate.sitting import registered_rule
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.policy.closed_loop import METRIC
from heldout.domains.embodied.score.files import CONTRACT_FILE
from heldout.domains.embodied.score.rules import NON_TRIVIAL, files_rule, judge, policy_sha256
from heldout.evidence import digest, read_json, read_plain
from heldout.gate import Policy
from heldout.gate.outcome import RuleOutcome
from heldout.ledger.declaration import policy_sha256 as policy_of_rules
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.differences import difference
from heldout.verify.evaluations import EvaluationEvidence

_FILES = "required_files"
_JUDGED = ("id", "bound", "outcome", "observed")


def contract_of(evidence: EvaluationEvidence) -> BackboneContract:
    """The contract that the verdict was given by: the one that is carried, or the built-in one of its digest.

    Raises:
        BrokenError: If another one is carried than the verdict names.
        NotCheckedError: If it is nowhere.
    """
    stated = evidence.verdict["judged"]["contract_sha256"]
    name = str(evidence.metrics["backbone"])
    known = BUILT_IN / f"{name}.json"
    if evidence.has(CONTRACT_FILE) and not evidence.changed(CONTRACT_FILE):
        carried = parse_contract(evidence.document(CONTRACT_FILE), evidence.folder / CONTRACT_FILE)
        if digest(dict(carried.config)) != stated:
            raise BrokenError("the verdict was given by another contract", "judged.contract_sha256")
        if carried.id != name:
            raise BrokenError(f"stated {name!r}; the contract is {carried.id!r}", f"{METRICS_FILE}: backbone")
        return carried
    if known.name in {path.name for path in BUILT_IN.glob("*.json")} and digest(read_json(known)) == stated:
        return parse_contract(read_json(known), known)
    lacking = "was published without private names" if evidence.has(CONTRACT_FILE) else "is not there"
    raise NotCheckedError(f"{CONTRACT_FILE} {lacking}, and no built-in contract has the digest that the verdict names")


def check_rules(evidence: EvaluationEvidence) -> str:
    """Every rule, judged again from the metrics by the contract, says what the verdict says; none is left out."""
    contract, stated = contract_of(evidence), evidence.verdict["rules"]
    primary, where = contract.config["primary_metrics"], evidence.verdict_file.name
    older = is_older(evidence, primary)
    closed = [METRIC] if METRIC in evidence.metrics["evidence"] else []
    outcomes = [one.to_json() for one in judge(evidence.metrics, [*primary, *closed], older=older)]
    outcomes += [one.to_json() for one in ([] if older else _of_books(evidence, contract))]
    files, withheld = _files_rule(evidence, contract)
    outcomes += [files.to_json()] if files else [rule for rule in stated if rule["id"] == _FILES][:1]
    for mine, theirs in zip(outcomes, stated, strict=False):
        _compare(mine, theirs, where)
    if len(outcomes) != len(stated):
        raise BrokenError(f"stated {len(stated)} rules; the contract gives {len(outcomes)}", f"{where}: rules")
    own = _unlike_built_in(contract)
    told = f"{len(outcomes) - bool(withheld)} rules judged again by the contract {contract.id}{own}: the same outcomes"
    return told + (f"; {_FILES} only attested: {withheld} is not published" if withheld else "")


def is_older(evidence: EvaluationEvidence, primary: Sequence[str]) -> bool:
    """Whether the verdict is of the gate before this one, which asked less.

    Raises:
        BrokenError: If it is of neither.
    """
    stated = evidence.verdict["judged"]["gate_sha256"]
    if stated == policy_sha256(primary):
        return False
    if stated != policy_sha256(primary, older=True):
        where = f"{evidence.verdict_file.name}: judged.gate_sha256"
        raise BrokenError("the verdict was given by another gate", where)
    return True


def check_non_trivial(evidence: EvaluationEvidence) -> str:
    """No contender that costs nothing would be promoted by the rules of the contract.

    Raises:
        NotCheckedError: Of an older verdict, which nobody asked this; with what would be said now.
    """
    contract = contract_of(evidence)
    primary = contract.config["primary_metrics"]
    closed = [METRIC] if METRIC in evidence.metrics["evidence"] else []
    found = next(one for one in judge(evidence.metrics, [*primary, *closed]) if one.id == NON_TRIVIAL)
    if is_older(evidence, primary):
        raise NotCheckedError(f"the verdict is of an older gate, which did not ask; asked now: {found.sentence}")
    return found.sentence


def _of_books(evidence: EvaluationEvidence, contract: BackboneContract) -> list[RuleOutcome]:
    """Rules that follow from what the verdict states of its index and its registration; other links look at those."""
    verdict, where = evidence.verdict, evidence.verdict_file.name
    found, shown = [], str(evidence.metrics["eval_split"]) in SEALED
    if verdict["evidence"] != "computed":
        held = verdict.get("held_out")
        if not isinstance(held, dict) or not {"why", "index_sha256"} <= set(held):
            raise BrokenError("it does not say which index shows what was held out", f"{where}: held_out")
        found, shown = [held_rule(held["why"], held["index_sha256"])], shown and held["index_sha256"] is not None
    if not shown:
        return found
    policy = policy_stated(evidence)
    if policy.sha256 != policy_of_rules(rules_of(contract)) or policy.rules_sha256 != digest(rules_of(contract)):
        raise BrokenError("the verdict was given by another policy", f"{where}: policy")
    return [*found, registered_rule(policy, evidence.metrics["smoke"])]


def policy_stated(evidence: EvaluationEvidence) -> Policy:
    """What the verdict says of its registration.

    Raises:
        BrokenError: If it says nothing that can be read.
    """
    where = f"{evidence.verdict_file.name}: policy"
    stated = evidence.verdict.get("policy")
    if not isinstance(stated, dict):
        raise BrokenError("it does not say by which registered rules it was given", where)
    try:
        return Policy.from_json(stated)
    except TypeError:
        raise BrokenError("it is no registration", where) from None


def _compare(mine: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    for key in _JUDGED:
        if difference(mine[key], theirs.get(key)) is not None:
            what = f"{key}: stated {theirs.get(key)!r}; judged again it is {mine[key]!r}"
            raise BrokenError(what, f"{where}: rule {mine['id']}")


def _files_rule(evidence: EvaluationEvidence, contract: BackboneContract) -> tuple[RuleOutcome | None, str | None]:
    """The rule of required files; or the file without which it cannot be judged again."""
    required = contract.artifacts["required_eval_files"]
    data = {name: read_plain(evidence.folder / name) for name in required if evidence.has(name)}
    lacking = [name for name in required if name not in data]
    if lacking and evidence.published:
        return None, lacking[0]
    broken = [str(one) for name in data for one in breaches(contract.config, name, data[name])]
    return files_rule(required, data, broken), None


def _unlike_built_in(contract: BackboneContract) -> str:
    """A remark where the contract that is carried is not the one of its id that is known here."""
    path = BUILT_IN / f"{contract.id}.json"
    known = path.is_file() and digest(read_json(path)) == digest(dict(contract.config))
    return "" if known else ", which is not a built-in one"
