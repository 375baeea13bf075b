"""``episode_manifest.json``: every selected episode, its split, what it holds and what it lacks.

Selected, complete and usable are three counts. What cannot be used is replaced by the next best episode, and stays in
the document with a typed code; nothing leaves the data set silently. The labels of test episodes are sealed: nothing
of what they say stands here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from heldout.domains.embodied.episodes.header import EpisodeHeader
from heldout.domains.embodied.episodes.labels import FrameLabels, majority
from heldout.domains.embodied.episodes.layouts import open_episode
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.episodes.usable import LABELS, Problem, declared_modalities, problems
from heldout.domains.embodied.select.candidates import Candidate, scan
from heldout.domains.embodied.select.documents import (
    SELECTION_FILE,
    Inspected,
    Windowing,
    manifest_document,
    selection_document,
)
from heldout.domains.embodied.select.rules import Selection, SelectionRules, select
from heldout.domains.embodied.select.shapes import ManifestShape, check_shape
from heldout.errors import HeldoutError, InputError
from heldout.evidence import read_json, write_json

MANIFEST_FILE = "episode_manifest.json"


class LabelStats(TypedDict):
    """Frames and windows of each label, with the published keys."""

    main_task: str
    segments: int
    frame_labels: dict[str, dict[str, int]]
    window_labels: dict[str, dict[str, int]]
    num_labeled_windows: dict[str, int]


def build_manifest(
    roots: Sequence[Path],
    out: Path,
    rules: SelectionRules,
    *,
    required: Sequence[str] = (),
    allow_synthetic: bool = False,
    windowing: Windowing | None = None,
    replace_unusable: bool = True,
) -> Path:
    """Scan, select, look into what was selected, and write ``selection.json`` and ``episode_manifest.json``.

    Args:
        roots: Folders that hold episodes.
        out: Folder of the two documents.
        rules: Of the selection.
        required: Modalities that every episode must have; empty takes all that any episode declares, so that one lost
            stream is not lost unnoticed.
        allow_synthetic: Let made-up streams count.
        windowing: For the label statistics.
        replace_unusable: Put the next best episode in the place of one that cannot be used.

    Returns:
        The manifest.

    Raises:
        CorpusError: If too few episodes are left.
    """
    windowing = windowing or Windowing()
    candidates = scan(roots)
    required = tuple(sorted(set(required) | {LABELS})) if required else _declared(candidates)
    looked: dict[str, Inspected] = {}
    rejected: dict[str, str] = {}
    fixed = select(candidates, rules).rules  # what is wanted is decided before anything is rejected
    while True:
        selection = select(candidates, fixed, rejected)
        for chosen in selection.chosen:
            if chosen.candidate.episode_id not in looked:
                looked[chosen.candidate.episode_id] = inspect(chosen.candidate, required, allow_synthetic, windowing)
        bad = _unusable(selection, looked)
        if not bad or not replace_unusable or not _can_replace(candidates, fixed, rejected | bad):
            break
        rejected |= bad
    write_json(out / SELECTION_FILE, selection_document(selection, roots))
    document = manifest_document(
        selection, looked, rejected, candidates, required, windowing, out, allow_synthetic=allow_synthetic
    )
    write_json(out / MANIFEST_FILE, document)
    return out / MANIFEST_FILE


def inspect(candidate: Candidate, required: Sequence[str], allow_synthetic: bool, windowing: Windowing) -> Inspected:
    """Open an episode and look into every required modality. What is wrong becomes a problem, never an exception."""
    try:
        episode = open_episode(candidate.folder)
        found = problems(episode, required, allow_synthetic=allow_synthetic)
        labels = None if any(p.modality == LABELS for p in found) else episode.labels()
        stats = label_stats(episode.header, labels, windowing)
        if labels is not None and not found and not stats["num_labeled_windows"]["action"]:
            found.append(_no_window(episode, labels, windowing))
        return Inspected(episode.header, episode.content_sha256(), tuple(found), stats)
    except HeldoutError as error:
        return Inspected(None, "", (Problem("decode_error", "episode", error.what),), {})


def label_stats(header: EpisodeHeader, labels: FrameLabels | None, windowing: Windowing) -> LabelStats:
    """The published statistics: frames and windows of each label."""
    frames: dict[str, dict[str, int]] = {}
    windows: dict[str, dict[str, int]] = {}
    for name in ("action", "subtask"):
        track = getattr(labels, name) if labels else ()
        frames[name] = dict(sum((Counter({r.label: r.end_frame - r.start_frame + 1}) for r in track), Counter[str]()))
        starts = range(0, header.frames - windowing.window_frames + 1, windowing.stride_frames)
        spans = [(start, start + windowing.window_frames - 1) for start in starts]
        found = [majority(track, start, end, windowing.min_label_fraction) for start, end in spans]
        windows[name] = dict(Counter(one.label for one in found if one.problem is None))
    return {
        "main_task": header.main_task,
        "segments": len(labels.subtask) if labels else 0,
        "frame_labels": frames,
        "window_labels": windows,
        "num_labeled_windows": {name: sum(counts.values()) for name, counts in windows.items()},
    }


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Read a manifest.

    Raises:
        InputError: If it is none.
    """
    path = path / MANIFEST_FILE if path.is_dir() else path
    document = read_json(path)
    check_shape(
        ManifestShape, document, where=str(path), hint="an episode manifest: heldout embodied select writes one"
    )
    found: Mapping[str, Any] = document
    return found


def _declared(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    found: set[str] = {LABELS}
    for candidate in candidates:
        if candidate.complete:
            found |= declared_modalities(open_episode(candidate.folder))
    return tuple(sorted(found))


def _unusable(selection: Selection, looked: Mapping[str, Inspected]) -> dict[str, str]:
    """Ids of chosen episodes that cannot be used, with the code; of twins, all but the first by path."""
    bad: dict[str, str] = {}
    seen: set[str] = set()
    for chosen in sorted(selection.chosen, key=lambda c: c.candidate.episode_path):
        name = chosen.candidate.episode_id
        found = looked[name]
        if found.problems:
            bad[name] = found.problems[0].code
        elif found.content_sha256 in seen:
            bad[name] = "duplicate_content"
        seen.add(found.content_sha256)
    return bad


def _can_replace(candidates: Sequence[Candidate], rules: SelectionRules, rejected: Mapping[str, str]) -> bool:
    try:
        select(candidates, replace(rules), rejected)
    except (HeldoutError, InputError):
        return False
    return True


def _no_window(episode: Episode, labels: FrameLabels, windowing: Windowing) -> Problem:
    if episode.header.frames < windowing.window_frames:
        return Problem("too_short", LABELS, f"{episode.header.frames} frames, a window has {windowing.window_frames}")
    return Problem("label_ambiguous", LABELS, f"no window has a majority among {len(labels.action)} runs of labels")
