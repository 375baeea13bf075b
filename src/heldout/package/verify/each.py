"""``heldout verify`` for several paths: each by itself, and what is wrong with one hides nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, InputError, TamperedError, worst
from heldout.package.verify.any import verify_any
from heldout.verify import Verification

SCHEMA = "heldout.verifications/1"


@dataclass(frozen=True)
class Verified:
    """What came of one path.

    Attributes:
        path: As it was named.
        found: The chain; None if the path could not be verified at all.
        error: Why it could not.
    """

    path: Path
    found: Verification | None = None
    error: HeldoutError | None = None

    @property
    def exit_code(self) -> int:
        """0 if every link holds, 3 if one is broken, else that of the error."""
        if self.error is not None:
            return self.error.exit_code
        return 0 if self.found is not None and self.found.holds else TamperedError.exit_code

    def to_json(self) -> dict[str, object]:
        """The path with its verification, or with its error in three parts."""
        error = self.error and {key: getattr(self.error, key) for key in ("code", "what", "where", "hint")}
        found = self.found and self.found.to_json()
        return {"path": str(self.path), "exit_code": self.exit_code, "verification": found, "error": error}


def verify_each(paths: Sequence[str | Path], *, run: str | Path | None = None, **options: Any) -> Iterator[Verified]:
    """Verify paths in turn.

    Args:
        paths: As ``verify_any`` takes them.
        run: The run of an export: of one path only.
        options: As for ``verify_any``, for every path.

    Raises:
        InputError: If ``run`` is given with several paths.
    """
    if run is not None and len(paths) > 1:
        what = f"--run names the run of one export, and {len(paths)} paths were given"
        raise InputError(what, where="--run", hint="verify that export by a command of its own")
    return (_verified(Path(path), run=run, **options) for path in paths)


def to_json(verified: Sequence[Verified]) -> dict[str, object]:
    """All of them as one document."""
    code = worst([each.exit_code for each in verified])
    return {"schema": SCHEMA, "exit_code": code, "paths": [each.to_json() for each in verified]}


def _verified(path: Path, **options: Any) -> Verified:
    try:
        return Verified(path, found=verify_any(path, **options))
    except HeldoutError as error:
        return Verified(path, error=error)
