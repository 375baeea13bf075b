"""What ``heldout doctor`` asks of video: the FFmpeg that will encode and score, and every encoder by one frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.domains.video.backbone.regressor import FRRegressorBackbone
from heldout.domains.video.encode.ffmpeg import FFmpeg, find_ffmpeg
from heldout.domains.video.encode.probe import Probe, probe_all, probe_encoder
from heldout.domains.video.encode.spec import EncodeSpec, SourceSpec
from heldout.domains.video.kit.study import Adaptation, adapted, find_sources
from heldout.errors import HeldoutError, PrerequisiteError
from heldout.evidence import loads, read_plain
from heldout.package.doctor.doctor import Checkup, Finding, Need, Probes, State, examine
from heldout.package.doctor.machine import detect
from heldout.package.kit.needs import needs_of
from heldout.package.kit.requirements import direct_requirements
from heldout.run import Study
from heldout.run.resolve import Resolved
from heldout.study.load import validate
from heldout.study.yaml import Document

TORCH = frozenset({"torch"})
_PICTURE = "testsrc2=size=640x360:rate=25"
_ROW_BYTES, _MODEL_BYTES, _BASE_MEMORY, _BASE_DISK = 650, 60_000, 600 << 20, 200 << 20
_GUESSED_FRAMES = 300


@dataclass(frozen=True)
class VideoProbes:
    """How FFmpeg is asked; tests answer in its place.

    Attributes:
        find: The FFmpeg at a path, or the one that would be used.
        libvmaf: Version of the libvmaf inside, by scoring one frame.
        encoder: Whether an encoder encodes one frame.
    """

    find: Callable[[Path | None], FFmpeg] = find_ffmpeg
    libvmaf: Callable[[FFmpeg, str], str] = lambda ffmpeg, model: libvmaf_version(ffmpeg, model)
    encoder: Callable[[FFmpeg, str, str | None], Probe] = probe_encoder


def check_up(
    study: Path | None,
    out_dir: Path,
    adaptation: Adaptation | None = None,
    *,
    probes: Probes | None = None,
    video: VideoProbes | None = None,
) -> Checkup:
    """Can this study, or video in general, run here?

    Args:
        study: The study file; None asks what can run here at all.
        out_dir: Where everything will be written.
        adaptation: Sources, encoders and quality points other than the study's.
        probes: How the machine is asked.
        video: How FFmpeg is asked.

    Raises:
        StudyError: If the study is wrong.
    """
    video, wanted = video or VideoProbes(), adaptation or Adaptation()
    try:
        program: FFmpeg | None = video.find(wanted.ffmpeg)
        asked = str(program.path) if program else "ffmpeg"
        findings = [Finding("ffmpeg", "OK", f"FFmpeg {program.version} ({program.path.name})")] if program else []
    except PrerequisiteError as error:
        program, asked, findings = None, "ffmpeg", [_failed("ffmpeg", error)]
    machine = probes or Probes(detect(ffmpeg=asked))
    resolved = Study.load(study).resolve() if study is not None else None
    if resolved is not None and not resolved.spec.corpus.get("produce"):
        modules = direct_requirements(needs_of(resolved).extras)
        need = Need(_BASE_DISK, _BASE_MEMORY, "a study that encodes nothing")
        return examine(machine, modules=modules, need=need, folders=[out_dir])
    spec = _spec(study, out_dir, wanted)
    findings += _video_findings(program, spec, machine, video)
    findings += [_sources_found(wanted.ref_dir)] if wanted.ref_dir is not None else []
    extras = needs_of(resolved).extras if resolved is not None else ["video"]
    torch = resolved is not None and needs_torch(resolved)
    return examine(
        machine,
        modules=direct_requirements(extras, frozenset() if torch else TORCH),
        need=need_of(spec, resolved),
        folders=[out_dir],
        torch_needed=torch,
        more=findings,
    )


def needs_torch(resolved: Resolved) -> bool:
    """Whether PyTorch trains; the engine of choice does without it."""
    backbone = resolved.main.backbone
    return isinstance(backbone, FRRegressorBackbone) and backbone.params.engine in ("stacked", "loop")


def unneeded(study: Path, variant: str = "base") -> frozenset[str]:
    """Distributions of the extra ``video`` that this study does not need."""
    return frozenset() if needs_torch(Study.load(study).resolve(variant)) else TORCH


def need_of(spec: EncodeSpec | None, resolved: Resolved | None) -> Need:
    """Disk and memory that a study takes: its rows in parts, corpus, predictions and bundle; its fits; its encodes."""
    if spec is None:
        return Need(_BASE_DISK, _BASE_MEMORY, "no study was named")
    cells = sum(1 for _ in spec.cells())
    per_source = cells / len(spec.sources)
    frames = sum(_frames(source) for source in spec.sources)
    rows = math.ceil(frames * per_source)
    seeds = len(resolved.main.seeds) if resolved else 5
    fits = seeds * len(spec.sources) * (2 + len(resolved.gate.requires) if resolved else 1)
    disk = _BASE_DISK + rows * _ROW_BYTES * 4 + rows * seeds * 64 + fits * _MODEL_BYTES
    disk += sum(_pan_bytes(source) for source in spec.sources)
    memory = _BASE_MEMORY + rows * 2000 + _largest_frame(spec) * 64
    return Need(disk, memory, f"{cells} cells, about {rows} rows, {fits} fits")


def libvmaf_version(ffmpeg: FFmpeg, model: str) -> str:
    """Score one frame against itself and read the version out of libvmaf's own log.

    Raises:
        PrerequisiteError: If this FFmpeg cannot score with that model.
    """
    with TemporaryDirectory(prefix="heldout-score-") as folder:
        picture = ["-f", "lavfi", "-i", _PICTURE]
        graph = f"[0:v][1:v]libvmaf=log_fmt=json:log_path=vmaf.json:n_threads=1:model=version={model}"
        output = ["-lavfi", graph, "-frames:v", "1", "-f", "null", "-"]
        done = ffmpeg.run([*picture, *picture, *output], cwd=Path(folder))
        log = Path(folder, "vmaf.json")
        if done.code != 0 or not log.is_file():
            raise PrerequisiteError(
                f"this FFmpeg cannot score with {model}: {done.cause}",
                where=ffmpeg.path.name,
                hint="pip install --force-reinstall imageio-ffmpeg, or name one with libvmaf: FFMPEG=..., --ffmpeg",
            )
        return str(loads(read_plain(log), where="libvmaf's log").get("version", "unknown"))


def _spec(study: Path | None, out_dir: Path, wanted: Adaptation) -> EncodeSpec | None:
    """What will be encoded; without a folder of sources, those that the study names stand for them."""
    if study is None:
        return None
    raw = adapted(study, out_dir.resolve(), replace(wanted, corpus=None))
    return validate(EncodeSpec, raw["corpus"]["produce"], Document(study, raw, {}), ("corpus", "produce"))


def _video_findings(
    ffmpeg: FFmpeg | None, spec: EncodeSpec | None, machine: Probes, video: VideoProbes
) -> list[Finding]:
    if ffmpeg is None:
        return []
    model = spec.model if spec else "vmaf_v0.6.1"
    findings = []
    try:
        findings.append(Finding("libvmaf", "OK", f"libvmaf {video.libvmaf(ffmpeg, model)} with {model}"))
    except HeldoutError as error:
        findings.append(_failed("libvmaf", error))
    wanted = (
        [(each.name, each.chosen_preset) for each in spec.encoders]
        if spec
        else [(name, None) for name in machine.machine.encoders]
    )
    probes = [video.encoder(ffmpeg, name, preset) for name, preset in wanted]
    broken = [probe for probe in probes if not probe.usable]
    working = [each.name for each in probe_all(ffmpeg, 1) if each.usable] if broken and spec else []
    return findings + [_encoder_finding(probe, working, needed=spec is not None) for probe in probes]


def _encoder_finding(probe: Probe, working: Sequence[str], *, needed: bool) -> Finding:
    name = f"encoder-{probe.name}"
    if probe.usable:
        device = f" on {probe.device}" if probe.device else ""
        return Finding(name, "OK", f"{probe.name} (preset {probe.preset}) encoded a frame{device}")
    state: State = "FAILED" if needed else "NOTE"
    mend = f"--encoders {','.join(working) or 'libx264'}, or --encoders auto; or mend the driver"
    return Finding(name, state, f"{probe.name} cannot encode here: {probe.reason}", mend)


def _sources_found(ref_dir: Path) -> Finding:
    try:
        return Finding("sources", "OK", f"{len(find_sources(ref_dir))} sources in the folder")
    except HeldoutError as error:
        return _failed("sources", error)


def _failed(name: str, error: HeldoutError) -> Finding:
    return Finding(name, "FAILED", error.what, error.hint or "")


def _frames(source: SourceSpec) -> int:
    if source.frames is not None:
        return source.frames
    if source.kind == "raw" and source.width and source.height and source.path.is_file():
        return max(1, source.path.stat().st_size // _frame_bytes(source))
    return _GUESSED_FRAMES


def _frame_bytes(source: SourceSpec) -> int:
    """At least; two bytes a sample where the format says so."""
    deep = 2 if source.pix_fmt and source.pix_fmt.endswith("le") else 1
    return max(1, (source.width or 1920) * (source.height or 1080) * 3 // 2 * deep)


def _pan_bytes(source: SourceSpec) -> int:
    return _frames(source) * _frame_bytes(source) if source.kind == "pan" else 0


def _largest_frame(spec: EncodeSpec) -> int:
    return max(_frame_bytes(source) for source in spec.sources)
