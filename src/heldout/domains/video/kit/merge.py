"""Shards of one corpus, encoded on several machines, become one corpus.

A cell is known by its identity: digest of the source, encoder, preset, quality point, version of the tools, arguments.
Two machines that encoded the same cell must have the same scores, or neither is taken. Times are a machine's own and
not compared. What is expected and nowhere is a gap, and a corpus with gaps is not written unless that was allowed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.video.encode.manifest import CORPUS, CorpusFile, merge
from heldout.domains.video.encode.plan import CARD_SCHEMA, card_path
from heldout.domains.video.encode.spec import EncodeSpec, source_name
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import atomic_path, digest, loads, read_json, read_plain, sha256_file, write_json

SCHEMA = "heldout.video-merge/1"
DOCUMENT = "merge.json"
_CELL = ("source", "encoder", "preset", "cq")
# Which differences between two cells of one name are worth a sentence of their own, in this order.
_DIFFERENCES = {
    "source_sha256": "another file under the name of the source",
    "content_sha256": "other frames under the name of the source",
    "ffmpeg_version": "another version of FFmpeg",
    "model": "another model of libvmaf",
    "geometry": "another geometry",
}


class Shard(NamedTuple):
    """One cell as one machine left it."""

    part: Path
    card: Mapping[str, Any]

    @property
    def cell(self) -> tuple[str, str, str, int]:
        """Source, encoder, preset and quality point."""
        identity = self.card["identity"]
        return identity["source"], identity["encoder"], identity["preset"], identity["cq"]


@dataclass(frozen=True)
class Merged:
    """What came of it.

    Attributes:
        corpus: The merged file; does not exist if there are gaps and they were not allowed.
        cells: Number of cells.
        duplicates: Cells that several machines had, alike.
        gaps: Cells that no machine had.
        rows: Rows of the corpus; 0 if it was not written.
        document: ``merge.json``.
    """

    corpus: Path
    cells: int
    duplicates: int
    gaps: tuple[str, ...]
    rows: int
    document: Mapping[str, Any]


def merge_shards(
    folders: Sequence[Path], out: Path, *, spec: EncodeSpec | None = None, allow_gaps: bool = False
) -> Merged:
    """Merge the cells of several corpus folders.

    Args:
        folders: Folders that ``heldout video encode`` wrote; each holds ``parts``.
        out: Folder of the merged corpus; ``heldout video encode`` can go on in it.
        spec: What was to be encoded; without it, every source with every encoder and quality point that was seen.
        allow_gaps: Write the corpus though cells are missing; the document lists them.

    Raises:
        InputError: If a folder holds no cells.
        TamperedError: If rows are not those of their card.
        RefusedError: If two machines disagree about a cell, or a source is known under two names.
    """
    shards = [shard for folder in folders for shard in read_shards(folder)]
    chosen, duplicates = _chosen(shards)
    _refuse_two_names(chosen.values())
    expected = _expected(spec) if spec is not None else _seen(chosen)
    foreign = sorted(set(chosen) - set(expected))
    if foreign:
        raise RefusedError(
            f"the study has no cell {_name(foreign[0])}",
            where=str(chosen[foreign[0]].part),
            hint="leave its folder out",
        )
    gaps = tuple(_name(cell) for cell in expected if cell not in chosen)
    parts = [_take(chosen[cell], out / "parts") for cell in expected if cell in chosen]
    corpus, facts = out / CORPUS, None
    if not gaps or allow_gaps:
        facts = merge(parts, corpus)
    else:
        corpus.unlink(missing_ok=True)
    document = _document(chosen, duplicates, gaps, facts)
    write_json(out / DOCUMENT, document)
    return Merged(corpus, len(chosen), len(duplicates), gaps, facts["rows"] if facts else 0, document)


def read_shards(folder: Path) -> list[Shard]:
    """Cells of one corpus folder, each checked against its card.

    Raises:
        InputError: If there is none.
        TamperedError: If a card or its rows were changed.
    """
    found = []
    for path in sorted((folder / "parts").glob("*.cell.json")):
        part = path.with_name(path.name.removesuffix(".cell.json") + ".jsonl")
        card = read_json(path)
        if not isinstance(card, dict) or card.get("schema") != CARD_SCHEMA or not part.is_file():
            raise TamperedError("a cell has no rows, or no card of ours", where=str(path), hint="encode it again")
        if card["key"] != digest(card["identity"]) or card["sha256"] != sha256_file(part) or card_path(part) != path:
            raise TamperedError("the rows are not those of their card", where=str(part), hint="encode it again")
        found.append(Shard(part, card))
    if not found:
        raise InputError(
            "there are no cells", where=str(folder / "parts"), hint="name folders that `heldout video encode` wrote"
        )
    return found


def _chosen(shards: Sequence[Shard]) -> tuple[dict[tuple[str, str, str, int], Shard], list[str]]:
    """One shard a cell, the first that was named; and the cells that there are several of."""
    chosen: dict[tuple[str, str, str, int], Shard] = {}
    duplicates = []
    for shard in shards:
        known = chosen.setdefault(shard.cell, shard)
        if known is shard:
            continue
        if known.card["key"] != shard.card["key"]:
            raise RefusedError(
                f"two machines have different cells {_name(shard.cell)}: {_difference(known, shard)}",
                where=f"{known.part} and {shard.part}",
                hint="leave one of the folders out, or encode that cell again with the same tools",
            )
        if _scores(known.part) != _scores(shard.part):
            raise RefusedError(
                f"two machines scored the cell {_name(shard.cell)} differently",
                where=f"{known.part} and {shard.part}",
                hint="drivers differ: leave one of the folders out",
            )
        duplicates.append(_name(shard.cell))
    return chosen, sorted(set(duplicates))


def _scores(part: Path) -> list[dict[str, object]]:
    """Rows without what is a machine's own: how long it took."""
    lines = read_plain(part).splitlines()
    rows = [loads(line, where=f"{part}:{number}") for number, line in enumerate(lines, start=1)]
    return [{key: value for key, value in row.items() if key != "enc_time_ms"} for row in rows]


