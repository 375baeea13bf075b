"""Who made a file, from what, with what: the ``ai-run-provenance-v1`` block and what it lacks.

The published block has entry point, arguments, inputs and outputs. Added here: code revision, package versions,
host and device. The host is described by kind (system, machine, processor count), never by name, and no home path
is written.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from heldout.evidence.files import sha256_bytes, sha256_file
from heldout.evidence.secrets import as_digest, is_secret, without_secret_values

SCHEMA = "ai-run-provenance-v1"
# Rooms that show, keep or check what others computed: no number of a run can depend on them.
_AFTER_THE_FACT = frozenset({"cli", "leaderboard", "package", "registry", "report", "shadow", "verify", "zoo"})
_PACKAGES = (
    "heldout",
    "imageio-ffmpeg",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "polars",
    "scikit-learn",
    "scipy",
    "torch",
)


def build(
    *,
    args: Mapping[str, Any],
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path | str],
    device: str = "cpu",
) -> dict[str, object]:
    """The ``run_provenance`` block.

    Args:
        args: Parsed arguments; paths become strings, non-finite floats null.
        inputs: Files that were read; each is described with its sha256.
        outputs: Files that are written; a plain string is a target that is not described.
        device: The device that computed, such as ``cpu`` or ``cuda:NVIDIA H200``.
    """
    entry = Path(__file__).resolve().parent.parent / "cli" / "main.py"
    return {
        "schema": SCHEMA,
        "entrypoint": describe_path(entry, root=entry.parents[2]),
        "argv": [portable(text) for text in without_secret_values(sys.argv[1:])],
        "args": plain(args),
        "inputs": {name: describe_path(path) for name, path in sorted(inputs.items())},
        "outputs": {
            name: describe_path(target) if isinstance(target, Path) else target
            for name, target in sorted(outputs.items())
        },
        "code": {"revision": code_revision(), "sha256": code_digest()},
        "packages": package_versions(),
        "host": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        },
        "device": device,
    }


def describe_path(path: Path, root: Path | None = None) -> dict[str, object]:
    """Path, existence, kind and (for a file) sha256; the path is relative to ``root`` or the working folder."""
    if path.is_file():
        kind, sha256 = "file", sha256_file(path)
    else:
        kind, sha256 = ("dir" if path.is_dir() else "missing"), None
    described = {"path": portable(path, root), "exists": path.exists(), "kind": kind}
    return described | ({"sha256": sha256} if sha256 else {})


def portable(path: Path | str, root: Path | None = None) -> str:
    """A path as it may be published: relative to ``root`` or the working folder, else without the home folder."""
    text = str(path)
    resolved = Path(text)
    if not resolved.is_absolute():
        if isinstance(path, Path):
            return resolved.as_posix()
        option, equals, value = text.partition("=")
        return option + equals + portable(value, root) if Path(value).is_absolute() else text
    home, here = _home(), root or Path.cwd()
    # From a folder above the homes, as `/` in a container, a relative path would name them.
    above = home is not None and home != here and home.is_relative_to(here)
    places = [(home, "~/")] if above or here == here.parent else [(here, ""), (home, "~/")]
    for base, prefix in places:
        if base is not None and resolved.is_relative_to(base):
            return prefix + resolved.relative_to(base).as_posix()
    return resolved.name if resolved.parent != resolved else text


def _home() -> Path | None:
    """The home folder; None where an account has none of its own, as in many containers."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.parent != home else None


def plain(value: Any) -> Any:
    """A value as strict JSON: paths become strings, non-finite floats null, mappings and sequences recurse."""
    if isinstance(value, Path):
        return portable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_digest(item) if _is_secret(str(key), item) else plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _is_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and is_secret(key, value)


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, where installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_digest() -> str:
    """Sha256 over the sources that a number can depend on (relative name, digest): the same wherever installed."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(
        (file for file in root.rglob("*.py") if file.relative_to(root).parts[0] not in _AFTER_THE_FACT),
        key=lambda file: file.relative_to(root).as_posix(),
    )
    lines = [f"{sha256_file(file)}  {file.relative_to(root).as_posix()}" for file in files]
    return sha256_bytes("\n".join(lines).encode())


@functools.cache
def code_revision() -> str:
    """The git commit of a source checkout with ``+dirty`` if changed, or ``unknown`` for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return "unknown"
    try:
        git = ["git", "-C", str(root)]
        # A hook of another repository sets GIT_DIR, which would name that one's commit.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        head, status = (
            subprocess.run([*git, *command], capture_output=True, text=True, timeout=5, check=True, env=clean).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src"))
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.strip() + ("+dirty" if status.strip() else "")
