"""``heldout doctor``: can the whole study run here? Each finding with what was seen and, if it is bad, its mend.

What is looked at is what later steps will use: the same FFmpeg, the same imports, the same folders. A check that
looked at something else would pass for hours and fail at the end.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from heldout.package.doctor.machine import Machine

SCHEMA = "heldout.doctor/1"
State = Literal["OK", "FAILED", "NOTE"]
_PYTHON = (3, 11)
_IMPORT_TIMEOUT_S = 300
# One process imports all of them; each answer is out before the next import can end the process.
_IMPORTER = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"start": name}), flush=True)
    try:
        importlib.import_module(name)
        why = ""
    except BaseException as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:300] or type(error).__name__
    print(json.dumps({"name": name, "why": why}), flush=True)
"""
_TORCH = """
import torch
print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")
"""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        id: Stable name.
        state: OK; FAILED, which stops the work; NOTE, which does not.
        what: What was seen.
        mend: How to mend it; empty where there is nothing to mend.
    """

    id: str
    state: State
    what: str
    mend: str = ""


class Need(NamedTuple):
    """What a study will take.

    Attributes:
        disk: Bytes on the disk of the output folder.
        memory: Bytes of memory.
        why: What it was estimated from.
    """

    disk: int
    memory: int
    why: str


def _free_disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _memory() -> int | None:
    """Bytes that can be had now where the system says so, else all of them; None where it says neither."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _import_all(modules: Sequence[str]) -> dict[str, str]:
    """By module, why it cannot be imported; empty if it can. In a process of its own: a bad one may end it."""
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        started = ""
        try:
            done = subprocess.run(
                [sys.executable, "-c", _IMPORTER, *left], capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=_IMPORT_TIMEOUT_S,
            )  # fmt: skip
            output, code = done.stdout, f"ended with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            output, code = _text(error.stdout), "did not end"
        for record in _records(output):
            started = record.get("start", started)
            if "name" in record:
                found[record["name"]] = record["why"]
        if started and started not in found:
            found[started] = f"the import {code}"
        elif not all(name in found for name in left):
            found |= {name: f"Python {code}" for name in left if name not in found}
        left = [name for name in left if name not in found]
    return found


@dataclass(frozen=True)
class Probes:
    """How the machine is asked; tests answer in its place.

    Attributes:
        machine: What machine it is.
        python: Version of Python.
        import_all: Why each module cannot be imported.
        version: Version of an installed distribution, or None.
        free_disk: Free bytes where a folder lies.
        memory: Bytes of memory, or None.
        torch_device: Version and device of PyTorch, or None.
    """

    machine: Machine
    python: tuple[int, int] = field(default_factory=lambda: sys.version_info[:2])
    import_all: Callable[[Sequence[str]], Mapping[str, str]] = _import_all
    version: Callable[[str], str | None] = field(default_factory=lambda: installed_version)
    free_disk: Callable[[Path], int] = _free_disk
    memory: Callable[[], int | None] = _memory
    torch_device: Callable[[], str | None] = field(default_factory=lambda: torch_device)