def _difference(one: Shard, other: Shard) -> str:
    mine, theirs = one.card["identity"], other.card["identity"]
    for key, words in _DIFFERENCES.items():
        if mine.get(key) != theirs.get(key):
            return words
    return "other arguments"


def _refuse_two_names(shards: Iterable[Shard]) -> None:
    """A source under two names would be held out and trained on at once."""
    names: dict[str, str] = {}
    for shard in shards:
        identity = shard.card["identity"]
        for key in (identity["source_sha256"], identity["content_sha256"]):
            known = names.setdefault(key, identity["source"])
            if known != identity["source"]:
                raise RefusedError(
                    f"the sources {known!r} and {identity['source']!r} have the same content",
                    where=str(shard.part),
                    hint="give the source one name on all machines",
                )


def _expected(spec: EncodeSpec) -> list[tuple[str, str, str, int]]:
    found = []
    for point in spec.cells():
        encoder = spec.encoders[point.encoder]
        found.append((source_name(spec.sources[point.source]), encoder.name, encoder.chosen_preset, point.cq))
    return found


def _seen(chosen: Iterable[tuple[str, str, str, int]]) -> list[tuple[str, str, str, int]]:
    """Every source that was seen, with every encoder, preset and quality point that was seen."""
    cells = list(chosen)
    sources = sorted({cell[0] for cell in cells})
    return [(source, *rest) for source in sources for rest in sorted({cell[1:] for cell in cells})]


def _take(shard: Shard, parts: Path) -> Path:
    """Copy rows, then the card that vouches for them."""
    target = parts / shard.part.name
    if target.resolve() != shard.part.resolve():
        with atomic_path(target) as partial:
            shutil.copyfile(shard.part, partial)
        write_json(card_path(target), dict(shard.card))
    return target


def _document(
    chosen: Mapping[tuple[str, str, str, int], Shard],
    duplicates: Sequence[str],
    gaps: Sequence[str],
    corpus: CorpusFile | None,
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "complete": not gaps,
        "corpus": corpus,
        "expected": len(chosen) + len(gaps),
        "present": len(chosen),
        "duplicates": list(duplicates),
        "gaps": list(gaps),
        "ffmpeg": sorted({shard.card["identity"]["ffmpeg_version"] for shard in chosen.values()}),
        "cells": [
            dict(zip(_CELL, cell, strict=True))
            | {key: shard.card[key] for key in ("key", "rows", "sha256")}
            | {"source_sha256": shard.card["identity"]["source_sha256"]}
            for cell, shard in sorted(chosen.items())
        ],
    }


def _name(cell: tuple[str, str, str, int]) -> str:
    source, encoder, preset, cq = cell
    return f"{source}__{encoder}__{preset}__cq{cq}"
