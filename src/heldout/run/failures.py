"""Units that failed: why, in words, and the traceback in a file. What the machine refused is no failure of a unit."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heldout.errors import HeldoutError, UnitError
from heldout.evidence import write_text
from heldout.evidence.machine import machine_error
from heldout.run.layout import RunFolder
from heldout.run.units.unit import Unit
from heldout.run.units.words import last_words


@dataclass(frozen=True)
class UnitFailure:
    """A unit that could not be fitted.

    Attributes:
        unit: The unit.
        reason: The last line of what was raised.
        log: The file that holds the traceback.
        words: What was printed last while it was fitted; empty if nothing was.
        printed: The file that holds all of it.
    """

    unit: Unit
    reason: str
    log: Path
    words: str
    printed: Path


def unit_failure(folder: RunFolder, unit: Unit, error: BaseException) -> UnitFailure:
    """Write the traceback into the unit's log and tell the failure.

    Raises:
        MachineError: If the machine refused: that says nothing about the variant.
    """
    refused = machine_error(error)
    if refused is not None:
        raise refused from error
    log = folder.failure(unit.contender, unit.seed, unit.fold.id)
    write_text(log, "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode())
    said = error.what if isinstance(error, HeldoutError) else f"{type(error).__name__}: {error}"
    printed = folder.log(unit.contender, unit.seed, unit.fold.id)
    return UnitFailure(unit, said, log, last_words(printed), printed)


def failed(failures: Sequence[UnitFailure]) -> UnitError:
    """The error that ends a run of which some units failed."""
    first = failures[0]
    units = "1 unit" if len(failures) == 1 else f"{len(failures)} units"
    printed = f"; it printed last: {first.words} (all of it in {first.printed})" if first.words else ""
    return UnitError(
        f"{units} failed, the first with: {first.reason}",
        where=f"{first.unit.name}; its traceback is in {first.log}{printed}",
        hint="mend the cause and run the same command: finished units are reused. There is no verdict",
    )
