"""How windows become inputs. Written beside the data set and beside every adapter, so that both see the same inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import gcd
from pathlib import Path
from typing import Any, Literal, get_args

from heldout.errors import InputError
from heldout.evidence import read_json

SCHEMA = "heldout.qwen-export/1"
FILE = "export.json"
PATCH = 16
MERGE = 2
TEMPORAL = 2
SOUND_HZ = 16000
COLUMNS = 3
PUBLISHED_TILE = "240x320"
OptionsMode = Literal["full", "retrieved", "none"]


@dataclass(frozen=True)
class ExportSettings:
    """Everything that an input depends on beside the window itself.

    Attributes:
        tile: Height and width of one camera's picture in the mosaic, pixels.
        streams: Cameras in the order of the tiles; a window that lacks one shows a black tile.
        max_video_frames: Pictures of a clip, evenly over the context; fewer if the context has fewer.
        clip_hz: Pictures a second of the written video. What the model is told are the recording's own seconds.
        audio: Whether sound is an input where it may be.
        options: Label options in the prompt: ``full`` gives every label of train, ``retrieved`` those of the most
            similar train windows of other sessions, ``none`` leaves them out.
        retrieved: Options of each kind that are retrieved.
        sensors: Numbers of the sensor bridge in the prompt; 0 leaves it out.
    """

    tile: tuple[int, int] = (240, 320)
    streams: tuple[str, ...] = ()
    max_video_frames: int = 16
    clip_hz: float = 8.0
    audio: bool = True
    options: OptionsMode = "full"
    retrieved: int = 12
    sensors: int = 8

    def fitted(self) -> ExportSettings:
        """The nearest tile whose mosaic is a whole number of blocks, the smaller of two; itself where it is that."""
        height, width = (_nearest(side, count) for side, count in zip(self.tile, self.layout, strict=True))
        return replace(self, tile=(height, width))

    def check(self) -> ExportSettings:
        """Return itself.

        Raises:
            InputError: If no clip can be made so.
        """
        height, width = self.mosaic
        block = PATCH * MERGE
        if min(self.tile) < 1 or height % block or width % block:
            raise InputError(
                f"a mosaic of {height}x{width} pixels is no whole number of {block}x{block} blocks",
                where="--tile",
                hint="such as {}x{} for these cameras; without --tile it is chosen".format(*self.fitted().tile),
            )
        if self.max_video_frames < 1 or self.retrieved < 1 or self.sensors < 0 or self.clip_hz <= 0:
            raise InputError("a count is out of range", where="--max-video-frames, --retrieved", hint="see --help")
        if self.options not in get_args(OptionsMode):
            raise InputError(f"no options {self.options!r}", where="--options", hint="full, retrieved or none")
        return self

    @property
    def layout(self) -> tuple[int, int]:
        """Rows and columns of tiles: up to three columns, as the published 2 x 3."""
        count = max(1, len(self.streams))
        columns = min(COLUMNS, count)
        return -(-count // columns), columns

    @property
    def mosaic(self) -> tuple[int, int]:
        """Height and width of a picture of the clip."""
        rows, columns = self.layout
        return rows * self.tile[0], columns * self.tile[1]

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self) | {"tile": list(self.tile), "streams": list(self.streams)}


def read_export(folder: Path) -> tuple[ExportSettings, dict[str, Any]]:
    """Settings and the whole document ``export.json``.

    Raises:
        InputError: If it is not there or of another schema.
    """
    document = read_json(folder / FILE)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        hint = "heldout embodied qwen export writes it"
        raise InputError("the folder does not say how its inputs were made", where=str(folder / FILE), hint=hint)
    values = dict(document["settings"])
    try:
        settings = ExportSettings(**values | {"tile": tuple(values["tile"]), "streams": tuple(values["streams"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"the settings are wrong: {error}", where=str(folder / FILE), hint="export again") from None
    return settings.check(), document


def _nearest(side: int, count: int) -> int:
    """The side nearest to this one of which ``count`` are a whole number of blocks."""
    step = PATCH * MERGE // gcd(PATCH * MERGE, count)
    return max(step, min((side // step * step, -(-side // step) * step), key=lambda found: abs(found - side)))


def parse_tile(text: str) -> tuple[int, int]:
    """Read ``240x320``: height and width.

    Raises:
        InputError: If these are not two counts.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise InputError(f"{text!r} is no tile", where="--tile", hint="height x width in pixels, such as 240x320")
    return int(height), int(width)
