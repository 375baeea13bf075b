"""The corpus as one file, and the manifest that says what it is made of and what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from heldout.domains.video.encode.ffmpeg import FFmpeg
from heldout.domains.video.encode.plan import Card, Plan, Planned
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.evidence import atomic_path, provenance, read_plain, sha256_file, write_json

SCHEMA = "heldout.video-corpus/1"
CORPUS = "per_frame_canonical6.jsonl"
MANIFEST = "manifest.json"


class Failure(NamedTuple):
    """A cell that is missing: why, and FFmpeg's last lines."""

    name: str
    reason: str
    log: tuple[str, ...] = ()


class CorpusFile(TypedDict):
    """The merged corpus in the manifest."""

    path: str
    rows: int
    bytes: int
    sha256: str


def merge(parts: Sequence[Path], corpus: Path) -> CorpusFile:
    """Put these parts, and no others, together in this order; describe the file."""
    rows, sha = 0, hashlib.sha256()
    with atomic_path(corpus) as partial:
        with partial.open("wb") as target:
            for part in parts:
                data = read_plain(part)
                rows += data.count(b"\n")
                sha.update(data)
                target.write(data)
        size = partial.stat().st_size
    return {"path": corpus.name, "rows": rows, "bytes": size, "sha256": sha.hexdigest()}


def write_manifest(
    out: Path,
    plan: Plan,
    cards: Mapping[str, Card],
    failures: Mapping[str, Failure],
    corpus: CorpusFile | None,
    ffmpeg: FFmpeg,
    spec: EncodeSpec,
) -> Path:
    """Write ``manifest.json``; return its path."""
    cells = [_describe(planned, cards, failures) for planned in plan.cells]
    libvmaf = sorted({str(card["libvmaf_version"]) for card in cards.values() if card.get("libvmaf_version")})
    document = {
        "schema": SCHEMA,
        "complete": not failures,
        "corpus": corpus,
        "model": spec.model,
        "expected": len(plan.cells),
        "present": len(cards),
        "missing": [cell for cell in cells if cell["state"] == "failed"],
        "cells": [cell for cell in cells if cell["state"] == "present"],
        "sources": [source.to_json() for source in plan.sources],
        "encoders": [probe.to_json() for probe in plan.probes],
        "tools": {
            "ffmpeg": {"version": ffmpeg.version, "sha256": sha256_file(ffmpeg.path)},
            "libvmaf": libvmaf,
        },
        "run_provenance": provenance.build(
            args=spec.model_dump(mode="json", exclude={"sources"}), inputs={}, outputs={"corpus": out / CORPUS}
        ),
    }
    write_json(out / MANIFEST, document)
    return out / MANIFEST


def _describe(planned: Planned, cards: Mapping[str, Card], failures: Mapping[str, Failure]) -> dict[str, object]:
    cell = planned.cell
    facts = {"src": cell.source.name, "encoder": cell.encoder.name, "preset": cell.encoder.preset, "cq": cell.cq}
    facts |= {"key": planned.key, "frames": cell.source.frames}
    if cell.name in failures:
        failure = failures[cell.name]
        return {**facts, "state": "failed", "reason": failure.reason, "log": list(failure.log)}
    card = cards[cell.name]
    kept = ("rows", "bytes", "sha256", "vmaf_mean", "enc_bytes", "encoded_pix_fmt")
    return {**facts, "state": "present", "part": f"parts/{planned.part.name}"} | {key: card.get(key) for key in kept}
