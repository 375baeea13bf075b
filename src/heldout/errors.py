"""One exception tree. Every message has three parts: what is wrong, where, and how to fix it.

The exit codes are a contract, ``docs/exit-codes.md`` lists them by command. Code 1 is an answer, never an accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum

from heldout.printable import printable


class ExitCode(IntEnum):
    """What a command exits with. Where several apply, the first of this list is taken."""

    CLOSED_PIPE = 141  # nobody reads the output any more
    INTERRUPTED = 130  # by a signal; the same command goes on
    INTERNAL = 70  # a fault of ours
    REFUSED = 3  # a rule of honesty forbids it, or a file is not what the evidence names
    INPUT = 2  # bad input, a missing prerequisite, or the machine refused
    STALE = 4  # someone was first, or a pointer lags
    UNITS_FAILED = 5  # some units failed: there is no verdict
    NO = 1  # judged, and the answer is no: HOLD, KEEP, a finding that blocks
    DONE = 0  # done, PROMOTE, or nothing found


def worst(codes: Iterable[int]) -> int:
    """The exit code of several things together; a code that is none of ours counts as a fault of ours."""
    order = [code.value for code in ExitCode]
    found = [code if code in order else ExitCode.INTERNAL for code in codes]
    return int(min(found, key=order.index, default=ExitCode.DONE))


class HeldoutError(Exception):
    """Root of the tree.

    Attributes:
        what: What is wrong, in one sentence.
        where: File, line, column, key or group; None where there is no place to name.
        hint: How to mend it.
        code: Stable identifier of the finding.
        exit_code: What the command line exits with.
    """

    code = "HO-E000"
    exit_code: int = ExitCode.INPUT

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """The three parts, a line each; no name of anybody's in them starts another line or steers a terminal."""
        parts = [printable(self.what)]
        if self.where:
            parts.append(f"  where: {printable(self.where)}")
        if self.hint:
            parts.append(f"  fix:   {printable(self.hint)}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send their errors home by pickle; the default would lose the keyword parts.
        return (_rebuild, (type(self), self.what, self.where, self.hint, self.code))


def _rebuild(cls: type[HeldoutError], what: str, where: str | None, hint: str | None, code: str) -> HeldoutError:
    return cls(what, where=where, hint=hint, code=code)


class InputError(HeldoutError):
    """A file or an argument is not what it should be."""

    code = "HO-E100"


class StudyError(InputError):
    """The study file is wrong."""

    code = "HO-E110"


class CorpusError(InputError):
    """The corpus is wrong: a row, a group, a column."""

    code = "HO-E120"


class PrerequisiteError(HeldoutError):
    """Something that the work needs is not installed, not there, or too small."""

    code = "HO-E200"


class MachineError(InputError):
    """The machine refused: no room, no memory, no file handles, a broken disk. It says nothing about a variant."""

    code = "HO-E210"


class UnitError(HeldoutError):
    """A unit of work (a cell to encode, a fold to fit) failed: there is no verdict."""

    code = "HO-E300"
    exit_code = ExitCode.UNITS_FAILED


class RefusedError(HeldoutError):
    """A rule of honesty forbids what was asked, such as an export without a PROMOTE."""

    code = "HO-E400"
    exit_code = ExitCode.REFUSED


class TamperedError(RefusedError):
    """A file is not the one that the evidence names."""

    code = "HO-E410"


class StaleError(HeldoutError):
    """Someone else was first: a compare-and-swap was lost."""

    code = "HO-E500"
    exit_code = ExitCode.STALE


def near_miss(name: str, known: Iterable[str], label: str = "known") -> str:
    """The hint for a name that does not exist: the likeliest one, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"{label}: {', '.join(names) or 'none'}"
