"""Every kind of machine, with its token and its encoders, as the published variables fake it."""

from __future__ import annotations

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
