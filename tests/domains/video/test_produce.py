"""From sources to a corpus: real encodes, scored; resumed, never repeated; nothing missing without a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from heldout.domains.video.encode.cell import FEATURES
from heldout.domains.video.encode.produce import EncodeResult, preview, produce
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.errors import InputError, PrerequisiteError, StaleError
from heldout.evidence import read_json, read_json_lines, sha256_file

MakeClip = Callable[..., Path]
MakeFFmpeg = Callable[[str], Path]
PUBLISHED = ["src", "encoder", "cq", "enc_bytes", "enc_time_ms", "frame_index", "vmaf", *FEATURES]
EXTRA = {
    *("preset", "fps", "width", "height", "pix_fmt", "bit_depth", "quality_knob", "quality_value"),
    *("source_sha256", "ffmpeg_version", "libvmaf_version", "vmaf_model", "ref_phash"),
}
SHORTEN = "if encoding:\n    args[-1:-1] = ['-frames:v', '5']"


def spec_of(*paths: Path, encoders: tuple[str, ...] = ("libx264",), cqs: Any = (23, 40), **more: Any) -> EncodeSpec:
    return EncodeSpec.model_validate(
        {"sources": [{"path": path} for path in paths], "encoders": list(encoders), "cqs": list(cqs), **more}
    )


def rows_of(result: EncodeResult) -> list[dict[str, Any]]:
    """Rows in order, without the one key that is the clock's."""
    rows = read_json_lines(result.corpus)
    return [{key: value for key, value in row.items() if key != "enc_time_ms"} for row in rows]


def test_rows_have_the_published_keys_in_the_published_order(make_clip: MakeClip, tmp_path: Path) -> None:
    """The existing trainer, and every reader of its corpora, could not read ours."""
    result = produce(spec_of(make_clip("a.y4m")), tmp_path / "out")
    assert (2, 2, ()) == (result.expected, result.present, result.failed)
    lines = result.corpus.read_text().splitlines()
    assert 16 == len(lines)
    first = json.loads(lines[0])
    assert PUBLISHED == list(first)[: len(PUBLISHED)]
    assert EXTRA == set(first) - set(PUBLISHED)
    assert (
        "a",
        "libx264",
        23,
        0,
        0.0,
    ) == tuple(first[key] for key in ("src", "encoder", "cq", "frame_index", "motion2"))
    assert [(23, index) for index in range(8)] == [
        (json.loads(x)["cq"], json.loads(x)["frame_index"]) for x in lines[:8]
    ]


def test_more_quantisation_scores_lower_and_costs_less(make_clip: MakeClip, tmp_path: Path) -> None:
    """The knob would not reach the encoder, or scores be those of another file."""
    rows = rows_of(produce(spec_of(make_clip("a.y4m"), cqs=(15, 45)), tmp_path / "out"))
    good, bad = rows[:8], rows[8:]
    assert min(row["vmaf"] for row in good) > max(row["vmaf"] for row in bad) + 10
    assert good[0]["enc_bytes"] > bad[0]["enc_bytes"]
    assert [row["motion2"] for row in good] == [row["motion2"] for row in bad]


@pytest.mark.slow
def test_every_software_encoder_makes_its_cells(make_clip: MakeClip, tmp_path: Path) -> None:
    """An encoder of the table would work in the probe and in no cell."""
    encoders = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvvenc", "libaom-av1")
    spec = spec_of(make_clip("a.y4m"), make_clip("b.mp4", picture="mandelbrot"), encoders=encoders, cqs=(20, 45))
    result = produce(spec, tmp_path / "out")
    assert ((), 24, 192) == (result.failed, result.present, result.rows)
    means = {(c["src"], c["encoder"], c["cq"]): c["vmaf_mean"] for c in read_json(result.manifest)["cells"]}
    for source in ("a", "b"):
        for encoder in encoders:
            assert means[source, encoder, 20] > 80, encoder
            assert means[source, encoder, 20] > means[source, encoder, 45], encoder


@pytest.mark.slow
def test_defect_31_rerun_never_duplicates_rows(make_clip: MakeClip, tmp_path: Path) -> None:
    """Each re-run would give the first cells more weight in training."""
    spec = spec_of(make_clip("a.y4m"), make_clip("b.y4m", picture="mandelbrot"))
    first = produce(spec, tmp_path / "out")
    before = first.corpus.read_bytes(), first.manifest.read_bytes()
    events: list[Mapping[str, Any]] = []
    again = produce(spec, tmp_path / "out", on_event=events.append)
    assert before[0] == again.corpus.read_bytes()
    assert (4, 4) == (again.present, again.reused)
    assert [] == [event for event in events if event["event"] == "encoded"]
    keys = [(row["src"], row["encoder"], row["cq"], row["frame_index"]) for row in rows_of(again)]
    assert len(keys) == len(set(keys)) == 32


