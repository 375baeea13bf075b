"""Steps that are done once: each leaves a note of what it was made from, and a second call finds it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence import digest, read_json, write_json

SCHEMA = "heldout.demo-step/1"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Steps:
    """The notes of one demonstration.

    Attributes:
        folder: Of the notes, one a step.
        say: Called with a line a step.
    """

    folder: Path
    say: Say

    def once(self, name: str, made_from: Any, product: Path, make: Callable[[], str]) -> str:
        """Make a product, unless it is there and was made from the same.

        What an interrupted call left of it is removed first.

        Args:
            name: Of the step.
            made_from: JSON of everything that decides the product.
            product: File or folder.
            make: Makes it; returns the line that is said.

        Returns:
            Digest of what it was made from, for the steps that follow.

        Raises:
            InputError: If the product was made from something else, or by somebody else.
        """
        key = digest([name, made_from])
        note = self.folder / f"{name.replace('/', '_')}.json"
        told: Mapping[str, Any] | None = read_json(note) if note.is_file() else None
        if product.exists() and (told is None or told["key"] != key):
            what = "another study was run there" if told else "there is something that no step of a demonstration made"
            raise InputError(what, where=str(product), hint="give an --out of its own")
        if told and told["line"] is not None and product.exists():
            self.tell(name, f"{told['line']}  (there already)")
            return key
        document = {"schema": SCHEMA, "step": name, "key": key, "line": None, "seconds": None}
        write_json(note, document)
        _remove(product)
        started = time.monotonic()
        line = make()
        seconds = round(time.monotonic() - started, 1)
        write_json(note, document | {"line": line, "seconds": seconds})
        self.tell(name, f"{line}  ({seconds:g} s)")
        return key

    def tell(self, name: str, line: str) -> None:
        """Say one line of a step."""
        self.say(f"{name:<34} {line}")


def _remove(product: Path) -> None:
    """What an interrupted step left."""
    if product.is_dir():
        shutil.rmtree(product)
    else:
        product.unlink(missing_ok=True)
