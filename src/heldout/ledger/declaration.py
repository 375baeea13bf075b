"""What a study declares before it looks: gate, intervals, split, yardsticks; and whether another is stricter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from heldout.evidence import digest

SCHEMA = "heldout.rules/1"
CHAMPION = "champion"
_CHOSEN = frozenset({"fixed", "repeated"})  # and whatever reads a column, or is a class
# What tells one bound of a list from another, besides the number; an id is only its name.
_NAMES = ("id", "at_least", "above", "at_most", "why")


class Move(NamedTuple):
    """A champion that a registry put in the place of the one that was registered."""

    slot: str
    before: str
    after: str
    seq: int

    @property
    def sentence(self) -> str:
        """For the verdict."""
        return f"the champion of the slot {self.slot} moved from run {self.before} to {self.after} by event {self.seq}"


def policy_sha256(config: Any) -> str:
    """Digest of gate and intervals, by which a verdict names its policy."""
    return digest({"gate": config["gate"], "bootstrap": config["bootstrap"]})


def rules_of(config: Mapping[str, Any]) -> dict[str, object]:
    """The part of a locked configuration that decides, as one document."""
    return (
        {
            "schema": SCHEMA,
            "gate": config["gate"],
            "bootstrap": config["bootstrap"],
            "split": config["split"],
            "yardsticks": _yardsticks(config),
        }
        | _brought(config)
        | _weight(config)
        | _task(config)
        | _held_out(config)
    )


def _held_out(config: Mapping[str, Any]) -> dict[str, object]:
    """Of a model from elsewhere, by its digest, how it is known that it never saw these groups. Often none."""
    own = config.get("models", {}).get("")
    return {"held_out": {own["sha256"]: own["held_out"]}} if own else {}


def _brought(config: Mapping[str, Any]) -> dict[str, object]:
    """The metrics of the rules that are no built-in ones: function, direction, arguments, code. Often none."""
    named = {rule["metric"] for rule in config["gate"]["rules"]}
    found = [each for each in config.get("metrics", ()) if isinstance(each, Mapping) and each["name"] in named]
    return {"metrics": {each["name"]: dict(each) for each in found}} if found else {}


def _task(config: Mapping[str, Any]) -> dict[str, object]:
    """The task of a plug-in: its metrics are in every table, and its contenders are judged. Often none."""
    return {"task": config["task"]} if "task" in config else {}


def _weight(config: Mapping[str, Any]) -> dict[str, object]:
    """The column by which rows count. Often none; what stands in it is known by the groups of a look."""
    name = config["corpus"].get("weight")
    return {} if name is None else {"weight": name}


def axis_of(config: Mapping[str, Any]) -> str:
    """Digest of how a variant cuts its samples into groups and holds them out: what it is judged along."""
    cut = {key: value for key, value in config["corpus"].items() if key != "said"}  # which columns hold predictions
    return digest({"corpus": cut, "split": config["split"]})


def chooses(rules: Mapping[str, Any]) -> bool:
    """Whether the split of some rules holds out what somebody names or draws, and not what follows from the groups."""
    split = rules.get("split")
    if not isinstance(split, Mapping):
        return False
    kind = str(split.get("kind", ""))
    return kind in _CHOSEN or "." in kind or ":" in kind or "column" in split


def but_for_the_axis(rules: Mapping[str, Any]) -> dict[str, object]:
    """Rules as they are along every axis that a study declares."""
    return dict(rules) | {"split": None}


def with_code(rules: Mapping[str, Any], fit_code: Mapping[str, Any]) -> dict[str, object]:
    """Rules whose baselines are told by the user's own code too, where such code fits them.

    Args:
        rules: Of ``rules_of``.
        fit_code: By contender, what fits it, as in ``run.json``.
    """
    own = {name: code["user"] for name, code in fit_code.items() if name and code.get("user")}
    known = dict(rules["yardsticks"])
    told = {name: digest([known[name], own[name]]) for name in own if name in known}
    return dict(rules) | {"yardsticks": known | told}


def _yardsticks(config: Mapping[str, Any]) -> dict[str, object]:
    """What the rules measure gains against: baselines by digest, the champion by its run."""
    named = {rule["against"] for rule in config["gate"]["rules"] if rule.get("against")}
    found: dict[str, object] = {
        each["id"]: digest({key: value for key, value in each.items() if key != "id"})
        for each in config.get("baselines", ())
        if each["id"] in named
    }
    champion = config.get("champion")
    if CHAMPION in named and champion is not None:
        keys = ("run", "predictions_sha256", "slot", "event", "lineage")
        found[CHAMPION] = {key: champion[key] for key in keys if champion.get(key) is not None}
    return found


def compared(declared: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[bool, Move | None]:
    """Whether nothing is looser than in known rules, and the champion's move if a registry made one in between."""
    moved, same = _champions(declared["yardsticks"], known["yardsticks"])
    if not same or any(declared.get(key) != known.get(key) for key in ("split", "bootstrap", "weight", "task")):
        return False, None
    brought = declared.get("metrics", {})
    if any(brought.get(name) != metric for name, metric in known.get("metrics", {}).items()):
        return False, None
    for name, value in known["yardsticks"].items():
        if name != CHAMPION and declared["yardsticks"].get(name) != value:
            return False, None
    return _no_looser(declared["gate"], known["gate"]), moved


def _champions(declared: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Move | None, bool]:
    """A move that the registry's own history shows, and whether the champion is the one that was registered."""
    before, after = known.get(CHAMPION), declared.get(CHAMPION)
    if before is None or after is None:
        return None, before is None
    slot, event = after.get("slot"), before.get("event")
    if slot is not None and slot == before.get("slot") and event != after["event"]:
        moved = event["sha256"] in after["lineage"] and event["seq"] < after["event"]["seq"]
        return (Move(slot, before["run"], after["run"], after["event"]["seq"]), True) if moved else (None, False)
    return None, bool(before["predictions_sha256"] == after["predictions_sha256"])


def _no_looser(gate: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Every known bound is kept or tightened, and so is what else a gate asks; more rules are stricter."""
    if any(gate[key] < known[key] for key in ("min_groups", "min_seeds")):
        return False
    if set(known["requires"]) - set(gate["requires"]) or set(known["slices"]) - set(gate["slices"]):
        return False
    most, before = gate.get("max_attempts"), known.get("max_attempts")
    if before is not None and (most is None or most > before):
        return False
    if known["correct_for_attempts"] not in ("none", gate["correct_for_attempts"]):
        return False
    others = set(gate) | set(known)
    others -= {"rules", "min_groups", "min_seeds", "requires", "slices", "max_attempts", "correct_for_attempts"}
    if any(gate.get(key) != known.get(key) for key in others):  # what this code does not know, it cannot order
        return False
    return all(any(_keeps(rule, old) for rule in gate["rules"]) for old in known["rules"])


def _keeps(rule: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether one bound asks for at least as much as another, of the same number."""
    if {key: value for key, value in rule.items() if key not in _NAMES} != {
        key: value for key, value in old.items() if key not in _NAMES
    }:
        return False
    if "above" in old:
        return "above" in rule and bool(rule["above"] >= old["above"])
    if "at_least" in old:
        return bool(rule.get("at_least", rule.get("above", -math.inf)) >= old["at_least"])
    return "at_most" in rule and bool(rule["at_most"] <= old["at_most"])
