"""Several files under one path: a folder, or a pattern such as ``parts/*.parquet``, in the order of their names."""

from __future__ import annotations

from pathlib import Path

from heldout.errors import CorpusError

_PATTERN = frozenset("*?[")
_HIDDEN = (".", "_")  # what tools leave beside the parts, such as _SUCCESS


def beside(path: Path) -> Path:
    """The folder in which a file lies, or the one that holds the files of a pattern."""
    return path.parent.parent if is_pattern(path) else path.parent


def is_pattern(path: Path) -> bool:
    """Whether a path names files by a pattern; a file whose name looks like one is that file."""
    return bool(_PATTERN & {*str(path)}) and not path.exists()


def parts_of(path: Path) -> list[Path] | None:
    """The files of a folder or of a pattern, by name; None where the path is that of one file.

    Args:
        path: A folder, whose own files are meant, or a pattern.

    Raises:
        CorpusError: If there is no file.
    """
    if path.is_dir():
        found = [each for each in path.iterdir() if not each.name.startswith(_HIDDEN)]
    elif is_pattern(path):
        top = next(each for each in path.parents if not _PATTERN & {*str(each)})
        found = [each for each in top.glob(str(path.relative_to(top))) if not each.name.startswith(_HIDDEN)]
    else:
        return None
    if not found:
        raise CorpusError("there are no files", where=str(path), hint="check the folder, or the pattern")
    return sorted(found)
