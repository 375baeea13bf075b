"""What a look saw, by group: a digest of each group's targets, and a sketch by which most of them are known again.

The digest covers the sorted multiset of canonical values (float64 bits with -0.0 as 0.0, or NFC text) and nothing
else: features, names, the order of rows, the file and the study may be called as they like. It changes with a single
row, so a sketch goes with it: the smallest hashes of those values that no other group of the corpus has. Labels and
ratings have hardly any such values; there, pairs of a target and a feature's value take their place.

Of several targets each has a digest and a sketch of its own: who looks at one of them again, alone or beside others,
is known again. Where rows have weights, a digest of the pairs of target and weight stands beside that of the targets.
Weights are no part of what a group is: the same targets with other weights are the same group, judged by other rules.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus import Corpus
from heldout.corpus.manifest import column_words
from heldout.errors import TamperedError
from heldout.evidence import canonical, loads, read_plain, sha256_bytes, write_bytes

SCHEMA = "heldout.looks/1"
FOLDER = "looks"
# Above this share of values that several groups have, a value says little about whose it is.
TELLING = 0.25
# Hashes that are kept of a group; fewer where there are very many groups, so that a look stays a few megabytes.
_KEPT, _FEWEST, _ALL_GROUPS = 64, 8, 65_536
# Pairs of a target and a feature's value that are looked at; above it a sample of them, the same one in every corpus.
_MOST_PAIRS = 4_000_000
# A group of more values than this is known again by its sketch or not at all; of fewer, by how often each comes.
_FEW_VALUES = 32
_TOP = 2**64 - 1
Words = NDArray[np.uint64]


class GroupTargets(TypedDict, total=False):
    """What is kept of one group."""

    rows: int
    targets: str
    times: dict[str, int]
    weights: str
    tied: bool
    content: str
    weighted: str
    values: str
    pairs: str


class TargetsDocument(TypedDict):
    """What is kept of a look: groups by name; of several targets the same of each, and the groups as of the first."""

    schema: str
    groups: dict[str, GroupTargets]
    shared: NotRequired[float]
    pairs_below: NotRequired[str]
    each: NotRequired[list[TargetsDocument]]


def group_targets(corpus: Corpus, groups: Collection[str]) -> TargetsDocument:
    """What the ledger keeps of a look at some groups of a corpus, as one document."""
    contents = {record.id: record.content for record in corpus.manifest.groups}
    weighted = {record.id: record.sha256 for record in corpus.manifest.groups} if corpus.weighted else None
    return targets_document(
        corpus.groups,
        corpus.truth.at(),
        groups,
        features=corpus.features,
        contents=contents,
        weighted=weighted,
        weight=corpus.weights(),
        whole=True,
    )


def targets_document(
    names: pl.Series,
    target: NDArray[Any],
    groups: Collection[str],
    *,
    features: pl.DataFrame | None = None,
    contents: Mapping[str, str] | None = None,
    weighted: Mapping[str, str] | None = None,
    weight: NDArray[np.float64] | None = None,
    whole: bool = False,
) -> TargetsDocument:
    """The document of some groups.

    Args:
        names: Group of each row.
        target: Target of each row; of several ``[rows, outputs]``.
        groups: Those that were scored.
        features: The features, where they are known.
        contents: Digest of each group's rows, features and all but weights, where it is known.
        weighted: Digest of each group's rows with their weights, the same.
        weight: How much each row counts; None where all count alike.
        whole: Whether these rows are the whole corpus: only then is it known which values no other group has.
    """
    if target.ndim > 1:
        each = [
            targets_document(
                names, column, groups, features=features, contents=contents, weighted=weighted, weight=weight,
                whole=whole,
            )
            for column in target.T
        ]  # fmt: skip
        return {"schema": SCHEMA, "groups": each[0]["groups"], "each": each}
    order = sorted(set(groups))
    known = names.unique().sort()
    by_code = {name: number for number, name in enumerate(known)}
    codes = names.replace_strict(known, pl.Series(range(len(known)), dtype=pl.Int64)).to_numpy()
    words = canonical_words(target)
    entries: dict[str, GroupTargets] = {name: {} for name in order}
    for name, rows in _rows(codes, by_code, order):
        values = np.sort(words[rows])
        entries[name] = {"rows": len(values), "targets": hashlib.sha256(values.tobytes()).hexdigest()}
        few, times = np.unique(values, return_counts=True)
        if len(few) <= _FEW_VALUES:
            entries[name]["times"] = {f"{value:016x}": int(count) for value, count in zip(few, times, strict=True)}
        if weight is not None:
            entries[name]["weights"] = _weights_digest(words[rows], weight[rows])
            entries[name]["tied"] = len(few) < len(values)  # then weights may change places among equal targets
        if contents is not None:
            entries[name]["content"] = contents[name]
        if weighted is not None:
            entries[name]["weighted"] = weighted[name]
    document: TargetsDocument = {"schema": SCHEMA, "groups": entries}
    if whole:
        most = full_sketch(len(order))
        own, shared = _own(codes, _mixed(words))
        document["shared"] = round(shared, 6)
        _keep(entries, "values", by_code, _smallest(own, most))
        if shared > TELLING and features is not None:
            pairs, below = _pairs(codes, words, features)
            document["pairs_below"] = f"{below:016x}"
            _keep(entries, "pairs", by_code, _smallest(_own(*pairs)[0], most))
    return document


def _weights_digest(words: Words, weight: NDArray[np.float64]) -> str:
    """Of the multiset of pairs of a target and its weight, whatever the order of rows."""
    pairs = np.stack([words, column_words(pl.Series(weight))], axis=1)
    return hashlib.sha256(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].tobytes()).hexdigest()


def of_each(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The documents of each of several targets; of one target itself."""
    return document.get("each") or [document]


