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
        if not videos or "last_frame" not in videos[0]:
            return None
        last = int(videos[0]["last_frame"])
        try:
            image: NDArray[np.uint8] = read_frames(source.folder / videos[0]["path"], last, last + 1)[0]
        except HeldoutError:
            return None  # the report is whole without it
        return image

    return read
