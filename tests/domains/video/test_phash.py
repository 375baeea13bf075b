"""Perceptual hashes: a film that was exported again is still that film, and two films are two."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.corpus.guards import check_corpus
from heldout.corpus.guards.prints import ALIKE, shared_prints
from heldout.domains.video.corpus.phash import SIDE, picture_hashes
from heldout.domains.video.corpus.reader import FrameReader
from heldout.domains.video.encode.produce import produce
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.errors import CorpusError

ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] / SIDE


def scene(seed: int) -> Any:
    """A smooth picture of grey values, as natural pictures are smooth."""
    rng = np.random.default_rng(seed)
    waves = [np.cos(2 * np.pi * (a * ROWS + b * COLUMNS) + c) / (1 + a + b) for a, b, c in rng.uniform(0, 4, (24, 3))]
    picture = np.tensordot(rng.normal(size=24), waves, axes=1)
    return 128 + 80 * picture / np.abs(picture).max()


def hashes(*pictures: Any) -> list[int]:
    grey = np.clip(np.rint(np.stack(pictures)), 0, 255).astype(np.uint8)
    return [int(word, 16) for word in picture_hashes(grey.tobytes())]


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_noise_and_contrast_move_few_bits(seed: int) -> None:
    """An encode of a film at a lower quality, or a brighter one, would be another film."""
    picture, noise = scene(seed), np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    plain, noisy, brighter = hashes(picture, picture + noise, picture * 0.9 + 15)
    assert bits(plain, noisy) <= ALIKE
    assert bits(plain, brighter) <= ALIKE


def test_other_pictures_are_far() -> None:
    """Films that have nothing in common would be refused as copies."""
    found = hashes(*(scene(seed) for seed in range(100)))
    near = [bits(one, other) for index, one in enumerate(found) for other in found[:index]]
    assert min(near) > ALIKE


def test_a_flat_picture_says_nothing() -> None:
    """Every film that begins in black would be a copy of every other."""
    black, fade = np.full((SIDE, SIDE), 16.0), 16 + 8 * ROWS
    grey = np.stack([black, fade, scene(0)]).astype(np.uint8)
    assert ["", "", 16] == [word and len(word) for word in picture_hashes(grey.tobytes())]


def test_bits_are_the_same_on_every_machine() -> None:
    """A hash would depend on how a processor rounds, and a cell on where it was made."""
    checks = ((np.indices((SIDE, SIDE)).sum(axis=0) // 5 % 3) * 90).astype(np.uint8)
    ramp = (ROWS * 255).astype(np.uint8)
    assert ["8752075207adf8ad", "8000800080008000"] == picture_hashes(checks.tobytes() + ramp.tobytes())


@pytest.fixture(scope="module")
def corpus(clip_in: Callable[..., Path], real_ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> FrameReader:
    """Three clips, one of them another one at another size and quality, two frames later. Not to be changed."""
    home = tmp_path_factory.mktemp("films")
    first = clip_in(home, "first.mp4", picture="testsrc2", frames=14)
    other = clip_in(home, "other.mp4", picture="mandelbrot", frames=12)
    again = home / "again.mp4"
    change = ["-vf", "select=gte(n\\,2),scale=240:-2", "-fps_mode", "passthrough", "-c:v", "libx264", "-crf", "30"]
    subprocess.run([real_ffmpeg, "-v", "error", "-y", "-i", first, *change, again], check=True)
    sources = [{"path": path} for path in (first, other, again)]
    spec = EncodeSpec.model_validate({"sources": sources, "encoders": ["libx264"], "cqs": [23, 40]})
    result = produce(spec, home / "out")
    assert () == result.failed
    return FrameReader(FrameReader.Options(path=result.corpus, min_rows=1))


class TestOfTheProducer:
    """From clips to the finding."""

    def test_a_film_that_was_exported_again_is_found(self, corpus: FrameReader) -> None:
        """Its scores are others, its digest is another, and its name is: only the pictures show it."""
        found = corpus.read()
        assert {"first": 14, "other": 12, "again": 12} == {
            src: len(words) for src, words in (found.prints or {}).items()
        }
        (finding,) = [finding for finding in check_corpus(found) if finding.blocking]
        assert ("HO-G003", "again, first") == (finding.code, finding.where)
        assert "of their frames, by perceptual hash" in finding.what

    def test_rows_without_hashes_are_read_as_before(self, corpus: FrameReader, tmp_path: Path) -> None:
        """Corpora of other producers could not be read any more."""
        path = tmp_path / "plain.jsonl"
        lines = corpus.options.path.read_text().splitlines()
        path.write_text("".join(line.partition(', "ref_phash"')[0] + "}\n" for line in lines))
        assert FrameReader(FrameReader.Options(path=path, min_rows=1)).read().prints is None

    def test_a_hash_that_is_none_is_refused(self, corpus: FrameReader, tmp_path: Path) -> None:
        """A damaged hash would quietly be no likeness."""
        path = tmp_path / "bad.jsonl"
        path.write_text(corpus.options.path.read_text().replace('"ref_phash": "', '"ref_phash": "x', 1))
        with pytest.raises(CorpusError, match="ref_phash"):
            FrameReader(FrameReader.Options(path=path, min_rows=1)).read()


def test_flat_pictures_leave_nothing_to_compare() -> None:
    """Two sources whose frames are all dark would divide by nothing, or be copies."""
    none = np.empty(0, dtype=np.uint64)
    assert {} == shared_prints({"a": none, "b": none, "c": np.array([1], dtype=np.uint64)})
