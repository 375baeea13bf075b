"""`heldout judge` reads logs of Inspect and of lm-evaluation-harness, as these wrote them."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_kit import Answer, heldout

from heldout.backbone.given import NO_ANSWER
from heldout.errors import InputError, MachineError
from heldout.evidence import read_json
from heldout.predicted import inspect_log, logs
from heldout.predicted.files import read_file
from heldout.predicted.harness import is_harness, read_harness
from heldout.predicted.inspect_log import is_inspect, read_inspect

FIXTURES = Path(__file__).parent / "fixtures"
SAYS = ("--held-out", "the questions were written after the models")


def judge(folder: Path, *words: object) -> Answer:
    return heldout("judge", *words, *SAYS, "--ledger", "runs", cwd=folder)


def numbers_of(folder: Path) -> Any:
    (path,) = folder.glob("runs/*/*/metrics.json")
    return read_json(path)


def shares(rows: list[tuple[str, float]]) -> dict[str, float]:
    """Mean score by subject, by hand."""
    return {name: float(np.mean([score for each, score in rows if each == name])) for name, _ in rows}


def agrees(found: Any, new: dict[str, float], old: dict[str, float]) -> None:
    """Accuracy of each group is the mean of the log's own score, and so is the gain."""
    assert new == {name: pytest.approx(each["accuracy"]) for name, each in found["ensemble"]["groups"].items()}
    gain = np.mean([new[name] - old[name] for name in new])
    assert gain == pytest.approx(found["comparisons"]["old"]["accuracy"]["gain"])


# --- lm-evaluation-harness ----------------------------------------------------------------------------------------


def harness(name: str, task: str) -> Path:
    (path,) = (FIXTURES / "lm_eval" / name).glob(f"samples_{task}_*.jsonl")
    return path


def scored(path: Path, metric: str, named: str) -> dict[str, float]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return shares([(row["doc"]["subject"], row[metric]) for row in rows if row["filter"] == named])


@pytest.mark.parametrize(
    ("task", "score", "metric", "named"),
    [
        ("quiz", "acc", "acc", "none"),
        pytest.param("sums", "exact_match,flexible", "exact_match", "flexible", marks=pytest.mark.slow),
    ],
)
def test_samples_of_the_harness_are_judged(task: str, score: str, metric: str, named: str, tmp_path: Path) -> None:
    """Two means would be compared without an interval over subjects, as every leaderboard does."""
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        shutil.copy(harness(name, task), tmp_path / name)
    words = ("--prediction", f"new=new#{score}", "--against", f"old=old/*.jsonl#{score}", "--group", "doc.subject")
    done = judge(tmp_path, *words)
    assert done.code in (0, 1), done.err
    agrees(numbers_of(tmp_path), *(scored(harness(name, task), metric, named) for name in ("new", "old")))


def test_a_folder_of_logs_is_one_table(tmp_path: Path) -> None:
    """Question 3 of one task would be taken for question 3 of another."""
    lines = harness("new", "quiz").read_text()
    for task in ("quiz", "trivia"):
        (tmp_path / f"samples_{task}_2026-12-01T08-22-34.479133.jsonl").write_text(lines)
    (tmp_path / "results_2026-12-01T08-22-34.479133.json").write_text("{}")
    table = read_file(tmp_path, None, "acc")
    assert {"quiz/3", "trivia/3"} <= set(table.frame["id"])
    assert {"quiz": 30, "trivia": 30} == dict(table.frame["task"].value_counts().iter_rows())


def test_a_score_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    """Whoever is not asked gets the score that is first in the file."""
    with pytest.raises(InputError, match="the log has 2 scores") as told:
        read_harness(harness("new", "quiz"), None)
    assert "its scores: acc, acc_norm" in str(told.value.hint)
    with pytest.raises(InputError, match="no score 'f1'"):
        read_harness(harness("new", "sums"), "f1")


def test_samples_of_an_older_harness_name_no_metrics(tmp_path: Path) -> None:
    """Logs of last year would be refused."""
    rows = [json.loads(line) for line in harness("new", "quiz").read_text().splitlines()]
    path = tmp_path / "samples_quiz.jsonl"
    older = [{key: value for key, value in row.items() if key not in ("filter", "metrics")} for row in rows]
    path.write_text("\n".join(json.dumps(row) for row in older))
    assert read_harness(harness("new", "quiz"), "acc_norm") == read_harness(path, "acc_norm")


