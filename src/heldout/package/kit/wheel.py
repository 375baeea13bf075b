"""The product itself as a wheel, from what is installed: whoever gets a kit needs no checkout and no build tools.

The wheel holds the package's own files and the metadata of the installed distribution. Equal files give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import tomllib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from heldout.errors import PrerequisiteError

PRODUCT = "heldout"
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
    info = f"{PRODUCT}-{version}.dist-info"
    files = {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and not any(_left_behind(part) for part in path.relative_to(package).parts)
    }
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (distribution.read_text(name) or "").encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(files.items())]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return Wheel(f"{PRODUCT}-{version}-{_TAG}.whl", _zipped(files))


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
