"""Perceptual hashes of a group's media: 64 bits a picture, near in bits where the pictures look alike.

How a picture is hashed is its domain's affair; here hashes are compared. Two hashes are alike if they differ in at most
seven bits. Then at least one of their eight bytes is the same, so that only pictures that share a byte are compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ALIKE = 7
_SAMPLED = 64

Prints = NDArray[np.uint64]


def shared_prints(prints: Mapping[str, Prints], *, at_least: int = 1) -> dict[tuple[str, str], float]:
    """The share of a group's pictures that have a likeness in another group, by pair, for every pair that has some.

    Args:
        prints: Hashes of each group, in order; of many, 64 are taken, evenly.
        at_least: Pairs with fewer such pictures are left out.

    Returns:
        By sorted pair of groups: the larger of both shares.
    """
    names = sorted(name for name, hashes in prints.items() if len(hashes))
    taken = [_sample(prints[name]) for name in names]
    if len(names) < 2:
        return {}
    hashes = np.concatenate(taken)
    owners = np.repeat(np.arange(len(names)), [len(part) for part in taken])
    first, second = _alike(hashes, owners)
    width = len(names)
    # Each picture counts once for each other group, however many likenesses it has there.
    pictures = np.unique(np.concatenate([first * width + owners[second], second * width + owners[first]]))
    codes, counts = np.unique(owners[pictures // width] * width + pictures % width, return_counts=True)
    shares: dict[tuple[str, str], float] = {}
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        one, other = divmod(code, width)
        if count >= at_least:
            pair = names[min(one, other)], names[max(one, other)]
            shares[pair] = max(shares.get(pair, 0.0), count / len(taken[one]))
    return shares


def _sample(hashes: Prints) -> Prints:
    if len(hashes) <= _SAMPLED:
        return hashes
    return hashes[np.linspace(0, len(hashes) - 1, _SAMPLED).astype(np.int64)]


def _alike(hashes: Prints, owners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of pictures of different groups that are alike."""
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for byte in range(8):
        band = (hashes >> np.uint64(8 * byte)).astype(np.uint8)
        order = np.argsort(band, kind="stable")
        band = band[order]
        for step in range(1, len(order)):
            same = np.flatnonzero(band[step:] == band[:-step])
            if not len(same):
                break
            one, other = order[same], order[same + step]
            near = (_bits(hashes[one] ^ hashes[other]) <= ALIKE) & (owners[one] != owners[other])
            firsts.append(one[near])
            seconds.append(other[near])
    return np.concatenate(firsts), np.concatenate(seconds)


def _bits(words: Prints) -> NDArray[np.int64]:
    """Number of set bits of each word."""
    bits = np.unpackbits(words.view(np.uint8).reshape(len(words), -1), axis=1)
    counts: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return counts