def test_broken_samples_of_the_harness_are_refused(tmp_path: Path) -> None:
    """A line that lacks something would be left out of the mean."""
    lines = harness("new", "quiz").read_text().splitlines()
    row = json.loads(lines[3])
    path = tmp_path / "samples_quiz.jsonl"
    for change, what in (
        ({"target": None}, "line 4 has no target"),
        ({"doc": 3}, "line 4 has no object `doc`"),
        ({"acc": 0.25}, "says neither right nor wrong"),
        ({"metrics": ["acc_norm"]}, "a sample has no score 'acc'"),
        ({"metrics": [{"acc": 1}]}, "a sample has no score 'acc'"),
        ({"doc_id": 2}, "sample '2' stands 2 times"),
    ):
        changed = {key: value for key, value in (row | change).items() if value is not None}
        path.write_text("\n".join([*lines[:3], json.dumps(changed), *lines[4:]]))
        assert is_harness(path)
        with pytest.raises(InputError, match=what) as told:
            logs.table_of(read_harness(path, "acc")[1], str(path))
        assert told.value.where
        assert told.value.hint


# --- Inspect ------------------------------------------------------------------------------------------------------


def inspected(path: Path, scorer: str) -> dict[str, float]:
    """Mean score by subject, from what Inspect itself wrote as JSON; of a log in a ZIP, by its summaries."""
    samples = json.loads(path.read_text())["samples"]
    return shares([(each["metadata"]["subject"], float(each["scores"][scorer]["value"] == "C")) for each in samples])


def test_logs_of_inspect_are_judged(tmp_path: Path) -> None:
    """Free answers have no table of classes; what is right is what the scorer says."""
    for name in ("free-new.json", "free-old.eval"):
        shutil.copy(FIXTURES / "inspect" / name, tmp_path)
    words = ("--prediction", "new=free-new.json#match", "--against", "old=free-old.eval#match")
    done = judge(tmp_path, *words, "--group", "metadata.subject")
    assert 0 == done.code, done.err
    old = read_inspect(tmp_path / "free-old.eval", "match")[1]
    by_hand = shares([(str(each.fields["metadata.subject"]), float(each.score == "C")) for each in old])
    agrees(numbers_of(tmp_path), inspected(tmp_path / "free-new.json", "match"), by_hand)
    (run,) = tmp_path.glob("runs/free/base-*")
    (table,) = (
        path for path in tmp_path.glob("runs/free-*.parquet") if read_json(run / "corpus.json")["path"] == path.name
    )
    assert 0 == heldout("verify", run, "--corpus", table, cwd=tmp_path).code


@pytest.mark.slow
def test_two_scores_of_one_log_are_two_models(tmp_path: Path) -> None:
    """Whether a looser scorer says more would have to be asked by a copy of the log."""
    shutil.copy(FIXTURES / "inspect" / "free-new.json", tmp_path)
    log = json.loads((tmp_path / "free-new.json").read_text())
    for each in log["samples"]:
        each["scores"]["includes"]["value"] = "C"
    (tmp_path / "free-new.json").write_text(json.dumps(log))
    words = ("--prediction", "loose=free-new.json#includes", "--against", "strict=free-new.json#match")
    assert judge(tmp_path, *words, "--group", "metadata.subject").code in (0, 1)
    assert 1.0 == numbers_of(tmp_path)["ensemble"]["pooled"]["accuracy"]
    refused = judge(tmp_path, *words[:3], "same=free-new.json#includes", "--group", "metadata.subject")
    assert (2, True) == (refused.code, "compared with itself" in refused.err)


def test_epochs_are_rows_of_one_question() -> None:
    """A question that was asked twice would count as two that nobody knows to be one."""
    task, answers = read_inspect(FIXTURES / "inspect" / "quiz-epochs.eval", None)
    frame = logs.table_of(answers, "log")
    assert ("quiz", 60, 30) == (task, frame.height, frame["sample"].n_unique())
    assert {"0/1", "0/2"} <= set(frame["id"])
    right = float((frame["prediction"] == frame["target"]).mean())
    assert right == np.mean([each.score == "C" for each in answers])
    assert not set(frame["prediction"]) - {*"ABCD", NO_ANSWER}


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda log: log.update(status="error"), "did not finish: its status is 'error'"),
        (lambda log: log.update(invalidated=True), "was declared invalid"),
        (lambda log: log["samples"][2].update(error={"message": "no"}), "a sample ended with an error"),
        (lambda log: log["samples"][2].update(scores={}), "a sample has no score"),
        (lambda log: log["samples"].pop(2), "the log has 29 samples, and its own results are of 30"),
        (lambda log: log["samples"][2]["scores"].pop("match"), "a sample has no score 'match'"),
        (lambda log: log["samples"][2]["scores"]["match"].update(value=0.5), "neither right nor wrong"),
        (lambda log: log["samples"][2]["scores"]["match"].update(value=float("nan")), "neither right nor wrong"),
        (lambda log: log["samples"][2].update(id=1), "sample '1' stands 2 times"),
        (lambda log: log["samples"][2].pop("target"), "no log of Inspect: Object missing required field `target`"),
        (lambda log: log["samples"][2].update(target=NO_ANSWER), "a target is"),
        (lambda log: log.update(samples=[]), "the log has no answers"),
    ],
)
def test_broken_logs_of_inspect_are_refused(change: Change, what: str, tmp_path: Path) -> None:
    """An evaluation that broke off would be judged by the questions that it came to."""
    log = json.loads((FIXTURES / "inspect" / "free-new.json").read_text())
    change(log)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    assert is_inspect(path)
    with pytest.raises(InputError) as told:
        logs.table_of(read_inspect(path, "match")[1], str(path))
    assert what in told.value.what
    assert told.value.where
    assert told.value.hint


