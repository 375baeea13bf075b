"""PyTorch's settings of process and thread, set for a stretch of work and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heldout.fit.streams import HASH_A, HASH_B, drop_below

if TYPE_CHECKING:
    import torch

_SIGN = -(1 << 31)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside an operation, and denormals flushed to zero.

    More threads slow small networks down. Inputs that are always zero let their weights decay into denormal numbers,
    which take many times as long as others.
    """
    import torch

    threads, flushed = torch.get_num_threads(), _flushes_denormals()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def name() -> str:
    """Where PyTorch will train: ``cuda`` or ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def keep(keys: NDArray[np.uint64], elements: int, dropout: float, where: torch.device) -> torch.Tensor:
    """``streams.keep``, computed on a device: bool ``[len(keys), elements]``.

    PyTorch has no unsigned words, so signed ones wrap, and shifts and comparisons mind the sign.
    """
    import torch

    low, high = (_signed(keys >> np.uint64(shift)).to(where) for shift in (0, 32))
    x = torch.arange(elements, dtype=torch.int32, device=where)[None, :] + low
    x = (x ^ _shifted(x, 16)) * _wrapped(HASH_A)
    x = ((x ^ _shifted(x, 15)) + high) * _wrapped(HASH_B)
    return (x ^ _shifted(x, 16) ^ _SIGN) >= _wrapped(drop_below(dropout)) ^ _SIGN


def _signed(words: NDArray[np.uint64]) -> torch.Tensor:
    import torch

    return torch.from_numpy(words.astype(np.uint32).view(np.int32))[:, None]


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x >> bits) & ((1 << (32 - bits)) - 1)


def _wrapped(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def _flushes_denormals() -> bool:
    half = np.array([np.finfo(np.float32).tiny], dtype=np.float32) * np.float32(0.5)
    return bool(half[0] == 0.0)
