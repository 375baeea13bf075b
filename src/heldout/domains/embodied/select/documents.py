"""The two documents of a selection, with the published fields: ``selection.json`` and ``episode_manifest.json``."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.episodes.header import EpisodeHeader
from heldout.domains.embodied.episodes.usable import Problem
from heldout.domains.embodied.select.candidates import Candidate
from heldout.domains.embodied.select.rules import SPLITS, Chosen, Selection

SCHEMA = "heldout.episode-manifest/1"
SELECTION_SCHEMA = "heldout.episode-selection/1"
SELECTION_FILE = "selection.json"


@dataclass(frozen=True)
class Windowing:
    """How windows are cut; the published one is 20 frames every 20, and a label needs 60 % of the labelled frames."""

    window_frames: int = 20
    stride_frames: int = 20
    min_label_fraction: float = 0.6

    def to_json(self) -> dict[str, object]:
        """The published keys."""
        return asdict(self)


@dataclass(frozen=True)
class Inspected:
    """What an episode holds, after looking into it."""

    header: EpisodeHeader | None
    content_sha256: str
    problems: tuple[Problem, ...]
    label_stats: Mapping[str, Any]


def manifest_document(
    selection: Selection,
    looked: Mapping[str, Inspected],
    rejected: Mapping[str, str],
    candidates: Sequence[Candidate],
    required: Sequence[str],
    windowing: Windowing,
    out: Path,
    *,
    allow_synthetic: bool = False,
) -> dict[str, object]:
    """The published fields, and beside them what is usable and why the rest is not."""
    episodes = [_episode(chosen, looked[chosen.candidate.episode_id], required, out) for chosen in selection.chosen]
    found = [chosen.candidate for chosen in selection.chosen]
    usable = Counter(str(c.split) for c in selection.chosen if not looked[c.candidate.episode_id].problems)
    complete = Counter(str(c.split) for c in selection.chosen if c.candidate.complete)
    by_id = {candidate.episode_id: candidate for candidate in candidates}
    skipped = [
        {"episode_id": name, "episode_path": by_id[name].episode_path} | problem.to_json()
        for name in sorted(rejected)
        for problem in looked[name].problems or [Problem("duplicate_content", "episode", "recorded twice")]
    ]
    counts = selection.split_counts()
    return {
        "schema": SCHEMA,
        "summary": {
            "selection_json": SELECTION_FILE,
            "selected_episode_count": len(episodes),
            "selected_split_counts": counts,
            "complete_selected_split_counts": _counts(complete),
            "usable_split_counts": _counts(usable),
            "included_splits": list(SPLITS),
            "included_episode_count": len(episodes),
            "included_split_counts": counts,
            "sealed_test_episodes_available": counts["test"],
            "require_all_videos": "video" in required,
            "required_modalities": list(required),
            "synthetic_streams_allowed": allow_synthetic,
            "modality_states": _states(episodes),
            "train_minimal_bytes": sum(each.training_bytes for each in found),
            "total_bytes": sum(each.total_bytes for each in found),
            "windowing": windowing.to_json(),
            "notes": ["labels of test episodes are sealed: they stand in no manifest"],
        },
        "episodes": episodes,
        "missing_or_incomplete": [
            {
                "episode_path": c.episode_path,
                "split": None,
                "missing": list(c.missing) or ["episode_dir" if not c.files else "episode.json"],
            }
            for c in candidates
            if not c.complete
        ],
        "skipped_episodes": skipped,
    }


def selection_document(selection: Selection, roots: Sequence[Path]) -> dict[str, object]:
    """The published document of a selection; ``repo_id`` and ``repo_sha`` belong to hubs and are null here."""
    rules, episodes = selection.rules, [chosen.to_json() for chosen in selection.chosen]
    sessions = {s: {c.candidate.session for c in selection.chosen if c.split == s} for s in SPLITS}
    bands = Counter(c.band for c in selection.chosen)
    return {
        "schema": SELECTION_SCHEMA,
        "status": "selected",
        "generated_at_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "repo_id": None,
        "repo_sha": None,
        "roots": [root.name for root in roots],
        "selection_type": "size_banded_session_aware_hash_ordered",
        "target_episodes": rules.target,
        "seed": rules.seed,
        "rules": {
            "fractions": dict(zip(SPLITS, rules.fractions, strict=True)),
            "drop_smallest": rules.drop_smallest,
            "min_annotation_bytes": rules.min_annotation_bytes,
            "per_session": rules.per_session,
        },
        "available_complete_episodes": selection.complete,
        "candidate_episodes_after_filters": selection.candidates,
        "rejected_counts": dict(selection.rejected),
        "selected_summary": {
            "episode_count": len(episodes),
            "unique_session_count": len(set().union(*sessions.values())),
            "split_counts": selection.split_counts(),
            "size_band_counts": dict(bands),
            "split_band_counts": {
                split: dict(Counter(c.band for c in selection.chosen if c.split == split)) for split in SPLITS
            },
            "estimated_annotation_bytes": sum(c.candidate.annotation_bytes for c in selection.chosen),
            "estimated_download_bytes": sum(c.candidate.training_bytes for c in selection.chosen),
            "train_sessions_overlap_val": sorted(sessions["train"] & sessions["val"]),
            "train_sessions_overlap_test": sorted(sessions["train"] & sessions["test"]),
            "val_sessions_overlap_test": sorted(sessions["val"] & sessions["test"]),
        },
        "selected_episodes": episodes,
        "download_files": [
            f"{c.candidate.episode_path}/{name}" for c in selection.chosen for name, _ in c.candidate.files
        ],
    }


def _episode(chosen: Chosen, looked: Inspected, required: Sequence[str], out: Path) -> dict[str, object]:
    candidate, header = chosen.candidate, looked.header
    videos = [] if header is None else [(n, s.file) for n, s in sorted(header.streams.items()) if s.kind == "video"]
    sizes = dict(candidate.files)
    states = {problem.modality: problem.code for problem in looked.problems}
    sealed = chosen.split == "test"
    return {
        "episode_id": candidate.episode_id,
        "source_episode_id": header.source_episode_id if header else candidate.folder.name,
        "episode_path": candidate.episode_path,
        "path": Path(os.path.relpath(candidate.folder, out)).as_posix(),
        "annotation": next((name for name, _ in candidate.files if name in ("episode.json", "annotation.hdf5")), None),
        "frame_count": header.frames if header else None,
        "main_task": header.main_task if header and not sealed else None,
        "files": [{"name": name, "bytes": size, "exists": True} for name, size in candidate.files],
        "videos": [{"name": n, "path": f, "bytes": sizes.get(f, 0), "exists": f in sizes} for n, f in videos],
        "hdf5_modalities": header.provenance.get("hdf5_modalities") if header else None,
        "modalities": {m: states.get(m, "usable") for m in sorted({*_have(header), *required})},
        "missing": sorted(states),
        "problems": [problem.to_json() for problem in looked.problems],
        "usable": not looked.problems,
        "content_sha256": looked.content_sha256,
        "label_stats": None if sealed else dict(looked.label_stats),
        "sealed": sealed,
        "total_bytes": candidate.total_bytes,
        "train_minimal_bytes": candidate.training_bytes,
        "has_annotation": header is not None,
        "has_any_video": any(f in sizes for _, f in videos),
        "has_all_videos": bool(videos) and all(f in sizes for _, f in videos),
        "has_rrd": candidate.total_bytes != candidate.training_bytes,
        "split": chosen.split,
        "selection_rank": chosen.rank,
        "selection_score": chosen.score,
        "size_band": chosen.band,
        "top_level_session": candidate.session,
    }


def _have(header: EpisodeHeader | None) -> set[str]:
    return {stream.modality for stream in header.streams.values()} if header else set()


def _states(episodes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    names = sorted({modality for episode in episodes for modality in episode["modalities"]})
    return {name: dict(Counter(e["modalities"].get(name, "absent") for e in episodes)) for name in names}


def _counts(counter: Mapping[str, int]) -> dict[str, int]:
    return {split: counter.get(split, 0) for split in SPLITS}
