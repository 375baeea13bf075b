"""Tensors of safetensors files without a deep-learning library: names, shapes, and whether their values are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError
from heldout.evidence import open_plain, plain_path

# By safetensors' name: the numpy type to read. BF16 is the upper half of a float32.
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "u1"}
_CHUNK = 1 << 22


class Tensor(NamedTuple):
    """One tensor, not yet read."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    bytes: int

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Its values, flat, a piece at a time.

        Raises:
            InputError: If its type is not known here.
        """
        if self.dtype not in _TYPES:
            raise InputError(f"type {self.dtype} is not known", where=f"{self.path}: {self.name}", hint="F32 or BF16")
        if not self.bytes:
            return
        raw = np.memmap(self.path, np.dtype(_TYPES[self.dtype]), "r", self.start, (int(np.prod(self.shape)),))
        for first in range(0, len(raw), _CHUNK):
            part = np.asarray(raw[first : first + _CHUNK])
            yield (part.astype(np.uint32) << 16).view(np.float32) if self.dtype == "BF16" else part

    def array(self) -> NDArray[Any]:
        """All its values."""
        return np.concatenate([*self.chunks(), np.zeros(0, np.float32)][: -1 if self.bytes else None]).reshape(
            self.shape
        )


def read_tensors(path: Path) -> list[Tensor]:
    """Tensors of a file, by name.

    Raises:
        InputError: If it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(plain_path(path), framework="np") as opened:  # its parser checks offsets and sizes
            names = sorted(opened.keys())
        with open_plain(path) as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"no safetensors file: {error}", where=str(path), hint="save the weights again") from None
    found = []
    for name in names:
        first, last = header[name]["data_offsets"]
        shape = tuple(header[name]["shape"])
        found.append(Tensor(path, name, header[name]["dtype"], shape, 8 + length + first, last - first))
    return found


def read_folder(folder: Path) -> list[Tensor]:
    """Tensors of all safetensors files of a folder.

    Raises:
        InputError: If one of them is no safetensors file.
    """
    return [tensor for path in sorted(folder.glob("*.safetensors")) for tensor in read_tensors(path)]


def is_finite(tensor: Tensor) -> bool:
    """Whether every value is finite."""
    return all(bool(np.isfinite(part).all()) for part in tensor.chunks())


def is_zero(tensor: Tensor) -> bool:
    """Whether every value is zero."""
    return not any(bool(part.any()) for part in tensor.chunks())
