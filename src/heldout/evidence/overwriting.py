"""Files that a person names to be written: what lies there is replaced only if it is an older one of the same kind."""

from __future__ import annotations

from pathlib import Path

from heldout.errors import InputError
from heldout.evidence.opening import DOCUMENT_BYTES, open_plain, read_plain


def refuse_overwriting(path: Path, kind: str, *marks: bytes, start: bool = False) -> None:
    """Refuse to write over a file of another kind: a name that was mistyped must not cost a table.

    Args:
        path: The file that would be replaced; nothing need lie there.
        kind: What would be written, in words.
        marks: Bytes of which each file of this kind has one.
        start: Whether it must begin with them.

    Raises:
        InputError: If something else lies there, or a document that is larger than any of ours.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    if start:
        with open_plain(path) as stream:
            same = stream.read(max(map(len, marks))).startswith(marks)
    else:
        data = read_plain(path, most=DOCUMENT_BYTES)
        same = any(mark in data for mark in marks)
    if not same:
        raise InputError(
            f"another file stands there, which is no {kind} and would be lost",
            where=str(path),
            hint="name another file, or move this one away",
        )