def full_sketch(groups: int) -> int:
    """Hashes of a full sketch in a document of so many groups; one of fewer hashes holds all that its group has."""
    return max(_FEWEST, min(_KEPT, _ALL_GROUPS // max(1, groups)))


def canonical_words(target: NDArray[Any]) -> Words:
    """Eight bytes a target: float64 bits, or a digest of the NFC text."""
    column = pl.Series(target)
    if column.dtype == pl.String:
        texts = column.unique()
        column = column.replace_strict(texts, pl.Series([unicodedata.normalize("NFC", text) for text in texts]))
    return column_words(column)


def unpacked(text: str) -> Words:
    """The hashes of a sketch, ascending."""
    return np.frombuffer(base64.b64decode(text), dtype=">u8").astype(np.uint64)


def store(study: Path, document: Mapping[str, Any]) -> str:
    """Write a document beside the ledgers, once, under the sha256 that records name it by; return that."""
    data = canonical(dict(document))
    sha256 = sha256_bytes(data)
    path = place(study, sha256)
    if not path.is_file() or read_plain(path) != data:
        write_bytes(path, data)
    return sha256


def read(study: Path, sha256: str) -> dict[str, Any]:
    """The document that a record names.

    Raises:
        TamperedError: If it is missing, or not the one that was named.
    """
    path = place(study, sha256)
    data = read_plain(path) if path.is_file() else None
    if data is None or sha256_bytes(data) != sha256:
        raise TamperedError(
            "a document that the ledger names is " + ("missing" if data is None else "not the one that was written"),
            where=str(path),
            hint="put the file back from a copy of the folder: it says which groups were looked at, by which rules",
        )
    found: dict[str, Any] = loads(data, where=str(path))
    return found


def place(study: Path, sha256: str) -> Path:
    """Where a document lies."""
    return study / FOLDER / f"{sha256}.json"


def _rows(
    codes: NDArray[np.int64], by_code: Mapping[str, int], order: list[str]
) -> list[tuple[str, NDArray[np.int64]]]:
    """Row numbers of each of some groups, in one sort."""
    ranked = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[ranked], np.arange(len(by_code) + 1))
    return [(name, ranked[starts[by_code[name]] : starts[by_code[name] + 1]]) for name in order]


def _own(codes: NDArray[np.int64], hashes: Words) -> tuple[tuple[NDArray[np.int64], Words], float]:
    """Group and hash of each value that only one group has, and the share of the values that several have."""
    order = np.lexsort((codes, hashes))
    hashes, codes = hashes[order], codes[order]
    fresh = np.ones(len(hashes), dtype=bool)  # the first of each pair of a hash and a group
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (codes[1:] != codes[:-1])
    hashes, codes = hashes[fresh], codes[fresh]
    _, first, groups = np.unique(hashes, return_index=True, return_counts=True)
    alone = first[groups == 1]
    return (codes[alone], hashes[alone]), float(np.mean(groups > 1)) if len(groups) else 0.0


def _smallest(own: tuple[NDArray[np.int64], Words], most: int) -> tuple[NDArray[np.int64], Words]:
    """The smallest hashes of each group, by group and then ascending."""
    codes, hashes = own
    order = np.lexsort((hashes, codes))
    codes, hashes = codes[order], hashes[order]
    rank = np.arange(len(codes)) - np.searchsorted(codes, codes)
    return codes[rank < most], hashes[rank < most]


def _keep(
    entries: Mapping[str, GroupTargets],
    key: Literal["values", "pairs"],
    by_code: Mapping[str, int],
    found: tuple[NDArray[np.int64], Words],
) -> None:
    codes, hashes = found
    starts = np.searchsorted(codes, np.arange(len(by_code) + 1))
    for name, entry in entries.items():
        kept = hashes[starts[by_code[name]] : starts[by_code[name] + 1]]
        entry[key] = base64.b64encode(kept.astype(">u8").tobytes()).decode()


def _pairs(
    codes: NDArray[np.int64], words: Words, features: pl.DataFrame
) -> tuple[tuple[NDArray[np.int64], Words], int]:
    """Group and hash of each pair of a target and a feature's value, and the bound below which all of them are."""
    total = len(words) * max(1, features.width)
    below = _TOP if total <= _MOST_PAIRS else int(_TOP * (_MOST_PAIRS / total))
    target, found, groups = _mixed(words), [], []
    for name in features.columns:
        hashes = _mixed(column_words(features[name]) ^ target)
        kept = hashes <= np.uint64(below)
        found.append(hashes[kept])
        groups.append(codes[kept])
    empty = np.zeros(0, dtype=np.uint64)
    return (np.concatenate([np.zeros(0, np.int64), *groups]), np.concatenate([empty, *found])), below


def _mixed(words: Words) -> Words:
    """Hashes that are spread evenly, whatever the values are (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = words + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
