"""The study of a kit, adapted to the machine that runs it: the raw sources that lie there, and what was overridden.

Encoders, quality points and seeds may be others than the study's; then it is another variant or another corpus, and
every digest says so. Rules, split and training are never touched here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout.domains.video.encode.encoders import FAMILIES, family_of
from heldout.domains.video.encode.ffmpeg import find_ffmpeg
from heldout.domains.video.encode.geometry import Geometry, raw_geometry
from heldout.domains.video.encode.probe import probe_encoder
from heldout.domains.video.encode.spec import SourceSpec, load_spec, source_name
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import read_json, read_plain, write_text
from heldout.package.doctor.machine import detect
from heldout.run.resolve import lock_yaml
from heldout.study import load_study, load_yaml

SUFFIXES = (".yuv", ".y4m")
SOURCES_FILE = "sources.json"
AUTO = "auto"
# The published kit took every raw file for this; here only those that hold whole frames of it.
_FULL_HD, _FULL_HD_FRAME = {"width": 1920, "height": 1080, "pix_fmt": "yuv420p"}, 3_110_400
_GEOMETRY = ("width", "height", "fps", "pix_fmt")


@dataclass(frozen=True)
class Adaptation:
    """What this machine brings, and what its operator asks for; None or empty keeps the study's own.

    Attributes:
        ref_dir: Folder of raw sources, searched at every depth.
        encoders: Names, or ``auto`` alone: those of this kind of machine that really encode.
        cqs: Quality points.
        seeds: Seeds.
        corpus: Where the corpus file will lie.
        geometry: Width, height, fps and pix_fmt of raw files that do not say their own.
        ffmpeg: Another FFmpeg.
    """

    ref_dir: Path | None = None
    encoders: Sequence[str] = ()
    cqs: Sequence[int] = ()
    seeds: Sequence[int] = ()
    corpus: Path | None = None
    geometry: Mapping[str, Any] = field(default_factory=dict)
    ffmpeg: Path | None = None


def adapt_study(study: Path, out: Path, adaptation: Adaptation) -> Path:
    """Write the study as it will run here.

    Args:
        study: The study of the kit.
        out: The file to write; paths in it are relative to its folder.
        adaptation: What differs.

    Raises:
        InputError: If a source does not say its geometry, or there is none.
        StudyError: If what comes out is no valid study; nothing is written then.
    """
    raw = adapted(study, out.resolve().parent, adaptation)
    text = lock_yaml(raw)
    checked = out.with_name(f".{out.name}.checked")
    try:
        write_text(checked, text)
        load_study(checked)
        load_spec(checked)
    finally:
        checked.unlink(missing_ok=True)
    if not out.exists() or read_plain(out) != text.encode():
        write_text(out, text)
    return out


def adapted(study: Path, folder: Path, adaptation: Adaptation) -> dict[str, Any]:
    """The adapted study as a mapping, its paths relative to ``folder`` where they lie in it."""
    raw: dict[str, Any] = copy.deepcopy(load_yaml(study).value)
    produce = raw.get("corpus", {}).get("produce")
    if produce is None:
        raise InputError(
            "the study does not say how its corpus is made", where=f"{study}: corpus", hint="add corpus.produce"
        )
    if adaptation.ref_dir is not None:
        declared = {source_name(source): source for source in load_spec(study).spec.sources}
        produce["sources"] = _sources(adaptation.ref_dir, declared, adaptation.geometry)
    if adaptation.encoders:
        produce["encoders"] = _encoders(produce, adaptation)
    if adaptation.cqs:
        produce["cqs"] = list(adaptation.cqs)
    elif isinstance(produce["cqs"], dict):
        produce["cqs"] = _points(produce)
    if adaptation.seeds:
        raw["seeds"] = list(adaptation.seeds)
    if adaptation.corpus is not None:
        corpus = adaptation.corpus.resolve()
        inside = corpus.is_relative_to(folder)
        raw["corpus"]["path"] = corpus.relative_to(folder).as_posix() if inside else str(corpus)
    return raw


def find_sources(ref_dir: Path) -> list[Path]:
    """Raw sources under a folder, at every depth.

    Raises:
        InputError: If there is none.
    """
    found = sorted(path for path in ref_dir.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InputError(
            f"there is no {' or '.join(SUFFIXES)} file", where=str(ref_dir), hint="name the folder of the raw sources"
        )
    return found


def chosen_encoders(names: Sequence[str], ffmpeg: Path | None) -> list[str]:
    """Names of encoders; ``auto`` becomes those of this kind of machine that really encode a frame.

    Raises:
        InputError: If one is not known.
        PrerequisiteError: If ``auto`` finds none.
    """
    if list(names) != [AUTO]:
        for name in names:
            family_of(name)
        return list(names)
    program = find_ffmpeg(ffmpeg)
    wanted = detect(ffmpeg=str(program.path)).encoders
    working = [name for name in wanted if probe_encoder(program, name).usable]
    if not working and "libx264" not in wanted and probe_encoder(program, "libx264").usable:
        working = ["libx264"]
    if not working:
        raise PrerequisiteError(
            "no encoder of this machine works", where="--encoders auto", hint="`heldout video probe` says why"
        )
    return working


def _encoders(produce: Mapping[str, Any], adaptation: Adaptation) -> list[Any]:
    """The study's own entry where it has one, so that its preset stays."""
    own = {each if isinstance(each, str) else each["name"]: each for each in produce["encoders"]}
    return [own.get(name, {"name": name}) for name in chosen_encoders(adaptation.encoders, adaptation.ffmpeg)]


