"""The encoders that the producer can drive: each with its own quality knob, range, preset and arguments.

The number in a row's ``cq`` is the number that was asked for. It goes to the knob as it is, but for VideoToolbox,
whose scale runs the other way: there ``cq`` is shaped like a CRF and the knob gets ``100 - 2 * cq``. Every software
encoder runs with one thread, so that its bits do not depend on the machine's number of processors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from heldout.errors import InputError, near_miss

Device = Literal["none", "qsv", "vaapi"]
NO_PRESET = "default"


def _as_it_is(cq: int) -> int:
    return cq


def _videotoolbox_quality(cq: int) -> int:
    return max(1, min(100, 100 - 2 * cq))


@dataclass(frozen=True)
class Family:
    """How encoders of one kind are driven.

    Attributes:
        knob: FFmpeg's option that carries the quality.
        low: Least ``cq`` that the knob takes.
        high: Greatest.
        preset: The one that is used when none is named; ``default`` where the encoder has none.
        arguments: Codec arguments; ``{q}`` is the knob's value and ``{preset}`` the preset.
        device: The kind of device that must be opened first.
        value: From ``cq`` to the knob's value.
    """

    knob: str
    low: int
    high: int
    preset: str
    arguments: str
    device: Device = "none"
    value: Callable[[int], int] = _as_it_is

    @property
    def has_presets(self) -> bool:
        """Whether a preset can be chosen."""
        return "{preset}" in self.arguments

    def render(self, cq: int, preset: str) -> list[str]:
        """Codec arguments for one quality point."""
        return self.arguments.format(q=self.value(cq), preset=preset).split()


_NVENC = "-rc vbr -cq {q} -b:v 0 -preset {preset}"
_QSV = Family("global_quality", 1, 51, "medium", "-global_quality {q} -preset {preset}", "qsv")
_VAAPI = Family("qp", 1, 51, NO_PRESET, "-rc_mode CQP -qp {q}", "vaapi")
_VAAPI_WIDE = Family("global_quality", 1, 255, NO_PRESET, "-rc_mode CQP -global_quality {q}", "vaapi")
_VIDEOTOOLBOX = Family("q:v", 0, 49, NO_PRESET, "-q:v {q} -realtime 0", value=_videotoolbox_quality)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "libx264": Family("crf", 0, 51, "medium", "-crf {q} -preset {preset} -threads 1"),
        "libx265": Family(
            "crf", 0, 51, "medium", "-crf {q} -preset {preset} -x265-params pools=1:frame-threads=1:log-level=error"
        ),
        # FFmpeg takes its crf 0 for "not given".
        "libsvtav1": Family("crf", 1, 63, "8", "-crf {q} -preset {preset} -svtav1-params lp=1"),
        "libvpx-vp9": Family(
            "crf", 0, 63, "4", "-crf {q} -b:v 0 -deadline good -cpu-used {preset} -row-mt 0 -threads 1"
        ),
        # Without frame-parallel coding switched off, some builds of vvenc now and then end a short clip with no packet.
        "libvvenc": Family(
            "qp", 0, 63, "faster", "-qp {q} -preset {preset} -threads 1 -vvenc-params maxparallelframes=0"
        ),
        "libaom-av1": Family("crf", 0, 63, "6", "-crf {q} -b:v 0 -cpu-used {preset} -row-mt 0 -threads 1"),
        "h264_nvenc": Family("cq", 1, 51, "p4", _NVENC),
        "hevc_nvenc": Family("cq", 1, 51, "p4", _NVENC),
        "av1_nvenc": Family("cq", 1, 63, "p4", _NVENC),
        "h264_qsv": _QSV,
        "hevc_qsv": _QSV,
        "av1_qsv": _QSV,
        "vp9_qsv": _QSV,
        "h264_vaapi": _VAAPI,
        "hevc_vaapi": _VAAPI,
        "av1_vaapi": _VAAPI_WIDE,
        "vp9_vaapi": _VAAPI_WIDE,
        "h264_amf": Family("qp", 0, 51, "balanced", "-rc cqp -qp_i {q} -qp_p {q} -qp_b {q} -quality {preset}"),
        "hevc_amf": Family("qp", 0, 51, "balanced", "-rc cqp -qp_i {q} -qp_p {q} -quality {preset}"),
        "av1_amf": Family("qp", 0, 255, "balanced", "-rc cqp -qp_i {q} -qp_p {q} -qp_b {q} -quality {preset}"),
        "h264_videotoolbox": _VIDEOTOOLBOX,
        "hevc_videotoolbox": _VIDEOTOOLBOX,
    }
)


def family_of(name: str) -> Family:
    """The family of an encoder.

    Raises:
        InputError: If the encoder is not in the table; with the nearest name.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    raise InputError(
        f"unknown encoder {name!r}",
        where="encoders",
        hint=near_miss(name, FAMILIES),
    )


@dataclass(frozen=True)
class Encoder:
    """An encoder with its preset, on the device that the probe found.

    Attributes:
        name: As FFmpeg calls it.
        preset: The preset, or ``default``.
        device: Device node for QSV and VAAPI; None where none is needed.
    """

    name: str
    preset: str
    device: str | None = None

    @property
    def family(self) -> Family:
        """How it is driven."""
        return FAMILIES[self.name]

    def global_arguments(self) -> list[str]:
        """What must stand before the input: the device."""
        match self.family.device:
            case "qsv":
                return ["-init_hw_device", f"qsv=hw,child_device={self.device}"]
            case "vaapi":
                return ["-init_hw_device", f"vaapi=va:{self.device}", "-filter_hw_device", "va"]
            case _:
                return []

    def filters(self, bit_depth: int) -> list[str]:
        """What must stand at the end of the filter chain: the upload to the device."""
        if self.family.device != "vaapi":
            return []
        return [f"format={'nv12' if bit_depth == 8 else 'p010'}", "hwupload=extra_hw_frames=16"]

    def codec_arguments(self, cq: int) -> list[str]:
        """Codec and quality."""
        return ["-c:v", self.name, *self.family.render(cq, self.preset)]


def device_nodes(kind: Device) -> list[str | None]:
    """Devices to try, in order; one None where the encoder needs none."""
    if kind == "none":
        return [None]
    return [str(node) for node in sorted(Path("/dev/dri").glob("renderD*"))]
