"""A batch: one input file as it came, and which times of it are to be predicted. Everyone predicts from these bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from heldout.errors import InputError
from heldout.evidence import digest, sha256_file

SCHEMA = "heldout.batch/1"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$"


@dataclass(frozen=True)
class Batch:
    """What is to be predicted.

    Attributes:
        name: Unique in its slot.
        sha256: Of the input file.
        suffix: Of the input file, which says what kind it is.
        size: Of the input file, in bytes.
        since: First time to predict, as in the file; None from the beginning.
        until: Last time to predict; None to the end.
    """

    name: str
    sha256: str
    suffix: str
    size: int
    since: str | None = None
    until: str | None = None

    @classmethod
    def of(cls, path: Path, *, since: str | None = None, until: str | None = None, name: str | None = None) -> Batch:
        """Describe a file; its stem and the times are the name by default.

        Raises:
            InputError: If there is no such file, or the name cannot be a file's.
        """
        if not path.is_file():
            raise InputError("there is no such batch", where=str(path), hint="give a file of inputs")
        chosen = name or "_".join([path.stem, *(part for part in (since, until) if part)])
        if not re.fullmatch(_NAME, chosen):
            raise InputError(
                f"{chosen!r} cannot name a batch", where="--name", hint="use letters, digits, dots, - and _"
            )
        return cls(chosen, sha256_file(path), path.suffix.lower(), path.stat().st_size, since, until)

    @property
    def digest(self) -> str:
        """Of what is to be predicted, whatever it is called."""
        return digest({"sha256": self.sha256, "suffix": self.suffix, "since": self.since, "until": self.until})

    def to_json(self) -> dict[str, object]:
        """The batch as a document."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "input": {"sha256": self.sha256, "suffix": self.suffix, "bytes": self.size},
            "since": self.since,
            "until": self.until,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, document: Any, where: str) -> Batch:
        """Read ``batch.json``.

        Raises:
            InputError: If it is none.
        """
        try:
            told = document["input"]
            names = (document["name"], told["sha256"], told["suffix"], told["bytes"])
            found = cls(*names, document["since"], document["until"])
        except (KeyError, TypeError):
            raise InputError("this is no batch", where=where, hint="restore it from a backup") from None
        if found.digest != document["digest"]:
            raise InputError("the batch was edited", where=where, hint="restore it from a backup")
        return found


class Predicted(TypedDict):
    """What a process says of the predictions that it made."""

    rows: int
    in_sample: int
    non_finite: int
    trained_through: float | str | None
    folds: list[str]
    seeds: list[int]


class Card(Predicted):
    """The card of a version's predictions of a batch."""

    schema: str
    version: str
    batch: str
    batch_digest: str
    sha256: str
    arm: str
    variant: str
    version_sha256: str
    code_sha256: str
    registered_at_utc: str
    late: bool
