"""The product and plug-ins as wheels, from what is installed: whoever gets a kit needs no checkout and no build tools.

A wheel holds a distribution's own files and its installed metadata. Equal files give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from heldout.errors import PrerequisiteError

PRODUCT = "heldout"
_OF_THE_INSTALLER = {"INSTALLER", "REQUESTED", "RECORD", "WHEEL", "direct_url.json"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TAG = "py3-none-any"
_WHEEL = f"Wheel-Version: 1.0\nGenerator: {PRODUCT}\nRoot-Is-Purelib: true\nTag: {_TAG}\n"


class Wheel(NamedTuple):
    """A built wheel: its file name and its bytes."""

    name: str
    data: bytes


def build_wheel() -> Wheel:
    """Build the wheel of this product.

    Raises:
        PrerequisiteError: If it is not installed, or its installed metadata are older than its sources.
    """
    package = Path(__file__).resolve().parents[2]
    distribution = _distribution()
    _refuse_stale(distribution, package)
    version = distribution.version
    files = {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and not any(_left_behind(part) for part in path.relative_to(package).parts)
    }
    info = f"{PRODUCT}-{version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (distribution.read_text(name) or "").encode()
    return _packed(PRODUCT, version, files, _TAG)


def carry_wheel(name: str) -> Wheel:
    """Build the wheel of an installed distribution again, such as one that brings plug-ins.

    Raises:
        PrerequisiteError: If its files are not here as they were installed: it is editable, compiled or was changed.
    """
    distribution = importlib.metadata.distribution(name)
    stem, version = re.sub(r"[-_.]+", "_", distribution.name).lower(), distribution.version
    tags = re.findall(r"^Tag: *(\S+)", distribution.read_text("WHEEL") or "", re.MULTILINE)
    files: dict[str, bytes] = {}
    for path in distribution.files or ():
        if path.suffix == ".pyc" or path.name in _OF_THE_INSTALLER or _is_script(path):
            continue
        data = Path(str(path.locate())).read_bytes()
        if path.hash is not None and path.hash.mode == "sha256" and path.hash.value != _digest(data):
            raise _not_carried(name, f"{path} is not the file that was installed", "install it again")
        files[path.as_posix()] = data
    if not any(".dist-info/" not in each for each in files) or any(each.endswith(".pth") for each in files):
        raise _not_carried(
            name, "its files are not among the installed ones: it is editable", "pip install . without -e"
        )
    if any(not each.endswith("-none-any") for each in tags) or not tags:
        raise _not_carried(name, "it holds code that is compiled for one kind of machine", "put it on a package index")
    if any(each.startswith((".", "/")) for each in files):
        raise _not_carried(name, "it installs files outside of its package", "keep data files inside of the package")
    return _packed(stem, version, files, tags[0])


def _is_script(path: importlib.metadata.PackagePath) -> bool:
    """Whether pip made it from an entry point, as it will there."""
    return path.parts[0] == ".." and path.parts[-2] in ("bin", "Scripts")


def _not_carried(name: str, why: str, hint: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"no wheel of {name} can be made: {why}", where=name, hint=f"{hint}, then build the kit again"
    )


def _packed(stem: str, version: str, files: dict[str, bytes], tag: str) -> Wheel:
    info = f"{stem}-{version}.dist-info"
    files[f"{info}/WHEEL"] = _WHEEL.replace(_TAG, tag).encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(files.items())]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return Wheel(f"{stem}-{version}-{tag}.whl", _zipped(files))


def _left_behind(part: str) -> bool:
    """Whether a folder or file of this name is what tools leave in a checkout."""
    return part == "__pycache__" or part.startswith(".")


def _zipped(files: dict[str, bytes]) -> bytes:
    """Stored, not packed: the kit around it packs all files together, which halves them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        # The metadata last, as the format recommends.
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.external_attr, entry.create_system = 0o644 << 16, 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(PRODUCT)
    except importlib.metadata.PackageNotFoundError:
        raise PrerequisiteError(
            f"{PRODUCT} runs here without being installed, so it has no metadata to pack",
            where=PRODUCT,
            hint="pip install it, a checkout by `pip install -e .`",
        ) from None


def _refuse_stale(distribution: importlib.metadata.Distribution, package: Path) -> None:
    """A checkout may have moved on since it was installed; its wheel would lack the plug-ins that came since."""
    project = package.parents[1] / "pyproject.toml"
    if package.parent.name != "src" or not project.is_file():
        return
    document: dict[str, Any] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    declared = {("console_scripts", *item) for item in document.get("scripts", {}).items()}
    declared |= {(group, *item) for group, items in document.get("entry-points", {}).items() for item in items.items()}
    installed = {(point.group, point.name, point.value) for point in distribution.entry_points}
    different = sorted(declared ^ installed)
    if different:
        raise PrerequisiteError(
            f"the installed metadata are not those of the sources: {different[0][0]} {different[0][1]}",
            where=str(project),
            hint="install the checkout again: pip install -e .",
        )
