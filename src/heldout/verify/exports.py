"""Exports: models that left a run, checked from their own files and against the run that they came from.

What an export is, only its domain knows. The ``schema`` of its manifest names a plug-in of the group
``heldout.verifiers``: ``heldout.video.ensemble/1`` is checked by the one named ``heldout.video.ensemble``, a tuple of
``Check`` that look at an ``ExportEvidence``, or a function of the evidence that gives one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from heldout import plugins
from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.errors import HeldoutError, InputError, PrerequisiteError
from heldout.evidence import read_json, sha256_file
from heldout.verify.chain import BrokenError, Check, Link, NotCheckedError, walk
from heldout.verify.evidence import RunEvidence

FOLDER = "exports"
VERIFIERS = "verifiers"
_NO_MANIFEST = "no manifest names the files in it: nothing vouches for them"


@dataclass(frozen=True)
class ExportEvidence:
    """The files of one export.

    Attributes:
        path: Its manifest.
        run: The run that it came from, where that is known.
    """

    path: Path
    run: RunEvidence | None = None

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.path.parent

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The manifest."""
        document = read_json(self.path)
        if not isinstance(document, dict):
            raise InputError("the document is not an object", where=str(self.path))
        return document

    @property
    def sha256(self) -> str:
        """Digest of the manifest: compare it with the one that you were told."""
        return sha256_file(self.path)

    def known_run(self) -> RunEvidence:
        """The run that it came from.

        Raises:
            NotCheckedError: If that is not known.
        """
        if self.run is None:
            raise NotCheckedError("the run that it came from was not given: --run RUN")
        return self.run

    def inside(self, where: str | None) -> str | None:
        """A place as it may be shown: relative to the export, or to its run."""
        if where is None:
            return None
        shown = where.replace(f"{self.folder}/", "")
        return self.run.inside(shown) if self.run else shown


Checks = Sequence[Check] | Callable[[ExportEvidence], Sequence[Check]]


def find_exports(path: Path) -> list[Path]:
    """Manifests of exports: the file itself, or those in a folder. A damaged document there is one of them.

    A folder without any manifest has no export.
    """
    documents = sorted(path.glob("*.json")) if path.is_dir() else [path] if path.suffix == ".json" else []
    documents = [each for each in documents if each.is_file() and each.name not in (PROMOTE_FILE, HOLD_FILE)]
    named = [each for each in documents if verifier_of(each)]
    return named or [each for each in documents if _damaged(each)]


def verifier_of(path: Path) -> str | None:
    """Name of the plug-in that checks this manifest; None if it is none."""
    try:
        document = read_json(path)
    except HeldoutError:
        return None
    schema = document.get("schema") if isinstance(document, dict) else None
    name = str(schema).rpartition("/")[0]
    return name if name in plugins.names(VERIFIERS) else None


def links_of(path: Path, run: RunEvidence | None, prefix: str = "") -> tuple[Link, ...]:
    """Look at one export.

    Args:
        path: Its manifest.
        run: The run that it came from, where that is known.
        prefix: Before every title, where several exports stand in one chain.
    """
    evidence = ExportEvidence(path, run)
    (found,) = walk([Check("export", "export → manifest", _whole)], evidence)
    if found.state != "OK":
        return (_titled(found, prefix),)
    name = verifier_of(path)
    assert name is not None
    try:
        loaded: Checks = plugins.load(VERIFIERS, name, where=str(path))
    except PrerequisiteError as error:
        return (Link(found.id, prefix + found.title, "NOT CHECKED", error.what),)
    checks = loaded(evidence) if callable(loaded) else loaded
    return tuple(_titled(link, prefix) for link in (found, *walk(checks, evidence)))


def links_of_run(run: RunEvidence) -> tuple[Link, ...]:
    """Look at every export in a run's own folder; none if there is nothing in it."""
    folder = run.folder / FOLDER
    if not folder.is_dir() or not any(not each.name.startswith(".") for each in folder.iterdir()):
        return ()
    manifests = find_exports(folder)
    if not manifests:
        return (Link("export", "export → manifest", "NOT CHECKED", _NO_MANIFEST, FOLDER),)
    several = len(manifests) > 1
    return tuple(link for path in manifests for link in links_of(path, run, f"{path.stem}: " if several else ""))


def _whole(evidence: ExportEvidence) -> str:
    """The manifest can be read, and is of a kind that is known here."""
    schema = evidence.document.get("schema")
    if verifier_of(evidence.path) is None:
        raise BrokenError(f"the schema is {schema!r}, which no installed plug-in checks", evidence.path.name)
    return f"{evidence.path.name}  sha256 {evidence.sha256[:12]}"


def _titled(link: Link, prefix: str) -> Link:
    return replace(link, title=prefix + link.title)


def _damaged(path: Path) -> bool:
    try:
        read_json(path)
    except HeldoutError:
        return True
    return False
