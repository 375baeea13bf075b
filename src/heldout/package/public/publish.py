"""``heldout package public``: what a run says, in a file that can be given to anyone.

One way for every backbone: files are taken by declared role, everything private in them is replaced, and the result is
judged as if an enemy had made it. Whatever that judgement finds refuses the whole package; then nothing is written. The
package names every file by the digest of its published bytes and, beside it, of the bytes that the run wrote.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from heldout import __version__
from heldout.documents.names import CORPUS_FILE, LOCK_FILE, RUN_FILE
from heldout.errors import CorpusError, HeldoutError, InputError, RefusedError
from heldout.evidence import dumps, loads, read_plain, sha256_bytes, sha256_file, write_bytes
from heldout.package.archive.write import write_archive
from heldout.package.content.findings import Finding, refuse
from heldout.package.content.pictures import DamagedError, stripped
from heldout.package.content.privacy import Names, Scrubber
from heldout.package.content.sniff import is_text
from heldout.package.content.views import BrokenTypeError, rewritten
from heldout.package.public.audit import Contracts, find_publication
from heldout.package.public.evidence import baseline_tables
from heldout.package.public.judge import Judge, secrets
from heldout.package.public.roles import (
    PACKAGE_FILE,
    PACKAGE_SCHEMA,
    PICTURE_TYPES,
    TABLE_TYPE,
    TEXT_TYPES,
    Publication,
    content_type,
    default_publication,
)
from heldout.package.public.tables import lines_of, with_texts_of
from heldout.verify import verify_path, verify_run
from heldout.verify.evaluations import EvaluationEvidence, EvaluationVerification, links_of_evaluation
from heldout.verify.evidence import RunEvidence

TOP = "public"
RUN = "run"
_ARCHIVES = (".tar.gz", ".tgz", ".tar.zst")
# Groups stand there in order: names that are given out in that order keep the order of the groups.
_FIRST = CORPUS_FILE


class Package(NamedTuple):
    """A package that was written.

    Attributes:
        path: The archive or the folder.
        sha256: Of the archive, or of ``public.json`` in the folder: tell it on another way.
        document: ``public.json``.
    """

    path: Path
    sha256: str
    document: Mapping[str, Any]


def package_public(
    run: Path,
    out: Path,
    *,
    contract: str | None = None,
    contracts: Contracts | None = None,
    hide: Sequence[str] = (),
    max_file_bytes: int | None = None,
) -> Package:
    """Package what may be published of a run, or of a backbone's evaluation.

    Args:
        run: A run directory, or a folder of an evaluation.
        out: A ``.tar.gz``, a ``.tar.zst``, or a folder that is not there yet.
        contract: Id of the contract that says what may be published; the strict default without.
        contracts: Contracts by id.
        hide: Words to take out besides the names of this machine, such as the names of the one that trained.
        max_file_bytes: Of one file.

    Raises:
        InputError: If there is no such run or contract, or the output is there already.
        TamperedError: If a link of the run's or the evaluation's evidence is broken.
        RefusedError: At what must not be published; then nothing is written.
        PrerequisiteError: If the search for secrets is not installed.
    """
    publication = find_publication(contract, contracts or {}) if contract else default_publication()
    if max_file_bytes is not None:
        publication = replace(publication, max_file_bytes=max_file_bytes)
    if not run.is_dir():
        raise InputError("there is no run", where=str(run), hint="name a run directory")
    if not out.name.endswith(_ARCHIVES) and out.exists():
        raise InputError("there is something already", where=str(out), hint="name a folder that is not there yet")
    evidence = _evidence(run)
    names = Names(hide)
    with tempfile.TemporaryDirectory(prefix="heldout-public-") as scratch:
        staged = _Staged(Path(scratch) / TOP, Scrubber(names), publication)
        staged.take(run, baseline_tables(evidence) if evidence else {})
        document = staged.document(run, evidence)
        write_bytes(staged.folder / PACKAGE_FILE, dumps(document))
        files = {**staged.files, PACKAGE_FILE: staged.folder / PACKAGE_FILE}
        refuse(sorted({*staged.findings, *Judge(publication, names).findings(files)}))
        if evidence is None:
            EvaluationVerification(run, None, None, links_of_evaluation(EvaluationEvidence(run))).raise_if_broken()
        _refuse_broken(staged.folder)
        return Package(out, _written(out, files, staged.folder), document)


class _Staged:
    """The package as it grows in a scratch folder."""

    def __init__(self, folder: Path, scrubber: Scrubber, publication: Publication) -> None:
        self.folder, self.files, self.findings = folder, dict[str, Path](), list[Finding]()
        self._scrubber, self._publication = scrubber, publication
        self._entries: dict[str, dict[str, Any]] = {}
        self._withheld: dict[str, dict[str, int]] = {}
        folder.mkdir(parents=True)

    def take(self, run: Path, tables: Mapping[str, bytes]) -> None:
        """Take every file that has a role, and every table that was made of files that have none."""
        found = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if not path.is_dir()}
        for name in sorted(found, key=lambda each: (each != _FIRST, each)):
            path = found[name]
            hidden = any(part.startswith(".") for part in name.split("/"))
            if hidden or self._publication.role_of(f"{RUN}/{name}") is None:
                self._withhold(name, path)
            elif path.is_symlink() or not path.is_file():
                self.findings.append(Finding(name, "HO-P002", "", "this is no plain file"))
            else:
                self._add(name, path)
        for name, data in sorted(tables.items()):
            self._stage(name, data, None)

    def document(self, run: Path, evidence: RunEvidence | None) -> dict[str, Any]:
        """``public.json``; no time and no machine stand in it, so equal runs give equal packages."""
        publication = self._publication
        said: dict[str, Any] = {"kind": "evaluation", "name": self._scrubber.text(run.resolve().name)}
        if evidence is not None:
            verdict = evidence.verdict
            said = {"kind": "run", "name": evidence.run["run"]}
            said |= {key: verdict[key] for key in ("study", "variant", "verdict")}
            said |= {"verdict_sha256": evidence.verdict_sha256}
        contract = {"id": publication.contract, "sha256": publication.contract_sha256}
        return {
            "schema": PACKAGE_SCHEMA,
            "heldout": __version__,
            "contract": contract if publication.contract else None,
            "of": self._scrubber.value(said),
            "files": dict(sorted(self._entries.items())),
            "withheld": dict(sorted(self._withheld.items())),
            "replaced": dict(sorted(self._scrubber.counts.items())),
            "phrases_that_name_no_role": list(publication.unread),
        }

    def _add(self, name: str, path: Path) -> None:
        size = path.stat().st_size
        if size > self._publication.max_file_bytes:
            most = self._publication.max_file_bytes
            self.findings.append(Finding(name, "HO-P006", "", f"it has {size} bytes, the bound is {most}"))
            return
        data = read_plain(path)
        self._stage(name, data, {"bytes": size, "sha256": sha256_bytes(data)})

    def _stage(self, name: str, data: bytes, original: dict[str, Any] | None) -> None:
        place = f"{RUN}/{self._scrubber.text(name)}"
        published = self._published(name, data)
        role = self._publication.role_of(place)
        self._entries[place] = {
            "role": role.name if role else None,
            "type": content_type(name),
            "bytes": len(published),
            "sha256": sha256_bytes(published),
            "original": original,
            "scrubbed": original is not None and published != data,
        }
        write_bytes(self.folder / place, published)
        self.files[place] = self.folder / place

    def _published(self, name: str, data: bytes) -> bytes:
        """The bytes that are published. What cannot be mended stays as it is: the judge will say so."""
        kind = content_type(name)
        try:
            if kind in PICTURE_TYPES:
                return stripped(data)
            if kind == TABLE_TYPE:
                lines = lines_of(data)
                self.findings += secrets(f"{RUN}/{name}", lines, "jsonl")
                again = rewritten(lines, "jsonl", name, self._scrubber.value, self._scrubber.text)
                return data if again == lines else with_texts_of(again, data)
            if kind in TEXT_TYPES and is_text(data):
                self.findings += secrets(f"{RUN}/{name}", data, kind)
                data = self._corpus(data) if name == _FIRST else data
                return rewritten(data, kind, name, self._scrubber.value, self._scrubber.text)
        except (BrokenTypeError, CorpusError, DamagedError):
            pass
        return data

    def _corpus(self, data: bytes) -> bytes:
        """The corpus manifest with names of files for paths, relative ones too; its groups' names are learnt."""
        try:
            document = loads(data, where=_FIRST)
        except HeldoutError:
            return data
        groups = document.get("groups") if isinstance(document, dict) else None
        self._scrubber.learn(str(group.get("id")) for group in groups or [] if isinstance(group, dict))
        changed = _named_only(document)
        return data if changed == document else dumps(changed)

    def _withhold(self, name: str, path: Path) -> None:
        top = self._scrubber.text(name.partition("/")[0])
        entry = self._withheld.setdefault(top, {"files": 0, "bytes": 0})
        entry["files"] += 1
        entry["bytes"] += path.lstat().st_size


