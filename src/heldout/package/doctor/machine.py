"""What machine this is: one token, as published, and what else AMD and Linux on ARM need; every probe can be faked.

The token names a kind of machine. What really encodes on it is shown by encoding, never concluded from the token.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
_QSV = ("h264_qsv", "hevc_qsv", "av1_qsv")
_VAAPI = ("h264_vaapi", "hevc_vaapi", "av1_vaapi")
_VIDEOTOOLBOX = ("h264_videotoolbox", "hevc_videotoolbox")
_SOFTWARE = ("libx264",)
_AMD_VENDOR = "0x1002"
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Machine:
    """What was found.

    Attributes:
        system: As ``uname -s`` says it.
        machine: As ``uname -m`` says it.
        nvidia: Whether ``nvidia-smi`` answers.
        ihd: Whether Intel's media driver answers.
        amd: Whether a graphics device of AMD has a render node.
        videotoolbox: Whether FFmpeg lists VideoToolbox.
    """

    system: str
    machine: str
    nvidia: bool = False
    ihd: bool = False
    amd: bool = False
    videotoolbox: bool = False

    @property
    def kind(self) -> str:
        """The published token of this kind of machine; of machines without one, a token of ours in the same form."""
        if self.system == "Darwin":
            return "darwin-x86_64-cpu" if self.machine == "x86_64" else "darwin-arm64-cpu"
        if self.system != "Linux":
            return "unknown"
        if self.machine in ("aarch64", "arm64"):
            return "linux-aarch64-cuda" if self.nvidia else "linux-aarch64-cpu"
        if self.nvidia:
            return "linux-x86_64-cuda"
        if self.ihd:
            return "linux-x86_64-sycl"
        return "linux-x86_64-amd" if self.amd else "linux-x86_64-vulkan"

    @property
    def encoders(self) -> tuple[str, ...]:
        """Encoders to try on this kind of machine."""
        if self.system == "Darwin":
            return _VIDEOTOOLBOX if self.videotoolbox else _SOFTWARE
        if self.system != "Linux":
            return _SOFTWARE
        found = (_NVENC if self.nvidia else ()) + (_QSV if self.ihd else ())
        if self.amd and not found:
            found = _VAAPI
        return found or _SOFTWARE


def detect(environment: Mapping[str, str] = os.environ, ffmpeg: str = "ffmpeg") -> Machine:
    """Look at this machine, or at the one that ``KIT_FAKE_*`` describe.

    Args:
        environment: ``KIT_FAKE_UNAME_S``, ``KIT_FAKE_UNAME_M`` are texts; ``KIT_FAKE_HAS_NVIDIA_SMI``,
            ``KIT_FAKE_HAS_IHD``, ``KIT_FAKE_HAS_AMD``, ``KIT_FAKE_HAS_VIDEOTOOLBOX`` are 1 or 0.
        ffmpeg: The program that is asked for VideoToolbox.
    """

    def has(name: str, probe: Callable[[], bool]) -> bool:
        fake = environment.get(f"KIT_FAKE_HAS_{name}")
        return fake == "1" if fake else probe()

    system = environment.get("KIT_FAKE_UNAME_S") or platform.system()
    linux, darwin = system == "Linux", system == "Darwin"
    return Machine(
        system=system,
        machine=environment.get("KIT_FAKE_UNAME_M") or platform.machine(),
        nvidia=linux and has("NVIDIA_SMI", lambda: _says(["nvidia-smi"], "")),
        ihd=linux and has("IHD", lambda: _says(["vainfo", "--display", "drm"], "iHD")),
        amd=linux and has("AMD", _amd),
        videotoolbox=darwin and has("VIDEOTOOLBOX", lambda: _says([ffmpeg, "-encoders"], "h264_videotoolbox")),
    )


def _says(command: list[str], word: str) -> bool:
    """Whether a program is there, ends well, and prints a word."""
    if shutil.which(command[0]) is None:
        return False
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and word in done.stdout + done.stderr


def _amd() -> bool:
    for node in Path("/sys/class/drm").glob("renderD*/device/vendor"):
        try:
            if re.match(_AMD_VENDOR, node.read_text()):
                return True
        except OSError:
            continue
    return False
