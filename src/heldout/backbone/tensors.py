"""Arrays and the facts about them as one safetensors file: the same content gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldout.errors import HeldoutError, TamperedError
from heldout.evidence import canonical, loads, plain_path

_METADATA = "heldout"  # one key alone: the order of several is not fixed in the file
T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]


def pack(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> bytes:
    """The file's bytes.

    Args:
        arrays: By name, each C-contiguous.
        facts: JSON, with a `schema`.
    """
    from safetensors.numpy import save

    return bytes(save(dict(arrays), metadata={_METADATA: canonical(facts).decode()}))


def unpack(path: Path, what: str, rebuild: Callable[[Arrays, Any], T], hint: str = "fit it again") -> T:
    """Read a file that ``pack`` made.

    Args:
        path: The file.
        what: What it should hold, for the message.
        rebuild: Makes the object of arrays and facts, and raises KeyError, TypeError or ValueError if they do not fit.
        hint: How to mend a file that is something else.

    Raises:
        TamperedError: If it is not what ``pack`` writes, or ``rebuild`` cannot use it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(plain_path(path), framework="numpy") as file:
            arrays = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
            facts = loads((file.metadata() or {})[_METADATA], where=f"metadata of {path}")
        return rebuild(arrays, facts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, HeldoutError) as error:
        raise TamperedError(f"this is no {what}: {error}", where=str(path), hint=hint) from None
