"""The window index: the root from which every backbone's data is made.

``window_index.jsonl`` has the published fields. Windows of test episodes are sealed: their answers stand in
``sealed_targets.jsonl``. Label options come from train windows alone. Nothing of the content depends on a backbone;
registered contracts add their views.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heldout.corpus.guards import Finding
from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.episodes.layouts import open_episode
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.guards import check_index
from heldout.domains.embodied.index.heads import Heads
from heldout.domains.embodied.index.names import INDEX_FILE, MANIFEST_FILE, SEALED, SKIPPED_FILE, TARGETS_FILE
from heldout.domains.embodied.index.records import EpisodeCut, index_record, relative, train_options
from heldout.domains.embodied.index.shape import ClipPolicy, IndexManifest, Record
from heldout.domains.embodied.index.windows import Scale, SkippedWindow, WindowOptions
from heldout.domains.embodied.select.manifest import MANIFEST_FILE as EPISODES_FILE
from heldout.domains.embodied.select.manifest import read_manifest
from heldout.errors import CorpusError, InputError, TamperedError
from heldout.evidence import atomic_path, canonical, sha256_file, write_json

SCHEMA = "heldout.window-index/1"


def build_index(
    manifest: Path,
    out: Path,
    options: WindowOptions,
    contracts: Mapping[str, BackboneContract],
    *,
    run_id: str | None = None,
) -> IndexManifest:
    """Cut every usable episode of a manifest and write the index with its manifest.

    Args:
        manifest: ``episode_manifest.json`` or its folder.
        out: Folder of the index.
        options: How to cut.
        contracts: Whose views the records carry.
        run_id: Name of the index; the name of ``out`` by default.

    Returns:
        The index's manifest; what its guard found stands in ``findings``.

    Raises:
        CorpusError: If no window is left.
        TamperedError: If an episode changed since it was selected.
    """
    _check(options)
    manifest = manifest / EPISODES_FILE if manifest.is_dir() else manifest
    document = read_manifest(manifest)
    usable = [entry for entry in document["episodes"] if entry.get("usable", True)]
    synthetic = bool(document["summary"].get("synthetic_streams_allowed"))
    cuts = [EpisodeCut(entry, _open(manifest.parent, entry), options, synthetic=synthetic) for entry in usable]
    label_options = train_options(cuts)
    many = len(options.scales) > 1
    records = (
        index_record(one, window, options, label_options, contracts, out, many=many)
        for one in cuts
        for window in one.windows
    )
    out.mkdir(parents=True, exist_ok=True)
    tally = write_index(out, records)
    if not tally.records:
        raise CorpusError("no window has a label", where=str(manifest), hint="shorter windows: --window, --stride")
    _write_skipped(out / SKIPPED_FILE, cuts)
    unusable = [entry for entry in document["episodes"] if not entry.get("usable", True)]
    made = tally.manifest(out, contracts, Source(None, relative(manifest, out), document["summary"]), run_id)
    made["source_dataset_manifest_sha256"] = sha256_file(manifest)
    made["clip_policy"] = _policy(options)
    made["label_options"] = {
        "from": "train",
        "action": len(label_options.action),
        "subtask": len(label_options.subtask),
    }
    made["skipped_windows"] = _skip_counts(cuts)
    made["skipped_episodes"] = [
        {"episode_id": entry["episode_id"], "split": entry["split"], "code": problem["code"]}
        for entry in unusable
        for problem in entry["problems"][:1]
    ]
    return write_manifest(out, made, check_index(out / INDEX_FILE, document))


def _open(home: Path, entry: Mapping[str, Any]) -> Episode:
    """Open an episode and see that it is still the one that was selected."""
    if not isinstance(entry.get("path"), str):
        raise InputError("the entry has no path", where=str(entry["episode_id"]), hint="select again")
    episode = open_episode(home / entry["path"])
    if entry.get("content_sha256") not in (None, episode.content_sha256()):
        raise TamperedError(
            "the episode is not the one that was selected", where=str(episode.folder), hint="select again"
        )
    return episode


class Source(NamedTuple):
    """What an index was made from.

    Attributes:
        jsonl: The data set that was imported.
        manifest: That of the episodes, or of the data set.
        summary: What that says of itself.
    """

    jsonl: str | None
    manifest: str | None
    summary: object


@dataclass
class Tally:
    """What was written."""

    records: int
    sealed: int
    samples: Counter[str]
    episodes: dict[str, set[str]]
    modalities: Counter[str]
    heads: Heads

    def manifest(
        self, out: Path, contracts: Mapping[str, BackboneContract], source: Source, run_id: str | None
    ) -> IndexManifest:
        """What was written, by count and digest; writes the heads."""
        modalities = ("mosaic_video", "video", "audio", "sensor_features", "language")
        targets = out / TARGETS_FILE
        return {
            "schema": SCHEMA,
            "run_id": run_id or out.resolve().name,
            "output_jsonl": INDEX_FILE,
            "output_sha256": sha256_file(out / INDEX_FILE),
            "heads": self.heads.write(out),
            "num_records": self.records,
            "num_episodes": len(set().union(*self.episodes.values())),
            "sample_split_counts": dict(self.samples),
            "episode_split_counts": {split: len(names) for split, names in self.episodes.items()},
            "modality_record_counts": {name: self.modalities[name] for name in modalities},
            "adapter_contracts": {name: one.config["dataset_contract"] for name, one in contracts.items()},
            "sealed_targets": {"path": TARGETS_FILE, "sha256": sha256_file(targets), "records": self.sealed}
            if self.sealed
            else None,
            "source_dataset_jsonl": source.jsonl,
            "source_dataset_manifest": source.manifest,
            "source_dataset_summary": source.summary,
            "evidence_window_is_evidence": False,
            "findings": [],
        }


def write_index(out: Path, records: Iterable[Record]) -> Tally:
    """Write records one by one; answers of sealed splits go to a file of their own."""
    tally = Tally(0, 0, Counter(), defaultdict(set), Counter(), Heads())
    with (
        atomic_path(out / INDEX_FILE) as index,
        atomic_path(out / TARGETS_FILE) as targets,
        index.open("wb") as lines,
        targets.open("wb") as answers,
    ):
        for record in records:
            written = record
            if record["split"] in SEALED:
                answers.write(canonical({"id": record["id"], "supervision": record["supervision"]}) + b"\n")
                written = _seal(record)
                tally.sealed += 1
            _count(tally, written, lines.write(canonical(written) + b"\n"))
    return tally


def write_manifest(out: Path, made: IndexManifest, findings: Sequence[Finding]) -> IndexManifest:
    """Write the index's manifest with what its guard found."""
    made["findings"] = [finding.to_json() for finding in findings]
    write_json(out / MANIFEST_FILE, made)
    return made