@dataclass(frozen=True)
class Checkup:
    """Everything that was found."""

    machine: Machine
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing stops the work."""
        return all(finding.state != "FAILED" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """The checkup as a document."""
        return {
            "schema": SCHEMA,
            "healthy": self.healthy,
            "platform": self.machine.kind,
            "machine": asdict(self.machine),
            "default_encoders": list(self.machine.encoders),
            "findings": [finding._asdict() for finding in self.findings],
        }


def examine(
    probes: Probes,
    *,
    modules: Mapping[str, str],
    need: Need,
    folders: Sequence[Path],
    torch_needed: bool = False,
    more: Iterable[Finding] = (),
) -> Checkup:
    """Look at everything.

    Args:
        probes: How the machine is asked.
        modules: Distribution by module, of all that later steps import.
        need: What the study will take.
        folders: Folders that will be written to; the first one holds the output.
        torch_needed: Whether PyTorch trains.
        more: What the study's domain found.
    """
    findings = [
        _platform(probes.machine),
        _python(probes),
        *_imports(probes, modules),
        _torch(probes, needed=torch_needed),
        *more,
    ]
    findings += [_writable(folder) for folder in folders]
    findings += [_disk(probes, need, folders[0]), _memory_enough(probes, need)]
    return Checkup(probes.machine, tuple(findings))


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_device() -> str | None:
    """Version of PyTorch and where it would compute; None where it is not installed."""
    if find_spec("torch") is None:
        return None
    done = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout.strip() if done.returncode == 0 else "cannot be imported"


def _platform(machine: Machine) -> Finding:
    if machine.kind != "unknown":
        return Finding("platform", "OK", machine.kind)
    return Finding("platform", "NOTE", f"unknown system {machine.system!r}", "use Linux or macOS")


def _python(probes: Probes) -> Finding:
    found = ".".join(map(str, probes.python))
    if probes.python >= _PYTHON:
        return Finding("python", "OK", f"Python {found}")
    wanted = ".".join(map(str, _PYTHON))
    return Finding(
        "python", "FAILED", f"Python {found} is too old", f"use Python {wanted} or newer: KIT_PYTHON=python{wanted}"
    )


def _imports(probes: Probes, modules: Mapping[str, str]) -> list[Finding]:
    why = probes.import_all(sorted(modules))
    findings = []
    for module in sorted(modules):
        version = probes.version(modules[module])
        if not why.get(module, "it was not tried"):
            findings.append(Finding(f"import-{module}", "OK", f"{modules[module]} {version or ''}".strip()))
            continue
        absent = version is None
        what = f"{modules[module]} {'is not installed' if absent else f'{version} cannot be imported'}: {why[module]}"
        mend = f"pip install {'' if absent else '--force-reinstall '}{modules[module]}"
        findings.append(Finding(f"import-{module}", "FAILED", what, f"{mend}; in a kit: run 01-prereqs.sh again"))
    return findings


def _torch(probes: Probes, *, needed: bool) -> Finding:
    found = probes.torch_device()
    if found is None:
        if needed:
            return Finding("torch", "FAILED", "PyTorch trains this study and is not installed", "pip install torch")
        return Finding("torch", "OK", "PyTorch is not installed, and this study does not need it")
    if found == "cannot be imported":
        return Finding(
            "torch", "FAILED" if needed else "NOTE", "PyTorch cannot be imported", "pip install --force-reinstall torch"
        )
    return Finding("torch", "OK", f"PyTorch {found}" + ("" if needed else " (this study does not need it)"))


def _writable(folder: Path) -> Finding:
    name = f"writable-{folder.name or 'root'}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        mend = "make it writable, or choose another: OUT_DIR=..., --out-dir"
        return Finding(name, "FAILED", f"cannot write into {folder}: {error.strerror or error}", mend)
    return Finding(name, "OK", str(folder))


def _disk(probes: Probes, need: Need, folder: Path) -> Finding:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), Path())
    free = probes.free_disk(existing)
    what = f"{_size(free)} free, the study takes about {_size(need.disk)} ({need.why})"
    if free >= need.disk:
        return Finding("disk", "OK", what)
    return Finding(
        "disk", "FAILED", what, "free some space, or choose a folder on another disk: OUT_DIR=..., --out-dir"
    )


def _memory_enough(probes: Probes, need: Need) -> Finding:
    there = probes.memory()
    if there is None:
        return Finding("memory", "NOTE", f"this system does not say; the study takes about {_size(need.memory)}")
    what = f"{_size(there)} to be had, the study takes about {_size(need.memory)}"
    if there >= need.memory:
        return Finding("memory", "OK", what)
    return Finding("memory", "FAILED", what, "end other programs, or run with fewer workers: KIT_WORKERS=1")


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"


def _records(output: str) -> list[dict[str, str]]:
    found = []
    for line in output.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # what a module prints when it is imported
        if isinstance(record, dict):
            found.append(record)
    return found


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