def _points(produce: Mapping[str, Any]) -> dict[str, list[int]]:
    """Quality points by encoder, for those that are left; an encoder that the study has not needs ``--cqs``."""
    names = [each if isinstance(each, str) else each["name"] for each in produce["encoders"]]
    lacking = [name for name in names if name not in produce["cqs"]]
    if lacking:
        raise InputError(
            f"the study has no quality points for {lacking[0]}",
            where="--encoders",
            hint=f"give them: --cqs, between {FAMILIES[lacking[0]].low} and {FAMILIES[lacking[0]].high}",
        )
    return {name: produce["cqs"][name] for name in names}


def _sources(ref_dir: Path, declared: Mapping[str, SourceSpec], geometry: Mapping[str, Any]) -> list[dict[str, object]]:
    ref_dir = ref_dir.resolve()
    noted = noted_geometry(ref_dir)
    return [_source(path, noted.get(path.relative_to(ref_dir).as_posix(), {}), declared, geometry)
            for path in find_sources(ref_dir)]  # fmt: skip


def noted_geometry(ref_dir: Path) -> dict[str, Mapping[str, Any]]:
    """Geometry by relative name, as a transport left it; a file in any folder speaks of that folder."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(ref_dir.rglob(SOURCES_FILE)):
        document = read_json(path)
        sources = document.get("sources") if isinstance(document, dict) else None
        for name, facts in (sources or {}).items():
            relative = (path.parent / name).relative_to(ref_dir).as_posix()
            found[relative] = {key: facts[key] for key in _GEOMETRY if key in facts}
    return found


def _source(
    path: Path, noted: Mapping[str, Any], declared: Mapping[str, SourceSpec], geometry: Mapping[str, Any]
) -> dict[str, object]:
    """One entry of ``sources``: geometry from the name, the transport, the study, the published rule, the options."""
    own = declared.get(source_name(SourceSpec(path=path)))
    entry: dict[str, object] = {"path": str(path)}
    if own is not None and own.frames is not None:
        entry["frames"] = own.frames
    return entry if path.suffix.lower() != ".yuv" else entry | _raw_facts(path, noted, _declared(own), geometry)


def raw_source(path: Path, folder: Path, geometry: Mapping[str, Any]) -> dict[str, object]:
    """Geometry of a raw file that no study names: by its name, ``sources.json``, the published rule, the options.

    Raises:
        InputError: If it cannot be known.
    """
    return _raw_facts(path, noted_geometry(folder).get(path.relative_to(folder).as_posix(), {}), {}, geometry)


def _raw_facts(
    path: Path, noted: Mapping[str, Any], declared: Mapping[str, Any], geometry: Mapping[str, Any]
) -> dict[str, object]:
    known = named_geometry(path)
    for other in (noted, declared, _full_hd(path, {**known, **noted, **declared}), geometry):
        known |= {key: value for key, value in other.items() if key not in known and value is not None}
    raw_geometry(SourceSpec.model_validate({"path": path, **known}))
    return known


def named_geometry(path: Path) -> dict[str, object]:
    """What a raw file's own name says, part by part."""
    filler: dict[str, object] = {"width": 16, "height": 16, "fps": "1", "pix_fmt": "yuv420p"}
    found: dict[str, object] = {}
    for part in (("width", "height"), ("fps",), ("pix_fmt",)):
        others = {key: value for key, value in filler.items() if key not in part}
        try:
            said = raw_geometry(SourceSpec.model_validate({"path": path, **others}))
        except InputError:
            continue
        found |= {key: _value(said, key) for key in part}
    return found


def _value(geometry: Geometry, key: str) -> Any:
    return geometry.rate if key == "fps" else getattr(geometry, key)


def _declared(own: SourceSpec | None) -> dict[str, object]:
    if own is None or own.kind != "raw":
        return {}
    return {key: value for key in _GEOMETRY if (value := getattr(own, key)) is not None}


def _full_hd(path: Path, known: Mapping[str, Any]) -> dict[str, object]:
    """``Name_<N>fps`` that holds whole frames of 1920x1080, 8 bit, 4:2:0, as published."""
    size = path.stat().st_size
    fits = "fps" in known and "width" not in known and "pix_fmt" not in known and size and size % _FULL_HD_FRAME == 0
    return dict(_FULL_HD) if fits else {}
