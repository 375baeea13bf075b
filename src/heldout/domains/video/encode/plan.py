"""What must be encoded and what is there already: each cell has a key, a digest of all that its scores depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from heldout.domains.video.encode.cell import Cell, Scored, encode_arguments, score_arguments
from heldout.domains.video.encode.encoders import Encoder
from heldout.domains.video.encode.ffmpeg import FFmpeg
from heldout.domains.video.encode.probe import Probe, probe_encoder, probe_scoring, require_usable
from heldout.domains.video.encode.sources import Source, measure_sources
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.domains.video.encode.workers import each
from heldout.errors import InputError
from heldout.evidence import digest, read_json, sha256_file, write_bytes, write_json

CARD_SCHEMA = "heldout.video-cell/1"
_FORMAT = 1


class Card(TypedDict):
    """What vouches for the rows of a cell; one of an older heldout may lack the last two."""

    schema: str
    key: str
    identity: Mapping[str, Any]
    rows: int
    bytes: int
    sha256: str
    vmaf_mean: float
    enc_bytes: int
    encoded_pix_fmt: NotRequired[str]
    libvmaf_version: NotRequired[str | None]


@dataclass(frozen=True)
class Planned:
    """One cell of the plan.

    Attributes:
        cell: What is encoded.
        identity: All that its scores depend on.
        part: Where its rows belong.
        card: What is known of the rows that lie there, if they are this cell's; else None.
        reason: Why it is reused, encoded, encoded again, or cannot be encoded.
        usable: Whether its encoder can run here.
        log: What FFmpeg said if it cannot.
    """

    cell: Cell
    identity: Mapping[str, Any]
    part: Path
    card: Card | None
    reason: str
    usable: bool = True
    log: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    def store(self, scored: Scored) -> Card:
        """Write rows, then the card that vouches for them; a kill between the two leaves a cell to encode again."""
        write_bytes(self.part, scored.lines)
        card: Card = {
            "schema": CARD_SCHEMA,
            "key": self.key,
            "identity": self.identity,
            "rows": scored.rows,
            "bytes": len(scored.lines),
            "sha256": sha256_file(self.part),
            "vmaf_mean": scored.vmaf_mean,
            "enc_bytes": scored.enc_bytes,
            "encoded_pix_fmt": scored.encoded_pix_fmt,
            "libvmaf_version": scored.libvmaf_version,
        }
        write_json(card_path(self.part), card)
        return card


@dataclass(frozen=True)
class Plan:
    """Everything that is known before compute is spent."""

    sources: Sequence[Source]
    probes: Sequence[Probe]
    cells: Sequence[Planned]

    @property
    def pending(self) -> list[Planned]:
        """Cells to encode."""
        return [planned for planned in self.cells if planned.card is None and planned.usable]

    @property
    def reused(self) -> list[Planned]:
        """Cells that are there."""
        return [planned for planned in self.cells if planned.card is not None]

    @property
    def unusable(self) -> list[Planned]:
        """Cells whose encoder cannot run here."""
        return [planned for planned in self.cells if planned.card is None and not planned.usable]


def make_plan(
    ffmpeg: FFmpeg, spec: EncodeSpec, out: Path, *, pans: Path, workers: int, allow_skips: bool = False
) -> Plan:
    """Probe the encoders, measure the sources, and look at the parts that are there.

    Args:
        ffmpeg: What encodes.
        spec: What to encode.
        out: Folder of the corpus; nothing in it is changed.
        pans: Folder of the films made of photographs; they are rendered if they are not there.
        workers: Children at a time.
        allow_skips: Plan without encoders that cannot run.

    Raises:
        InputError: If a source cannot be used.
        PrerequisiteError: If an encoder cannot run and must, or libvmaf is missing.
    """
    probe_scoring(ffmpeg, spec.model)
    wanted = spec.encoders
    probes = each(
        lambda encoder: probe_encoder(ffmpeg, encoder.name, encoder.chosen_preset), wanted, workers, ffmpeg.children
    )
    if not allow_skips or not any(probe.usable for probe in probes):
        require_usable(ffmpeg, probes, workers)
    sources = measure_sources(ffmpeg, spec.sources, pans, workers)
    cells = []
    for point in spec.cells():
        probe = probes[point.encoder]
        cell = Cell(sources[point.source], probe.encoder, point.cq)
        cells.append(_look(cell, probe, ffmpeg.version, spec.model, out / "parts"))
    return Plan(sources, probes, cells)


def card_path(part: Path) -> Path:
    """The card beside a part."""
    return part.with_suffix(".cell.json")


def identity_of(cell: Cell, ffmpeg_version: str, model: str) -> dict[str, object]:
    """All that a cell's scores depend on; paths and devices are not among them."""
    source, encoder = cell.source, cell.encoder
    nowhere = Cell(
        Source(source.name, Path("/source"), source.kind, source.geometry, source.filters, 0, "", ""),
        Encoder(encoder.name, encoder.preset),
        cell.cq,
    )
    return {
        "format": _FORMAT,
        "source": source.name,
        "source_sha256": source.sha256,
        "content_sha256": source.content_sha256,
        "geometry": source.geometry.to_json() | {"frames": source.frames},
        "encoder": encoder.name,
        "preset": encoder.preset,
        "cq": cell.cq,
        "ffmpeg_version": ffmpeg_version,
        "model": model,
        "encode_arguments": encode_arguments(nowhere),
        "score_arguments": score_arguments(nowhere, model),
    }


def _look(cell: Cell, probe: Probe, ffmpeg_version: str, model: str, folder: Path) -> Planned:
    identity = identity_of(cell, ffmpeg_version, model)
    part = folder / f"{cell.name}.jsonl"
    card, reason = _judge_part(part, identity)
    if card is None and not probe.usable:
        reason = f"the encoder cannot run here: {probe.reason}"
    return Planned(cell, identity, part, card, reason, probe.usable, probe.log)


def _judge_part(part: Path, identity: Mapping[str, Any]) -> tuple[Card | None, str]:
    """The card if the part is this cell's, and why it is or is not."""
    if not part.is_file():
        return None, "new"
    card = _read_card(part)
    if card is None:
        return None, "encoded again: the rows there have no card that vouches for them"
    if card["key"] != digest(identity):
        return None, f"encoded again: {_difference(card.get('identity'), identity)}"
    if card["sha256"] != sha256_file(part):
        return None, "encoded again: the rows there are not those that were written"
    return card, "reused"


def _read_card(part: Path) -> Card | None:
    try:
        card: Card = read_json(card_path(part))
    except InputError:
        return None
    if not isinstance(card, dict) or card.get("schema") != CARD_SCHEMA:
        return None
    return card if {"key", "sha256", "rows", "bytes", "vmaf_mean", "enc_bytes"} <= card.keys() else None


def _difference(old: Any, new: Mapping[str, Any]) -> str:
    """The first thing that changed, in words."""
    if not isinstance(old, dict):
        return "the card does not say what the rows depended on"
    for name, value in new.items():
        if old.get(name) != value:
            short = isinstance(value, str | int) and len(str(value)) <= 40
            return f"{name} is {value}, was {old.get(name)}" if short else f"{name} changed"
    return "it depended on something else"
