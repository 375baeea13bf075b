"""The evaluation engine: nothing lost, nothing mixed, the same bytes for every number of workers and shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.errors import InputError, PrerequisiteError, RefusedError, UnitError
from heldout.evidence import digest, read_json_lines
from heldout.predict.identity import Identity
from heldout.predict.partial import PARTIAL_FILE, read_partial
from heldout.predict.session import Finished, PredictorSpec, Sample, Session
from heldout.predict.shards import Shard, merge

IDENTITY = Identity("weights", "data", "test", "question", {"greedy": True}, "code")
PARTS = ["adapter", "dataset", "split", "prompt", "decoding", "code"]


ECHO = PredictorSpec("evaluation_kit:Echo", {})


def samples(count: int = 20) -> list[Sample]:
    return [Sample(f"ep{n // 5}:{n}", f"ep{n // 5}", n) for n in range(count)]


def session(folder: Path, chosen: Sequence[Sample] | None = None, identity: Identity = IDENTITY) -> Session:
    return Session(folder, identity, samples() if chosen is None else chosen, {"run_id": folder.name})


def run(folder: Path, chosen: Sequence[Sample] | None = None, spec: PredictorSpec = ECHO) -> Finished:
    return session(folder, chosen).run(spec)


def test_rows_come_in_the_order_of_the_samples_with_their_ids(tmp_path: Path) -> None:
    """A prediction would be compared with the answer of another window."""
    finished = run(tmp_path)
    assert [s.id for s in samples()] == [json.loads(row)["id"] for row in finished.require()]
    assert [digest([s.id, s.ref]) for s in samples()] == [json.loads(row)["text"] for row in finished.require()]
    events = [event["event"] for event in read_json_lines(tmp_path / "progress.jsonl")]
    assert ("eval_start", "eval_complete") == (events[0], events[-1])
    assert 20 == read_json_lines(tmp_path / "progress.jsonl")[-2]["completed_samples"]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0, max_value=4000))
def test_a_file_that_is_cut_anywhere_is_resumed_to_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """A power cut in the middle of a line would lose a sample, double it, or stop the evaluation for good."""
    folder = tmp_path_factory.mktemp("cut")
    whole = run(folder).require()
    path = folder / PARTIAL_FILE
    data = path.read_bytes()
    path.write_bytes(data[: min(cut, len(data))])
    again = run(folder)
    assert whole == again.require()
    kept = max(0, data[: min(cut, len(data))].count(b"\n") - 1)
    assert 20 - kept == again.predicted


def test_nothing_is_predicted_twice(tmp_path: Path) -> None:
    """A restart would cost the whole evaluation again."""
    run(tmp_path)
    before = (tmp_path / PARTIAL_FILE).read_bytes()
    assert 0 == run(tmp_path).predicted
    assert before == (tmp_path / PARTIAL_FILE).read_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_weakness_13_a_partial_file_of_another_identity_is_refused_by_name(tmp_path: Path, part: str) -> None:
    """Predictions of an older adapter, prompt or data set would be scored as this one's."""
    run(tmp_path)
    other = replace(IDENTITY, **{part: "another"})
    with pytest.raises(RefusedError, match=f"differ in {part}"):
        session(tmp_path, identity=other).run(ECHO)


def test_a_line_of_another_file_is_refused(tmp_path: Path) -> None:
    """Two files put together with `cat` would pass as one."""
    run(tmp_path / "a")
    other = replace(IDENTITY, adapter="older")
    session(tmp_path / "b", identity=other).run(ECHO)
    lines = (tmp_path / "b" / PARTIAL_FILE).read_bytes().splitlines(keepends=True)
    for foreign in (lines[0], lines[3]):
        path = tmp_path / "a" / PARTIAL_FILE
        path.write_bytes(path.read_bytes() + foreign)
        with pytest.raises(RefusedError, match="something else"):
            run(tmp_path / "a")
        path.write_bytes(path.read_bytes()[: -len(foreign)])
    assert 0 == run(tmp_path / "a").predicted


