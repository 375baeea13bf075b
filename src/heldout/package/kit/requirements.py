"""Which distributions a study needs, at the versions that are installed here, and the digests of their wheels.

The closure is taken from the metadata of what is installed, once for each kind of machine: a dependency may be wanted
on one system only. Digests come from pip itself, which is asked what it would install there.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from heldout.errors import InputError, PrerequisiteError, near_miss
from heldout.evidence import read_plain

PRODUCT = "heldout"
_TIMEOUT_S = 300
# Distributions whose module has another name.
_MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn", "sqlalchemy": "sqlalchemy", "heldout": "heldout"}


class Target(NamedTuple):
    """A kind of machine to freeze requirements for: system, processor, version of Python."""

    system: str
    machine: str
    python: str

    @property
    def name(self) -> str:
        """Such as ``linux-x86_64-cp311``."""
        return f"{self.system}-{self.machine}-cp{self.python.replace('.', '')}"

    @property
    def tags(self) -> list[str]:
        """Platform tags of the wheels that run there."""
        if self.system == "darwin":
            return [f"macosx_14_0_{self.machine}"]
        old = {"x86_64": ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]}
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(28, 4, -1)]
        return [*tags, *old.get(self.machine, [f"manylinux2014_{self.machine}"]), f"linux_{self.machine}"]

    @property
    def environment(self) -> dict[str, str]:
        """What markers see there."""
        darwin = self.system == "darwin"
        return {
            "sys_platform": self.system,
            "platform_system": "Darwin" if darwin else "Linux",
            "platform_machine": self.machine,
            "os_name": "posix",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


_MACHINES = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"))
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def default_targets() -> list[Target]:
    """Linux and macOS on both processors, with the Python that is running."""
    return [Target(system, machine, _HERE) for system, machine in _MACHINES]


def running_target() -> Target:
    """What this process runs on."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return Target(platform.system().lower(), machine, _HERE)


def parse_target(text: str) -> Target:
    """A target by its name.

    Raises:
        InputError: If there is no such target.
    """
    match = re.fullmatch(r"(linux|darwin)-(x86_64|aarch64|arm64)-cp(3)(1[1-9])", text)
    if match is None or match.group(1, 2) not in _MACHINES:
        known = [target.name for target in default_targets()]
        raise InputError(f"there is no target {text!r}", where="--target", hint=near_miss(text, known))
    return Target(match[1], match[2], f"{match[3]}.{match[4]}")


@dataclass(frozen=True)
class Frozen:
    """Requirements for one target.

    Attributes:
        target: The kind of machine.
        pins: Version by distribution.
        hashes: Sha256 of the wheel by distribution; empty if they could not be had.
        why: Why there are none.
    """

    target: Target
    pins: Mapping[str, str]
    hashes: Mapping[str, str]
    why: str = ""

    def text(self, carried: str = "") -> str:
        """As a file for ``pip install --no-deps -r``, with a comment that names the wheels that a kit carries."""
        lines = [f"# {self.target.name}: every distribution that the study needs, none that it does not."]
        lines += [carried.rstrip()] if carried else []
        for name, version in sorted(self.pins.items()):
            end = f" \\\n    --hash=sha256:{self.hashes[name]}" if self.hashes else ""
            lines.append(f"{name}=={version}{end}")
        return "\n".join(lines) + "\n"


