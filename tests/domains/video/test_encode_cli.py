"""``heldout video encode`` and ``probe``: what they take, print, and exit with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from heldout.cli.video.commands import app
from heldout.errors import InputError

MakeClip = Callable[..., Path]
MakeFFmpeg = Callable[[str], Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> InputError:
    assert isinstance(result.exception, InputError), result.output
    return result.exception


@pytest.mark.slow
def test_sources_encoders_and_points_by_options(make_clip: MakeClip, tmp_path: Path) -> None:
    """A quick look at one clip would need a file first."""
    clip, out = make_clip("a.y4m"), tmp_path / "out"
    options = ("--source", clip, "--encoder", "libx264:fast", "--cq", 23, "--cq", 31, "--out", out)
    result = run("encode", *options)
    assert 0 == result.exit_code, result.output
    assert "plan    0 cells reused, 2 to encode" in result.stderr
    assert "a__libx264__fast__cq23  8 rows, vmaf" in result.stderr
    assert f"2 of 2 cells (0 reused); 16 rows -> {out / 'per_frame_canonical6.jsonl'}" in result.stdout
    again = run("encode", *options, "--json", "--quiet")
    document = json.loads(again.stdout)
    assert (
        "heldout.video-encode/1",
        2,
        2,
        2,
        16,
    ) == tuple(document[key] for key in ("schema", "expected", "present", "reused", "rows"))
    assert "" == again.stderr


@pytest.mark.slow
def test_study_file_gives_the_folder_of_its_corpus(make_clip: MakeClip, tmp_path: Path) -> None:
    """The reader of the study would look for the corpus in another place."""
    make_clip("a.y4m")
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: s\nbackbone: fr_regressor\ncorpus:\n  reader: video_frames\n"
        "  path: data/per_frame_canonical6.jsonl\n"
        "  produce: {sources: [{path: a.y4m}], encoders: [libx264], cqs: [30]}\n"
    )
    result = run("encode", study, "--quiet")
    assert 0 == result.exit_code, result.output
    assert (tmp_path / "data" / "per_frame_canonical6.jsonl").is_file()
    assert "options that say what to encode" in str(error_of(run("encode", study, "--cq", 9)))


def test_geometry_options_belong_to_one_raw_source(make_clip: MakeClip, tmp_path: Path) -> None:
    """One global geometry would be forced on sources of other sizes and rates."""
    one, two = make_clip("one.yuv"), make_clip("two.yuv", picture="mandelbrot")
    geometry = ("--width", 160, "--height", 96, "--fps", 25, "--pix-fmt", "yuv420p")
    common = ("--encoder", "libx264", "--cq", 30, "--out", tmp_path / "out", *geometry)
    assert "exactly one raw source" in str(error_of(run("encode", "--source", one, "--source", two, *common)))
    assert 0 == run("encode", "--source", one, *common).exit_code


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--encoder", "libx264", "--cq", "9", "--out", "o"), "--source is missing"),
        (("--source", "a.y4m", "--cq", "9", "--out", "o"), "--encoder is missing"),
        (("--source", "a.y4m", "--encoder", "libx264", "--out", "o"), "--cq is missing"),
        (("--source", "a.y4m", "--encoder", "libx264", "--cq", "9"), "no folder for the corpus"),
        (("--source", "a.y4m", "--encoder", "libx264", "--cq", "99", "--out", "o"), "takes cq 0 to 51, not 99"),
        (("--source", "a.y4m", "--encoder", "libx26", "--cq", "9", "--out", "o"), "unknown encoder 'libx26'"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], complaint: str) -> None:
    """The user would be left to guess which of ten options is meant."""
    error = error_of(run("encode", *options))
    assert complaint in str(error)
    assert 2 == error.exit_code


@pytest.mark.slow
def test_dry_run_says_what_and_why(make_clip: MakeClip, tmp_path: Path) -> None:
    """Hours of compute could not be foreseen."""
    clip, out = make_clip("a.y4m"), tmp_path / "out"
    options = ("encode", "--source", clip, "--encoder", "libx264", "--out", out, "--cq", 30)
    run(*options)
    result = run(*options, "--cq", 40, "--dry-run")
    assert "a__libx264__medium__cq30: reused\na__libx264__medium__cq40: new\n" in result.stdout
    assert "1 reused, 1 to encode, 0 cannot be encoded" in result.stdout
    document = json.loads(run(*options, "--dry-run", "--json").stdout)
    assert ["reused"] == [cell["reason"] for cell in document["cells"]]


@pytest.mark.slow
def test_failed_cell_exits_2_and_allowed_gap_0(make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path) -> None:
    """A script would go on to train on a corpus with holes."""
    broken = make_ffmpeg("if encoding and '40' in args:\n    sys.exit(1)")
    options = ("--source", make_clip("a.y4m"), "--encoder", "libx264", "--cq", 30, "--cq", 40, "--ffmpeg", broken)
    result = run("encode", *options, "--out", tmp_path / "out")
    assert 5 == result.exit_code
    assert "FAILED  2/2  a__libx264__medium__cq40" in result.stderr or "FAILED  1/2" in result.stderr
    assert "--allow-skips" in result.stderr
    assert 0 == run("encode", *options, "--out", tmp_path / "out", "--allow-skips").exit_code


@pytest.mark.slow
def test_probe_lists_every_encoder_with_its_reason() -> None:
    """Nobody could see before a run what this machine can do."""
    result = run("probe")
    assert "yes  libx264            -crf 0..51, preset medium" in result.stdout
    document = json.loads(run("probe", "--json").stdout)
    assert all(entry["usable"] != bool(entry["reason"]) for entry in document["encoders"])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_children_and_names_the_command_that_resumes(
    make_clip: MakeClip, make_ffmpeg: MakeFFmpeg, tmp_path: Path, number: signal.Signals
) -> None:
    """Encoders would run on behind a closed terminal, and half a part would lie there."""
    pids = tmp_path / "pids"
    slow = make_ffmpeg(
        f"if encoding:\n    open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "    args[args.index('-i') - 2:args.index('-i') - 2] = ['-readrate', '0.2']\n"
        "    os.execv(real, [real, *args])"
    )
    out = tmp_path / "out"
    arguments = ["encode", "--source", str(make_clip("a.y4m", frames=60)), "--encoder", "libx264"]
    arguments += ["--cq", "30", "--cq", "40", "--out", str(out), "--ffmpeg", str(slow)]
    program = "import sys; from heldout.cli.main import main; sys.argv[:1] = ['heldout', 'video']; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while (not pids.exists() or pids.read_text().count("\n") < 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert 130 == child.returncode, errors
    assert "finished cells are kept. Go on with:\n  heldout video encode --source" in errors
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert [] == list((out / "parts").iterdir())
    last = (out / "progress.jsonl").read_text().splitlines()[-1]
    assert "interrupted" == json.loads(last)["event"]
