"""One exception tree. Every message has three parts: what is wrong, where, and how to fix it.

The exit codes are a contract: 0 done or PROMOTE, 1 judged (HOLD, or some units failed), 2 bad input or a
missing prerequisite, 3 refused or TAMPERED, 4 stale, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    exit_code = 2

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
        parts = [self.what]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.hint:
            parts.append(f"  fix:   {self.hint}")
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


class UnitError(HeldoutError):
    """A unit of work (a cell to encode, a fold to fit) failed."""

    code = "HO-E300"
    exit_code = 1


class RefusedError(HeldoutError):
    """A rule of honesty forbids what was asked, such as an export without a PROMOTE."""

    code = "HO-E400"
    exit_code = 3


class TamperedError(RefusedError):
    """A file is not the one that the evidence names."""

    code = "HO-E410"


class StaleError(HeldoutError):
    """Someone else was first: a compare-and-swap was lost."""

    code = "HO-E500"
    exit_code = 4


def near_miss(name: str, known: Iterable[str], label: str = "known") -> str:
    """The hint for a name that does not exist: the likeliest one, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"{label}: {', '.join(names) or 'none'}"