def archive(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


HEADER = b'{"version": 2, "status": "success", "eval": {"task": "t"}}'
SAMPLE = b'{"id": 1, "epoch": 1, "target": "a", "scores": {"match": {"value": "C"}}}'


def test_hostile_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that somebody sends would fill the memory, write a file elsewhere, or end in a traceback."""
    good = archive(tmp_path / "good.eval", **{"header.json": HEADER, "samples/1.json": SAMPLE, "../../out.json": b"{}"})
    assert 1 == len(read_inspect(good, None)[1])  # nothing is laid down, so no name leads anywhere
    assert not (tmp_path.parents[1] / "out.json").exists()
    torn, packed = tmp_path / "torn.eval", (FIXTURES / "inspect" / "quiz-new.eval").read_bytes()
    torn.write_bytes(packed[:-400])
    with zipfile.ZipFile(io.BytesIO(packed)) as real:
        info = real.getinfo("header.json")
    at = info.header_offset + 30 + len("header.json") + 20
    spoilt = tmp_path / "spoilt.eval"
    spoilt.write_bytes(packed[:at] + bytes(40) + packed[at + 40 :])
    twice = tmp_path / "twice.eval"
    with zipfile.ZipFile(twice, "w") as made:
        made.writestr("header.json", HEADER)
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("header.json", HEADER)
    headless = archive(tmp_path / "headless.eval", **{"samples/1.json": SAMPLE})
    for path in (torn, spoilt, twice, headless, tmp_path / "none.eval"):
        with pytest.raises(InputError) as told:
            read_inspect(path, None)
        assert told.value.where
        assert told.value.hint
    monkeypatch.setattr(inspect_log, "room_to_unpack", lambda: 10_000)
    with pytest.raises(MachineError, match="out of memory"):
        read_inspect(archive(tmp_path / "bomb.eval", **{"header.json": HEADER, "x": bytes(1 << 20)}), None)
    lying = bytearray(packed)  # its table of contents says less than there is
    entry = packed.rindex(b"header.json") - 46
    lying[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    (tmp_path / "lying.eval").write_bytes(lying)
    monkeypatch.undo()
    with pytest.raises(MachineError, match="out of memory"):
        read_inspect(tmp_path / "lying.eval", None)


# --- labels -------------------------------------------------------------------------------------------------------


def test_many_targets_share_labels_and_no_answer_becomes_right() -> None:
    """A thousand free answers would be a matrix of a thousand classes, or a wrong one would share its label."""
    answers = [logs.Answer(f"q{at}", None, f"text {at}", f"text {at + 1}", at % 3 == 0, {}) for at in range(900)]
    frame = logs.table_of(answers, "log")
    assert 100 == frame["target"].n_unique()
    assert [at % 3 == 0 for at in range(900)] == (frame["prediction"] == frame["target"]).to_list()
    assert frame["target"].value_counts()["count"].max() < 30
    unknown = logs.table_of([each._replace(target="") for each in answers[:50]], "log")
    assert 50 == unknown["target"].n_unique()


def test_a_wrong_answer_that_spells_the_target_is_wrong() -> None:
    """The label would be compared, and not what the scorer says."""
    answers = [logs.Answer(f"q{at}", None, "AB"[at % 2], "A", at % 2, {"doc.x": [1, "one"][at % 2]}) for at in range(4)]
    frame = logs.table_of(answers, "log")
    assert [NO_ANSWER, "B", NO_ANSWER, "B"] == frame["prediction"].to_list()
    assert ["1", "one"] * 2 == frame["doc.x"].to_list()
