"""Every published platform token, and those of ours, from faked probes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from heldout.package.machine import Machine, detect

NVENC, QSV = ("h264_nvenc", "hevc_nvenc", "av1_nvenc"), ("h264_qsv", "hevc_qsv", "av1_qsv")
VAAPI, VT = ("h264_vaapi", "hevc_vaapi", "av1_vaapi"), ("h264_videotoolbox", "hevc_videotoolbox")
TOKENS = {
    "linux-cuda": ("Linux", "x86_64", "NVIDIA_SMI", "linux-x86_64-cuda", NVENC),
    "linux-cuda-and-ihd": ("Linux", "x86_64", "NVIDIA_SMI IHD", "linux-x86_64-cuda", NVENC + QSV),
    "linux-ihd": ("Linux", "x86_64", "IHD", "linux-x86_64-sycl", QSV),
    "linux-neither": ("Linux", "x86_64", "", "linux-x86_64-vulkan", ("libx264",)),
    "linux-amd": ("Linux", "x86_64", "AMD", "linux-x86_64-amd", VAAPI),
    "linux-cuda-and-amd": ("Linux", "x86_64", "NVIDIA_SMI AMD", "linux-x86_64-cuda", NVENC),
    "linux-arm": ("Linux", "aarch64", "", "linux-aarch64-cpu", ("libx264",)),
    "linux-arm-cuda": ("Linux", "aarch64", "NVIDIA_SMI", "linux-aarch64-cuda", NVENC),
    "mac-arm": ("Darwin", "arm64", "VIDEOTOOLBOX", "darwin-arm64-cpu", VT),
    "mac-arm-without": ("Darwin", "arm64", "", "darwin-arm64-cpu", ("libx264",)),
    "mac-intel": ("Darwin", "x86_64", "VIDEOTOOLBOX", "darwin-x86_64-cpu", VT),
    "mac-intel-without": ("Darwin", "x86_64", "", "darwin-x86_64-cpu", ("libx264",)),
    "mac-any-other": ("Darwin", "ppc", "", "darwin-arm64-cpu", ("libx264",)),
    "other": ("FreeBSD", "amd64", "NVIDIA_SMI", "unknown", ("libx264",)),
}


def fakes(system: str, machine: str, has: str) -> dict[str, str]:
    """The published variables."""
    found = {"KIT_FAKE_UNAME_S": system, "KIT_FAKE_UNAME_M": machine}
    for name in ("NVIDIA_SMI", "IHD", "AMD", "VIDEOTOOLBOX"):
        found[f"KIT_FAKE_HAS_{name}"] = "1" if name in has.split() else "0"
    return found


@pytest.mark.parametrize("case", TOKENS)
def test_token_and_encoders_of_every_platform(case: str) -> None:
    """An operator's machine would be taken for another kind, and the wrong encoders tried."""
    system, machine, has, token, encoders = TOKENS[case]
    found = detect(fakes(system, machine, has))
    assert (token, encoders) == (found.kind, found.encoders)


def test_nothing_is_probed_where_everything_is_faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test on a machine with a graphics card would see that card."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", never)
    assert detect(fakes("Linux", "x86_64", "")) == Machine("Linux", "x86_64")


def test_a_program_that_fails_is_no_graphics_card(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver without a device would make every encode of the night fail."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = {"KIT_FAKE_UNAME_S": "Linux", "KIT_FAKE_HAS_AMD": "0", "KIT_FAKE_HAS_IHD": "0"}
    for code, expected in ((9, False), (0, True)):
        program.write_text(f"#!{sys.executable}\nraise SystemExit({code})\n")
        program.chmod(0o755)
        assert expected == detect(environment).nvidia
