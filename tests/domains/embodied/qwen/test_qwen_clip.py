"""The clip and its patches: the layout of the published processor, without torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qwen_kit import SIDE, SMALL

from heldout.domains.embodied.episodes.media import write_video
from heldout.domains.embodied.qwen.clip import as_seen, mosaic, patchify, read_clip
from heldout.domains.embodied.qwen.settings import ExportSettings, parse_tile
from heldout.domains.embodied.qwen.sound import mel, window_sound
from heldout.errors import InputError


def records(index: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (index / "window_index.jsonl").read_text().splitlines()]


def picture(seed: int, height: int, width: int, frames: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_the_patches_are_those_of_the_published_processor(rows: int, columns: int, seed: int) -> None:
    """Full weights would see a picture whose patches are shuffled, and nobody would notice but by their answers."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    frame = picture(seed, 32 * rows, 32 * columns)[0]
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_resize=False
    )
    theirs = processor(images=[frame], return_tensors="np")
    ours = patchify(frame[None])
    assert theirs["image_grid_thw"][0].tolist() == list(ours.grid)
    np.testing.assert_allclose(theirs["pixel_values"], ours.values, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(1, 2), st.integers(1, 2))
def test_every_pixel_stands_in_exactly_one_patch(frames: int, rows: int, columns: int) -> None:
    """A part of the picture would be invisible, or an odd last frame would be lost."""
    clip = picture(1, 32 * rows, 32 * columns, frames)
    found = patchify(clip)
    even = frames + frames % 2
    assert (even // 2, 2 * rows, 2 * columns) == found.grid
    assert found.grid[0] * rows * columns == found.tokens
    expected = clip.astype(np.float64).sum() + (clip[-1].astype(np.float64).sum() if frames % 2 else 0)
    assert expected == pytest.approx(((found.values.astype(np.float64) + 1) * 127.5).sum(), rel=1e-5)


def test_a_picture_that_is_no_whole_number_of_blocks_is_refused() -> None:
    """Its edge would be cut off without a word."""
    with pytest.raises(InputError, match="cannot be cut"):
        patchify(picture(0, 40, 64))
    with pytest.raises(InputError, match="no whole number"):
        ExportSettings(tile=(30, 32), streams=("a",)).check()
    assert (480, 960) == ExportSettings(streams=tuple("abcdef")).check().mosaic
    assert (240, 320) == parse_tile("240x320")
    with pytest.raises(InputError, match="no tile"):
        parse_tile("240")


def test_a_camera_that_is_missing_leaves_a_black_tile(made: Path) -> None:
    """The other cameras would move into its place, and a model would take one for another."""
    record = records(made / "index")[0]
    wanted = ExportSettings(tile=(SIDE, SIDE), streams=("camera/absent", "camera/front"), max_video_frames=4)
    frames = mosaic(record, made / "index", wanted)
    assert (4, SIDE, 2 * SIDE, 3) == frames.shape
    assert not frames[:, :, :SIDE].any()
    assert frames[:, :, SIDE:].any()


def test_what_the_predictor_sees_is_what_the_data_set_holds(made: Path, tmp_path: Path) -> None:
    """Training would see encoded pictures and evaluation clean ones: another distribution, unseen in any metric."""
    record = records(made / "index")[0]
    frames = mosaic(record, made / "index", ExportSettings(**{**SMALL.__dict__, "streams": ("camera/front",)}))
    write_video(tmp_path / "clip.mp4", frames, SMALL.clip_hz)
    assert (read_clip(tmp_path / "clip.mp4") == as_seen(frames, SMALL)).all()


def test_the_sound_is_of_the_same_seconds_as_the_clip(made: Path) -> None:
    """A model would hear what comes after the window."""
    record = next(one for one in records(made / "index") if one["modalities"]["media"]["context_window"]["start_frame"])
    context = record["modalities"]["media"]["context_window"]
    sound = window_sound(record, made / "index")
    assert sound is not None
    seconds = (context["end_frame"] - context["start_frame"] + 1) / 20.0
    assert round(seconds * 16000) == len(sound)
    heard = mel(sound.astype(np.float32) / 32768)
    assert 13 == heard.tokens  # of one second
    assert (128, 100) == heard.values.shape
