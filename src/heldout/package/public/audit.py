"""``heldout package audit``: the judgement of the packager, passed on a package of anyone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, InputError, near_miss
from heldout.evidence import loads, read_plain, sha256_file
from heldout.package.archive.contents import compare
from heldout.package.archive.read import Member, is_archive, read_members
from heldout.package.content.findings import Finding, audit_document
from heldout.package.content.privacy import Names
from heldout.package.public.judge import Judge
from heldout.package.public.open import Opened, open_package
from heldout.package.public.roles import PACKAGE_FILE, PACKAGE_SCHEMA, Publication, default_publication, publication_of

Contracts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        package: Name of the package.
        files: How many plain files are in it.
        contract: The contract that it was held against; None for the strict default.
        findings: Everything that must not be published, sorted.
    """

    package: str
    files: int
    contract: str | None
    findings: Sequence[Finding]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """The audit as a document."""
        return audit_document(self.package, self.findings, self.files, self.contract)


def audit_package(
    path: Path, *, contract: str | None = None, contracts: Contracts | None = None, hide: Sequence[str] = ()
) -> Audit:
    """Look for everything in a package that must not be published.

    Args:
        path: A folder, a tar or a ZIP.
        contract: Id of the contract to hold it against; by default the one that the package names.
        contracts: Contracts by id.
        hide: Words that must not be seen, besides the names of this machine.

    Raises:
        InputError: If there is no package, or no such contract.
        PrerequisiteError: If the search for secrets is not installed.
    """
    bounds = default_publication()
    with tempfile.TemporaryDirectory(prefix="heldout-audit-") as scratch:
        opened = open_package(path, Path(scratch), bounds)
        document = _package_document(opened)
        name = contract or _named(document, contracts or {})
        publication = find_publication(name, contracts or {}) if name else bounds
        judged = Judge(publication, Names(hide)).findings(opened.files)
        form = _unlike_ours(path, document)
        findings = sorted({*opened.findings, *judged, *form, *_unlike_manifest(opened, document)})
    return Audit(path.name, len(opened.files), publication.contract, findings)


def find_publication(name: str, contracts: Contracts) -> Publication:
    """What the contract of this id publishes.

    Raises:
        InputError: If there is none, or it does not say what may be published.
    """
    if name not in contracts:
        raise InputError(f"there is no contract {name!r}", where="--contract", hint=near_miss(name, contracts))
    return publication_of(contracts[name])


def _package_document(opened: Opened) -> Mapping[str, Any]:
    """The package's own manifest; empty where there is none that can be read."""
    if PACKAGE_FILE not in opened.files:
        return {}
    try:
        document = loads(read_plain(opened.files[PACKAGE_FILE]), where=PACKAGE_FILE)
    except HeldoutError:
        return {}
    return document if isinstance(document, dict) and document.get("schema") == PACKAGE_SCHEMA else {}


def _named(document: Mapping[str, Any], contracts: Contracts) -> str | None:
    named = (document.get("contract") or {}).get("id") if isinstance(document.get("contract"), dict) else None
    return named if named in contracts else None


def _unlike_ours(path: Path, document: Mapping[str, Any]) -> list[Finding]:
    """Where an archive that says that heldout packed it is not in heldout's form: `verify` would refuse it too."""
    if not document or not is_archive(path):
        return []
    try:
        read_members(path)
    except HeldoutError as error:
        return [Finding("", "HO-P001", "", error.what)]
    return []


def _unlike_manifest(opened: Opened, document: Mapping[str, Any]) -> list[Finding]:
    """Where the package's own manifest names other files than are there."""
    if not document:
        return []
    found = {
        name: Member(path.stat().st_size, sha256_file(path))
        for name, path in opened.files.items()
        if name != PACKAGE_FILE
    }
    try:
        compare(document.get("files"), found, PACKAGE_FILE)
    except HeldoutError as error:
        return [Finding((error.where or "").partition(": ")[2] or PACKAGE_FILE, "HO-P007", "", error.what)]
    return []
