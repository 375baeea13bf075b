"""Finding plug-ins by entry point: ``heldout.backbones``, ``heldout.readers`` and the others of ``KINDS``.

A plug-in loads only when it is named, so a broken one harms no other. Commands of heldout are never replaced; of other
kinds, two plug-ins of one name are refused, for a study that names them could mean either. Whoever reads documents of
strangers loads inside ``installed_only``: then a name may only lead to code that somebody installed here, and never to
a file that lies near.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextvars import ContextVar
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from heldout.errors import PrerequisiteError, StudyError, near_miss
from heldout.evidence import read_plain

OURS = "heldout"
KINDS = ("backbones", "readers", "splitters", "tasks", "metrics", "verifiers", "commands")
_INSTALLED_ONLY: ContextVar[bool] = ContextVar("heldout_installed_only", default=False)
_TRUSTED: ContextVar[bool] = ContextVar("heldout_trusted", default=False)
_CALLED: ContextVar[bool] = ContextVar("heldout_called", default=False)


@contextlib.contextmanager
def installed_only() -> Iterator[None]:
    """Inside, code that no installed distribution brought is not imported, unless ``trusting_code`` is around it."""
    before = _INSTALLED_ONLY.set(True)
    try:
        yield
    finally:
        _INSTALLED_ONLY.reset(before)


@contextlib.contextmanager
def trusting_code(*, trust: bool = True, calls: bool = True) -> Iterator[None]:
    """Inside, code that a document names may be run: whoever opens this vouches for it.

    Args:
        trust: Nothing changes if not.
        calls: Also any installed function, with arguments that the document chooses; else one's own functions only.
    """
    before, called = _TRUSTED.set(trust), _CALLED.set(trust and calls)
    try:
        yield
    finally:
        _TRUSTED.reset(before)
        _CALLED.reset(called)


def refuse_uninstalled(name: str) -> None:
    """Inside ``installed_only``, refuse a module, or a class by its import path, of no installed distribution.

    Raises:
        PrerequisiteError: If it is none; nothing of it was imported.
    """
    if _INSTALLED_ONLY.get() and not _TRUSTED.get() and not is_installed(name):
        raise PrerequisiteError(
            f"{name!r} is code of no installed distribution: it is run only with --trust-code",
            where=name,
            hint="read that code first; then use --trust-code",
        )


def refuse_untrusted(name: str) -> None:
    """Inside ``installed_only``, refuse to call what a document names, installed or not.

    Raises:
        PrerequisiteError: If nobody vouches for the document.
    """
    module = name.partition(":")[0]
    own = _TRUSTED.get() and module.partition(".")[0] not in sys.stdlib_module_names and not is_installed(module)
    if _INSTALLED_ONLY.get() and not _CALLED.get() and not own:
        raise PrerequisiteError(
            f"{name!r} is called only with --trust-code: a document of somebody else names it",
            where=name,
            hint="read what it does; then use --trust-code",
        )


def refuse_untrusted_code(where: str) -> None:
    """Inside ``installed_only``, refuse code that came along with a document, unless whoever asks vouches for it.

    Raises:
        PrerequisiteError: If nobody does; nothing of it was run.
    """
    if _INSTALLED_ONLY.get() and not _TRUSTED.get():
        raise PrerequisiteError(
            "the run brings its own code, which is run only with --trust-code",
            where=where,
            hint="read that code first (`code.json` beside each model); then use --trust-code",
        )


def is_installed(name: str) -> bool:
    """Whether a module's code lies where distributions are installed, or in the sources of an editable one."""
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])  # a top-level name: finding it imports nothing
    except (ImportError, ValueError, AttributeError):
        return True  # there is nothing that could be run
    if spec is None:
        return True
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and all(any(Path(each).resolve().is_relative_to(root) for root in _roots()) for each in places)


@functools.cache
def _roots() -> tuple[Path, ...]:
    """Folders that installers write to, and the sources of editable installs."""
    paths = [each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
    found = {*paths, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        found.add(site.getusersitepackages())
    roots = tuple(Path(each).resolve() for each in found)
    ours = Path(__file__).resolve().parent
    return (ours, *roots, *(path for each in roots if each.is_dir() for path in _editable(each)))


def _editable(root: Path) -> Iterator[Path]:
    for distribution in distributions(path=[str(root)]):
        with contextlib.suppress(ValueError, AttributeError):
            found = json.loads(distribution.read_text("direct_url.json") or "{}")
            if found.get("dir_info", {}).get("editable"):
                yield Path(unquote(urlparse(found["url"]).path)).resolve()
    for listed in root.glob("*.pth"):  # older installers name the sources of an editable install so
        lines = read_plain(listed).decode("utf-8", "replace").splitlines()
        yield from (Path(line).resolve() for line in lines if line.startswith("/") and Path(line).is_dir())


def names(kind: str) -> list[str]:
    """Names of the installed plug-ins of a kind, sorted."""
    return sorted({point.name for point in entry_points(group=f"{OURS}.{kind}")})


def points(kind: str) -> list[EntryPoint]:
    """The entry points of a kind, by name and value; nothing is imported for it."""
    return sorted(entry_points(group=f"{OURS}.{kind}"), key=lambda point: (point.name, point.value))


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that declares an entry point; empty where nobody knows."""
    return ("", "") if point.dist is None else (point.dist.name, point.dist.version)


def point_of(kind: str, name: str) -> EntryPoint:
    """The entry point of an installed plug-in; nothing is imported for it."""
    return next(point for point in points(kind) if point.name == name)


def module_of(kind: str, name: str) -> str:
    """The module that brings a plug-in; nothing is imported for it."""
    return point_of(kind, name).module


def version_of(kind: str, name: str) -> str | None:
    """Distribution and version that bring a plug-in; None where it says none."""
    distribution, version = distribution_of(point_of(kind, name))
    return f"{distribution} {version}" if distribution else None


def load(kind: str, name: str, *, where: str | None = None) -> Any:
    """Load a plug-in by name.

    Raises:
        StudyError: If no plug-in has that name, or two have.
        PrerequisiteError: If it is installed but cannot be imported; inside ``installed_only``, if it is not installed.
    """
    found = [point for point in points(kind) if point.name == name]
    if kind == "commands":
        found = [point for point in found if distribution_of(point)[0] == OURS] or found
    if not found and _INSTALLED_ONLY.get():
        raise PrerequisiteError(
            f"the {kind.removesuffix('s')} {name!r} is not installed here",
            where=where,
            hint="install the distribution that brings it, then ask again",
        )
    if not found:
        raise StudyError(
            f"there is no {kind.removesuffix('s')} named {name!r}",
            where=where,
            hint=near_miss(name, names(kind), "installed"),
        )
    if len({point.value for point in found}) > 1:
        raise StudyError(
            f"two {kind} are named {name!r}: {', '.join(point.value for point in found)}",
            where=where,
            hint="uninstall one of them",
        )
    return load_point(found[0], kind)


def load_point(point: EntryPoint, kind: str) -> Any:
    """What an entry point leads to.

    Raises:
        PrerequisiteError: If it cannot be imported.
    """
    refuse_uninstalled(point.module)
    try:
        return point.load()
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # one that calls `exit`, or panics in Rust, too
        raise PrerequisiteError(
            f"the {kind.removesuffix('s')} {point.name!r} cannot be imported: {type(error).__name__}: {error}",
            where=point.value,
            hint="install what it needs, or upgrade the package that provides it",
        ) from error
