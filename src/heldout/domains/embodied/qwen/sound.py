"""The sound of a window: mono, 16 kHz, over the seconds of the clip; and the features that the audio tower takes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.media import read_sound, sound_rate
from heldout.domains.embodied.qwen.settings import SOUND_HZ
from heldout.errors import InputError

_MEL = 128
_OPEN = 4


class Mel(NamedTuple):
    """What the audio tower takes: ``[128, frames]`` in float32, and the places that it takes in the prompt."""

    values: NDArray[np.float32]
    tokens: int


def withheld(record: Mapping[str, Any]) -> bool:
    """Whether an answer is computed from the sound, so that hearing it would be reading the answer."""
    return bool(record["modalities"].get("audio_not_for"))


def window_sound(record: Mapping[str, Any], home: Path) -> NDArray[np.int16] | None:
    """Samples of the context at 16 kHz; None where there is no sound, or none that may be heard.

    Raises:
        InputError: If the recording has a sound track without a sample in this window.
    """
    path = record["modalities"]["media"]["audio_path"]
    if path is None or withheld(record):
        return None
    samples = _sound(home / path)
    context, clock = record["modalities"]["media"]["context_window"], float(record["provenance"]["clock_hz"])
    first = round(context["start_frame"] / clock * SOUND_HZ)
    last = round((context["end_frame"] + 1) / clock * SOUND_HZ)
    part = samples[first:last]
    if not len(part):
        raise InputError("the sound ends before the window", where=f"{path}: {record['id']}", hint="select again")
    return part


def mel(samples: NDArray[np.float32]) -> Mel:
    """Features of the published processor: 128 mel bands, no truncation."""
    from transformers.models.qwen3_omni_moe.processing_qwen3_omni_moe import _get_feat_extract_output_lengths as tokens

    features = _extractor()(samples, sampling_rate=SOUND_HZ, padding=True, truncation=False, return_tensors="np")
    values = np.asarray(features["input_features"][0], np.float32)
    return Mel(values, int(tokens(values.shape[1])))


@lru_cache(maxsize=1)
def _extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=_MEL, sampling_rate=SOUND_HZ)


@lru_cache(maxsize=_OPEN)
def _sound(path: Path) -> NDArray[np.int16]:
    samples, rate = read_sound(path), sound_rate(path)
    if rate is not None and rate != SOUND_HZ and len(samples):
        from scipy.signal import resample_poly

        ratio = Fraction(SOUND_HZ / rate).limit_denominator(1000)
        samples = resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)
    return np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
