"""What to encode: the typed block ``corpus.produce`` of a study, or a file of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from heldout.domains.video.encode.encoders import FAMILIES, NO_PRESET, family_of
from heldout.errors import InputError
from heldout.study import load_yaml
from heldout.study.load import validate
from heldout.study.spec import Spec

RAW_SUFFIXES = frozenset({".yuv", ".raw", ".i420"})
PACKAGE = "package:"
NAME = r"^[^\x00-\x20/\\:*?\"<>|.][^\x00-\x1f/\\:*?\"<>|]{0,119}$"
Move = Literal["zoom-in", "zoom-out", "pan-right", "pan-left", "pan-down", "pan-up"]
_PRESET = r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$"


def parse_fps(value: Any) -> str:
    """A frame rate as ``25/1``; 29.97 and its kin become exact (``30000/1001``)."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError("a frame rate is a number such as 25, or text such as 30000/1001") from None
    if not 0 < rate <= 1000:
        raise ValueError("a frame rate lies between 0 and 1000")
    broadcast = round(rate * Fraction(1001, 1000)) * Fraction(1000, 1001)
    if rate.denominator != 1 and abs(broadcast - rate) < Fraction(1, 200):
        rate = broadcast
    return f"{rate.numerator}/{rate.denominator}"


Fps = Annotated[str, BeforeValidator(parse_fps)]


class SourceSpec(Spec):
    """One source. Everything that is not given is read from the file, or from a raw file's name."""

    path: Path = Field(description="a video, .y4m, raw .yuv, or a photograph; `package:NAME/FILE` for package data")
    kind: Literal["video", "raw", "pan"] = Field(
        "video", description="raw: headerless planar YUV (assumed for .yuv); pan: a photograph as a slow camera move"
    )
    name: Annotated[str, Field(pattern=NAME)] | None = Field(None, description="fold name; null: the file's stem")
    width: int | None = Field(None, ge=16, le=16384)
    height: int | None = Field(None, ge=16, le=16384)
    fps: Fps | None = Field(None, description="frames a second; a video may be retimed, no frame is dropped")
    pix_fmt: str | None = Field(None, pattern=r"^yuv4(20|22|44)p(1[026]le)?$", description="such as yuv420p10le")
    frames: int | None = Field(None, ge=2, description="take only so many frames")
    move: Move = Field("zoom-in", description="the camera move of a pan")

    @model_validator(mode="before")
    @classmethod
    def _kind_by_suffix(cls, data: Any) -> Any:
        if isinstance(data, dict) and "kind" not in data and Path(str(data.get("path", ""))).suffix in RAW_SUFFIXES:
            return data | {"kind": "raw"}
        return data

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> SourceSpec:
        if (self.width is None) != (self.height is None):
            raise ValueError("give `width` and `height` together")
        if self.kind == "pan" and None in (self.width, self.fps, self.frames):
            raise ValueError("a pan needs `width`, `height`, `fps` and `frames`")
        if self.kind != "pan" and "move" in self.model_fields_set:
            raise ValueError("`move` belongs to the kind `pan`")
        return self

    @property
    def rate(self) -> Fraction | None:
        """Frames a second, exactly."""
        return None if self.fps is None else Fraction(self.fps)


class EncoderSpec(Spec):
    """One encoder."""

    name: str = Field(description="as FFmpeg calls it: libx264, libsvtav1, hevc_nvenc, ...")
    preset: Annotated[str, Field(pattern=_PRESET)] | None = Field(None, description="null: the table's")

    @model_validator(mode="after")
    def _known(self) -> EncoderSpec:
        try:
            family = family_of(self.name)
        except InputError as error:
            raise ValueError(f"{error.what}; {error.hint}") from None
        if self.preset not in (None, NO_PRESET) and not family.has_presets:
            raise ValueError(f"{self.name} has no presets")
        return self

    @property
    def chosen_preset(self) -> str:
        """The preset that is used."""
        return self.preset or FAMILIES[self.name].preset


class Point(NamedTuple):
    """One cell of the plan: indices of source and encoder, and the quality point."""

    source: int
    encoder: int
    cq: int


