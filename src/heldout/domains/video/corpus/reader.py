"""The corpus of per-frame scores: groups are sources, or encoders; cells are the encodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from heldout.corpus import Corpus, CorpusManifest, Known, Reader, ReaderOptions, group_records
from heldout.domains.video.corpus.rows import FEATURES, read_rows
from heldout.errors import CorpusError, PrerequisiteError
from heldout.evidence import digest

_NAMES = ("src", "encoder", "preset")
_KEY = (*_NAMES, "cq", "frame_index")


class FrameOptions(ReaderOptions):
    """The `corpus:` block of per-frame scores."""

    path: Path = Field(description="the per-frame .jsonl file, relative to the study")
    produce: dict[str, Any] | None = Field(
        None, description="what `heldout video encode` makes the file from; reading does not look at it"
    )
    group: Literal["src", "encoder"] = Field(
        "src", description="what is held out: src, a source with all its encodes; encoder, all encodes of one encoder"
    )
    min_rows: int = Field(100, ge=1, description="fewer rows than this prove nothing")
    min_groups: int = Field(3, ge=2, description="fewer groups than this cannot be held out one by one")


class FrameReader(Reader):
    """Reads the published per-frame rows: a group is a source, a cell is one encode of it, the target is VMAF.

    With ``group: encoder`` a group is an encoder. Then every source is on both sides of each fold, which is what this
    grouping asks for: how far a model holds on an encoder that it never saw, for pictures that it did see. The
    corpus says so in its facts, and has no picture hashes, which would find every source on both sides.
    """

    name: ClassVar[str] = "video_frames"
    Options = FrameOptions
    options: FrameOptions

    def read(self) -> Corpus:
        """Read and check the whole file.

        Raises:
            CorpusError: With file, line and key of the first bad row, or with the sources that are not what they say.
            PrerequisiteError: If there are too few rows or sources.
        """
        path = self.options.path
        if self.options.produce and not path.exists():
            raise CorpusError(
                "the corpus is not made yet",
                where=str(path),
                hint="make it: heldout video encode STUDY, then run again",
            )
        frame, sha256 = read_rows(path)
        frame = frame.with_columns(pl.col("preset").fill_null(""))
        _check_names(frame, path)
        _check_duplicates(frame, path)
        _check_sources(frame, path)
        self._check_size(frame)
        features = frame.select(*FEATURES, "encoder", "cq", "preset")
        target = frame["vmaf"].to_numpy().astype(np.float64)
        frame = frame.with_columns(cell=_cell())
        return Corpus(
            ids=frame.select(sample_id=_sample_id())["sample_id"],
            groups=frame[self.options.group].alias("group"),
            cells=frame["cell"],
            features=features,
            truth=Known(target),
            manifest=CorpusManifest(
                reader=self.name,
                path=path.name,
                sha256=self._identity(sha256),
                rows=frame.height,
                task="regression",
                target="vmaf",
                features=tuple(features.columns),
                groups=group_records(frame[self.options.group], features, target, path.name),
                facts=_facts(frame) | self._straddling(frame, sha256),
            ),
            prints=_prints(frame) if self.options.group == "src" else None,
        )

    def _check_size(self, frame: pl.DataFrame) -> None:
        rows, groups = frame.height, frame[self.options.group].n_unique()
        if rows >= self.options.min_rows and groups >= self.options.min_groups:
            return
        words = {"src": "sources", "encoder": "encoders"}[self.options.group]
        raise PrerequisiteError(
            f"{rows} rows of {groups} {words} are too few: at least {self.options.min_rows} rows and "
            f"{self.options.min_groups} {words} are needed",
            where=str(self.options.path),
            hint=f"encode more {words} or more quality points",
        )

    def _identity(self, file_sha256: str) -> str:
        """The file's digest; held out by encoder it is another corpus, with a policy and looks of its own."""
        group = self.options.group
        return file_sha256 if group == "src" else digest({"file_sha256": file_sha256, "group": group})

    def _straddling(self, frame: pl.DataFrame, file_sha256: str) -> dict[str, object]:
        """Sources that stand under several groups, and the file's own digest; nothing where sources are the groups."""
        if self.options.group == "src":
            return {}
        several = frame.group_by("src").agg(pl.col("encoder").n_unique()).filter(pl.col("encoder") > 1)
        sources = several["src"].sort().to_list()
        return {"grouped_by": self.options.group, "file_sha256": file_sha256, "straddling_sources": sources}


def _cell() -> pl.Expr:
    preset = pl.when(pl.col("preset") == "").then(pl.lit("")).otherwise(pl.format("{}/", pl.col("preset")))
    return pl.format("{}/{}/{}cq{}", "src", "encoder", preset, "cq")


def _sample_id() -> pl.Expr:
    """Cell and frame; the width is fixed, so that a sample keeps its id when longer clips join the corpus."""
    return pl.format("{}/{}", "cell", pl.col("frame_index").cast(pl.String).str.zfill(6))


def _check_names(frame: pl.DataFrame, path: Path) -> None:
    """Names make up cells and sample ids: a slash or a control character in one would let two cells share an id."""
    for key in _NAMES:
        values = frame[key].unique()
        bad = values.filter(values.str.contains(r"[/\p{Cc}]") | ((values != "") & (values.str.strip_chars() != values)))
        if len(bad):
            name = bad.sort()[0]
            raise CorpusError(
                f"{key} is {name!r}: a name has no slash, control character or blank at an end",
                where=f"{path}:{_line_of(frame, pl.col(key) == name)}, key {key}",
                hint="use the stem of the source's file and the encoder's name in FFmpeg",
            )


