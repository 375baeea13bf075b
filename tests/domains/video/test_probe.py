"""What can run is found by running it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heldout.domains.video.encode.ffmpeg import find_ffmpeg
from heldout.domains.video.encode.probe import probe_all, probe_encoder, probe_scoring, require_usable
from heldout.errors import InputError, PrerequisiteError

BROKEN_NVENC = """
if "h264_nvenc" in args:
    sys.stderr.write("[h264_nvenc @ 0x55d0c0ffee00] [error] No capable devices found\\n")
    sys.exit(255)
"""


@pytest.mark.slow
def test_defect_15_encoders_are_probed_not_assumed_from_gpu_vendor(make_ffmpeg) -> None:
    """A data-centre card without an encoder would be given hours of cells that all fail."""
    ffmpeg = find_ffmpeg(make_ffmpeg(BROKEN_NVENC))
    assert "h264_nvenc" in ffmpeg.listed_encoders
    probe = probe_encoder(ffmpeg, "h264_nvenc")
    assert not probe.usable
    assert "No capable devices found" == probe.reason
    assert ("[h264_nvenc] [error] No capable devices found",) == probe.log
    with pytest.raises(PrerequisiteError) as caught:
        require_usable(ffmpeg, [probe], workers=2)
    assert "h264_nvenc (preset p4) cannot run here: No capable devices found" in str(caught.value)
    assert "these can: libx264" in str(caught.value)
    assert 2 == caught.value.exit_code


def test_nvenc_of_this_machine_is_told_as_it_is() -> None:
    """FFmpeg's list of encoders would be taken for what the machine can do."""
    probe = probe_encoder(find_ffmpeg(), "h264_nvenc")
    assert probe.usable == (not probe.reason)


def test_software_encoders_of_the_default_ffmpeg_work() -> None:
    """The demonstration would fail on a machine without a graphics card."""
    usable = {probe.name for probe in probe_all(find_ffmpeg(), workers=2) if probe.usable}
    assert {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvvenc", "libaom-av1"} <= usable


def test_wrong_preset_is_found_by_the_probe() -> None:
    """Every cell would fail, one after the other."""
    probe = probe_encoder(find_ffmpeg(), "libx264", "mediumm")
    assert not probe.usable
    assert "invalid preset 'mediumm'" in probe.reason


def test_encoder_that_was_not_built_in_is_told_apart(make_ffmpeg) -> None:
    """A mere "cannot run" would send someone looking for a driver that is not the cause."""
    hide = "if '-encoders' in args:\n    print(' V....D libx264 H.264')\n    sys.exit(0)"
    probe = probe_encoder(find_ffmpeg(make_ffmpeg(hide)), "libx265")
    assert (False, "this FFmpeg was built without it") == (probe.usable, probe.reason)


def test_ffmpeg_without_libvmaf_is_refused_before_any_encode(make_ffmpeg) -> None:
    """Hours of encodes would end without one score."""
    without = "if 'libvmaf' in text:\n    sys.stderr.write(\"[error] No such filter: 'libvmaf'\\n\")\n    sys.exit(8)"
    with pytest.raises(PrerequisiteError, match="without libvmaf"):
        probe_scoring(find_ffmpeg(make_ffmpeg(without)), "vmaf_v0.6.1")


def test_unknown_model_is_refused_before_any_encode() -> None:
    """Every cell would be encoded and none scored."""
    with pytest.raises(InputError, match=r"vmaf_v9\.9\.9"):
        probe_scoring(find_ffmpeg(), "vmaf_v9.9.9")


@pytest.mark.parametrize("path", [Path("no/such/ffmpeg"), Path(sys.executable)])
def test_something_that_is_not_ffmpeg_is_refused(path: Path) -> None:
    """The first cell would fail with a riddle."""
    with pytest.raises(PrerequisiteError) as caught:
        find_ffmpeg(path)
    assert "--ffmpeg" in str(caught.value)