@pytest.mark.slow
def test_defect_31_partial_part_is_not_taken_for_a_finished_one(make_clip: MakeClip, tmp_path: Path) -> None:
    """A crash in mid-shard left half a clip that the next step counted as whole."""
    spec, out = spec_of(make_clip("a.y4m")), tmp_path / "out"
    whole = rows_of(produce(spec, out))
    part = out / "parts" / "a__libx264__medium__cq23.jsonl"
    part.write_bytes(part.read_bytes()[:999])
    (out / "parts" / "a__libx264__medium__cq40.cell.json").unlink()
    reasons = [planned.reason for planned in preview(spec, out).cells]
    assert "encoded again: the rows there are not those that were written" == reasons[0]
    assert "encoded again: the rows there have no card that vouches for them" == reasons[1]
    assert whole == rows_of(produce(spec, out))


def test_defect_31_manifest_counts_expected_and_present_cells(make_clip: MakeClip, tmp_path: Path) -> None:
    """Skipped cells would leave no trace."""
    clip = make_clip("a.y4m")
    result = produce(spec_of(clip), tmp_path / "out")
    manifest = read_json(result.manifest)
    assert (
        "heldout.video-corpus/1",
        True,
        2,
        2,
        [],
    ) == tuple(manifest[key] for key in ("schema", "complete", "expected", "present", "missing"))
    assert sha256_file(result.corpus) == manifest["corpus"]["sha256"]
    for cell in manifest["cells"]:
        assert sha256_file(tmp_path / "out" / cell["part"]) == cell["sha256"]
    assert sha256_file(clip) == manifest["sources"][0]["sha256"]
    assert "complete" == read_json_lines(tmp_path / "out" / "progress.jsonl")[-1]["event"]


@pytest.mark.slow
def test_what_a_cell_depends_on_is_told_when_it_changed(make_clip: MakeClip, tmp_path: Path) -> None:
    """Old rows would be kept under new settings, or thrown away without a word."""
    clip, out = make_clip("a.y4m"), tmp_path / "out"
    produce(spec_of(clip, cqs=(23,)), out)
    other_model = preview(spec_of(clip, cqs=(23,), model="vmaf_v0.6.1neg"), out)
    assert ["encoded again: model is vmaf_v0.6.1neg, was vmaf_v0.6.1"] == [cell.reason for cell in other_model.cells]
    make_clip("a.y4m", picture="mandelbrot")
    other_clip = preview(spec_of(clip, cqs=(23,)), out)
    assert ["encoded again: source_sha256 changed"] == [cell.reason for cell in other_clip.cells]
    assert 1 == len(other_clip.pending)


@pytest.mark.slow
def test_corpus_holds_the_cells_of_the_plan_and_no_others(make_clip: MakeClip, tmp_path: Path) -> None:
    """Parts of an earlier grid, or of another's, would slip into the training set."""
    clip, out = make_clip("a.y4m"), tmp_path / "out"
    produce(spec_of(clip, cqs=(23, 40)), out)
    (out / "parts" / "stranger.jsonl").write_text('{"src": "x"}\n')
    smaller = produce(spec_of(clip, cqs=(40,)), out)
    assert [40] * 8 == [row["cq"] for row in rows_of(smaller)]
    assert 1 == smaller.reused


@pytest.mark.slow
def test_two_runs_give_the_same_rows_but_for_the_clock(make_clip: MakeClip, tmp_path: Path) -> None:
    """A corpus could not be reproduced, and a resumed run would differ from an undisturbed one."""
    spec = spec_of(make_clip("a.y4m"), encoders=("libx264", "libx265", "libsvtav1"))
    one = produce(spec, tmp_path / "one", workers=1)
    two = produce(spec, tmp_path / "two", workers=3)
    assert rows_of(one) == rows_of(two)


@pytest.mark.slow
def test_missing_frames_fail_the_cell_with_the_counts(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path
) -> None:
    """Five frames of eight would be scored against the wrong ones, or the last be repeated, and nobody told."""
    result = produce(spec_of(make_clip("a.y4m"), cqs=(23,)), tmp_path / "out", ffmpeg=make_ffmpeg(SHORTEN))
    assert ["a__libx264__medium__cq23"] == [failure.name for failure in result.failed]
    assert "frame counts differ: the source has 8 frames, the encode 5, libvmaf's log 8" == result.failed[0].reason
    missing = read_json(result.manifest)["missing"]
    assert [("failed", result.failed[0].reason)] == [(cell["state"], cell["reason"]) for cell in missing]


