"""The random streams of all engines: a number depends on its seed and its place, never on who asks or when.

Three streams hang on a job's seed: first weights, the permutation of each epoch, the dropout mask of each step. Every
draw is a pure function of (seed, place), so chunks, workers, resume and the choice of engine change nothing.

Permutations and first weights take raw words of Philox (Salmon et al. 2011), whose output numpy fixes for good. Masks
need a random word for each hidden unit in each step, so they take a hash of 32 bits that fits vector registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_WEIGHTS, _EPOCHS = 1, 2  # one Philox key a purpose
_MASK64 = (1 << 64) - 1

# Multipliers of the mask hash: the finalizers of splitmix64 (Steele et al. 2014) and of lowbias32 (Wellons 2018).
GOLDEN = 0x9E3779B97F4A7C15
MIX_A, MIX_B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
HASH_A, HASH_B = 0x7FEB352D, 0x846CA68B


def uniforms(seed: int, count: int) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) for first weights: 53 bits each."""
    raw = np.random.Philox(key=_key(seed, _WEIGHTS)).random_raw(count)
    return np.asarray(raw >> np.uint64(11), dtype=np.float64) * 2.0**-53


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int32]:
    """Order of the ``n`` rows in an epoch, int32 ``[n]``.

    Rows are sorted by a random word whose low bits are the row number: no ties, hence one answer for any sort.
    """
    bits = np.uint64(max(1, int(n - 1).bit_length()))
    low = (np.uint64(1) << bits) - np.uint64(1)
    words = np.random.Philox(key=_key(seed, _EPOCHS), counter=[0, epoch, 0, 0]).random_raw(n)
    words = (words & ~low) | np.arange(n, dtype=np.uint64)
    words.sort()
    return (words & low).astype(np.int32)


def rows_of_steps(seed: int, n: int, batch_size: int, start: int, count: int) -> NDArray[np.int32]:
    """Rows of ``count`` steps from step ``start`` on, int32 ``[count, batch_size]``; -1 fills up a short last batch."""
    per_epoch = -(-n // batch_size)
    first, last = start // per_epoch, (start + count - 1) // per_epoch
    table = np.full((last - first + 1, per_epoch * batch_size), -1, dtype=np.int32)
    for epoch in range(first, last + 1):
        table[epoch - first, :n] = _recent_permutation(seed, epoch, n)
    skipped = start - first * per_epoch
    return table.reshape(-1, batch_size)[skipped : skipped + count]


def mask_keys(seeds: Sequence[int], step: int, layer: int) -> NDArray[np.uint64]:
    """64 bits a model that name the mask of one hidden layer in one step (0-based, counted over all epochs)."""
    x = np.array(seeds, dtype=np.uint64)
    for term in (_times(1), _times(step), _times(layer + 1)):
        x = _mix64(x + term)
    return x


def keep(keys: NDArray[np.uint64], elements: int, dropout: float) -> NDArray[np.bool_]:
    """Which hidden units stay: bool ``[len(keys), elements]``; an element is ``row * width + unit`` of its batch."""
    low = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)[:, None]
    high = (keys >> np.uint64(32)).astype(np.uint32)[:, None]
    x = np.arange(elements, dtype=np.uint32)[None, :] + low
    x ^= x >> np.uint32(16)
    x *= np.uint32(HASH_A)
    x ^= x >> np.uint32(15)
    x += high
    x *= np.uint32(HASH_B)
    x ^= x >> np.uint32(16)
    kept: NDArray[np.bool_] = x >= np.uint32(drop_below(dropout))
    return kept


def drop_below(dropout: float) -> int:
    """A unit is dropped when its 32-bit word is below this."""
    return min(round(dropout * 2.0**32), 0xFFFFFFFF)


def keep_scale(dropout: float) -> np.float32:
    """What kept units are multiplied by, so that the expectation stays."""
    return np.float32(1.0 / (1.0 - dropout))


# An epoch is asked for block by block, by every model of its seed and number of rows.
_recent_permutation = lru_cache(maxsize=128)(permutation)


def _key(seed: int, purpose: int) -> NDArray[np.uint64]:
    return np.array([seed & _MASK64, purpose], dtype=np.uint64)


def _times(count: int) -> np.uint64:
    return np.uint64((count * GOLDEN) & _MASK64)


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(MIX_A)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(MIX_B)
    return x ^ (x >> np.uint64(31))
