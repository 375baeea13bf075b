"""What predictions are predictions of: everything that they could depend on, in one key.

Two files of predictions belong together if their keys are equal. A key is the digest of six named parts, so that a
refusal can say which of them differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heldout.errors import InputError, RefusedError
from heldout.evidence import digest

_SHOWN = 12


@dataclass(frozen=True)
class Identity:
    """The parts of a key. Each is plain JSON: a digest, or the options themselves.

    Attributes:
        adapter: The model and its weights.
        dataset: The samples.
        split: Which of them are predicted.
        prompt: What is asked, and what may be answered.
        decoding: How an answer is made of the model's output.
        code: The sources that a prediction can depend on.
    """

    adapter: Any
    dataset: Any
    split: Any
    prompt: Any
    decoding: Any
    code: Any

    @property
    def key(self) -> str:
        """Sha256 (hex) of all parts."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The parts by name."""
        return asdict(self)

    @classmethod
    def parse(cls, parts: Any, *, where: str) -> Identity:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If these are not the parts of a key.
        """
        if not isinstance(parts, dict) or set(parts) != set(cls.__dataclass_fields__):
            raise InputError("no identity stands there", where=where, hint="was this written by heldout eval?")
        return cls(**parts)


def require_same(expected: Identity, found: Identity, *, where: str) -> None:
    """Refuse predictions of another model, data set, split, prompt, decoding or code.

    Raises:
        RefusedError: With every part that differs.
    """
    mine, theirs = expected.to_json(), found.to_json()
    parts = [name for name in mine if mine[name] != theirs[name]]
    if parts:
        words = "; ".join(f"{name}: {_short(theirs[name])}, not {_short(mine[name])}" for name in parts)
        raise RefusedError(
            f"the predictions there differ in {', '.join(parts)} ({words})",
            where=where,
            hint="choose another folder, or go on with what those were started with",
            code="HO-E420",
        )


def _short(value: Any) -> str:
    text = digest(value) if isinstance(value, Mapping | list) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN]
