"""What an archive of ours must be: exactly the files that its own manifest names, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json
from heldout.package.archive.read import Limits, Member, safe_name, unpack

_AGAIN = "do not use it; ask for the file as it was written"


class Contents(NamedTuple):
    """An unpacked archive.

    Attributes:
        folder: The one folder that was in it.
        document: Its manifest.
    """

    folder: Path
    document: Mapping[str, Any]


def open_archive(path: Path, target: Path, manifests: Mapping[str, str], limits: Limits | None = None) -> Contents:
    """Unpack an archive into an empty folder, and hold every file against the manifest.

    Args:
        path: The archive.
        target: The folder.
        manifests: Schema by name of the manifest, of the kinds of archive that may come.
        limits: How much is unpacked at most.

    Raises:
        InputError: If it is an archive of another kind.
        RefusedError: If it is hostile.
        TamperedError: If a file is missing, changed, or not named.
    """
    members = unpack(path, target, limits)
    tops = {name.partition("/")[0] for name in members}
    top = tops.pop() if len(tops) == 1 else ""
    name = next((each for each in manifests if f"{top}/{each}" in members), None)
    if not top or name is None:
        raise InputError(
            f"the archive holds no {' or '.join(manifests)}", where=path.name, hint="name a kit or a bundle of heldout"
        )
    inside = {each.removeprefix(f"{top}/"): member for each, member in members.items()}
    document = read_json(target / top / name)
    if not isinstance(document, dict) or document.get("schema") != manifests[name]:
        raise TamperedError(f"{name} is not of the schema {manifests[name]}", where=path.name, hint=_AGAIN)
    compare(document.get("files"), {each: member for each, member in inside.items() if each != name}, path.name)
    return Contents(target / top, document)


def compare(named: Any, found: Mapping[str, Member], where: str) -> None:
    """Hold files against the block ``files`` of a manifest.

    Raises:
        TamperedError: At the first that is missing, changed or not named.
    """
    if not isinstance(named, dict):
        raise TamperedError("the manifest names no files", where=where, hint=_AGAIN)
    for name, entry in sorted(named.items()):
        safe_name(name, where)
        if name not in found:
            raise TamperedError("the file is missing", where=f"{where}: {name}", hint=_AGAIN)
        if not isinstance(entry, dict) or found[name] != (entry.get("bytes"), entry.get("sha256")):
            raise TamperedError("the file is not the one of the manifest", where=f"{where}: {name}", hint=_AGAIN)
    beside = sorted(set(found) - set(named))
    if beside:
        raise TamperedError("the manifest does not name this file", where=f"{where}: {beside[0]}", hint=_AGAIN)
