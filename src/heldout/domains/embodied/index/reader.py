"""The windows of an index as a corpus: an episode is a group, a label of the answers the target, sensors the features.

What is true of sealed windows stays in its own file until somebody asks with a purpose. The manifest's own parts stand
in the column ``split``: ``split: {kind: declared, column: split}`` holds out what it holds out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from heldout.corpus import Corpus, CorpusManifest, Reader, ReaderOptions, Skipped, group_records
from heldout.corpus.reader import KnownAs
from heldout.domains.embodied.episodes.layouts import open_episode
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.known import Truth, beside, known_episodes, whole_ledger
from heldout.domains.embodied.index.names import MANIFEST_FILE, SEALED
from heldout.domains.embodied.index.sealed import read_targets
from heldout.domains.embodied.index.shape import IndexManifest, Record
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.index.truth import IndexTruth, Label
from heldout.errors import CorpusError
from heldout.evidence import digest

_EPISODES = 64


class WindowIndexOptions(ReaderOptions):
    """The `corpus:` block of a window index."""

    path: Path = Field(description="window_index.jsonl of an index, relative to the study")
    label: Label = Field("action", description="the field of the answers that is predicted")


class WindowIndexReader(Reader):
    """Reads the windows of ``heldout index build`` and what their sensors measured; refuses one without a label."""

    name: ClassVar[str] = "window_index"
    Options = WindowIndexOptions
    beside: ClassVar[frozenset[str]] = frozenset({"split"})
    options: WindowIndexOptions

    def read(self) -> Corpus:
        """Read the windows of all splits.

        Raises:
            CorpusError: If windows share no measured stream, or a value is no finite number.
            TamperedError: If the index is not the one that its manifest names.
        """
        path, label = self.options.path, self.options.label
        source = IndexSource(path)
        heads = list(source.heads())
        episodes = {head.episode_id for head in heads}
        records = list(source.records(source.samples_of(heads)))
        features = measured(records, source.folder)
        groups = pl.Series("group", [head.episode_id for head in heads])
        contents = group_records(groups, features, np.zeros(len(heads)), path.name)
        facts = {"file_sha256": source.sha256, "label": label, "windows": _counts(source.manifest)}
        seal = source.manifest.get("sealed_targets")
        identity = {"index": source.sha256, "sealed": seal["sha256"] if seal else None, "label": label}
        return Corpus(
            ids=pl.Series("sample_id", [head.id for head in heads]),
            groups=groups,
            cells=None,
            features=features,
            truth=_truth(source, records, label),
            manifest=CorpusManifest(
                reader=self.name,
                path=path.name,
                sha256=digest(identity | {"episodes": {each.id: each.sha256 for each in contents}}),
                rows=len(heads),
                task="classification",
                target=label,
                features=tuple(features.columns),
                groups=contents,
                skipped=_skipped(source.manifest, episodes),
                facts=facts,
            ),
            aside=pl.DataFrame({"split": [head.split for head in heads]}),
        )

    def kept(self) -> tuple[Path, ...]:
        """The index with its sealed answers, and the episodes, whose labels are the same answers."""
        path = self.options.path
        return (path, *_places(path, path.stat().st_mtime_ns)) if path.is_file() else (path,)

    def known_elsewhere(self, groups: Collection[str]) -> Mapping[Path, KnownAs]:
        """Ledgers of evaluations lie in this index and others beside it; there an episode is all that is true of it."""
        folder = self.options.path.parent
        others = (each for each in beside(folder) if (each / MANIFEST_FILE).is_file())
        found = [index for index in (folder, *others) if whole_ledger(index)]
        if not found:
            return {}
        source, (split,) = IndexSource(folder), SEALED
        if source.manifest.get("sealed_targets"):
            truth: Truth = read_targets(folder)
        else:
            truth = source.answers(split, source.samples(split), "")
        return dict.fromkeys(found, known_episodes(source, split, truth, groups))


@lru_cache(maxsize=1)
def _places(path: Path, _: int) -> tuple[Path, ...]:
    """The index's folder and the folders of all its episodes."""
    source = IndexSource(path)
    records = source.records(source.samples_of(source.heads()))
    episodes = sorted({str(record["provenance"]["episode_path"]) for record in records})
    return (source.folder, *((source.folder / name).resolve() for name in episodes))


def measured(records: Sequence[Record], folder: Path) -> pl.DataFrame:
    """Mean, spread and change of each stream over the context of each window; one row a window.

    Args:
        records: Of the index.
        folder: Of the index, which paths are relative to.

    Raises:
        CorpusError: If the windows have no stream in common.
    """
    spans = [streams(record) for record in records]
    names = sorted(set.intersection(*(set(one) for one in spans))) if spans else []
    if not names:
        raise CorpusError(
            "the windows share no measured stream",
            where=str(folder / MANIFEST_FILE),
            hint="select episodes of one kind",
        )
    rows = []
    for record, span in zip(records, spans, strict=True):
        episode = kept_episode(folder / record["provenance"]["episode_path"])
        row = {key: value for name in names for key, value in summary(episode, name, *span[name]).items()}
        bad = next((key for key, value in row.items() if not np.isfinite(value)), None)
        if bad is not None:
            raise CorpusError(
                "a measurement is no finite number", where=f"{record['id']}, {bad}", hint="select again: --require"
            )
        rows.append(row)
    return pl.DataFrame(rows)


def streams(record: Record) -> dict[str, tuple[int, int]]:
    """Span of each measured stream that is the source of no answer."""
    found = record["modalities"].get("sensor_streams") or []
    return {one["name"]: (one["first_sample"], one["last_sample"]) for one in found if not one["not_for"]}


def summary(episode: Episode, name: str, first: int, last: int) -> dict[str, float]:
    """Mean, spread and change of each dimension of a stream, by column name."""
    values = np.asarray(episode.array(name, first, last + 1), dtype=np.float64)
    values = values.reshape(len(values), -1)
    parts = {"mean": values.mean(axis=0), "spread": values.std(axis=0), "change": values[-1] - values[0]}
    return {f"{name}.{k}.{what}": float(part[k]) for what, part in parts.items() for k in range(values.shape[1])}


def _truth(source: IndexSource, records: Sequence[Record], label: Label) -> IndexTruth:
    has_seal = bool(source.manifest.get("sealed_targets"))
    sealed = np.array([has_seal and record["split"] in SEALED for record in records])
    known = ["" if hidden else str(one["supervision"][label]) for one, hidden in zip(records, sealed, strict=True)]
    return IndexTruth(source.folder, label, [str(one["id"]) for one in records], np.array(known, dtype=str), sealed)


def _counts(manifest: IndexManifest) -> dict[str, int]:
    return {str(split): int(count) for split, count in (manifest.get("sample_split_counts") or {}).items()}


def _skipped(manifest: IndexManifest, used: set[str]) -> tuple[Skipped, ...]:
    """Episodes that selection found not usable, and why."""
    named = {str(one["episode_id"]): str(one["code"]) for one in manifest.get("skipped_episodes") or []}
    return tuple(Skipped(name, reason) for name, reason in sorted(named.items()) if name not in used)


@lru_cache(maxsize=_EPISODES)
def kept_episode(folder: Path) -> Episode:
    """The episode in a folder, opened once for all of its windows."""
    return open_episode(folder)
