"""The index guard: what a window must not show, and what it must not offer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heldout.corpus.guards import Finding
from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.select.shapes import RecordShape, check_shape
from heldout.errors import InputError
from heldout.evidence import loads, open_plain

_SHOWN = 5


def read_index(path: Path) -> Iterator[Record]:
    """Records one by one; the whole index is never in memory.

    Raises:
        InputError: With file and line of the first bad record.
    """
    try:
        with open_plain(path) as stream:
            for number, line in enumerate(stream, start=1):
                record: Record = loads(line, where=f"{path}:{number}")
                check_shape(RecordShape, record, where=f"{path}:{number}", hint="build the index again")
                yield record
    except OSError as error:
        raise InputError(f"cannot read the index: {error.strerror}", where=str(path), hint="check the path") from None


def check_index(path: Path, manifest: Mapping[str, Any] | None = None) -> list[Finding]:
    """Run every rule over an index, and against the episode manifest if there is one.

    HO-G111 context looks ahead; HO-G112 options that train lacks; HO-G113 an episode or an id twice or elsewhere than
    in the manifest; HO-G114 sound that no record has though the manifest requires it; HO-G115 the question states the
    evidence window (not blocking).
    """
    seen = _Seen()
    for record in read_index(path):
        seen.take(record)
    return seen.findings(manifest)


class _Seen:
    def __init__(self) -> None:
        self._ahead: list[str] = []
        self._stated: list[str] = []
        self._twice: list[str] = []
        self._ids: set[str] = set()
        self._splits: dict[str, set[str]] = defaultdict(set)
        self._options: dict[str, set[str]] = {"action": set(), "subtask": set()}
        self._train: dict[str, set[str]] = {"action": set(), "subtask": set()}
        self._audio = self._records = 0

    def take(self, record: Record) -> None:
        name, window = str(record["id"]), record["window"]
        media, language = record["modalities"]["media"], record["modalities"]["language"]
        self._records += 1
        self._audio += bool(media["audio_path"])
        if name in self._ids:
            self._twice.append(name)
        self._ids.add(name)
        self._splits[str(record["episode_id"])].add(str(record["split"]))
        if media["context_window"]["end_frame"] > window["end_frame"]:
            self._ahead.append(name)
        if states_window(str(language["question"] or ""), window["start_frame"], window["end_frame"]):
            self._stated.append(name)
        for key, offered in (("action", language["action_options"]), ("subtask", language["subtask_options"])):
            self._options[key].update(offered)
            if record["split"] == "train":
                self._train[key].add(str(record["supervision"].get(key, UNKNOWN)))

    def findings(self, manifest: Mapping[str, Any] | None) -> list[Finding]:
        found = []
        if self._ahead:
            what = f"the context of {len(self._ahead)} of {self._records} windows goes on after the window"
            hint = "build the index with --context causal: next_action would be seen, not predicted"
            found.append(Finding("HO-G111", blocking=True, what=what, where=_some(self._ahead), hint=hint))
        for key in ("action", "subtask"):
            foreign = sorted(self._options[key] - self._train[key])
            if foreign:
                what = f"{len(foreign)} {key} options are labels of no train window"
                hint = "offer labels of train alone"
                found.append(Finding("HO-G112", blocking=True, what=what, where=_some(foreign), hint=hint))
        found += self._places(manifest)
        if manifest and "audio" in manifest["summary"].get("required_modalities", []) and self._audio < self._records:
            what = f"{self._records - self._audio} of {self._records} windows have no sound; the manifest requires it"
            found.append(Finding("HO-G114", blocking=True, what=what, where="audio_path", hint="select again"))
        if self._stated:
            what = f"the question of {len(self._stated)} of {self._records} windows states the evidence window"
            hint = "evidence_window is copied, not found: count it as no evidence"
            found.append(Finding("HO-G115", blocking=False, what=what, where=_some(self._stated), hint=hint))
        return found

    def _places(self, manifest: Mapping[str, Any] | None) -> list[Finding]:
        known = {str(e["episode_id"]): str(e["split"]) for e in manifest["episodes"]} if manifest else None
        wrong = [
            name
            for name, splits in sorted(self._splits.items())
            if len(splits) > 1 or (known is not None and splits != {known.get(name)})
        ]
        found = []
        if wrong:
            what = f"{len(wrong)} episodes stand in two splits, or not in that of the manifest"
            found.append(Finding("HO-G113", blocking=True, what=what, where=_some(wrong), hint="build the index again"))
        if self._twice:
            what = f"{len(self._twice)} ids stand twice"
            found.append(
                Finding("HO-G113", blocking=True, what=what, where=_some(self._twice), hint="remove the copies")
            )
        return found


def states_window(question: str, first: int, last: int) -> bool:
    """Whether a text names both the first and the last frame of a window."""
    words = {word.strip(".,;:?!()[]{}\"'") for word in question.replace("-", " ").replace("..", " ").split()}
    return str(first) in words and str(last) in words


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
