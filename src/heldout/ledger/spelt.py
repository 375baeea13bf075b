"""Labels that are numbers, under one word, however they are spelt: ``1``, ``1.0``, or the number itself.

A table of labels that is written in another form, or a target that is read as a number instead of a label, holds the
same targets. What a look keeps of a label is a hash of its text, so the hashes of such spellings are looked up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from heldout.ledger.targets import canonical_words

_LEAST, _MOST = -100, 1000  # of whole numbers, and halves between them, that labels are


def by_number(groups: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Groups of a document, with the counts and the digest of their labels as those of numbers.

    A group that has other labels, or too many to be counted, stays as it is.
    """
    known = _numbers()
    if not any(word in known for entry in groups.values() for word in entry.get("times", ())):
        return groups
    return {name: _translated(entry, known) for name, entry in groups.items()}


def _translated(entry: Mapping[str, Any], known: Mapping[str, str]) -> Mapping[str, Any]:
    times = entry.get("times", {})
    if not any(word in known for word in times):
        return entry
    counts: Counter[str] = Counter()
    for word, count in times.items():
        counts[known.get(word, word)] += count
    ordered = sorted(counts.items())
    words = np.repeat(np.array([int(word, 16) for word, _ in ordered], np.uint64), [count for _, count in ordered])
    return {**entry, "times": dict(ordered), "targets": hashlib.sha256(words.tobytes()).hexdigest()}


@cache
def _numbers() -> Mapping[str, str]:
    """The word of a number, by the word of each text that spells it."""
    values = np.arange(_LEAST, _MOST + 0.5, 0.5)
    whole = values[values == np.floor(values)]
    texts = [*map(str, values.tolist()), *(str(int(value)) for value in whole)]
    spelt = canonical_words(pl.Series(texts).to_numpy().astype(str))
    meant = canonical_words(np.concatenate([values, whole]))
    return {f"{text:016x}": f"{number:016x}" for text, number in zip(spelt.tolist(), meant.tolist(), strict=True)}
