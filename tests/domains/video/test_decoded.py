"""Sources that are decoded once give what they give when every cell decodes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heldout.domains.video.encode import decoded
from heldout.domains.video.encode.produce import EncodeResult, produce
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.evidence import read_json_lines

MakeClip = Callable[..., Path]
TAGS = (
    "-colorspace",
    "bt709",
    "-color_primaries",
    "bt709",
    "-color_trc",
    "bt709",
    "-chroma_sample_location",
    "topleft",
)
CLIPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tagged": {"more": TAGS},
    "full range": {"pix_fmt": "yuvj420p", "more": ("-color_range", "pc")},
    "422": {"pix_fmt": "yuv422p"},
    "odd rate": {"fps": "30000/1001"},
}


def made(clip: Path, out: Path, ffmpeg: Path | None = None, **size: Any) -> EncodeResult:
    blocks = {"sources": [{"path": clip} | size], "encoders": ["libx264", "libsvtav1"], "cqs": [23, 40]}
    return produce(EncodeSpec.model_validate(blocks), out, ffmpeg=ffmpeg, workers=1)


def rows(result: EncodeResult) -> list[dict[str, Any]]:
    assert () == result.failed
    return [{k: v for k, v in row.items() if k != "enc_time_ms"} for row in read_json_lines(result.corpus)]


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", CLIPS)
def test_the_rows_are_those_of_cells_that_decode_by_themselves(
    name: str, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A faster way to read a source would change scores, sizes of encodes, or what a cell is known by."""
    clip = make_clip("clip.mp4", **CLIPS[name])
    sizes: list[dict[str, int]] = [{}, {"width": 96, "height": 64, "frames": 5}]
    once = [rows(made(clip, tmp_path / f"once{at}", **size)) for at, size in enumerate(sizes)]
    monkeypatch.setattr(decoded, "_ROOM", 0)
    assert [rows(made(clip, tmp_path / f"each{at}", **size)) for at, size in enumerate(sizes)] == once
    for at in range(len(sizes)):
        cards = (sorted((tmp_path / f"{how}{at}" / "parts").glob("*.json")) for how in ("once", "each"))
        keys = [[json.loads(card.read_text())["key"] for card in folder] for folder in cards]
        assert keys[0] == keys[1]


@pytest.mark.slow
def test_cells_read_the_copy_and_nothing_of_it_stays(make_clip: MakeClip, make_ffmpeg: Any, tmp_path: Path) -> None:
    """The source would still be decoded for every cell, or raw video would fill the disk."""
    clip, log = make_clip("clip.mp4"), tmp_path / "log"
    ffmpeg = make_ffmpeg(f"open({str(log)!r}, 'a').write(json.dumps(args) + chr(10))")
    result = made(clip, tmp_path / "out", ffmpeg)
    commands = [json.loads(line) for line in log.read_text().splitlines()]
    cells = [words for words in commands if "encode.mp4" in (words[-1], *words)]
    assert 8 == len(cells)
    assert not any(f"file:{clip}" in words for words in cells)
    assert [] == [path for path in result.corpus.parent.rglob("*") if path.suffix == ".mkv"]


@pytest.mark.slow
def test_a_relative_folder_serves_as_well(make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a folder as people do would lose every cell of a compressed source."""
    clip = make_clip("clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert rows(made(clip, Path("here"))) == rows(made(clip, tmp_path / "there"))


@pytest.mark.slow
def test_a_copy_that_is_not_the_source_is_not_used(make_clip: MakeClip, make_ffmpeg: Any, tmp_path: Path) -> None:
    """A disk that fills up, or a file that changes in the middle, would be scored as if it were the source."""
    clip = make_clip("clip.mp4")
    broken = "if 'matroska' in args:\n    args[args.index('-r') + 1] = '5'"
    assert rows(made(clip, tmp_path / "whole")) == rows(made(clip, tmp_path / "broken", make_ffmpeg(broken)))


def test_what_a_killed_run_left_is_swept_away(make_clip: MakeClip, tmp_path: Path) -> None:
    """Gigabytes of raw video would stay for ever beside the corpus."""
    stray = tmp_path / "out" / "parts" / f"{decoded.PREFIX}old"
    stray.mkdir(parents=True)
    (stray / "0.mkv").write_bytes(b"frames")
    made(make_clip("clip.mp4"), tmp_path / "out")
    assert not stray.exists()
