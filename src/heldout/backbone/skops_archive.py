"""A skops archive whose bytes depend on the model alone.

skops names the parts of a model by their addresses in memory or at random, and stamps them with the clock, so two
archives of one model differ. Here the parts are numbered in order and the clock is left out. scikit-learn's trees hold
memory that nobody wrote: gaps between the fields of a node, and the leaves' direction of missing values, which is never
read. Both become zero.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import orjson

from heldout.backbone.skops_names import refuse_kinds, refuse_names
from heldout.errors import PrerequisiteError
from heldout.evidence import read_plain

_SCHEMA = "schema.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_LEAF = -1


def archive(model: Any) -> bytes:
    """A fitted estimator as a skops archive: equal models give equal bytes.

    Raises:
        skops.io.exceptions.UnsupportedTypeException: If skops cannot hold the model.
    """
    from heldout.backbone.skops_io import dumps

    source = ZipFile(io.BytesIO(dumps(model)))
    parts = [name for name in source.namelist() if name != _SCHEMA]
    names = {name: f"{number:06d}.{name.rpartition('.')[2]}" for number, name in enumerate(parts)}
    state = json.loads(source.read(_SCHEMA))
    _renumber(state, names, {})
    target = io.BytesIO()
    with ZipFile(target, "w") as written:
        for name in parts:
            data = source.read(name)
            written.writestr(_entry(names[name]), _written_bytes(data) if name.endswith(".npy") else data)
        written.writestr(_entry(_SCHEMA), _indented(state))
    return target.getvalue()


def read_archive(path: Path, mine: Callable[[str], bool]) -> Any:
    """What a skops archive holds.

    Args:
        path: The archive.
        mine: Whether classes of a top-level module may be in it.

    Raises:
        PrerequisiteError: If what reads archives is not installed.
        TamperedError: If it names anything but classes of such modules, or is no archive from its first byte on;
            nothing of it is made then.
    """
    try:
        from heldout.backbone import skops_io
    except ImportError as error:
        hint = "pip install 'heldout[sklearn]'"
        raise PrerequisiteError(f"skops is not installed: {error}", where="skops", hint=hint) from None
    data, where = read_plain(path), str(path)
    refuse_kinds(data, where)
    named = skops_io.get_untrusted_types(data=data)
    refuse_names(data, named, mine, where)
    return skops_io.loads(data, trusted=named)


def _indented(state: Any) -> bytes:
    """As ``json.dumps(state, indent=2)`` writes it, to the byte, and most of the time in a tenth of its time.

    The two differ in text that is not ASCII, and in fractions, which skops writes as text.
    """
    try:
        data = orjson.dumps(state, option=orjson.OPT_INDENT_2)
    except TypeError:  # a whole number of more than 64 bits
        data = b"\x7f"
    return data if data.isascii() and b"\x7f" not in data else json.dumps(state, indent=2).encode()


def _renumber(node: Any, names: dict[str, str], numbers: dict[int, int]) -> None:
    """Replace names of parts and addresses of objects, depth first; equal addresses get equal numbers."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, names, numbers)
    elif isinstance(node, dict):
        if isinstance(node.get("file"), str):
            node["file"] = names.get(node["file"], node["file"])
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
        for value in node.values():
            _renumber(value, names, numbers)


def _written_bytes(data: bytes) -> bytes:
    """An array with zeros where nobody wrote anything; the same values wherever they are read."""
    import numpy as np

    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    # np.zeros leaves the gaps as they are.
    clean = np.frombuffer(bytearray(array.nbytes), dtype=array.dtype).reshape(array.shape)
    for field in array.dtype.names:
        clean[field] = array[field]
    if {"left_child", "missing_go_to_left"} <= set(array.dtype.names):
        clean["missing_go_to_left"][clean["left_child"] == _LEAF] = 0
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _entry(name: str) -> ZipInfo:
    info = ZipInfo(name, date_time=_EPOCH)
    info.compress_type, info.create_system = ZIP_STORED, _UNIX
    info.external_attr = 0o600 << 16
    return info
