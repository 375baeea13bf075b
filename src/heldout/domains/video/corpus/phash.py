"""Perceptual hashes of reference frames: near in bits where pictures look alike, whatever made them so.

A picture of 32 x 32 grey values goes through a discrete cosine transform; each of its 64 lowest frequencies gives a
bit: is it above their median? Scaling, another encode or a little noise move few bits (C. Zauner, Implementation and
benchmarking of perceptual image hash functions, 2010). All is done in whole numbers, so that every machine finds the
same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 32
_LOW, _SCALE = 8, 4096
# A fade or a title card is nearly black in every film: below this deviation of grey values a picture says nothing.
_FLAT = 4.0


def picture_hashes(grey: bytes) -> list[str]:
    """Sixteen hexadecimal digits a picture, or nothing for a flat one.

    Args:
        grey: Pictures of 32 x 32 bytes, one after another.
    """
    pictures = np.frombuffer(grey, dtype=np.uint8).reshape(-1, SIDE, SIDE).astype(np.int64)
    waves = _waves()
    low = (waves @ pictures @ waves.T).reshape(len(pictures), _LOW * _LOW)
    middle = np.sort(low, axis=1)[:, _LOW * _LOW // 2 - 1 : _LOW * _LOW // 2 + 1].sum(axis=1)
    bits = np.packbits(2 * low > middle[:, None], axis=1)
    flat = pictures.reshape(len(pictures), -1).std(axis=1) < _FLAT
    return ["" if dull else row.tobytes().hex() for row, dull in zip(bits, flat, strict=True)]


def _waves() -> NDArray[np.int64]:
    """The lowest rows of the transform, scaled and rounded; int64 ``[8, 32]``."""
    places = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    waves: NDArray[np.int64] = np.rint(np.cos(np.arange(_LOW)[:, None] * places) * _SCALE).astype(np.int64)
    return waves
