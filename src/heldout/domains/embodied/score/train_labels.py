"""What train answered: the only thing that a baseline may know. Answers of other splits are not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.episodes.labels import LABEL_FIELDS, UNKNOWN
from heldout.domains.embodied.index.guards import states_window
from heldout.errors import InputError
from heldout.evidence import loads, open_plain, read_json, sha256_file

SCHEMA = "heldout.train-labels/1"


@dataclass(frozen=True)
class TrainLabels:
    """Counts over train windows.

    Attributes:
        windows: How many.
        labels: By field, windows of each label.
        objects: Windows that show each object.
        options: Labels that a model may answer, by ``action`` and ``subtask``; empty where nobody said.
        window_is_stated: Whether the prompt names the evidence window; None if no prompt is there.
        sha256: Of the file.
    """

    windows: int
    labels: Mapping[str, Counter[str]]
    objects: Counter[str]
    options: Mapping[str, tuple[str, ...]]
    window_is_stated: bool | None
    sha256: str

    def majority(self, field: str) -> str:
        """The most common label that says something; the alphabetically first of equals."""
        known = {label: count for label, count in self.labels.get(field, Counter()).items() if label != UNKNOWN}
        return min(known, key=lambda label: (-known[label], label)) if known else UNKNOWN

    def shares(self, field: str) -> dict[str, float]:
        """Share of each label that says something."""
        known = {label: count for label, count in self.labels.get(field, Counter()).items() if label != UNKNOWN}
        return {label: count / sum(known.values()) for label, count in known.items()}

    def usual_objects(self) -> frozenset[str]:
        """Objects of at least half of the windows; else the most common one."""
        usual = frozenset(name for name, count in self.objects.items() if 2 * count >= self.windows)
        if usual or not self.objects:
            return usual
        return frozenset({min(self.objects, key=lambda name: (-self.objects[name], name))})

    def object_shares(self) -> dict[str, float]:
        """Share of windows that show each object."""
        return {name: count / self.windows for name, count in self.objects.items()}

    def to_json(self) -> dict[str, object]:
        """The document ``heldout.train-labels/1``: what a result needs of train, without its windows."""
        return {
            "schema": SCHEMA,
            "windows": self.windows,
            "labels": {field: dict(sorted(found.items())) for field, found in self.labels.items()},
            "objects": dict(sorted(self.objects.items())),
            "action_options": list(self.options.get("action", ())),
            "subtask_options": list(self.options.get("subtask", ())),
            "window_is_stated": self.window_is_stated,
        }


def read_train_labels(path: Path) -> TrainLabels:
    """Read a window index, a Qwen-style ``dataset.jsonl`` (or the folder of either), or ``heldout.train-labels/1``.

    Raises:
        InputError: If it is none of them, or holds no train window.
    """
    if path.is_dir():
        names = ("window_index.jsonl", "dataset.jsonl", "train_labels.json")
        path = next((path / name for name in names if (path / name).is_file()), path / names[0])
    found = _document(path) if path.suffix == ".json" else collect(_records(path), sha256_file(path))
    if not found.windows:
        raise InputError("there is no train window", where=str(path), hint="give the data that the model learnt from")
    return found


def collect(records: Iterator[tuple[str, Mapping[str, Any]]], sha256: str) -> TrainLabels:
    """Count the train records among others."""
    labels: dict[str, Counter[str]] = {field: Counter() for field in LABEL_FIELDS}
    objects: Counter[str] = Counter()
    options: dict[str, tuple[str, ...]] = {}
    windows, stated = 0, None
    for where, record in records:
        try:
            answer, question, window, offered = _parts(record)
            options = options or offered
            if record.get("split") != "train":
                continue
            windows += 1
            for field in LABEL_FIELDS:
                labels[field][str(answer.get(field, UNKNOWN))] += 1
            objects.update({str(name) for name in answer.get("objects") or []})
            if question:
                stated = bool(stated) or states_window(question, window["start_frame"], window["end_frame"])
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the record has no answer: {error!r}", where=where, hint="mend the record") from None
    return TrainLabels(windows, labels, objects, options, stated, sha256)


def _parts(
    record: Mapping[str, Any],
) -> tuple[Mapping[str, Any], str, Mapping[str, Any], dict[str, tuple[str, ...]]]:
    """Answer, prompt, window and options of a record of either kind."""
    if "answer_json" in record:
        from heldout.domains.embodied.index.importing import question_of

        offered, window, answer = record, record["center_window"], record["answer_json"]
        question = question_of(record) or ""
    else:
        offered, window, answer = record["modalities"]["language"], record["window"], record["supervision"]
        question = str(offered.get("question") or "")
    options = {key: tuple(offered.get(f"{key}_options") or ()) for key in ("action", "subtask")}
    return answer, question, window, options if options["action"] else {}


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with open_plain(path) as stream:
            for number, line in enumerate(stream, start=1):
                record = loads(line, where=f"{path}:{number}")
                if not isinstance(record, dict):
                    raise InputError("the record is not an object", where=f"{path}:{number}", hint="mend the record")
                yield f"{path}:{number}", record
    except OSError as error:
        raise InputError(f"cannot read the labels: {error.strerror}", where=str(path), hint="check it") from None


def _document(path: Path) -> TrainLabels:
    document = read_json(path)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"the document is not {SCHEMA}", where=str(path), hint="give the index or dataset.jsonl")
    try:
        labels = {field: Counter(dict(document["labels"].get(field, {}))) for field in LABEL_FIELDS}
        options = {key: tuple(document.get(f"{key}_options", ())) for key in ("action", "subtask")}
        windows = int(document["windows"])
        objects = Counter(dict(document.get("objects", {})))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the document lacks a key: {error!r}", where=str(path), hint="mend it") from None
    options = {key: value for key, value in options.items() if value}
    return TrainLabels(windows, labels, objects, options, document.get("window_is_stated"), sha256_file(path))