class EncodeSpec(Spec):
    """Sources x encoders x quality points."""

    sources: list[SourceSpec] = Field(min_length=1)
    encoders: list[EncoderSpec] = Field(min_length=1)
    cqs: list[int] | dict[str, list[int]] = Field(
        min_length=1, description="quality points for all encoders, or a list for each encoder"
    )
    model: str = Field("vmaf_v0.6.1", pattern=r"^vmaf_[A-Za-z0-9._]+$", description="built-in model of libvmaf")

    @field_validator("encoders", mode="before")
    @classmethod
    def _names_alone(cls, items: Any) -> Any:
        if not isinstance(items, list):
            return items
        return [{"name": item} if isinstance(item, str) else item for item in items]

    @model_validator(mode="after")
    def _consistent(self) -> EncodeSpec:
        names = [encoder.name for encoder in self.encoders]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice: rows are told apart by src, encoder, cq and frame_index alone")
        if isinstance(self.cqs, dict) and set(self.cqs) != set(names):
            wrong = sorted(set(self.cqs).symmetric_difference(names))
            raise ValueError(f"`cqs` and `encoders` must name the same encoders; {wrong[0]!r} is in one of them only")
        for name in names:
            self._check_points(name)
        return self

    def points_of(self, name: str) -> list[int]:
        """Quality points of one encoder."""
        return self.cqs[name] if isinstance(self.cqs, dict) else self.cqs

    def cells(self) -> Iterator[Point]:
        """The plan, in the order of the corpus: by source, then encoder, then quality point."""
        for source in range(len(self.sources)):
            for index, encoder in enumerate(self.encoders):
                for cq in self.points_of(encoder.name):
                    yield Point(source, index, cq)

    def _check_points(self, name: str) -> None:
        points, family = self.points_of(name), FAMILIES[name]
        if not points or len(set(points)) != len(points):
            raise ValueError(f"the quality points of {name} are empty or repeated")
        for cq in points:
            if not family.low <= cq <= family.high:
                raise ValueError(f"{name} takes cq {family.low} to {family.high}, not {cq}")


class SpecFile(NamedTuple):
    """A specification from a file, with its source paths made absolute, and where its corpus belongs if it says so."""

    spec: EncodeSpec
    out: Path | None


def load_spec(path: Path) -> SpecFile:
    """Read a study's block ``corpus.produce``, or a file that is such a block. Paths start at the file's folder.

    Raises:
        StudyError: With file, line and column.
    """
    document = load_yaml(path)
    raw = document.value if isinstance(document.value, dict) else {}
    corpus = raw.get("corpus")
    if not isinstance(corpus, dict):
        return SpecFile(_anchored(validate(EncodeSpec, raw, document), path.parent), None)
    spec = validate(EncodeSpec, corpus.get("produce") or {}, document, ("corpus", "produce"))
    named = corpus.get("path")
    return SpecFile(_anchored(spec, path.parent), path.parent.joinpath(named).parent if named else None)


def spec_from_options(
    sources: Sequence[Path], encoders: Sequence[str], cqs: Sequence[int], geometry: Mapping[str, Any], model: str | None
) -> EncodeSpec:
    """The specification that command-line options describe.

    Raises:
        InputError: If something is missing or wrong, or one geometry is meant for several sources.
    """
    for option, given in (("--source", sources), ("--encoder", encoders), ("--cq", cqs)):
        if not given:
            raise InputError(f"{option} is missing", where=option, hint=f"add {option}, or name a study file")
    own = {name: value for name, value in geometry.items() if value is not None}
    if own and not (len(sources) == 1 and sources[0].suffix in RAW_SUFFIXES):
        flag = "--" + next(iter(own)).replace("_", "-")
        raise InputError(
            f"{flag} belongs to exactly one raw source: geometry is each source's own",
            where=flag,
            hint="name raw files Name_1920x1080_24fps_8bit_420.yuv, or write a study with one block for each source",
        )
    raw = {
        "sources": [{"path": path.absolute(), **own} for path in sources],
        "encoders": [dict(zip(("name", "preset"), text.split(":", 1), strict=False)) for text in encoders],
        "cqs": list(cqs),
        **({"model": model} if model else {}),
    }
    try:
        return EncodeSpec.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        place = ".".join(str(part) for part in first["loc"]) or "options"
        raise InputError(message, where=place, hint="correct that option") from None


def source_name(spec: SourceSpec) -> str:
    """The fold name: as given, or the file's stem without what a file name cannot hold."""
    stem = spec.path.as_posix().rpartition("/")[2].rpartition(".")[0] or spec.path.name
    return spec.name or re.sub(r"[\x00-\x20\\:*?\"<>|]", "_", stem).lstrip(".") or "source"


def _anchored(spec: EncodeSpec, folder: Path) -> EncodeSpec:
    return spec.model_copy(update={"sources": [_absolute(source, folder) for source in spec.sources]})


def _absolute(source: SourceSpec, folder: Path) -> SourceSpec:
    if source.path.as_posix().startswith(PACKAGE):
        return source
    return source.model_copy(update={"path": folder.joinpath(source.path).resolve()})
