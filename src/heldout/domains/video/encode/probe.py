"""Which encoders can really run here: each encodes one frame, with its own arguments, and says why if it cannot.

That FFmpeg lists an encoder, or that a graphics card of some make is in the machine, proves nothing: data-centre
cards have no encoder, and AV1 needs a recent one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heldout.domains.video.encode.encoders import FAMILIES, Encoder, device_nodes, family_of
from heldout.domains.video.encode.ffmpeg import FFmpeg, Finished
from heldout.domains.video.encode.workers import each
from heldout.errors import InputError, PrerequisiteError

# Large enough for every hardware encoder's least size.
_PICTURE = "testsrc2=size=640x360:rate=25"


@dataclass(frozen=True)
class Probe:
    """What a one-frame encode showed.

    Attributes:
        name: The encoder.
        preset: The preset that was tried.
        usable: Whether a frame came out.
        reason: Why not, in FFmpeg's first words; empty if usable.
        log: FFmpeg's last lines; empty if usable.
        device: The device node that worked, for QSV and VAAPI.
    """

    name: str
    preset: str
    usable: bool
    reason: str = ""
    log: tuple[str, ...] = ()
    device: str | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder that was found to work."""
        return Encoder(self.name, self.preset, self.device)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        family = FAMILIES[self.name]
        facts = asdict(self) | {"log": list(self.log)}
        return facts | {"knob": family.knob, "range": [family.low, family.high], "arguments": family.arguments}


def probe_encoder(ffmpeg: FFmpeg, name: str, preset: str | None = None) -> Probe:
    """Encode one frame.

    Raises:
        InputError: If the encoder is not in the table.
    """
    family = family_of(name)
    chosen = preset or family.preset
    if name not in ffmpeg.listed_encoders:
        return Probe(name, chosen, usable=False, reason="this FFmpeg was built without it")
    failure: Finished | None = None
    for device in device_nodes(family.device):
        failure = _one_frame(ffmpeg, Encoder(name, chosen, device))
        if failure is None:
            return Probe(name, chosen, usable=True, device=device)
    if failure is None:
        return Probe(name, chosen, usable=False, reason="there is no device /dev/dri/renderD*")
    return Probe(name, chosen, usable=False, reason=failure.cause, log=failure.last_lines())


def probe_all(ffmpeg: FFmpeg, workers: int) -> list[Probe]:
    """Probe every encoder of the table, in its order."""
    return each(lambda name: probe_encoder(ffmpeg, name), list(FAMILIES), workers, ffmpeg.children)


def require_usable(ffmpeg: FFmpeg, probes: Iterable[Probe], workers: int) -> None:
    """Refuse, before compute is spent, encoders that cannot run.

    Raises:
        PrerequisiteError: Names them with the reasons, and the encoders that do work.
    """
    broken = [probe for probe in probes if not probe.usable]
    if not broken:
        return
    working = [probe.name for probe in probe_all(ffmpeg, workers) if probe.usable]
    first, rest = broken[0], broken[1:]
    more = "".join(f"; {probe.name}: {probe.reason}" for probe in rest)
    raise PrerequisiteError(
        f"the encoder {first.name} (preset {first.preset}) cannot run here: {first.reason}{more}",
        where=str(ffmpeg.path),
        hint=f"these can: {', '.join(working) or 'none'}; or go on without it by --allow-skips",
    )


def probe_scoring(ffmpeg: FFmpeg, model: str) -> None:
    """Score one frame against itself.

    Raises:
        PrerequisiteError: If this FFmpeg has no libvmaf filter.
        InputError: If libvmaf does not know the model.
    """
    graph = f"[0:v][1:v]libvmaf=n_threads=1:model=version={model}"
    picture = ["-f", "lavfi", "-i", _PICTURE]
    done = ffmpeg.run([*picture, *picture, "-lavfi", graph, "-frames:v", "1", "-f", "null", "-"])
    if done.code == 0:
        return
    if any("No such filter" in line for line in done.lines):
        raise PrerequisiteError(
            "this FFmpeg cannot score: it was built without libvmaf",
            where=str(ffmpeg.path),
            hint="pip install 'heldout[video]' for one that can, or give another to --ffmpeg",
        )
    raise InputError(f"libvmaf cannot score with {model!r}: {done.cause}", where="model", hint="use vmaf_v0.6.1")


def _one_frame(ffmpeg: FFmpeg, encoder: Encoder) -> Finished | None:
    """None if a frame was encoded, else what FFmpeg said."""
    cq = (encoder.family.low + encoder.family.high) // 2
    chain = ",".join(["format=yuv420p", *encoder.filters(8)])
    arguments = [*encoder.global_arguments(), "-f", "lavfi", "-i", _PICTURE, "-vf", chain, "-frames:v", "1"]
    with TemporaryDirectory(prefix="heldout-probe-") as folder:  # the muxer of a cell, which must be able to seek
        done = ffmpeg.run([*arguments, *encoder.codec_arguments(cq), "-f", "mp4", "probe.mp4"], cwd=Path(folder))
        written = Path(folder, "probe.mp4")
        return None if done.code == 0 and written.is_file() and written.stat().st_size else done
