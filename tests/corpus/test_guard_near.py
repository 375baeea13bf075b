"""HO-G003: copies of rows across groups are found through noise and in any order; chance is not taken for a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heldout.corpus import Corpus, CorpusManifest, Known, group_records
from heldout.corpus.guards import Finding, GuardResult
from heldout.corpus.guards.near import check_near
from heldout.corpus.guards.prints import shared_prints

SEEDS = st.integers(0, 2**32 - 1)


def corpus(X: Any, y: Any, names: Any, words: Any = None, prints: Any = None) -> Corpus:
    columns = {f"c{number}": X[:, number] for number in range(X.shape[1])}
    features = pl.DataFrame(columns if words is None else columns | {"word": words})
    groups, task = pl.Series("group", names), "regression" if np.asarray(y).dtype.kind == "f" else "classification"
    records = group_records(groups, features, y, "rows.csv")
    columns_of = tuple(features.columns)
    manifest = CorpusManifest("table", "rows.csv", "0" * 64, len(y), task, "y", columns_of, records)  # type: ignore[arg-type]
    return Corpus(groups.alias("sample_id"), groups, None, features, Known(y), manifest, prints=prints)


def near(X: Any, y: Any, names: Any, shared_rows: float = 0.1, **more: Any) -> GuardResult:
    return check_near(corpus(X, y, names, **more), shared_rows)


def found(result: GuardResult) -> Finding:
    (finding,) = result.findings
    assert ("HO-G003", True) == (finding.code, finding.blocking)
    return finding


def rows(seed: int, groups: int, size: int, columns: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(groups * size, columns)) * 10.0 ** rng.integers(-6, 6, columns)
    return X, rng.normal(size=len(X)), np.repeat([f"g{number}" for number in range(groups)], size)


# The same tables each time: of many seeds a few are missed, as test_guard_rates.py counts.
@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(3, 6), st.integers(20, 60), st.sampled_from([0.0, 1e-6, 1e-4]), st.floats(0.6, 1.0))
@example(58, 3, 20, 1e-4, 0.625)  # of 13 copies, the lines of one grid part four
def test_a_noisy_shuffled_part_of_another_group_is_found(
    seed: int, groups: int, size: int, noise: float, part: float
) -> None:
    """A clip that was exported again, trimmed and renamed, would show the answers of the held-out one."""
    X, y, names = rows(seed, groups, size)
    rng = np.random.default_rng(seed + 1)
    copies = rng.permutation(size)[: max(8, round(part * size))]
    X[size : size + len(copies)] = X[copies] + noise * X.std(axis=0) * rng.normal(size=(len(copies), X.shape[1]))
    y[size : size + len(copies)] = y[copies] + noise * rng.normal(size=len(copies))
    if noise == 0 and len(copies) == size:
        assert () == near(X, y, names).findings  # the same content: HO-G002 names it
    else:
        assert "g0, g1" == found(near(X, y, names)).where


# The same tables each time: of many seeds a few are beyond what chance allows.
@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(2, 8), st.integers(4, 80), st.integers(1, 5), st.integers(2, 30))
def test_rows_that_repeat_by_chance_are_no_copies(seed: int, groups: int, size: int, columns: int, levels: int) -> None:
    """A table of answers from one to five would be HOLD for ever."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, levels, (groups * size, columns)).astype(float)
    names = np.repeat([f"g{number}" for number in range(groups)], size)
    assert () == near(X, np.round(X.sum(axis=1) + rng.normal(size=len(X))), names).findings


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 2**32 - 1))
def test_the_order_of_rows_and_the_units_of_columns_change_nothing(seed: int, order: int) -> None:
    """The same corpus would be sound or leaky by how it is written down."""
    X, y, names = rows(seed, 3, 30)
    X[30:45] = X[:15] * (1 + 1e-9)
    y[30:45] = y[:15]
    shuffled = np.random.default_rng(order).permutation(len(y))
    units = 2.0 ** np.arange(-2, 2)  # powers of two, so that not even rounding differs
    plain, other = (
        found(near(*each)) for each in ((X, y, names), ((X * units)[shuffled], y[shuffled], names[shuffled]))
    )
    assert plain == other