def _in_order(frame: pl.DataFrame) -> bool:
    """Whether each cell stands in one piece with its frames ascending, as they are written; then none stands twice."""
    cell = ("src", "encoder", "preset", "cq")
    starts = frame.select(pl.any_horizontal(pl.col(key) != pl.col(key).shift() for key in cell).fill_null(value=True))
    first = starts.to_series()
    rises = frame.select(pl.col("frame_index") > pl.col("frame_index").shift()).to_series()
    return bool((first | rises).all()) and not frame.filter(first).select(cell).is_duplicated().any()


def _check_duplicates(frame: pl.DataFrame, path: Path) -> None:
    if _in_order(frame):
        return
    repeated = frame.select(_KEY).with_row_index("row").filter(pl.struct(_KEY).is_duplicated())
    if not repeated.height:
        return
    first, second = repeated.filter(pl.struct(_KEY) == repeated.select(pl.struct(_KEY).first()).item())["row"][:2]
    row = frame.row(first, named=True)
    name = ", ".join(f"{key} {row[key]}" for key in _KEY if row[key] != "")
    raise CorpusError(
        f"the frame ({name}) stands twice",
        where=f"{path}:{second + 1}, first at line {first + 1}",
        hint="a cell was encoded again and appended; remove one of the copies",
        code="HO-G004",
    )


def _check_sources(frame: pl.DataFrame, path: Path) -> None:
    """A source's digest and its name belong together, where the rows give digests.

    Two encodes of one file under two names differ in their rows as soon as an encoder is not deterministic or the
    quality points differ, so the guard over the groups' content would not see them.
    """
    pairs = frame.select("src", "source_sha256").drop_nulls().unique().sort("src", "source_sha256")
    for key, other, what in (
        ("source_sha256", "src", "the sources {} are one file under several names: a copy would leak into training"),
        ("src", "source_sha256", "the source {1} is several files under one name: {0}"),
    ):
        repeated = pairs.filter(pl.col(key).is_duplicated())
        if not repeated.height:
            continue
        value = repeated[key][0]
        others = repeated.filter(pl.col(key) == value)[other].to_list()
        line = _line_of(frame, (pl.col(key) == value) & (pl.col(other) == others[1]))
        raise CorpusError(
            what.format(", ".join(item[:64] for item in others), value),
            where=f"{path}:{line}, key {other}",
            hint="keep one of them, or give each file a name of its own",
            code="HO-G002",
        )


def _line_of(frame: pl.DataFrame, condition: pl.Expr) -> int:
    """Number of the first line for which the condition holds."""
    return int(frame.select(condition.fill_null(value=False).arg_max()).item()) + 1


def _prints(frame: pl.DataFrame) -> dict[str, NDArray[np.uint64]] | None:
    """Perceptual hashes of each source's frames, where the rows bring them; a flat picture has none."""
    known = frame.filter(pl.col("ref_phash").fill_null("") != "").select("src", "frame_index", "ref_phash")
    if not known.height:
        return None
    frames = known.unique(["src", "frame_index"], keep="first", maintain_order=True).sort("src", "frame_index")
    table = frames.group_by("src", maintain_order=True).agg("ref_phash")
    return {src: np.array([int(word, 16) for word in words], dtype=np.uint64) for src, words in table.iter_rows()}


def _facts(frame: pl.DataFrame) -> dict[str, object]:
    by_encoder = frame.group_by("encoder").agg(pl.col("cq").unique().sort()).sort("encoder")
    cells = frame.group_by("src", "encoder", "preset", "cq").agg(
        pl.col("cell").first(), frames=pl.len(), enc_bytes=pl.col("enc_bytes").first()
    )
    frames = {src: int(most) for src, most in cells.group_by("src").agg(pl.col("frames").max()).sort("src").iter_rows()}
    longest = pl.col("frames").max().over("src")
    facts = {
        "encoders": by_encoder["encoder"].to_list(),
        "cqs": frame["cq"].unique().sort().to_list(),
        "cqs_by_encoder": dict(by_encoder.iter_rows()),
        "presets": sorted(preset for preset in frame["preset"].unique() if preset),
        "cells": cells.height,
        "frames": frames,
        "short_cells": cells.filter(pl.col("frames") < longest)["cell"].sort().to_list(),
        "sources": _sources(frame),
        "kilobytes_a_frame": _rates(cells),
    }
    return {key: value for key, value in facts.items() if value}


def _sources(frame: pl.DataFrame) -> dict[str, dict[str, object]]:
    """What the rows say of each source's file, where they say it."""
    keys = ("source_sha256", "fps", "width", "height")
    table = frame.group_by("src").agg(pl.col(key).drop_nulls().first() for key in keys).sort("src")
    found = {row["src"]: {key: row[key] for key in keys if row[key] is not None} for row in table.iter_rows(named=True)}
    return {src: known for src, known in found.items() if known}


def _rates(cells: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Geometric mean over sources of an encode's kilobytes a frame, by encoder and quality point."""
    rate = (pl.col("enc_bytes") / pl.col("frames") / 1000).log().mean().exp()
    sized = cells.filter(pl.col("enc_bytes") > 0).group_by("encoder", "cq").agg(rate=rate).sort("encoder", "cq")
    rates: dict[str, dict[str, float]] = {}
    for encoder, cq, value in sized.iter_rows():
        rates.setdefault(encoder, {})[str(cq)] = round(value, 6)
    return rates
