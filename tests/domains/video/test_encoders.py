"""The table of encoders: the right knob, within its range, one thread, the device that was found."""

from __future__ import annotations

import pytest

from heldout.domains.video.encode.encoders import FAMILIES, Encoder, device_nodes, family_of
from heldout.errors import InputError

PUBLISHED = (
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv", "h264_vaapi", "hevc_vaapi"),
    *("h264_videotoolbox", "hevc_videotoolbox", "libx264"),
)
ASKED_FOR = ("libx265", "libsvtav1", "libvpx-vp9", "libvvenc", "libaom-av1", "h264_amf", "hevc_amf", "av1_amf")


@pytest.mark.parametrize("name", PUBLISHED + ASKED_FOR)
def test_every_promised_encoder_has_a_knob_that_takes_its_quality(name: str) -> None:
    """An encoder of the published kit could no longer be used."""
    family = FAMILIES[name]
    arguments = Encoder(name, family.preset).codec_arguments(family.low)
    assert ["-c:v", name] == arguments[:2]
    assert f"-{family.knob}" in arguments or family.knob == "qp"
    assert str(family.value(family.low)) in arguments


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("lib")])
def test_software_encoders_run_with_one_thread(name: str) -> None:
    """The bits of an encode, and so the corpus, would depend on the number of processors."""
    text = " ".join(Encoder(name, FAMILIES[name].preset).codec_arguments(30))
    single = {"libx265": "pools=1:frame-threads=1", "libsvtav1": "lp=1"}.get(name, "-threads 1")
    assert single in text


@pytest.mark.parametrize("name", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_nvenc_is_held_to_constant_quality(name: str) -> None:
    """Without a bit rate of zero the encoder's default bit rate caps the quality, whatever cq says."""
    text = " ".join(Encoder(name, "p4").codec_arguments(23))
    assert "-rc vbr -cq 23 -b:v 0 -preset p4" in text


@pytest.mark.parametrize(("cq", "value"), [(0, 100), (23, 54), (49, 2)])
def test_videotoolbox_gets_the_inverted_scale(cq: int, value: int) -> None:
    """A higher cq would mean better quality for one encoder and worse for all others."""
    assert value == FAMILIES["h264_videotoolbox"].value(cq)


def test_videotoolbox_quality_never_rises_with_cq() -> None:
    """The published formula jumps back to good quality at 50."""
    family = FAMILIES["hevc_videotoolbox"]
    values = [family.value(cq) for cq in range(family.low, family.high + 1)]
    assert sorted(values, reverse=True) == values


def test_unknown_encoder_is_named_with_its_nearest() -> None:
    """A typing error would cost a search in the docs."""
    with pytest.raises(InputError) as caught:
        family_of("libx264x")
    assert "did you mean 'libx264'?" in str(caught.value)


def test_defect_33_no_device_node_is_hard_wired() -> None:
    """A machine whose card is renderD128 could not encode."""
    vaapi = Encoder("h264_vaapi", "default", "/dev/dri/renderD128")
    assert ["-init_hw_device", "vaapi=va:/dev/dri/renderD128", "-filter_hw_device", "va"] == vaapi.global_arguments()
    qsv = Encoder("hevc_qsv", "medium", "/dev/dri/renderD130")
    assert ["-init_hw_device", "qsv=hw,child_device=/dev/dri/renderD130"] == qsv.global_arguments()
    assert [None] == device_nodes("none")
    assert [] == Encoder("libx264", "medium").global_arguments()


def test_vaapi_uploads_ten_bits_as_ten_bits() -> None:
    """A 10-bit source would be encoded, and scored, as if it had 8 bits."""
    vaapi = Encoder("hevc_vaapi", "default", "/dev/dri/renderD128")
    assert ["format=p010", "hwupload=extra_hw_frames=16"] == vaapi.filters(10)
    assert ["format=nv12", "hwupload=extra_hw_frames=16"] == vaapi.filters(8)
    assert [] == Encoder("libx265", "medium").filters(10)
