"""Several files under one path: a folder, or a pattern such as ``parts/*.parquet``, in the order of their names."""

from __future__ import annotations

from pathlib import Path

from heldout.corpus.saved_dataset import files_of_dataset
from heldout.errors import CorpusError
from heldout.evidence import digest, sha256_file

_PATTERN = frozenset("*?[")
_HIDDEN = (".", "_")  # what tools leave beside the parts, such as _SUCCESS


def is_pattern(path: Path) -> bool:
    """Whether a path names files by a pattern; a file whose name looks like one is that file."""
    return bool(_PATTERN & {*path.name}) and not path.exists()


def beside(path: Path) -> Path:
    """The folder in which a file lies, or the one that holds the files of a pattern."""
    return path.parent.parent if is_pattern(path) else path.parent


def parts_of(path: Path) -> list[Path] | None:
    """The files of a folder or of a pattern, by name; None where the path is that of one file.

    Args:
        path: A folder, whose own files are meant, or a folder and a pattern of names in it.

    Raises:
        CorpusError: If there is no file, or a folder stands among them.
    """
    if not (path.is_dir() or is_pattern(path)):
        return None
    if path.is_dir() and (saved := files_of_dataset(path)) is not None:
        return saved
    folder, pattern = (path, "*") if path.is_dir() else (path.parent, path.name)
    found = sorted(each for each in folder.glob(pattern) if not each.name.startswith(_HIDDEN))
    inner = next((each for each in found if each.is_dir()), None)
    if inner is not None:
        hint = f"name the files by a pattern, such as {folder / '*.parquet'}, or move the folder"
        raise CorpusError(f"a folder stands among the files of the table: {inner.name}", where=str(path), hint=hint)
    if not found:
        raise CorpusError("there are no files", where=str(path), hint="check the folder, or the pattern")
    return found


def content_sha256(path: Path) -> str:
    """Sha256 of a file; of several files one over theirs, in their order, whatever they are called."""
    parts = parts_of(path)
    return sha256_file(path) if parts is None else digest([sha256_file(each) for each in parts])


def is_there(path: Path) -> bool:
    """Whether there is a file, or at least one of a folder or a pattern."""
    try:
        return path.is_file() or bool(parts_of(path))
    except CorpusError:
        return False


def name_written(path: Path) -> str:
    """The name of a file into which heldout can write what lies there: in the same form, but for workbooks."""
    name = Path(name_of_one(path))
    return str(name.with_suffix(".parquet") if name.suffix.lower() == ".xlsx" else name)


def name_of_one(path: Path) -> str:
    """The name of a file that holds what lies there, in the same form."""
    parts = parts_of(path)
    return path.name if parts is None else f"{parts[0].parent.name}{''.join(parts[0].suffixes)}"
