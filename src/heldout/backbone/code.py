"""Which code fits a contender: the import closure of its backbone, its reader and what makes its views.

What belongs to heldout becomes one digest, so that a change elsewhere in heldout refits nothing. What is the user's own
(an estimator, a plug-in, and what they import) is named module by module. Installed packages are known by their
version, unless they are installed as editable: then they are the user's own code. Data files are not covered.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, TypedDict

from heldout.backbone import Backbone
from heldout.backbone.estimators import distributions_of
from heldout.corpus import Reader
from heldout.evidence import digest
from heldout.evidence.imports import Source, closure, total

_OURS = "heldout"
_ROOT = Path(__file__).resolve().parents[1]
_FITTING = ("heldout.run.units.compute", "heldout.run.models")
_ASKING = ("heldout.run.units.compute", "heldout.run.asking")
_INSTALLED = ("site-packages", "dist-packages")


class CodeBlock(TypedDict):
    """What fits a contender, in a document."""

    heldout: str
    user: dict[str, str]


@dataclass(frozen=True)
class Code:
    """What fits a contender.

    Attributes:
        heldout: Digest over the modules of heldout in the closure.
        user: Sha256 of each module of the user's own.
    """

    heldout: str
    user: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> CodeBlock:
        """As it stands in documents."""
        return {"heldout": self.heldout, "user": dict(self.user)}

    @property
    def sha256(self) -> str:
        """One digest of all: what the key of a unit holds."""
        return digest(self.to_json())


def code_of(backbone: Backbone, reader: type[Reader]) -> Code:
    """The code of a contender as it lies on disk now."""
    ways = _FITTING if backbone.fits else _ASKING
    found = closure((*ways, type(backbone).__module__, reader.__module__, *backbone.sources()), _source)
    ours = {name: sha256 for name, sha256 in found.items() if name.partition(".")[0] == _OURS}
    theirs = {name: sha256 for name, sha256 in found.items() if name not in ours}
    return Code(total(ours), theirs | dict(backbone.carries()))


def own_code(modules: Iterable[str]) -> dict[str, str]:
    """Sha256 of each module of the user's own among these and what they import, by module."""
    return closure(modules, lambda name: None if name.partition(".")[0] == _OURS else _source(name))


def files_of(backbone: Backbone) -> list[Path]:
    """The files of the user's own code that a backbone and what it imports are made of."""
    found = closure((type(backbone).__module__, *backbone.sources()), _source)
    sources = (_source(name) for name in found if name.partition(".")[0] != _OURS)
    return sorted(source.path.resolve() for source in sources if source is not None)


def user_code_sha256(fit_code: Mapping[str, Mapping[str, Any]]) -> str | None:
    """One digest of the user's own modules that fit the variant itself; None if it has none."""
    found = fit_code.get("", {}).get("user")
    return digest(dict(found)) if found else None


def sha256_of(fit_code: Mapping[str, Mapping[str, Any]]) -> str:
    """One digest of the code of all contenders: what the name of a run holds."""
    return digest({name: dict(code) for name, code in fit_code.items()})


def _source(name: str) -> Source | None:
    """Where the code of a module of heldout or of the user lies; None for what is installed, or is no module."""
    if name.partition(".")[0] == _OURS:
        place = _ROOT.joinpath(*name.split(".")[1:])
        package = place / "__init__.py"
        module = place.with_name(f"{place.name}.py")
        return Source(package, True) if package.is_file() else Source(module, False) if module.is_file() else None
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return None  # built in, or a package without a source of its own
    path = Path(spec.origin)
    return (
        None
        if _installed(path, name.partition(".")[0])
        else Source(_file(path), spec.submodule_search_locations is not None)
    )


def _spec(name: str) -> ModuleSpec | None:
    """Where Python would import a module from; nothing is executed for it."""
    top, *rest = name.split(".")
    if not top or top in sys.stdlib_module_names:
        return None
    try:
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        found = (find(top, None, None) for find in finders if find is not None)
        spec = next((each for each in found if each is not None), None)  # not what this process may have imported
        for index, _ in enumerate(rest, start=2):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(name.split(".")[:index]), spec.submodule_search_locations)
    except (ImportError, ValueError, AttributeError):  # such as a module that was made by hand and says nothing
        return None
    return spec


def _installed(path: Path, top: str) -> bool:
    """Whether a file belongs to Python or to a distribution that was copied into place; an editable one was not."""
    if any(part in _INSTALLED for part in path.parts):
        return True
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    if any(path.is_relative_to(place) for place in standard if place):
        return True
    real = path.resolve()
    for name in distributions_of(top):
        found = distribution(name)
        if found.read_text("METADATA") is not None and real.is_relative_to(Path(str(found.locate_file(""))).resolve()):
            return True  # an editable one lies elsewhere, or has no METADATA
    return False


def _file(path: Path) -> Path:
    """The file that holds a module: itself, or the archive that it lies in."""
    return next((each for each in (path, *path.parents) if each.is_file()), path)