def _seal(record: Record) -> Record:
    views = {name: dict(one) for name, one in record["adapter_views"].items()}
    for one in views.values():
        for key, value in one.items():
            if isinstance(value, list):
                one[key] = [name for name in value if name not in ("action_label", "next_action_label")]
    return {**record, "supervision": {}, "sealed": True, "adapter_views": views}


def _count(tally: Tally, record: Record, length: int) -> None:
    media = record["modalities"]["media"]
    tally.heads.add(record, length)
    tally.records += 1
    tally.samples[record["split"]] += 1
    tally.episodes[record["split"]].add(record["episode_id"])
    tally.modalities["mosaic_video"] += bool(media["mosaic_video_path"])
    tally.modalities["video"] += bool(media["video_streams"])
    tally.modalities["audio"] += bool(media["audio_path"])
    tally.modalities["sensor_features"] += bool(record["modalities"]["sensor_features"]["path"])
    tally.modalities["language"] += bool(record["modalities"]["language"]["question"])


def _write_skipped(path: Path, cuts: Sequence[EpisodeCut]) -> None:
    with atomic_path(path) as partial, partial.open("wb") as lines:
        for one, skip in _all_skips(cuts):
            span = {"start_frame": skip.start, "end_frame": skip.end}
            facts = {"episode_id": one.episode.header.episode_id, "split": one.split, "scale_id": skip.scale.id}
            lines.write(canonical(facts | {"window": span, "code": skip.code}) + b"\n")


def _skip_counts(cuts: Sequence[EpisodeCut]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one, skip in _all_skips(cuts):
        counts[one.split][skip.code] += 1
    return {split: dict(found) for split, found in counts.items()}


def _all_skips(cuts: Sequence[EpisodeCut]) -> Iterator[tuple[EpisodeCut, SkippedWindow]]:
    return ((one, skip) for one in cuts for skip in one.skipped)


def _policy(options: WindowOptions) -> ClipPolicy:
    return {
        "scales": [{"scale_id": s.id, "window_frames": s.window, "stride_frames": s.stride} for s in options.scales],
        "context_frames": options.context_frames,
        "context": options.context,
        "context_looks_ahead": options.context != "causal",
        "min_label_fraction": options.min_label_fraction,
        "max_windows_per_episode": options.max_windows,
        "max_video_frames": options.max_video_frames,
    }


def _check(options: WindowOptions) -> None:
    scales: tuple[Scale, ...] = options.scales
    if not scales or len(set(scales)) != len(scales) or any(min(scale) < 1 for scale in scales):
        raise InputError("the scales are none, doubled or below 1", where="--scale", hint="such as 20/10 and 40/20")
    if options.context_frames < max(scale.window for scale in scales):
        raise InputError(
            f"a context of {options.context_frames} frames is shorter than a window",
            where="--context-frames",
            hint=f"at least {max(scale.window for scale in scales)}",
        )
    if not 0 < options.min_label_fraction <= 1 or options.max_windows < 0 or options.max_video_frames < 1:
        raise InputError("an option is out of range", where="--min-label-fraction, --max-windows", hint="see --help")