def test_a_line_that_is_wrong_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """A damaged file would be read as far as it goes, and nobody would know."""
    run(tmp_path)
    path = tmp_path / PARTIAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], lines[4][:-9] + b"\n", *lines[5:]]))
    with pytest.raises(InputError, match="no prediction") as caught:
        run(tmp_path)
    assert f"{path}:5" == caught.value.where
    path.write_bytes(b"".join([*lines, lines[2].replace(b'"text":"', b'"text":"0')]))
    with pytest.raises(RefusedError, match="two different predictions"):
        run(tmp_path)
    path.write_bytes(b"".join([*lines, lines[2]]))
    assert 0 == run(tmp_path).predicted


def test_one_failing_sample_costs_only_itself(tmp_path: Path) -> None:
    """One broken recording would stop a night's work, or vanish from the count."""
    finished = run(tmp_path, spec=ECHO._replace(options={"broken": "ep1:7"}))
    assert (None, 19, [("ep1:7", "RuntimeError: no such frame")]) == finished
    with pytest.raises(UnitError, match="1 samples could not be predicted"):
        finished.require()
    again = run(tmp_path)
    assert (1, run(tmp_path / "calm").rows) == (again.predicted, again.rows)


def test_a_number_that_is_not_finite_is_no_prediction(tmp_path: Path) -> None:
    """NaN would be written as something that no reader understands."""
    finished = run(tmp_path, spec=ECHO._replace(options={"wrong": "ep0:2"}))
    assert ["ep0:2"] == [name for name, _ in finished.failed]
    assert 19 == len(read_partial(tmp_path / PARTIAL_FILE, IDENTITY).rows)


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_shards_of_any_number_merge_to_the_same_rows(tmp_path: Path, stride: int) -> None:
    """The result would depend on how many machines were at hand."""
    folders = [tmp_path / f"s{offset}" for offset in range(stride)]
    for offset, folder in enumerate(folders):
        run(folder, Shard(offset, stride).take(samples()))
    expected = [s.id for s in samples()]
    assert run(tmp_path / "whole").require() == merge(folders[::-1], expected, IDENTITY)


def test_weakness_14_merge_refuses_missing_doubled_foreign_and_mixed(tmp_path: Path) -> None:
    """A figure would be made of a part of the test, of some windows twice, or of two models."""
    expected = [s.id for s in samples()]
    a, b = tmp_path / "a", tmp_path / "b"
    for offset, folder in enumerate((a, b)):
        run(folder, Shard(offset, 2).take(samples()))
    with pytest.raises(InputError, match="10 of 20 samples have no prediction"):
        merge([a], expected)
    with pytest.raises(RefusedError, match="10 samples stand in two shards"):
        merge([a, b, a], expected)
    with pytest.raises(RefusedError, match="were not asked: ep3:19"):
        merge([a, b], expected[:-1])
    with pytest.raises(InputError, match="no predictions are there"):
        merge([a, tmp_path / "nowhere"], expected)
    session(tmp_path / "other", Shard(1, 2).take(samples()), replace(IDENTITY, prompt="older")).run(ECHO)
    with pytest.raises(RefusedError, match="differ in prompt"):
        merge([a, tmp_path / "other"], expected)


def test_a_folder_of_another_selection_is_refused(tmp_path: Path) -> None:
    """Samples outside the selection would be kept or dropped without a word."""
    run(tmp_path)
    with pytest.raises(RefusedError, match="not asked"):
        run(tmp_path, samples()[:5])
    with pytest.raises(InputError, match="stands twice"):
        run(tmp_path / "b", [*samples(), samples()[0]])
    with pytest.raises(InputError, match="no shard 3 of 3"):
        Shard(3, 3).check()


def test_a_predictor_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A typing error would end in a traceback, after the model was loaded."""
    with pytest.raises(PrerequisiteError, match="nobody:Here"):
        run(tmp_path, spec=PredictorSpec("nobody:Here", {}))


def test_a_quick_model_has_few_events_and_none_is_lost(tmp_path: Path) -> None:
    """Half the time of an evaluation would go into telling how far it is; or its count would be wrong."""
    session = Session(tmp_path, IDENTITY, samples(3000), {})
    session.run(PredictorSpec("evaluation_kit:Echo", {})).require()
    events = [event for event in read_json_lines(tmp_path / "progress.jsonl") if event["event"] == "sample_done"]
    assert 3000 == events[-1]["completed_samples"] == sum(event["batch"] for event in events)
    assert len(events) < 1000