def _evidence(run: Path) -> RunEvidence | None:
    """The run's documents, verified; None where it is an evaluation and no run."""
    if not (run / RUN_FILE).exists() and not (run / LOCK_FILE).exists():
        return None
    verify_run(run).raise_if_broken()
    return RunEvidence.open(run)


def _named_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: item.replace("\\", "/").rpartition("/")[2]
            if key == "path" and isinstance(item, str)
            else _named_only(item)
            for key, item in value.items()
        }
    return [_named_only(item) for item in value] if isinstance(value, list) else value


def _refuse_broken(folder: Path) -> None:
    """Without the names that were taken out, the published files must still follow from each other."""
    link = verify_path(folder / PACKAGE_FILE).broken
    if link is not None:
        raise RefusedError(
            f"without the names that were taken out, the link {link.title!r} no longer holds: {link.what}",
            where=link.where or PACKAGE_FILE,
            hint="name groups and samples without folders, hosts and persons, then run the study again",
            code="HO-P031",
        )


def _written(out: Path, files: Mapping[str, Path], staged: Path) -> str:
    if out.name.endswith(_ARCHIVES):
        return write_archive(out, files, top=TOP)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        shutil.copytree(staged, Path(beside) / TOP)
        (Path(beside) / TOP).rename(out)
    return sha256_file(out / PACKAGE_FILE)