@pytest.mark.slow
def test_failed_cell_leaves_no_corpus_unless_gaps_are_allowed(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path
) -> None:
    """A corpus with holes would look like a whole one."""
    spec, out = spec_of(make_clip("a.y4m")), tmp_path / "out"
    broken = "if encoding and '40' in args:\n    sys.stderr.write('the disk is on fire\\n')\n    sys.exit(1)"
    result = produce(spec, out, ffmpeg=make_ffmpeg(broken))
    assert (2, 1, False) == (result.expected, result.present, result.corpus.exists())
    manifest = read_json(result.manifest)
    assert (False, None) == (manifest["complete"], manifest["corpus"])
    assert ("the encode failed: the disk is on fire", ["the disk is on fire"]) == (
        manifest["missing"][0]["reason"],
        manifest["missing"][0]["log"],
    )
    gappy = produce(spec, out, ffmpeg=make_ffmpeg(broken), allow_skips=True)
    assert (8, 1, 1) == (gappy.rows, gappy.reused, len(gappy.failed))
    assert 1 == len(read_json(gappy.manifest)["missing"])
    mended = produce(spec, out)
    assert (16, 1, ()) == (mended.rows, mended.reused, mended.failed)


@pytest.mark.first_is_fast
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("log['frames'][3]['metrics']['vmaf'] = None", "frame 3 has no vmaf: libvmaf gave None"),
        ("del log['frames'][2]['metrics']['integer_adm2']", "frame 2 has no adm2: libvmaf gave None"),
        ("log['frames'][1]['metrics']['integer_motion2'] = float('nan')", "libvmaf's log cannot be read"),
        ("del log['frames'][4]", "libvmaf's log 7"),
    ],
)
def test_frame_without_a_score_fails_its_cell(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path, damage: str, reason: str
) -> None:
    """The frame would be dropped without a word, and the clip's mean be another's."""
    change = f"""
def after():
    path = pathlib.Path("vmaf.json")
    if scoring and path.exists():
        log = json.loads(path.read_text())
        {damage}
        path.write_text(json.dumps(log))
"""
    result = produce(spec_of(make_clip("a.y4m"), cqs=(23,)), tmp_path / "out", ffmpeg=make_ffmpeg(change))
    assert reason in result.failed[0].reason


@pytest.mark.slow
def test_encoder_that_cannot_run_is_refused_before_any_encode(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path
) -> None:
    """An hour of x264 would be spent before the first NVENC cell fails."""
    broken = "if 'h264_nvenc' in args:\n    sys.stderr.write('[error] No capable devices found\\n')\n    sys.exit(255)"
    ffmpeg, spec = make_ffmpeg(broken), spec_of(make_clip("a.y4m"), encoders=("libx264", "h264_nvenc"), cqs=(23,))
    with pytest.raises(PrerequisiteError, match=r"h264_nvenc .* cannot run here: No capable devices found"):
        produce(spec, tmp_path / "out", ffmpeg=ffmpeg)
    assert not (tmp_path / "out" / "parts").exists()
    result = produce(spec, tmp_path / "out", ffmpeg=ffmpeg, allow_skips=True)
    assert (2, 1, 8) == (result.expected, result.present, result.rows)
    assert "the encoder cannot run here: No capable devices found" == result.failed[0].reason