def test_the_same_stimulus_under_two_subjects_is_no_copy() -> None:
    """A design in which each subject sees the same pictures would be refused though all answers differ."""
    rng = np.random.default_rng(0)
    stimuli = rng.normal(size=(40, 3))
    X, names = np.tile(stimuli, (5, 1)), np.repeat(list("abcde"), 40)
    assert () == near(X, np.tile(stimuli[:, 0], 5) + rng.normal(size=200), names).findings


def test_words_and_labels_tell_rows_apart() -> None:
    """Rows that differ in what is no number would count as copies; or a table without numbers be let through."""
    X, y, names = rows(0, 3, 30)
    X[30:60] = X[:30]
    y[30:60] = y[:30]
    apart = ["left"] * 30 + ["right"] * 60
    assert () == near(X, y, names, words=apart).findings
    labels = np.array([f"label{number % 30}" for number in range(90)])
    words = [f"word{number % 30 if number < 60 else number}" for number in range(90)]
    names[59] = "g2"
    assert "g0, g1" == found(near(np.zeros((90, 1)), labels, names, words=words)).where


def test_what_the_study_allows_is_allowed() -> None:
    """There would be no way out for a corpus whose groups rightly share rows."""
    X, y, names = rows(0, 3, 40)
    X[40:60], y[40:60] = X[:20], y[:20]
    assert "share 50% of their rows" in found(near(X, y, names)).what
    assert () == near(X, y, names, shared_rows=0.5).findings
    assert "NOT APPLICABLE" == near(X, y, names, shared_rows=1.0).state


def test_many_copies_of_one_group_are_all_seen() -> None:
    """Twenty noisy copies would hide each other, since what everybody has looks like chance."""
    X, y, _ = rows(0, 1, 50)
    rng = np.random.default_rng(1)
    X, y = np.tile(X, (20, 1)), np.tile(y, 20) + 1e-6 * rng.normal(size=1000)
    finding = found(near(X, y, np.repeat([f"g{number:02d}" for number in range(20)], 50)))
    assert "more pairs" in finding.what


def test_an_outlier_does_not_blur_the_rest() -> None:
    """One broken value of 1e15 would put all other rows into one cell, and hide a copy."""
    X, y, names = rows(0, 3, 40)
    X[40:80], y[40:80] = X[:40] * (1 + 1e-9), y[:40]
    X[100, 0] = 1e15
    assert "g0, g1" == found(near(X, y, names)).where


class TestPrints:
    """Perceptual hashes of media."""

    def test_likeness_is_a_matter_of_bits(self) -> None:
        """A re-encoded picture, a few bits off, would pass for another one."""
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 2**64, 30, dtype=np.uint64)
        flips = np.array(
            [sum(1 << int(bit) for bit in rng.choice(64, 7, replace=False)) for _ in hashes], dtype=np.uint64
        )
        other = rng.integers(0, 2**64, 30, dtype=np.uint64)
        shares = shared_prints({"a": hashes, "b": hashes[:15] ^ flips[:15], "c": other})
        assert {("a", "b"): 1.0} == shares

    @settings(max_examples=30, deadline=None)
    @given(SEEDS, st.integers(0, 12))
    def test_every_pair_within_seven_bits_is_found(self, seed: int, bits: int) -> None:
        """The short cut over bytes would lose likenesses that a comparison of all pairs finds."""
        rng = np.random.default_rng(seed)
        one = rng.integers(0, 2**64, 1, dtype=np.uint64)
        flip = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, bits, replace=False)))
        assert ({("a", "b"): 1.0} if bits <= 7 else {}) == shared_prints({"a": one, "b": one ^ flip})

    def test_media_block_where_rows_do_not(self) -> None:
        """A film that was encoded again under a new name has other scores, and would train beside its copy."""
        X, y, names = rows(0, 3, 30)
        rng = np.random.default_rng(0)
        prints = {name: rng.integers(0, 2**64, 20, dtype=np.uint64) for name in ("g0", "g1", "g2")}
        assert () == near(X, y, names, prints=prints).findings
        prints["g2"][:10] = prints["g0"][5:15]
        assert "share 50% of their frames, by perceptual hash" in found(near(X, y, names, prints=prints)).what


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_seconds() -> None:
    """The guard would cost more than the fits that it guards."""
    import time

    X, y, names = rows(0, 20, 5000, columns=20)
    started = time.perf_counter()
    assert () == near(X, y, names).findings
    assert time.perf_counter() - started < 10
