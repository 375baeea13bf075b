"""``heldout verify`` for what travels: a kit, a bundle or a public package, beside runs, evaluations and exports."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heldout.documents.names import RUN_FILE
from heldout.errors import HeldoutError, InputError, MachineError, TamperedError
from heldout.evidence import digest, read_json, sha256_file
from heldout.evidence.machine import machine_error
from heldout.package.archive.contents import Contents, compare, open_archive
from heldout.package.archive.read import Member, is_archive
from heldout.package.kit.build import KIT_FILE
from heldout.package.kit.build import SCHEMA as KIT_SCHEMA
from heldout.package.kit.bundle import BUNDLE_FILE
from heldout.package.kit.bundle import SCHEMA as BUNDLE_SCHEMA
from heldout.package.kit.importing import check_contents, verify_contents
from heldout.package.public.roles import PACKAGE_FILE, PACKAGE_SCHEMA
from heldout.run.resolve import IDENTITY, read_lock
from heldout.verify import Link, Verification, verify_path

MANIFESTS = {BUNDLE_FILE: BUNDLE_SCHEMA, KIT_FILE: KIT_SCHEMA}
# What the steps of a kit make beside its files.
_BESIDE = frozenset({".venv", "out", "__pycache__"})


@dataclass(frozen=True)
class KitVerification(Verification):
    """The chain of a kit: there is no verdict in it yet."""

    @property
    def left_open(self) -> str:
        """Who could still have changed what."""
        return "The files agree with each other. Whoever rewrote all of them is found by the sha256 that you were told."


def verify_any(path: str | Path, **options: Any) -> Verification:
    """Verify a run, an evaluation, a verdict, an export, a kit, a bundle or a public package.

    Args:
        path: What to verify: a file, or a folder.
        options: As for ``verify_path``; of kits and bundles only ``corpus`` is taken, for the bundle's run.

    Raises:
        HeldoutError: As ``verify_path``; a hostile or damaged archive is refused.
    """
    path = Path(path)
    asked = sorted(key for key, value in options.items() if value)
    if path.is_dir() and (path.parent / PACKAGE_FILE).is_file():
        what = "this is the inside of a public package, and not all that was written"
        raise InputError(what, where=str(path), hint=f"heldout verify {path.parent}")
    if path.is_dir() and any((path / name).is_file() for name in MANIFESTS) and not (path / RUN_FILE).exists():
        _refuse_options(asked, path)
        return _verify_folder(path)
    if not (path.is_file() and is_archive(path)):
        return verify_path(path, **options)
    _refuse_options(asked, path)
    with tempfile.TemporaryDirectory(prefix="heldout-verify-") as scratch:
        contents = open_archive(path, Path(scratch) / "archive", {**MANIFESTS, PACKAGE_FILE: PACKAGE_SCHEMA})
        first = Link("archive", "archive → every file", "OK", f"{path.name}  sha256 {sha256_file(path)[:12]}")
        return _verified(contents, first, path)


def _refuse_options(asked: list[str], path: Path) -> None:
    if asked:
        raise InputError(
            f"--{asked[0].removesuffix('_too')} belongs to a run",
            where=str(path),
            hint="import the bundle by `heldout kit import`, then verify its run",
        )


def _verify_folder(path: Path) -> Verification:
    name = next(each for each in MANIFESTS if (path / each).is_file())
    document = read_json(path / name)
    if not isinstance(document, dict) or document.get("schema") != MANIFESTS[name]:
        raise TamperedError(f"{name} is not of the schema {MANIFESTS[name]}", where=str(path), hint="ask for it again")
    found = {
        each.relative_to(path).as_posix(): Member(each.stat().st_size, sha256_file(each))
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.name != name and not _BESIDE.intersection(each.relative_to(path).parts)
    }
    beside = {"second_hardware.json"} - set(document.get("files") or {})
    compare(document.get("files"), {each: member for each, member in found.items() if each not in beside}, path.name)
    first = Link("archive", "manifest → every file", "OK", f"{name}  sha256 {sha256_file(path / name)[:12]}")
    return _verified(Contents(path, document), first, path)


def _verified(contents: Contents, first: Link, path: Path) -> Verification:
    if contents.document["schema"] == PACKAGE_SCHEMA:
        found = verify_path(contents.folder / PACKAGE_FILE)
        return replace(found, links=(first, *found.links))
    if contents.document["schema"] == BUNDLE_SCHEMA:
        check_contents(contents)
        found = verify_contents(contents)
        return Verification(found.folder, found.verdict, found.verdict_sha256, (first, *found.links), found.exports)
    links = (first, *_kit_links(contents))
    return KitVerification(path, None, None, links, {KIT_FILE: sha256_file(contents.folder / KIT_FILE)})


def _kit_links(contents: Contents) -> list[Link]:
    looks = (("wheel", "wheel → its record", _check_wheel), ("locks", "locks → variants", _check_locks))
    links = []
    for name, title, look in looks:
        try:
            links.append(Link(name, title, "OK", look(contents)))
        except MachineError:
            raise
        except HeldoutError as error:
            links.append(Link(name, title, "BROKEN", error.what, error.where))
        except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
            refused = machine_error(error)
            if refused is not None:
                raise refused from error
            links.append(Link(name, title, "BROKEN", f"a document is damaged: {type(error).__name__}"))
    return links


def _check_wheel(contents: Contents) -> str:
    """Heldout's own wheel, and those of the study's plug-ins."""
    wheels = sorted((contents.folder / "dist").glob("*.whl"))
    if not any(each.name.startswith("heldout-") for each in wheels):
        raise TamperedError("there is no wheel of heldout", where="dist")
    return "; ".join(_check_record(each) for each in wheels)


def _check_record(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        named: dict[str, str] = {}
        for line in archive.read(record).decode().splitlines():
            name, sha256, _ = line.rsplit(",", 2)
            named[name] = sha256
        if sorted(named) != sorted(names):
            raise TamperedError("the wheel's record names other files than it holds", where=wheel.name)
        for name in names:
            if name != record and named[name] != _record_digest(archive.read(name)):
                raise TamperedError("a file of the wheel is not the one of its record", where=f"{wheel.name}: {name}")
    return f"{len(names)} files of {wheel.name}"


def _record_digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _check_locks(contents: Contents) -> str:
    variants: Mapping[str, str] = contents.document["variants"]
    for name, expected in variants.items():
        lock = read_lock(contents.folder / "locks" / f"{name}.lock.yaml")
        if digest({part: lock[part] for part in IDENTITY}) != expected:
            raise TamperedError("the locked configuration is not the one that the kit names", where=f"locks/{name}")
    return f"{len(variants)} locked configurations: {', '.join(variants)}"
