"""Two rules of models from elsewhere: the checkpoint gate held, and the judged groups were held out of training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heldout.gate.outcome import RuleOutcome

GATED, HELD_OUT = "gated", "held-out"
_ATTESTED = "it is attested, and not shown"
_SHOWN = 5
# Content of groups is compared by digest, which says something only where the same columns went into it.
_COLUMNS = ("reader", "target", "task")


@dataclass(frozen=True)
class AskedModel:
    """What a judge must know of a model from elsewhere.

    Attributes:
        findings: Sentences of its checkpoint gate; None if it has none.
        says: How the groups were held out, as somebody attests it; None if nobody does.
        trained_on: The manifest of its training corpus; None if nobody named one.
        corpus: The manifest of the corpus that is judged.
        judged: Groups that are held out.
        given: Whether there is nothing of it but its predictions, so that no gate can look at it.
    """

    findings: tuple[str, ...] | None
    says: str | None
    trained_on: Mapping[str, Any] | None
    corpus: Mapping[str, Any]
    judged: Collection[str]
    given: bool = False


def asked_rules(model: AskedModel | None) -> list[RuleOutcome]:
    """Both rules, of predictions the second one; none where the models were fitted here."""
    if model is None:
        return []
    return [*([] if model.given else [_gated(model.findings)]), _held_out(model)]


def is_gated(verdict: Mapping[str, Any]) -> bool:
    """Whether a verdict says that the checkpoint gate of its model held."""
    return any(rule["id"] == GATED and rule["outcome"] == "PASS" for rule in verdict["rules"])


def attested_of(rules: Sequence[Mapping[str, Any] | RuleOutcome]) -> str | None:
    """How the groups were held out, where a verdict takes somebody's word for it; None where it does not."""
    for each in rules:
        rule = each.to_json() if isinstance(each, RuleOutcome) else each
        if rule["id"] == HELD_OUT and rule["outcome"] == "PASS" and str(rule["sentence"]).startswith(_ATTESTED):
            return str(rule["sentence"])
    return None


def _gated(findings: Sequence[str] | None) -> RuleOutcome:
    bound = "at_most 0"
    if findings is None:
        sentence = "the backbone has no checkpoint gate (`check_model`): nobody looked at the model before it was asked"
        return RuleOutcome(GATED, "UNKNOWN", None, bound, sentence)
    if findings:
        return RuleOutcome(GATED, "FAIL", len(findings), bound, f"the checkpoint gate found: {'; '.join(findings)}")
    return RuleOutcome(GATED, "PASS", 0, bound, "the checkpoint gate found nothing in the model")


def _held_out(model: AskedModel) -> RuleOutcome:
    bound = "shown or attested"
    if model.says is not None:
        sentence = f"{_ATTESTED}, that the model never saw these groups: {model.says}"
        return RuleOutcome(HELD_OUT, "PASS", None, bound, sentence)
    if model.trained_on is None:
        sentence = (
            "nothing shows that the model never saw these groups: name what it was trained on "
            "(`fit.held_out.trained_on`), or say how they were held out (`fit.held_out.says`)"
        )
        return RuleOutcome(HELD_OUT, "UNKNOWN", None, bound, sentence)
    if _file(model.trained_on) is not None and _file(model.trained_on) == _file(model.corpus):
        sentence = "the model was trained on the very file that is judged, whatever its groups were called there"
        return RuleOutcome(HELD_OUT, "FAIL", len(model.judged), bound, sentence)
    shared = _shared(model.trained_on["groups"], model.corpus["groups"], model.judged)
    if shared:
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        sentence = f"the model was trained on groups that are judged: {', '.join(shared[:_SHOWN])}{more}"
        return RuleOutcome(HELD_OUT, "FAIL", len(shared), bound, sentence)
    other = _other_columns(model.trained_on, model.corpus)
    if other:
        sentence = f"names show no group in common, and content cannot be compared: {other}"
        return RuleOutcome(HELD_OUT, "UNKNOWN", 0, bound, sentence)
    sentence = (
        f"none of the {len(model.judged)} judged groups is among the {len(model.trained_on['groups'])} that the model "
        "was trained on, by name or by content"
    )
    return RuleOutcome(HELD_OUT, "PASS", 0, bound, sentence)


def _file(manifest: Mapping[str, Any]) -> Any:
    """Digest of a corpus' file, whatever it was grouped by."""
    return (manifest.get("facts") or {}).get("file_sha256", manifest.get("sha256"))


def _shared(
    trained: Sequence[Mapping[str, Any]], corpus: Sequence[Mapping[str, Any]], judged: Collection[str]
) -> list[str]:
    """Judged groups that were trained on, each with the name that it had there if that was another."""
    names = {str(each["id"]) for each in trained}
    contents = {str(each["sha256"]): str(each["id"]) for each in trained}
    found = []
    for group in corpus:
        name, content = str(group["id"]), str(group["sha256"])
        if name not in judged:
            continue
        if name in names:
            found.append(name)
        elif content in contents:
            found.append(f"{name} (as {contents[content]})")
    return found


def _other_columns(trained: Mapping[str, Any], corpus: Mapping[str, Any]) -> str:
    """What makes digests of groups incomparable, in words; empty if nothing does."""
    if not trained["groups"]:
        return "the training corpus names no group"
    if trained.get("weight") or corpus.get("weight"):
        return "rows have weights, which are a part of it"
    for key in _COLUMNS:
        if trained.get(key) != corpus.get(key):
            return f"its {key} is {trained.get(key)!r} there, and {corpus.get(key)!r} here"
    if set(map(str, trained.get("features") or ())) != set(map(str, corpus["features"])):
        return "its features are other ones there"
    return ""
