"""Code that lies beside a study: its files by path, read once, and carried along with each model that it fits.

What is carried is all that such code sees of the study's folder: a file that was forgotten is not there when it runs.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from heldout.documents.run import CarriedFile, CodeDocument
from heldout.errors import InputError, StudyError, TamperedError
from heldout.evidence import dumps, read_json, read_plain, sha256_bytes
from heldout.evidence.imports import Source, closure, modules_of

_MOST_FILES, _MOST_BYTES = 2000, 16 << 20
_HINT = "name what the code is made of, file by file; data and weights belong into an installed package"
_WITHIN = "name files and folders in the study's own folder, relative to it"


@dataclass(frozen=True)
class Carried:
    """Files of code.

    Attributes:
        files: Bytes of each, by its path from the folder of the study, with slashes.
        executable: Those that may be executed.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()

    @property
    def digests(self) -> dict[str, str]:
        """Sha256 of each file, by path: what identifies the code."""
        return {name: sha256_bytes(data) for name, data in sorted(self.files.items())}

    def unpack(self, folder: Path) -> Path:
        """Write the files into a folder, which is made; the folder again."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # The mode is given as the file is made: where code is shut in, it cannot be changed afterwards.
            mode = 0o755 if name in self.executable else 0o644
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
                stream.write(data)
        return folder

    def top_level(self) -> frozenset[str]:
        """Top-level modules that its Python imports and does not bring itself."""
        named = {each.partition(".")[0] for name in self.files if name.endswith(".py") for each in self._imports(name)}
        own = {PurePosixPath(name).stem for name in self.files}
        return frozenset(named - own - {part for name in self.files for part in PurePosixPath(name).parts[:-1]})

    def _imports(self, name: str) -> tuple[str, ...]:
        return modules_of(self.files[name], "")


def written(code: Carried, task: str, seed: int) -> bytes:
    """The document ``code.json`` of a model."""
    files = {name: _entry(data, name in code.executable) for name, data in code.files.items()}
    return dumps({"schema": "heldout.code/1", "files": files, "task": task, "seed": seed})


def read(path: Path) -> tuple[Carried, CodeDocument]:
    """The code in a ``code.json``, and the document.

    Raises:
        TamperedError: If it is none, or names a file outside its folder.
    """
    hint = "this is not what a fit left: fit the model again"
    try:
        document = CodeDocument.model_validate(read_json(path))
        files = {name: _bytes(each) for name, each in document.files.items()}
    except (ValidationError, ValueError, InputError) as error:
        raise TamperedError(
            f"the code of the model cannot be read: {_first(error)}", where=str(path), hint=hint
        ) from None
    strange = [name for name in files if _outside(name)]
    if strange:
        raise TamperedError(f"the code of the model names {strange[0]!r}", where=str(path), hint=hint)
    return Carried(files, frozenset(name for name, each in document.files.items() if each.executable)), document


def gather(folder: Path, names: Iterable[str], *, where: str, python: Iterable[str] = ()) -> Carried:
    """Files and folders beside a study, with the modules beside it that their Python imports.

    Args:
        folder: Of the study.
        names: Files and folders, relative to it.
        where: Key of the study that names them.
        python: Files whose imports are followed; what lies in named folders is not followed, it is there.

    Raises:
        StudyError: If one is not there, lies elsewhere, is a link, or they are too many or too large for code.
    """
    found: dict[str, Path] = {}
    for name in names:
        found |= dict(_files(folder, name, where))
    for name in python:
        found |= {each.relative_to(folder).as_posix(): each for each in _imported(folder, folder / name)}
    size = sum(path.stat().st_size for path in found.values())
    if len(found) > _MOST_FILES or size > _MOST_BYTES:
        what = f"the code is {len(found):,} files of {size / 1e6:.1f} MB together, more than code is"
        raise StudyError(what, where=where, hint=_HINT)
    marked = frozenset(name for name, path in found.items() if os.access(path, os.X_OK))
    return Carried({name: read_plain(path) for name, path in sorted(found.items())}, marked)


def _files(folder: Path, name: str, where: str) -> Iterator[tuple[str, Path]]:
    if _outside(PurePosixPath(name).as_posix()):
        raise StudyError(f"the code {name!r} does not lie in the study's folder", where=where, hint=_WITHIN)
    path = folder / name
    if path.is_dir() and not path.is_symlink():
        for each in sorted(path.rglob("*")):
            parts = each.relative_to(path).parts
            if not each.is_dir() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
                yield _plain(each, folder, where)
        return
    if not path.is_symlink() and not path.exists():
        raise StudyError(f"there is no {name!r} beside the study", where=where, hint=f"{_WITHIN} ({folder})")
    yield _plain(path, folder, where)


def _plain(path: Path, folder: Path, where: str) -> tuple[str, Path]:
    name = path.relative_to(folder).as_posix()
    if not stat.S_ISREG(path.lstat().st_mode):
        raise StudyError(f"{name!r} is no plain file", where=where, hint="put the file itself there, and no link")
    return name, path


def _imported(folder: Path, start: Path) -> list[Path]:
    """A Python file and the modules beside the study that it imports: in its own folder, and in the study's."""
    found: dict[str, Source] = {}

    def source(name: str) -> Source | None:
        for base in (start.parent, folder) if name else ():
            place = base.joinpath(*name.split("."))
            for path, package in ((place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)):
                if path.is_file() and not path.is_symlink():
                    return found.setdefault(name, Source(path, package))
        return None

    closure([start.stem], source)
    return [each.path for each in found.values()]


def _entry(data: bytes, executable: bool) -> dict[str, object]:
    mark: dict[str, object] = {"executable": True} if executable else {}
    try:
        return mark | {"text": data.decode()}
    except UnicodeDecodeError:
        return mark | {"base64": base64.b64encode(data).decode()}


def _bytes(entry: CarriedFile) -> bytes:
    if entry.text is not None:
        return entry.text.encode()
    if entry.base64 is None:
        raise ValueError("a file has no content")
    return base64.b64decode(entry.base64, validate=True)


def _outside(name: str) -> bool:
    path = PurePosixPath(name)
    return not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or name == "."


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
