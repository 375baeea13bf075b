"""The manifest guard: ways in which test episodes are not held out, or are not there at all. Each has a name.

A backbone's contract lists the rules that its data must keep, by these names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heldout.corpus.guards import Finding
from heldout.domains.embodied.select.rules import SPLITS
from heldout.domains.embodied.select.shapes import ManifestShape, check_shape
from heldout.errors import InputError

Manifest = Mapping[str, Any]
Rule = Callable[[Manifest], list[Finding]]


def episode_in_one_split(manifest: Manifest) -> list[Finding]:
    """HO-G101: an id stands twice, be it in one split or in two."""
    splits: dict[str, list[str]] = defaultdict(list)
    for episode in manifest["episodes"]:
        splits[str(episode["episode_id"])].append(str(episode["split"]))
    return [
        _finding("HO-G101", f"episode {name} stands in {' and '.join(found)}", name, "keep one of the entries")
        for name, found in sorted(splits.items())
        if len(found) > 1
    ]


def session_in_one_split(manifest: Manifest) -> list[Finding]:
    """HO-G102: a session in two splits. Episodes without a session are a finding too: nothing can be said of them.

    ``source_episode_id`` is no session: it repeats in every session.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    findings = []
    for episode in manifest["episodes"]:
        session = episode.get("top_level_session")
        if session:
            splits[str(session)].add(str(episode["split"]))
        else:
            name = str(episode["episode_id"])
            findings.append(_finding("HO-G102", f"episode {name} names no session", name, "name its session"))
    return findings + [
        _finding("HO-G102", f"session {name} stands in {' and '.join(sorted(found))}", name, "keep it in one split")
        for name, found in sorted(splits.items())
        if len(found) > 1
    ]


def content_in_one_split(manifest: Manifest) -> list[Finding]:
    """HO-G103: one recording under two names."""
    names: dict[str, list[str]] = defaultdict(list)
    for episode in manifest["episodes"]:
        if episode.get("content_sha256"):
            names[episode["content_sha256"]].append(f"{episode['episode_id']} ({episode['split']})")
    return [
        _finding("HO-G103", f"one recording under {len(twins)} names", ", ".join(sorted(twins)), "keep one of them")
        for twins in names.values()
        if len(twins) > 1
    ]


def required_modalities_are_usable(manifest: Manifest) -> list[Finding]:
    """HO-G104: a required modality is absent, empty, silent or unreadable."""
    by_problem: dict[tuple[str, str], list[str]] = defaultdict(list)
    for episode in manifest["episodes"]:
        for problem in episode["problems"] if "problems" in episode else _told(episode):
            by_problem[problem["modality"], problem["code"]].append(str(episode["episode_id"]))
    total = len(manifest["episodes"])
    return [
        _finding(
            "HO-G104",
            f"{modality}: {code} in {len(names)} of {total} episodes",
            _some(names),
            "repair or replace the episodes, or require less: --require",
        )
        for (modality, code), names in sorted(by_problem.items())
    ]


def _told(episode: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a manifest of someone else's tells of an episode, which nobody looked into: no label, no pose, no video."""
    found = []
    windows = (episode.get("label_stats") or {}).get("num_labeled_windows") or {}
    if windows.get("action") == 0:
        found.append({"modality": "labels", "code": "no_label"})
    holds = episode.get("hdf5_modalities") or {}
    codes = {"slam_pose": ("pose", "missing_pose"), "contacts": ("contact", "missing_contact")}
    found += [{"modality": m, "code": code} for key, (m, code) in codes.items() if holds.get(key) is False]
    if episode.get("has_all_videos") is False:
        found.append({"modality": "video", "code": "missing_stream"})
    return found


def splits_are_complete(manifest: Manifest, expected: Mapping[str, int] | None = None) -> list[Finding]:
    """HO-G105: a split is empty, or usable episodes are fewer than were selected or expected."""
    good = (e for e in manifest["episodes"] if (e["usable"] if "usable" in e else not _told(e)))
    usable = Counter(str(episode["split"]) for episode in good)
    wanted = expected or manifest["summary"].get("selected_split_counts") or {}
    findings = []
    for split in sorted({*SPLITS, *usable, *wanted}):
        want = wanted.get(split, 1)
        exact = expected is not None
        if (usable[split] != want) if exact else (usable[split] < max(want, 1)):
            what = f"{split} has {usable[split]} usable episodes; {want} were {'expected' if exact else 'selected'}"
            findings.append(_finding("HO-G105", what, split, "add episodes and select again"))
    return findings


def normaliser_fitted_on_train(manifest: Manifest, fitted_on: Sequence[str], *, where: str) -> list[Finding]:
    """HO-G106: statistics that were fitted on an episode that is not in train, or on nothing that is named.

    Args:
        manifest: The splits.
        fitted_on: Episode ids of the fit ledger.
        where: The file of the statistics.
    """
    splits = {str(e["episode_id"]): str(e["split"]) for e in manifest["episodes"]}
    if not fitted_on:
        return [_finding("HO-G106", "the statistics do not say what they were fitted on", where, "fit them again")]
    foreign = sorted({name for name in fitted_on if splits.get(name) != "train"})
    if not foreign:
        return []
    what = f"the statistics were fitted on {len(foreign)} episodes that are not in train"
    return [_finding("HO-G106", what, f"{where}: {_some(foreign)}", "fit them on train episodes alone")]


MANIFEST_RULES: dict[str, Rule] = {
    "episode_in_one_split": episode_in_one_split,
    "session_in_one_split": session_in_one_split,
    "content_in_one_split": content_in_one_split,
    "required_modalities_are_usable": required_modalities_are_usable,
    "splits_are_complete": splits_are_complete,
}


def check_manifest(manifest: Manifest, expected: Mapping[str, int] | None = None) -> list[Finding]:
    """Run every rule over a manifest.

    Raises:
        InputError: If a key that the rules read is missing or of another type.
    """
    check_shape(ManifestShape, manifest, where="episode manifest", hint="heldout embodied select writes one")
    findings = [f for name, rule in MANIFEST_RULES.items() if name != "splits_are_complete" for f in rule(manifest)]
    return findings + splits_are_complete(manifest, expected)


def parse_expected(text: str) -> dict[str, int]:
    """Read ``96/16/16``: train, val, test.

    Raises:
        InputError: If these are not three counts.
    """
    parts = text.split("/")
    if len(parts) != len(SPLITS) or not all(part.isdecimal() for part in parts):
        raise InputError(f"{text!r} are not three counts", where="--expect", hint="train/val/test, such as 96/16/16")
    return {split: int(part) for split, part in zip(SPLITS, parts, strict=True)}


def _finding(code: str, what: str, where: str, hint: str) -> Finding:
    return Finding(code, blocking=True, what=what, where=where, hint=hint)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
