"""The last picture that a model saw of a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.media import read_frames
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.report import FrameReader
from heldout.errors import HeldoutError
from heldout.predict.session import Sample


def last_frames(source: IndexSource, samples: Sequence[Sample]) -> FrameReader:
    """A reader of the first camera's last picture in the context of a window; None where there is none."""
    by_id = {sample.id: sample for sample in samples}

    def read(row: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        record = next(source.records([by_id[str(row["id"])]]))
        videos = record["modalities"]["media"]["video_streams"]
        path, last = (videos[0]["path"], videos[0].get("last_frame")) if videos else (None, None)
        if path is None or last is None:
            return None
        try:
            image: NDArray[np.uint8] = read_frames(source.folder / path, last, last + 1)[0]
        except HeldoutError:
            return None  # the report is whole without it
        return image

    return read
