"""Samples of lm-evaluation-harness (``--log_samples``): ``samples_TASK_DATE.jsonl``, a line an answer and filter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence import loads, open_plain
from heldout.predicted.logs import Answer, flat, score_of

_KEYS = {"doc_id", "doc", "target", "filtered_resps"}
_NAME = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\d(T[\d.:-]+)?)?")
# Of a line, what is no score; older versions do not list their metrics.
_OTHERS = {*_KEYS, "arguments", "resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"}


def is_harness(path: Path) -> bool:
    """Whether a file holds samples of the harness, by the keys of its first line."""
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    with open_plain(path) as stream:
        head = stream.readline()
    return all(f'"{key}":'.encode() in head for key in _KEYS)


def read_harness(path: Path, score: str | None) -> tuple[str, list[Answer]]:
    """The task, as the file is named, and its answers.

    Args:
        path: The file.
        score: ``METRIC``, or ``METRIC,FILTER`` where answers were filtered in several ways; None: the only one.

    Raises:
        InputError: If a line lacks something, or there is no such score.
    """
    rows = list(_rows(path))
    several = len({_filter(row) for row in rows}) > 1
    known = {_score(metric, row, several=several) for row in rows for metric in _metrics(row)}
    wanted = score_of(known, score, str(path))
    named = _NAME.fullmatch(path.stem)
    task = named[1] if named else path.stem
    found = []
    for row in rows:
        metric = next((each for each in _metrics(row) if _score(each, row, several=several) == wanted), None)
        if metric is not None:
            fields = {"task": task, **flat(row["doc"], "doc")}
            found.append(
                Answer(str(row["doc_id"]), None, str(row["target"]), _said(row["filtered_resps"]), row[metric], fields)
            )
    scored = {each.sample for each in found}
    lacking = next((name for row in rows if (name := str(row["doc_id"])) not in scored), None)
    if lacking is not None:
        hint = "score every question, or name a score that each of them has"
        raise InputError(f"a sample has no score {wanted!r}", where=f"{path}: sample {lacking}", hint=hint)
    return task, found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with open_plain(path) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                row = loads(line.rstrip(b"\r\n"), where=f"{path}:{number}", allow_nan=True)
                lacking = sorted(_KEYS - row.keys()) if isinstance(row, Mapping) else sorted(_KEYS)
                if lacking or not isinstance(row["doc"], Mapping):
                    what = f"line {number} has no {lacking[0] if lacking else 'object `doc`'}"
                    hint = "name a file that lm-evaluation-harness wrote (--log_samples)"
                    raise InputError(what, where=f"{path}:{number}", hint=hint)
                yield row


def _filter(row: Mapping[str, Any]) -> str:
    return str(row.get("filter", "none"))


def _metrics(row: Mapping[str, Any]) -> Sequence[str]:
    listed = row.get("metrics")
    names = listed if isinstance(listed, list) else [key for key in row if key not in _OTHERS]
    return [name for name in map(str, names) if name in row]


def _score(metric: str, row: Mapping[str, Any], *, several: bool) -> str:
    """What the harness calls a metric in its results, without the filter where there is one alone."""
    return f"{metric},{_filter(row)}" if several else metric


def _said(answers: object) -> str | None:
    """The text; of likelihoods the number of the likeliest choice."""
    if not isinstance(answers, list) or not answers:
        return None
    if all(isinstance(each, list) and each for each in answers):
        try:
            likely = [float(each[0]) for each in answers]
        except (TypeError, ValueError):
            return None
        return str(likely.index(max(likely)))
    return answers[0] if isinstance(answers[0], str) else None
