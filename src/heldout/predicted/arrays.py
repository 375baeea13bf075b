"""Arrays that numpy wrote, such as those of scikit-learn's ``cross_val_predict``: rows in the order of the truth's."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.corpus.room import room_to_unpack
from heldout.errors import InputError, MachineError, near_miss
from heldout.evidence import open_plain, plain_path

_ARRAYS = (".npy", ".npz")
_TOLD = 200  # characters of what a library says of a file


def is_array(path: Path) -> bool:
    """Whether a file holds arrays of numpy, by its suffix."""
    return path.suffix.lower() in _ARRAYS


def read_array(path: Path, name: str, *, asked: bool = False) -> NDArray[Any]:
    """The array of a ``.npy`` file; of an ``.npz`` the one of this name, or its only one.

    Args:
        path: The file.
        name: Of the model, or of the array.
        asked: Whether somebody named the array: then no other is taken.

    Raises:
        InputError: If there is no such array, or the file is none of numpy's. No pickle is loaded.
        MachineError: If it is larger, unpacked, than there is room for.
    """
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(plain_path(path), mmap_mode="r", allow_pickle=False))
        with open_plain(path) as stream:
            return _of_archive(stream, path, name, asked=asked)
    except FileNotFoundError:
        raise InputError("the file does not exist", where=str(path), hint="check the path") from None
    except (ValueError, OSError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:_TOLD]
        pickled = "Object arrays" in said or "Python objects" in said
        raise InputError(
            "the array holds Python objects, which are never loaded"
            if pickled
            else f"this is no array of numpy: {said}",
            where=str(path),
            hint="save labels as texts: np.save(path, labels.astype(str))" if pickled else "write it by numpy.save",
        ) from None


def _of_archive(source: Any, path: Path, name: str, *, asked: bool) -> NDArray[Any]:
    room = room_to_unpack()
    with zipfile.ZipFile(source) as archive:
        if sum(each.file_size for each in archive.infolist()) > room:
            what = f"out of memory: unpacked, the arrays have more than {room // 1_000_000:,} MB"
            raise MachineError(what, where=str(path), hint="give the process more memory, or save one array")
    source.seek(0)
    with np.load(source, allow_pickle=False) as arrays:
        known = arrays.files
        if name not in known and (asked or len(known) != 1):
            hint = near_miss(name, known, "its arrays") + f"; name one: {path}#ARRAY"
            raise InputError(f"the file has no array {name!r}", where=str(path), hint=hint)
        return np.asarray(arrays[name if name in known else known[0]])
