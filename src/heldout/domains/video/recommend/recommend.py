"""The cheapest encode that is good enough: fewest bytes whose lower bound still meets the target.

The bound is the ensemble's mean over the clip, less a conformal margin that the export carries. The margin holds for
all encodes of a source that was never seen, at once: it is the order statistic, over held-out sources, of how much too
high the ensemble was on any encode of each. A margin for one encode would not hold for the one that is picked, since
the pick favours encodes that the ensemble flatters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.domains.video.backbone.features import ENCODER_VOCAB, UNKNOWN, Affine, Float64, Inputs
from heldout.domains.video.backbone.parity import open_session, score
from heldout.domains.video.export.confidence import clip_quantile, most, too_few
from heldout.domains.video.export.sidecar import ENSEMBLE_SCHEMA
from heldout.domains.video.recommend.ladder import CELL, read_ladder
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import read_json, read_plain
from heldout.verify.exports import find_exports, links_of

SCHEMA = "heldout.video.recommendation/1"


@dataclass(frozen=True)
class Candidate:
    """One encode of a clip.

    Attributes:
        encoder: Its encoder.
        preset: Its preset, or "".
        cq: Its quality point.
        bytes: Size of the encode.
        mean: The ensemble's mean over the clip, VMAF points.
        lower: What the clip's true mean is at least, at the asked confidence.
        meets: Whether the bound meets the target and nothing speaks against it.
        why: What speaks against it, whatever its bound; None if nothing does.
    """

    encoder: str
    preset: str
    cq: int
    bytes: int
    mean: float
    lower: float
    meets: bool
    why: str | None


@dataclass(frozen=True)
class Choice:
    """The answer for one clip: its candidates, cheapest first, and the first of them that meets the target."""

    src: str
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate | None:
        """None if no candidate meets the target."""
        return next((each for each in self.candidates if each.meets), None)


@dataclass(frozen=True)
class Recommendation:
    """The answer for every clip.

    Attributes:
        export: Id of the ensemble.
        target: VMAF points that a clip's mean must reach.
        confidence: Of the bound.
        margin: What the bound takes off, VMAF points.
        sources: Held-out sources that it was calibrated on.
        choices: One a clip.
    """

    export: str
    target: float
    confidence: float
    margin: float
    sources: int
    choices: tuple[Choice, ...]

    @property
    def complete(self) -> bool:
        """Whether every clip has an encode that meets the target."""
        return all(choice.chosen for choice in self.choices)

    def to_json(self) -> dict[str, object]:
        """The answer as a document."""
        found = {key: getattr(self, key) for key in ("export", "target", "confidence", "margin", "sources")}
        clips = [
            {
                "src": choice.src,
                "chosen": None if choice.chosen is None else asdict(choice.chosen),
                "candidates": [asdict(each) for each in choice.candidates],
            }
            for choice in self.choices
        ]
        return {"schema": SCHEMA, "complete": self.complete, **found, "clips": clips}


def recommend(
    export: Path, rows: Path, target: float, confidence: float, encoders: Sequence[str] = ()
) -> Recommendation:
    """Choose the cheapest encode of every clip.

    Args:
        export: Folder of an export, or its manifest; its own links are checked first.
        rows: Per-frame features of the candidates.
        target: VMAF points, in 0 to 100.
        confidence: In (0, 1).
        encoders: Look at these alone; all by default.

    Raises:
        RefusedError: If the calibration cannot hold this confidence, or the models never saw an encoder.
        TamperedError: If the export is not what it says.
        InputError: If an argument or a row is not what it should be.
    """
    _check_asked(target, confidence)
    path, manifest = _open(export)
    margin, sources = _margin(manifest, confidence, str(path))
    frame = read_ladder(rows)
    if encoders:
        frame = frame.filter(pl.col("encoder").is_in(list(encoders)))
    if not frame.height:
        raise InputError("no row is of that encoder", where=str(rows), hint=f"asked for: {', '.join(encoders)}")
    _refuse_unseen(manifest, frame, str(rows))
    means = _clip_means(path.parent, manifest, frame)
    choices = tuple(
        _choice(str(src), table, manifest, target, margin)
        for (src,), table in means.group_by("src", maintain_order=True)
    )
    return Recommendation(manifest["id"], target, confidence, margin, sources, choices)


def _check_asked(target: float, confidence: float) -> None:
    if not 0 <= target <= 100:
        raise InputError(f"{target:g} is no VMAF score", where="--target", hint="0 to 100")
    if not 0 < confidence < 1:
        raise InputError(f"{confidence:g} is no confidence", where="--confidence", hint="between 0 and 1, such as 0.9")


def _open(export: Path) -> tuple[Path, Mapping[str, Any]]:
    """The one manifest, if graphs, sidecars and answers agree with it."""
    found = find_exports(export)
    if len(found) != 1:
        raise InputError(
            f"there are {len(found)} exports" if found else "there is no export",
            where=str(export),
            hint="name the folder of an export, or its manifest" + (f": {found[0].name}, ..." if found else ""),
        )
    (path,) = found
    for link in links_of(path, None):
        if link.state == "BROKEN":
            raise TamperedError(
                f"the link {link.id!r} is broken: {link.what}", where=link.where or str(path), hint="export again"
            )
    manifest = read_json(path)
    if manifest["schema"] != ENSEMBLE_SCHEMA:
        raise InputError(f"the schema is {manifest['schema']!r}", where=str(path), hint="name a video export")
    return path, manifest


def _margin(manifest: Mapping[str, Any], confidence: float, where: str) -> tuple[float, int]:
    found = manifest["confidence"]["conformal"]
    scores: Sequence[float] = found.get("clip", {}).get("scores", {}).get("too_high", ())
    if not scores:
        raise RefusedError(
            f"no bound: {found.get('why') or 'the run had no clips to calibrate on'}",
            where=where,
            hint="export again from a run over sources",
        )
    margin = clip_quantile(scores, confidence)
    if margin is None:
        raise RefusedError(
            f"no bound at that confidence: {too_few(len(scores), confidence)}",
            where="--confidence",
            hint=f"ask for {np.floor(most(len(scores)) * 1000) / 1000:g} or less, or run over more sources",
        )
    return margin, len(scores)


def _refuse_unseen(manifest: Mapping[str, Any], frame: pl.DataFrame, where: str) -> None:
    seen = [name for name in ENCODER_VOCAB[:UNKNOWN] if manifest["encoders"].get(name)]
    unseen = sorted(set(frame["encoder"].unique()) - set(seen))
    if unseen:
        raise RefusedError(
            f"the models never saw the encoder {unseen[0]!r}: nothing says how far they are off there",
            where=where,
            hint=f"they saw: {', '.join(seen)} (--encoder takes some of the candidates)",
        )


def _clip_means(folder: Path, manifest: Mapping[str, Any], frame: pl.DataFrame) -> pl.DataFrame:
    """One row a candidate: size, frames, and the mean over the clip of the members' mean."""
    corpus = manifest["corpus"]
    scaler = Affine(np.array(manifest["feature_mean"]), np.array(manifest["feature_std"]))
    inputs = Inputs(scaler, corpus["cq_min"], corpus["cq_max"], manifest["encoders"], None)
    features, block = inputs.standardised(frame), inputs.raw_block(frame).astype(np.float32)
    members: list[Float64] = [
        score(open_session(read_plain(folder / member["onnx"])), features, block) for member in manifest["members"]
    ]
    scored = frame.with_columns(score=pl.Series(np.mean(members, axis=0)))
    return scored.group_by(CELL).agg(
        pl.col("enc_bytes").first(), frames=pl.len(), mean=pl.col("score").mean()
    ).sort("src", "enc_bytes", *CELL[1:])  # fmt: skip


def _choice(src: str, table: pl.DataFrame, manifest: Mapping[str, Any], target: float, margin: float) -> Choice:
    longest = int(table["frames"].max())  # type: ignore[arg-type]
    low, high = manifest["corpus"]["cq_min"], manifest["corpus"]["cq_max"]
    found = []
    for row in table.iter_rows(named=True):
        why = None
        if row["frames"] < longest:
            why = f"it has {row['frames']} of {longest} frames"
        elif not low <= row["cq"] <= high:
            why = f"the models saw quality points from {low:g} to {high:g} only"
        lower = max(0.0, row["mean"] - margin)
        named = {"encoder": row["encoder"], "preset": row["preset"], "cq": row["cq"], "bytes": row["enc_bytes"]}
        meets = why is None and lower >= target
        found.append(Candidate(**named, mean=row["mean"], lower=lower, meets=meets, why=why))
    return Choice(src, tuple(found))
