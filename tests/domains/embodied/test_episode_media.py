"""Video and sound as files: the same content gives the same bytes, and what is torn is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.media import read_frames, read_sound, video_facts, write_video, write_wav
from heldout.errors import InputError


def moving(frames: int = 30, size: int = 96) -> NDArray[np.uint8]:
    """Blocks that move over a gradient, with a little noise: enough for an encoder to think about."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 120, size)[None, :, None] + np.linspace(0, 90, size)[:, None, None] + np.zeros(3)
    pictures = np.repeat(ramp[None], frames, axis=0)
    for number in range(frames):
        pictures[number, 10 + number : 40 + number, 5 + 2 * number : 30 + 2 * number] = (200, 40, 90)
    return np.clip(pictures + random.normal(0, 3, pictures.shape), 0, 255).astype(np.uint8)


def test_the_same_frames_give_the_same_file_whatever_memory_held_before(tmp_path: Path) -> None:
    """The digest of an episode would be a matter of luck: x264's own defaults read memory that they did not write."""
    frames, random, digests = moving(), np.random.default_rng(1), set()
    for _ in range(10):
        _dirt = [random.integers(0, 255, random.integers(1, 1_000_000), np.uint8) for _ in range(3)]
        write_video(tmp_path / "v.mp4", frames, 20.0)
        digests.add(hashlib.sha256((tmp_path / "v.mp4").read_bytes()).hexdigest())
    assert 1 == len(digests)


def test_frames_come_back_in_order_and_close_to_what_they_were(tmp_path: Path) -> None:
    """A window would show the pictures of another second, or a smear."""
    frames = moving()
    write_video(tmp_path / "v.mp4", frames, 20.0)
    assert (30, 96, 96, 20.0, False) == tuple(video_facts(tmp_path / "v.mp4"))
    found = read_frames(tmp_path / "v.mp4", 7, 12)
    errors = [np.abs(found[i].astype(int) - frames[7 + i].astype(int)).mean() for i in range(5)]
    assert max(errors) < 4
    with pytest.raises(InputError, match="ends before"):
        read_frames(tmp_path / "v.mp4", 28, 31)


def test_torn_media_are_named(tmp_path: Path) -> None:
    """A torn download would end a job of hours with a traceback."""
    write_video(tmp_path / "v.mp4", moving(), 20.0)
    write_wav(tmp_path / "a.wav", np.arange(2000, dtype=np.int16), 8000)
    for name, read in (("v.mp4", video_facts), ("a.wav", read_sound)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:20])
        with pytest.raises(InputError, match="cannot be") as caught:
            read(path)
        assert str(path) == caught.value.where


def test_sound_comes_back(tmp_path: Path) -> None:
    """Silence would be taken for sound, or sound for silence."""
    samples = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)
    write_wav(tmp_path / "a.wav", samples, 8000)
    np.testing.assert_allclose(samples / 32768, read_sound(tmp_path / "a.wav"), atol=1e-6)