@pytest.mark.slow
def test_ten_bit_422_is_scored_at_its_own_depth(make_clip: MakeClip, real_ffmpeg: Path, tmp_path: Path) -> None:
    """4:2:2 10 bit was scored as 4:2:0, byte pairs taken for pixels."""
    clip = make_clip("a_160x96_24fps_10bit_422.yuv", pix_fmt="yuv422p10le", fps="24", picture="mandelbrot")
    result = produce(spec_of(clip, cqs=(30,)), tmp_path / "out")
    rows = rows_of(result)
    assert {("yuv422p10le", 10, 24, 160, 96)} == {
        tuple(row[key] for key in ("pix_fmt", "bit_depth", "fps", "width", "height")) for row in rows
    }
    assert "yuv422p10le" == read_json(result.manifest)["cells"][0]["encoded_pix_fmt"]
    raw = [
        "-f",
        "rawvideo",
        "-pixel_format",
        "yuv422p10le",
        "-video_size",
        "160x96",
        "-framerate",
        "24",
        "-i",
        str(clip),
    ]
    x264 = ["-c:v", "libx264", "-crf", "30", "-preset", "medium", "-threads", "1"]
    subprocess.run([real_ffmpeg, "-v", "error", *raw, *x264, str(tmp_path / "own.mp4")], check=True)
    by_depth = {}
    for pix_fmt in ("yuv422p10le", "yuv420p"):
        graph = f"[0:v]format={pix_fmt}[d];[1:v]format={pix_fmt}[r];[d][r]libvmaf=log_fmt=json:log_path=own.json"
        score = [real_ffmpeg, "-v", "error", "-r", "24", "-i", "own.mp4", *raw, "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(score, check=True, cwd=tmp_path)
        by_depth[pix_fmt] = [frame["metrics"]["vmaf"] for frame in read_json(tmp_path / "own.json")["frames"]]
    assert by_depth["yuv422p10le"] == [row["vmaf"] for row in rows]
    assert by_depth["yuv420p"] != [row["vmaf"] for row in rows]


@pytest.mark.slow
def test_sources_keep_their_own_frame_rates_in_the_rows(make_clip: MakeClip, tmp_path: Path) -> None:
    """One rate for all sources is wrong for most of them."""
    clips = make_clip("a.y4m", fps="24"), make_clip("b.mp4", picture="mandelbrot", fps="30000/1001")
    rows = rows_of(produce(spec_of(*clips, cqs=(30,)), tmp_path / "out"))
    assert {("a", 24), ("b", 30000 / 1001)} == {(row["src"], row["fps"]) for row in rows}


@pytest.mark.slow
def test_shifted_timestamps_do_not_shift_the_frames(make_clip: MakeClip, tmp_path: Path) -> None:
    """A container that starts at another time would have each frame compared with a neighbour."""
    plain = make_clip("plain.mkv", picture="mandelbrot")
    late = make_clip("late.mkv", picture="mandelbrot", more=("-output_ts_offset", "3.217"))
    encoders, scores = ("libx264", "libvpx-vp9"), []
    for clip in (plain, late):
        rows = rows_of(produce(spec_of(clip, encoders=encoders, cqs=(30,)), tmp_path / clip.stem))
        scores.append([(row["vmaf"], row["enc_bytes"]) for row in rows])
        assert min(row["vmaf"] for row in rows) > 60
    assert scores[0] == scores[1]


def test_two_producers_in_one_folder_are_kept_apart(make_clip: MakeClip, tmp_path: Path) -> None:
    """Each would sweep away what the other is writing."""
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(StaleError) as caught:
        produce(spec_of(make_clip("a.y4m")), tmp_path / "out")
    assert 4 == caught.value.exit_code


def test_relative_folder_serves_as_well_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The films made of photographs could not be found from a cell's own folder."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    shape = {"kind": "pan", "width": 160, "height": 96, "fps": 25, "frames": 4}
    raw = {
        "sources": [{"path": "package:sklearn/datasets/images/flower.jpg", **shape}],
        "encoders": ["libx264"],
        "cqs": [30],
    }
    result = produce(EncodeSpec.model_validate(raw), Path("out"))
    assert ((), 4) == (result.failed, result.rows)
    origin = read_json(result.manifest)["sources"][0]["origin"]
    assert ("zoom-in", 64) == (origin["move"], len(origin["sha256"]))


def test_preview_writes_nothing(make_clip: MakeClip, tmp_path: Path) -> None:
    """A dry run would leave traces."""
    plan = preview(spec_of(make_clip("a.y4m")), tmp_path / "out")
    assert ["new", "new"] == [planned.reason for planned in plan.cells]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_source_that_changed_in_mid_run_fails_its_cells(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path
) -> None:
    """Scores would be of one file and the recorded sha256 of another."""
    clip = make_clip("a.y4m", frames=8)
    longer = make_clip("longer.y4m", frames=9).read_bytes()
    (tmp_path / "longer.y4m").unlink()
    (tmp_path / "spare").write_bytes(longer)
    spare = str(tmp_path / "spare")
    swap = f"if scoring:\n    pathlib.Path({str(clip)!r}).write_bytes(pathlib.Path({spare!r}).read_bytes())"
    result = produce(spec_of(clip, cqs=(23,)), tmp_path / "out", ffmpeg=make_ffmpeg(swap))
    assert "the source has 8 frames (9 when it was scored)" in result.failed[0].reason


def test_unknown_source_is_refused(tmp_path: Path) -> None:
    """A typing error in a path would be a riddle of FFmpeg's."""
    with pytest.raises(InputError, match="there is no such source file"):
        produce(spec_of(tmp_path / "nothing.y4m"), tmp_path / "out")
