"""``heldout kit build``: a study, everything that it needs, and the steps that run it, as one file.

Equal input gives an equal kit, byte for byte: there is no clock in it, and no name of a person, host or home folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from heldout import __version__
from heldout.errors import StudyError
from heldout.evidence import digest, dumps, file_entry, read_plain
from heldout.evidence.provenance import code_digest
from heldout.package.archive.write import refuse_no_archive, write_archive
from heldout.package.content.private import refuse_private
from heldout.package.kit import requirements
from heldout.package.kit.agreement import declared_tolerance
from heldout.package.kit.needs import code_beside, needs_of, refuse_loose_code
from heldout.package.kit.requirements import Frozen, Target
from heldout.package.kit.wheel import Wheel, build_wheel, carry_wheel
from heldout.run import Study
from heldout.run.resolve import IDENTITY, Resolved, lock_yaml

SCHEMA = "heldout.kit/1"
KIT_FILE = "kit.json"
STEPS = (
    "01-prereqs.sh",
    "02-generate-corpus.sh",
    "03-train-loso.sh",
    "04-validate.sh",
    "05-bundle-results.sh",
    "run-full-pipeline.sh",
)
_SHIPPED = (*STEPS, "_kit.sh", "check_kit.py")


@dataclass(frozen=True)
class KitOptions:
    """What a kit is built with.

    Attributes:
        variant: Which variant the operator judges.
        tolerance: By metric, how far a fold may differ on other hardware: the rule ``second-hardware``. None: a small
            difference in the primary metric.
        targets: Kinds of machines to freeze requirements for.
        ask_pip: Ask pip for the digests of the wheels.
        wheelhouse: Put the wheels into the kit: a folder that holds them, or is filled by pip.
        leave_out: Distributions that this study does not need though its domain does.
    """

    variant: str = "base"
    tolerance: Mapping[str, float] | None = None
    targets: Sequence[Target] = field(default_factory=requirements.default_targets)
    ask_pip: bool = True
    wheelhouse: Path | None = None
    leave_out: frozenset[str] = frozenset()


class Kit(NamedTuple):
    """A kit that was built.

    Attributes:
        path: The archive.
        sha256: Its digest.
        bytes: Its size.
        document: ``kit.json``.
    """

    path: Path
    sha256: str
    bytes: int
    document: Mapping[str, Any]


def build_kit(study_path: Path, out: Path, options: KitOptions | None = None) -> Kit:
    """Build the kit of a study.

    Args:
        study_path: The study file.
        out: The archive, ``.tar.gz`` or ``.tar.zst``.
        options: How.

    Raises:
        InputError: If a file that is no archive lies at ``out``.
        StudyError: If the study cannot travel, or uses code that no distribution brings.
        PrerequisiteError: If the product or something that the study needs is not installed here.
        RefusedError: If the study names a person, a host or a home folder.
    """
    refuse_no_archive(out)
    chosen = options or KitOptions()
    study = Study.load(study_path)
    resolved = {name: study.resolve(name) for name in _variants(study, chosen.variant)}
    _refuse_untravelled(resolved[chosen.variant], study_path)
    tolerance = declared_tolerance(resolved[chosen.variant], chosen.tolerance)
    refuse_loose_code(resolved[chosen.variant])
    needs = needs_of(resolved[chosen.variant])
    frozen = [
        requirements.freeze(needs.extras, each, chosen.leave_out, needs.carried, needs.others, ask_pip=chosen.ask_pip)
        for each in chosen.targets
    ]
    any_ = requirements.closure(
        needs.extras, requirements.running_target(), chosen.leave_out, needs.carried, needs.others
    )
    carried = [carry_wheel(name) for name in needs.carried]
    with tempfile.TemporaryDirectory(prefix="heldout-kit-") as scratch:
        wheels = _wheelhouse(frozen, chosen, Path(scratch))
        files: dict[str, Path | bytes] = {name: _shipped(name) for name in _SHIPPED}
        files |= {f"locks/{name}.lock.yaml": lock_yaml(each.config).encode() for name, each in resolved.items()}
        named = "".join(f"# and in this kit: dist/{each.name}\n" for each in carried)
        files |= {f"requirements/{each.target.name}.txt": each.text(named).encode() for each in frozen}
        files["requirements/any.txt"] = (named + _pins(any_)).encode()
        files["study.yaml"] = read_plain(study_path)
        files["kit.env"] = _environment(resolved, chosen.variant).encode()
        files["README.md"] = _readme(resolved[chosen.variant], frozen, wheels, carried).encode()
        files |= {f"dist/{each.name}": each.data for each in (build_wheel(), *carried)}
        files |= {f"wheelhouse/{path.name}": path for path in wheels}
        files |= {f"code/{name}": data for each in resolved.values() for name, data in code_beside(each).items()}
        _refuse_private_texts(files)
        document = _document(resolved, chosen, tolerance, frozen, needs.extras, files)
        document |= {"carried": needs.carried} if needs.carried else {}
        files[KIT_FILE] = dumps(document)
        sha256 = write_archive(out, files, top=f"{resolved[chosen.variant].name}-kit")
    return Kit(out, sha256, out.stat().st_size, document)


def _variants(study: Study, variant: str) -> list[str]:
    """The variant, after those that its verdict stands on."""
    required = study.resolve(variant).gate.requires
    return [*(name for name in required if name != variant), variant]


def _refuse_untravelled(resolved: Resolved, where: Path) -> None:
    if resolved.config.get("models"):
        raise StudyError(
            "a study that asks a model from elsewhere cannot travel: a kit does not carry models",
            where=f"{where}: fit.model",
            hint="send the study file and the model, which is known by its digest wherever it lies",
        )
    if resolved.champion is not None:
        raise StudyError(
            "a study that names a champion cannot travel: its run would have to travel too",
            where=f"{where}: champion",
            hint="build the kit of a study without `champion:`, and compare the imported run here",
        )
    if resolved.smoke is not None:
        raise StudyError(f"this is a smoke run: {resolved.smoke}", where=str(where), hint="a kit takes a whole study")


def _wheelhouse(frozen: Sequence[Frozen], options: KitOptions, scratch: Path) -> list[Path]:
    """Wheels to put in: those of a folder that has some, else what pip downloads into it."""
    if options.wheelhouse is None:
        return []
    folder = options.wheelhouse
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("*.whl"))
    if not found:
        for each in frozen:
            if not options.ask_pip or each.hashes:
                requirements.download(each.pins, each.target, folder)
        found = sorted(folder.glob("*.whl"))
    return found


def _shipped(name: str) -> bytes:
    return read_plain(Path(__file__).parent / "steps" / name)


def _pins(pins: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def _environment(resolved: Mapping[str, Resolved], variant: str) -> str:
    """What the steps must know, as shell; every value is a slug."""
    python = requirements.running_target().python
    return f'KIT_VARIANT={variant}\nKIT_VARIANTS="{" ".join(resolved)}"\nKIT_BUILT_WITH={python}\n'


def _readme(resolved: Resolved, frozen: Sequence[Frozen], wheels: Sequence[Path], carried: Sequence[Wheel]) -> str:
    lines = [
        f"- `{each.target.name}`: {len(each.pins)} distributions, "
        + ("each with the sha256 of its wheel" if each.hashes else f"without digests ({each.why})")
        for each in frozen
    ]
    lines.append("- `any`: the versions alone, for every other machine")
    lines += [f"- `dist/{each.name}`: a plug-in of the study" for each in carried]
    return Template(_shipped("README.md").decode()).substitute(
        title=f"{resolved.name}: training kit",
        study=resolved.name,
        variant=resolved.variant,
        bundle=f"{resolved.name}-results.tar.gz",
        network="no network: the wheels are in `wheelhouse`" if wheels else "access to a Python package index",
        requirements="\n".join(lines),
    )


def _refuse_private_texts(files: Mapping[str, Path | bytes]) -> None:
    for name in ("study.yaml", *(name for name in files if name.startswith(("locks/", "code/")))):
        data = files[name]
        assert isinstance(data, bytes)
        refuse_private(data, name)


def _document(
    resolved: Mapping[str, Resolved],
    options: KitOptions,
    tolerance: Mapping[str, float],
    frozen: Sequence[Frozen],
    extras: Sequence[str],
    files: Mapping[str, Path | bytes],
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "study": resolved[options.variant].name,
        "variant": options.variant,
        "variants": {name: digest({part: each.config[part] for part in IDENTITY}) for name, each in resolved.items()},
        "second_hardware": {"tolerance": dict(tolerance)},
        "heldout": __version__,
        "code_sha256": code_digest(),
        "requirements": {
            each.target.name: {"distributions": len(each.pins), "hashes": bool(each.hashes), "why": each.why or None}
            for each in frozen
        },
        "extras": list(extras),
        "files": {name: file_entry(data) for name, data in sorted(files.items())},
    }
