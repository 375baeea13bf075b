"""Parameters that know whether they were read: an override that the training never reads is an error, not an arm.

Hand ``tracked(params)`` to the code that works, and ask ``check`` afterwards. Nothing global is touched, so fits in one
process cannot see each other's parameters.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from heldout.errors import StudyError

ParamsT = TypeVar("ParamsT", bound=BaseModel)


class Reads:
    """Which parameters were read, as dotted names."""

    def __init__(self, params: BaseModel) -> None:
        """Nothing is read yet."""
        self._params = params
        self._names: set[str] = set()

    def note(self, name: str) -> None:
        """Remember that a parameter was read."""
        self._names.add(name)

    def unread(self) -> list[str]:
        """Parameters that differ from their default and were not read, in the order of the model."""
        return _unread(self._params, "", self._names)

    def check(self, block: str, exempt: frozenset[str] = frozenset()) -> None:
        """Refuse parameters that changed nothing.

        Args:
            block: Of the study, such as ``fit``.
            exempt: Top-level names that nobody needs to read.

        Raises:
            StudyError: If a parameter that is not at its default was never read.
        """
        found = [name for name in self.unread() if name.split(".")[0] not in exempt]
        if found:
            raise StudyError(
                f"`{block}.{found[0]}` is set, and the training never read it",
                where=f"{block}.{found[0]}",
                hint="remove it: a variant that differs only there would be the same model under another name",
            )


class _Tracked:
    """Looks like the parameters, and notes each read; it is as frozen as they are."""

    _params: BaseModel
    _reads: Reads
    _prefix: str

    def __init__(self, params: BaseModel, reads: Reads, prefix: str) -> None:
        object.__setattr__(self, "_params", params)
        object.__setattr__(self, "_reads", reads)
        object.__setattr__(self, "_prefix", prefix)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"parameters are frozen: {self._prefix}{name}")

    def __getattr__(self, name: str) -> Any:
        own = getattr(type(self._params), name, None)
        if isinstance(own, property) and own.fget is not None:
            return own.fget(self)
        if isinstance(own, FunctionType):
            return MethodType(own, self)
        value = getattr(self._params, name)
        if name not in type(self._params).model_fields:
            return value
        self._reads.note(self._prefix + name)
        return _Tracked(value, self._reads, f"{self._prefix}{name}.") if isinstance(value, BaseModel) else value


def tracked(params: ParamsT) -> tuple[ParamsT, Reads]:
    """The parameters as a view that notes what is read from it, and the notes."""
    reads = Reads(params)
    return cast("ParamsT", _Tracked(params, reads, "")), reads


def _unread(params: BaseModel, prefix: str, names: set[str]) -> list[str]:
    found = []
    for name, info in type(params).model_fields.items():
        value, default = getattr(params, name), info.get_default(call_default_factory=True)
        if value == default and not info.is_required():
            continue
        if prefix + name not in names:
            found.append(prefix + name)
        elif isinstance(value, BaseModel):
            found += _unread(value, f"{prefix}{name}.", names)
    return found
