"""What was printed while units were computed: a log beside them in the run, its last lines, and what was warned of.

A log is no evidence: it is not sealed, and whoever deletes it breaks nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from heldout.documents.names import OUTPUT_LOG
from heldout.evidence import open_plain

_MOST, _LINES, _LONGEST = 8 << 20, 5, 300
_CUT = b"... (what was printed before is left out)\n"
# As Python writes a warning: where in the code, of which class, and the first line of what it says.
_WARNED = re.compile(r"^\S.*?:\d+: (?P<kind>\w*Warning): (?P<said>.*)", re.MULTILINE)
Warned = Mapping[str, str]
"""By class of the warning, the first that was said of it."""


def keep_words(kept: Path, log: Path) -> Warned:
    """Put what was printed of a unit into its log, in the place of an earlier one's, and give what was warned of.

    Args:
        kept: Where the unit was computed; a command's own log lies beside its state.
        log: Of the unit, in the run; there is none if nothing was printed.
    """
    log.unlink(missing_ok=True)
    found = [path for path in sorted(kept.rglob(OUTPUT_LOG)) if path.is_file() and not path.is_symlink()]
    data = b"".join(_end_of(path) for path in found)
    (kept / OUTPUT_LOG).unlink(missing_ok=True)  # or a fit that goes on would say it twice
    if not data.strip():
        return {}
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(data)
    said: dict[str, str] = {}
    for match in _WARNED.finditer(data.decode(errors="replace")):
        said.setdefault(match["kind"], match["said"].strip())
    return said


def _end_of(path: Path) -> bytes:
    with open_plain(path) as stream:
        left = stream.seek(0, 2) - _MOST
        stream.seek(max(0, left))
        return (_CUT if left > 0 else b"") + stream.read()


def last_words(log: Path) -> str:
    """The last lines that were printed of a unit, in one, before any traceback; empty if there are none."""
    if not log.is_file():
        return ""
    said, _, _ = _end_of(log).decode(errors="replace").partition("Traceback (most recent call last):\n")
    lines = [line.strip()[:_LONGEST] for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-_LINES:])


def warned(units: Iterable[Warned], of: int) -> Iterator[str]:
    """A sentence for each class of warnings, with how many units of so many had it."""
    units = list(units)
    counts = Counter(kind for each in units for kind in each)
    for kind, count in sorted(counts.items()):
        said = next(each[kind] for each in units if kind in each)
        yield f"{kind} in {count} of {of} units: {said}"