def direct_requirements(extras: Sequence[str], leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Distribution by module, of what the product itself imports for a study with these extras.

    Raises:
        InputError: If there is no such extra.
    """
    names = _requirements(PRODUCT, frozenset(extras), {}) - leave_out
    return {_MODULES.get(name, name.replace("-", "_")): name for name in sorted(names)}


def closure(
    extras: Sequence[str],
    target: Target,
    leave_out: frozenset[str] = frozenset(),
    carried: Sequence[str] = (),
    others: Sequence[str] = (),
) -> dict[str, str]:
    """Version by distribution, of all that is needed on a target, without what a kit carries: the product, plug-ins.

    Raises:
        PrerequisiteError: If one of them is not installed here, so that its version is not known.
    """
    environment = target.environment
    found: dict[str, str] = {}
    mine = {PRODUCT, *(canonicalize_name(name) for name in carried)}
    pending: list[tuple[str, frozenset[str]]] = [(PRODUCT, frozenset(extras)), *((name, frozenset()) for name in mine)]
    pending += [(canonicalize_name(name), frozenset()) for name in others if canonicalize_name(name) not in leave_out]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        name, wanted = pending.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name not in mine:
            found[name] = _version(name)
        for requirement in _parsed(name):
            if _applies(requirement, wanted, environment):
                child = canonicalize_name(requirement.name)
                if child not in leave_out and (child, frozenset(requirement.extras)) != (PRODUCT, frozenset()):
                    pending.append((child, frozenset(requirement.extras)))
    return found


def freeze(
    extras: Sequence[str],
    target: Target,
    leave_out: frozenset[str],
    carried: Sequence[str] = (),
    others: Sequence[str] = (),
    *,
    ask_pip: bool,
) -> Frozen:
    """Pins for a target, with the digests of their wheels where pip knows them."""
    pins = closure(extras, target, leave_out, carried, others)
    if not ask_pip:
        return Frozen(target, pins, {}, "not asked for")
    hashes, why = _ask_pip(pins, target)
    return Frozen(target, pins, hashes, why)


def download(pins: Mapping[str, str], target: Target, folder: Path) -> None:
    """Fill a wheelhouse.

    Raises:
        PrerequisiteError: If pip cannot get a wheel.
    """
    command = [*_pip("download", target), "--dest", str(folder)]
    done = _run([*command, *(f"{name}=={version}" for name, version in sorted(pins.items()))])
    if done.returncode != 0:
        raise PrerequisiteError(
            f"pip cannot download the wheels for {target.name}: {_last_line(done.stderr)}",
            where="--wheelhouse",
            hint="check the network, or name a folder that holds them",
        )


def _ask_pip(pins: Mapping[str, str], target: Target) -> tuple[dict[str, str], str]:
    with tempfile.TemporaryDirectory(prefix="heldout-pip-") as folder:
        report = Path(folder) / "report.json"
        command = [*_pip("install", target), "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        command += ["--target", str(Path(folder) / "nowhere")]
        done = _run([*command, *(f"{name}=={version}" for name, version in sorted(pins.items()))])
        if done.returncode != 0 or not report.exists():
            return {}, _last_line(done.stderr)
        return _digests(json.loads(read_plain(report)), pins)


def _digests(report: Mapping[str, Any], pins: Mapping[str, str]) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    for item in report.get("install", []):
        sha256 = item.get("download_info", {}).get("archive_info", {}).get("hashes", {}).get("sha256")
        if sha256:
            found[canonicalize_name(item["metadata"]["name"])] = str(sha256)
    lacking = sorted(set(pins) - set(found))
    return ({}, f"pip named no digest of {lacking[0]}") if lacking else (found, "")


def _pip(command: str, target: Target) -> list[str]:
    head = [sys.executable, "-m", "pip", command, "--no-deps", "--only-binary=:all:", "--no-input"]
    platforms = [word for tag in target.tags for word in ("--platform", tag)]
    return [*head, *platforms, "--python-version", target.python, "--implementation", "cp"]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(command), 1, "", f"{type(error).__name__}: {error}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("ERROR")]
    return (lines or ["pip gave no answer"])[-1].removeprefix("ERROR: ")[:200]


def _requirements(name: str, extras: frozenset[str], environment: Mapping[str, str]) -> set[str]:
    """Direct requirements, those of a distribution's own extras included."""
    declared = {canonicalize_name(extra) for extra in _distribution(name).metadata.get_all("Provides-Extra") or []}
    for extra in extras:
        if canonicalize_name(extra) not in declared:
            raise InputError(f"{name} has no extra {extra!r}", where="extras", hint=near_miss(extra, declared))
    found: set[str] = set()
    for requirement in _parsed(name):
        if _applies(requirement, extras, environment):
            child = canonicalize_name(requirement.name)
            if child == PRODUCT:
                found |= _requirements(PRODUCT, frozenset(requirement.extras), environment)
            else:
                found.add(child)
    return found


def _applies(requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in (extras or {""}))


def _parsed(name: str) -> list[Requirement]:
    return [Requirement(text) for text in _distribution(name).requires or []]


def _version(name: str) -> str:
    """Without the local part: whoever installs elsewhere gets the public build."""
    return _distribution(name).version.partition("+")[0]


def _distribution(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise PrerequisiteError(
            f"{name} is not installed here, so its version cannot be frozen",
            where=name,
            hint=f"pip install {name}, then build the kit again",
        ) from None
