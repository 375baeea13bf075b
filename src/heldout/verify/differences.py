"""Where two documents differ by more than rounding, and a document of metrics without some of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

ROUNDING = 1e-9


class Difference(NamedTuple):
    """Where two JSON values differ.

    Attributes:
        place: Keys and numbers on the way, each after a slash.
        expected: What should stand there; None too if nothing should.
        found: What stands there; None too if nothing does.
    """

    place: str
    expected: Any
    found: Any


def first_difference(expected: Any, found: Any) -> str | None:
    """Where two JSON values differ by more than rounding; None if they do not."""
    different = difference(expected, found)
    return different.place if different else None


def difference(expected: Any, found: Any, place: str = "") -> Difference | None:
    """The first difference of two JSON values that is more than rounding, keys in order; None if there is none."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in sorted({*expected, *found}):
            inner = f"{place}/{key}"
            if key not in expected or key not in found:
                return Difference(inner, expected.get(key), found.get(key))
            different = difference(expected[key], found[key], inner)
            if different:
                return different
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return next((d for i, (e, f) in pairs if (d := difference(e, f, f"{place}/{i}"))), None)
    if isinstance(expected, float) and isinstance(found, float):
        same = abs(expected - found) <= ROUNDING * max(1.0, abs(expected))
    else:
        same = type(expected) is type(found) and expected == found
    return None if same else Difference(place or "/", expected, found)


def without(metrics: Mapping[str, Any], names: Collection[str]) -> dict[str, object]:
    """The document without some metrics, in every block of it."""
    if not names:
        return dict(metrics)

    def values(part: Any) -> Any:
        return {key: value for key, value in part.items() if key not in names}

    def block(part: Mapping[str, Any]) -> dict[str, object]:
        found = dict(part)
        flat = ("mean", "std", "min", "max", "pooled", "cells", "within_cell", "worst_group", "intervals")
        found |= {key: values(part[key]) for key in flat if key in part}
        found |= {k: {n: values(v) for n, v in part[k].items()} for k in ("folds", "groups") if k in part}
        if "slices" in part:
            found["slices"] = {c: {n: values(v) for n, v in each.items()} for c, each in part["slices"].items()}
        return found

    found = dict(metrics) | {"ensemble": block(metrics["ensemble"])}
    found |= {key: {name: block(each) for name, each in metrics[key].items()} for key in ("members", "baselines")}
    found["comparisons"] = {rival: values(each) for rival, each in metrics["comparisons"].items()}
    found["metrics"] = [each for each in metrics["metrics"] if each["name"] not in names]
    found["undefined"] = [each for each in metrics["undefined"] if each["where"].rpartition("/")[2] not in names]
    if "trivial" in metrics:
        known = metrics["trivial"]["contenders"]
        told = {}
        for name, each in known.items():
            gains = {rival: values(gain) for rival, gain in each["comparisons"].items()}
            told[name] = each | {"ensemble": block(each["ensemble"]), "comparisons": gains}
        found["trivial"] = dict(metrics["trivial"]) | {"contenders": told}
    return found
