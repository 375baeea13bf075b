"""Links of an evaluation: predictions, metrics, tables, rules; each made again from the one before, without the model.

Answers and policies are scored again from their rows. Ranks and errors of futures follow from features of the windows,
which are not published: they are summed again as the rows state them. A closed loop is computed again where its runs
lie beside the evaluation. ``CHAIN`` is the plug-in ``heldout.embodied-metrics`` of ``heldout.verifiers``.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from heldout.documents.names import METRICS_FILE
from heldout.domains.embodied.evaluate.sitting import windows_sha256
from heldout.domains.embodied.policy.closed_loop import METRIC
from heldout.domains.embodied.score.files import TRAIN_FILE
from heldout.domains.embodied.score.score import FAMILIES, Row, check_rows, metrics_of, read_rows
from heldout.domains.embodied.score.train_labels import TrainLabels, read_train_labels
from heldout.domains.embodied.verify.books import check_registration
from heldout.domains.embodied.verify.closed_loop import check_closed_loop
from heldout.domains.embodied.verify.files import check_report, check_tables
from heldout.domains.embodied.verify.index import check_index, check_look, has_index
from heldout.domains.embodied.verify.rows import problems
from heldout.domains.embodied.verify.rules import check_non_trivial, check_rules
from heldout.evidence import dumps, loads, open_plain
from heldout.predict.identity import Identity
from heldout.verify.chain import BrokenError, Check, Found, MetricState, NotCheckedError
from heldout.verify.differences import difference
from heldout.verify.evaluations import RECORD_FILE, EvaluationEvidence

_ANSWERS, _FUTURES, _POLICY = FAMILIES
_FROM_FEATURES = frozenset(
    ("future_retrieval_mrr", "future_retrieval_recall_at_5", "temporal_consistency", "temporal_order",
     "feature_reconstruction_error", "feature_reconstruction_error_standardised",
     "action_accuracy", "transition_accuracy", "contact_accuracy")
)  # fmt: skip
_OF_LABELS = frozenset(("accuracy", "macro_f1", "action_macro_f1", "seen_label_accuracy", "unseen_label_accuracy"))
_FEATURES = "ranks, errors and retrieved windows follow from features of the windows, which are not published"
_NO_OPTIONS = "nobody said which labels may be answered, so each row's own predicted_label stands"
_INDEX = "the window index is not here"
_BROUGHT = "the rows were brought from elsewhere and were mended when they were scored"


class Reread(NamedTuple):
    """What an evaluation's files say was predicted, and what train answered.

    Attributes:
        family: Name of the file of predictions.
        rows: In it.
        train: Train answers; their digest is the one that the metrics state.
    """

    family: str
    rows: Sequence[Row]
    train: TrainLabels


def reread(evidence: EvaluationEvidence) -> Reread:
    """Read predictions and train answers.

    Raises:
        NotCheckedError: If one of them is not there.
    """
    family = next((name for name in FAMILIES if evidence.has(name)), None)
    if family is None:
        raise NotCheckedError(f"no predictions are {'published' if evidence.published else 'there'}")
    stated = str(evidence.metrics.get("train_labels_sha256"))
    train = replace(read_train_labels(evidence.path(TRAIN_FILE)), sha256=stated)
    return Reread(family, read_rows(evidence.folder / family), train)


def check_identity(evidence: EvaluationEvidence) -> str:
    """What was evaluated is what the verdict names; only the first windows make a smoke evaluation."""
    record = evidence.record
    parts = Identity.parse(record["identity"], where=RECORD_FILE)
    limit, judged = parts.split["limit"], evidence.verdict["judged"]
    smoke = f"only the first {limit} windows" if limit else None
    if evidence.metrics["smoke"] != smoke:
        what = f"stated {evidence.metrics['smoke']!r}; the limit {limit} of the evaluation gives {smoke!r}"
        raise BrokenError(what, f"{METRICS_FILE}: smoke")
    named = {"judged.index_sha256": judged["index_sha256"], "train_labels_sha256": judged["train_labels_sha256"]}
    named[f"{METRICS_FILE}: train_labels_sha256"] = evidence.metrics["train_labels_sha256"]
    wrong = next((place for place, sha256 in named.items() if sha256 != parts.dataset), None)
    if wrong is not None:
        raise BrokenError(f"it names another window index than {RECORD_FILE}", wrong)
    if record["bound"]["contract"] != judged["contract_sha256"]:
        raise BrokenError("the verdict was given by another contract", "judged.contract_sha256")
    if evidence.changed(RECORD_FILE):
        raise NotCheckedError(f"{RECORD_FILE} was published without private names: its digest is another")
    if {parts.key} != {record["bound"]["key"], judged["identity"]}:
        raise BrokenError("its parts have another digest than the verdict names", f"{RECORD_FILE}: identity")
    return f"identity {parts.key[:12]}: {parts.adapter['predictor']} on {parts.split['split']}"


def check_train(evidence: EvaluationEvidence) -> str:
    """The counts of train answers add up, and are those that the verdict names."""
    stated = evidence.verdict["judged"].get("train_counts_sha256")
    if stated is not None and not evidence.published and not evidence.has(TRAIN_FILE):
        raise BrokenError("the file is missing; the verdict names it by digest", TRAIN_FILE)
    train = reread(evidence).train
    whole = evidence.verdict["evidence"] == "computed"
    for field, counts in sorted({**train.labels, "objects": train.objects}.items()):
        wrong = [label for label, count in counts.items() if type(count) is not int or not 0 < count <= train.windows]
        if wrong:
            what = f"stated {counts[wrong[0]]!r} of {train.windows} windows"
            raise BrokenError(what, f"{TRAIN_FILE}: {field}/{wrong[0]}")
        if whole and field != "objects" and sum(counts.values()) != train.windows:
            what = f"the counts give {sum(counts.values())} windows, stated {train.windows}"
            raise BrokenError(what, f"{TRAIN_FILE}: {field}")
    if stated is not None and stated != evidence.sha256(TRAIN_FILE):
        raise BrokenError(f"the verdict judged by another {TRAIN_FILE}", "judged.train_counts_sha256")
    named = "as the verdict names them" if stated else "the verdict does not name them by digest"
    return f"{train.windows} train windows, {named}"


def check_predictions(evidence: EvaluationEvidence) -> str:
    """Every window stands there once, none is missing, and no row contradicts itself."""
    family, rows, train = reread(evidence)
    twice = next((name for name, count in Counter(str(row.get("id")) for row in rows).items() if count > 1), None)
    if twice is not None:
        raise BrokenError(f"sample {twice!r} stands twice", f"{family}: {twice}")
    check_rows(family, rows, family)
    _check_windows(evidence, family, rows)
    computed = evidence.has_verdict and evidence.verdict["evidence"] == "computed"
    for problem in problems(family, rows, train, computed=computed):
        raise BrokenError(problem.what, f"{family}: {problem.id}")
    for row in rows if family == _ANSWERS and computed else ():
        if row["true_label"] != row["true_json"].get("action"):
            what = f"true_label is {row['true_label']!r}, true_json says {row['true_json'].get('action')!r}"
            raise BrokenError(what, f"{family}: {row['id']}")
    if not evidence.has_verdict:
        return f"{len(rows)} rows that do not contradict themselves; there is no verdict that names them"
    judged = evidence.verdict["judged"]["predictions_sha256"]
    if computed and judged != evidence.sha256(family):
        raise BrokenError(f"the verdict judged another {family}", "judged.predictions_sha256")
    return f"{len(rows)} windows, each once; what was predicted and what is true is as their rows state it"


def check_metrics(evidence: EvaluationEvidence) -> Found:
    """``metrics.json`` is what rows and train answers give."""
    try:
        family, rows, train = reread(evidence)
    except NotCheckedError as reason:
        raise NotCheckedError(str(reason), evidence.attested(str(reason))) from None
    stated = {key: value for key, value in evidence.metrics.items() if key != METRIC}
    stated["evidence"] = {key: value for key, value in stated["evidence"].items() if key != METRIC}
    backbone, smoke = str(stated["backbone"]), stated["smoke"]
    _, found = metrics_of(family, backbone, rows, train, where=family, smoke=smoke)
    brought = evidence.has_verdict and evidence.verdict["evidence"] != "computed"
    if brought:
        found["rows_that_disagree_with_themselves"] = stated["rows_that_disagree_with_themselves"]
    expected = loads(dumps(found), where="metrics")
    different = difference(expected, stated)
    if different is not None:
        place = different.place.removeprefix("/")
        what = f"stated {_shown(different.found)}; the rows and train counts give {_shown(different.expected)}"
        raise BrokenError(what, f"{METRICS_FILE}: {place}")
    closed = check_closed_loop(evidence)
    if evidence.has_verdict and evidence.verdict["judged"]["metrics_sha256"] != evidence.sha256(METRICS_FILE):
        raise BrokenError("the verdict judged other metrics", "judged.metrics_sha256")
    states = [_state(evidence, name, family, train, brought) for name in evidence.metric_names() if name != METRIC]
    return _counted((*states, *closed), dumps(expected) == dumps(dict(evidence.metrics)))


def _index(evidence: EvaluationEvidence) -> str:
    return check_index(evidence, *reread(evidence))


def _look(evidence: EvaluationEvidence) -> str:
    return check_look(evidence, reread(evidence).rows)


def _registration(evidence: EvaluationEvidence) -> str:
    read = reread(evidence)
    return check_registration(evidence, read.family, read.rows)


def _check_windows(evidence: EvaluationEvidence, family: str, rows: Sequence[Row]) -> None:
    """The windows are those of the table beside, of the record and of the verdict."""
    ids = [str(row["id"]) for row in rows]
    table = f"{family.removesuffix('.jsonl')}.csv"
    if evidence.has(table):
        csv.field_size_limit(1 << 24)
        with io.TextIOWrapper(open_plain(evidence.folder / table), "utf-8", newline="") as stream:
            beside = [str(row["id"]) for row in csv.DictReader(stream)]
        lacking = sorted(set(beside) - set(ids))
        if lacking:
            raise BrokenError(f"the window {lacking[0]!r} is missing; {table} has it", family)
        if beside != ids:
            raise BrokenError("its windows are not those of the predictions", table)
    if evidence.has(RECORD_FILE) and evidence.record["samples"] != len(rows):
        raise BrokenError(f"{len(rows)} windows stand there, {evidence.record['samples']} were evaluated", family)
    if not evidence.has_verdict or evidence.changed(family):
        return
    stated = evidence.verdict["judged"].get("windows_sha256")
    if stated is not None and stated != windows_sha256(rows):
        raise BrokenError("these are other windows than those that the verdict judged", f"{family}: id, episode_id")


def _state(evidence: EvaluationEvidence, name: str, family: str, train: TrainLabels, brought: bool) -> MetricState:
    """How far a metric was made again."""
    if family == _FUTURES and name in _FROM_FEATURES:
        return MetricState(name, "summed", _FEATURES)
    if family == _ANSWERS and name in _OF_LABELS and not train.options.get("action"):
        return MetricState(name, "summed", _NO_OPTIONS)
    if name == "train_labels_sha256" and not has_index(evidence):
        return MetricState(name, "attested", _INDEX)
    if name == "smoke" and not evidence.has(RECORD_FILE):
        return MetricState(name, "attested", f"{RECORD_FILE} is not there, which says how many windows were asked")
    if name == "rows_that_disagree_with_themselves" and brought:
        return MetricState(name, "attested", _BROUGHT)
    return MetricState(name, "recomputed")


def _counted(states: Sequence[MetricState], same: bool) -> Found:
    counts = {kind: sum(one.state == kind for one in states) for kind in ("recomputed", "summed", "attested")}
    words = [f"{counts['recomputed']} recomputed with their baselines and intervals"]
    words += [f"{counts['summed']} summed again from what the rows state"] if counts["summed"] else []
    names = ", ".join(one.name for one in states if one.state == "attested")
    words += [f"{counts['attested']} only attested: {names}"] if counts["attested"] else []
    return Found("; ".join(words) + ("" if same else " (but for rounding)"), tuple(states))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


CHAIN = (
    Check("identity", "evaluation → verdict", check_identity, ("verdict-file",)),
    Check("train", "train counts", check_train, ("verdict-file",)),
    Check("rows", "predictions: windows, rows", check_predictions),
    Check("metrics", "predictions → metrics", check_metrics),
    Check("rules", "metrics → rules", check_rules, ("verdict-file",)),
    Check("non-trivial", "rules → trivial contenders", check_non_trivial, ("rules",)),
    Check("tables", "predictions → tables", check_tables, ("metrics",)),
    Check("reports", "metrics, rules → reports", check_report, ("rules",)),
    Check("index", "window index → train counts, truth", _index),
    Check("look", "look → ledger of the index", _look, ("verdict-file",)),
    Check("registration", "rules → registration", _registration, ("rules", "look")),
)
