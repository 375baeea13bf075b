"""Ways to a false PROMOTE with a model that was trained elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import quick
from asked_kit import Desk, desk_at, rule
from attack_kit import route
from forging_runs import forge_predictions, near_truth
from onnx_kit import by_name, linear_regressor, onnx, strange
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils._testing import assert_run_python_script_without_output
from skops.io import dump
from units_kit import told

from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import StudyError, UnitError
from heldout.evidence import read_json, write_json
from heldout.ledger.trials import looks_of, read_ledger
from heldout.run import Run
from heldout.run.asking import ToAsk, ask_unit
from heldout.verify import verify_run

KIND = "models from elsewhere"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("heldout.run.asked.gate.run_fresh", lambda function, argument: function(argument))
    return desk_at(tmp_path)


def states(run: Run, desk: Desk) -> dict[str, str]:
    return {link.id: link.state for link in verify_run(run.folder, corpus=desk.folder / "judged.csv").links}


def looks(desk: Desk) -> int:
    """How often somebody looked at what is held out."""
    return len(looks_of(read_ledger(desk.runs)))


@pytest.mark.slow
@route(KIND, "motivated author", "says nothing of what the model was trained on", "HOLD")
def test_nothing_is_said_of_its_training(desk: Desk) -> None:
    """A model that was trained on the judged groups would be promoted on them."""
    assert "HOLD" == desk.run({"held_out": None}).verdict


@route(KIND, "motivated author", "attests that the groups were held out", "flagged")
def test_a_word_is_taken_and_shown(desk: Desk) -> None:
    """A word would look like evidence."""
    run = desk.run({"held_out": {"says": "they were not there yet"}})
    assert "It is attested, and not shown" in run.document["recommendation"]


@pytest.mark.slow
@route(KIND, "careless user", "a judged group was trained on under another name", "HOLD")
def test_a_leaked_group_has_another_name(desk: Desk) -> None:
    """A copy under a new name would be news."""
    leaked = desk.rows("judged").filter(pl.col("site") == "g").with_columns(site=pl.lit("x"))
    pl.concat([desk.rows("train"), leaked]).write_csv(desk.folder / "train.csv")
    desk.manifest()
    assert ("HOLD", "FAIL") == ((run := desk.run()).verdict, rule(run.document, "held-out")[0])


@route(KIND, "careless user", "names the manifest of the judged file itself, grouped by another column", "HOLD")
def test_the_judged_file_grouped_otherwise(desk: Desk) -> None:
    """Groups that were cut otherwise have no name and no content in common, and all of their rows."""
    rows = desk.rows("judged")
    half = [f"{name}{number % 2}" for number, name in enumerate(rows["site"])]
    rows.with_columns(half=pl.Series(half)).write_csv(desk.folder / "judged.csv")
    options = {"group": "half", "target": "y", "ignore": ["label", "site"]}
    manifest = TableReader(TableOptions(path=desk.folder / "judged.csv", **options)).read().manifest
    write_json(desk.folder / "trained.json", manifest.to_json())
    block = {"path": "judged.csv", "group": "site", "target": "y", "ignore": ["label", "half"]}
    run = desk.run(corpus=block)
    assert ("HOLD", "FAIL") == (run.verdict, rule(run.document, "held-out")[0])
    assert "the very file" in rule(run.document, "held-out")[1]


@route(KIND, "motivated author", "asks a graph whose answer for a row depends on its batch, or is drawn", "HOLD")
@pytest.mark.parametrize("node", ["batch", "draw"])
def test_a_graph_that_answers_otherwise(node: str, desk: Desk) -> None:
    """Batch sizes, or tries, would be rolled until one passes, each a first attempt."""
    (desk.folder / "strange.onnx").write_bytes(strange([2.0, -1.0], node))
    run = desk.run({"model": "strange.onnx"})
    assert "HOLD" == run.verdict
    outcomes = {name: rule(run.document, name)[0] for name in ("gated", "stored-model") if _has(run, name)}
    assert "FAIL" in outcomes.values(), outcomes


def _has(run: Run, name: str) -> bool:
    return any(each["id"] == name for each in run.document["rules"])


@route(
    KIND, "motivated author", "names the manifest of another corpus than the model was trained on", "cannot be known"
)
def test_the_manifest_of_another_corpus(desk: Desk) -> None:
    """The page would promise that weights show what they were trained on."""
    everything = pl.concat([desk.rows("train"), desk.rows("judged")])
    everything.write_csv(desk.folder / "all.csv")
    desk.train(Ridge(alpha=0.5))
    assert "PROMOTE" == desk.run().verdict


@pytest.mark.slow
@route(KIND, "motivated author", "replaces the file until it passes", "flagged")
def test_the_file_is_replaced_until_it_passes(desk: Desk) -> None:
    """Any number of tries would look like one."""
    for alpha in (1000.0, 100.0, 1.0):
        desk.train(Ridge(alpha=alpha))
        run = desk.run()
    assert 3 == run.document["trial"]["attempt"]


@route(KIND, "careless user", "the file is replaced while it is asked", "stopped")
def test_the_file_is_replaced_meanwhile(desk: Desk) -> None:
    """One digest would stand for answers of two models."""
    prepared = desk.prepare()
    unit = prepared.main.units[0]
    argument, inputs = told(prepared, unit)
    desk.model.write_bytes(desk.model.read_bytes() + b" ")
    with pytest.raises(UnitError, match="the model changed"):
        ask_unit(ToAsk(argument, unit.folder), inputs)


@route(KIND, "motivated author", "edits the manifest of the training corpus that lies in the run", "TAMPERED")
def test_the_manifest_in_the_run_is_edited(desk: Desk) -> None:
    """A leak could be taken out of the record afterwards."""
    run = desk.run()
    path = run.folder / "trained_on.json"
    write_json(path, read_json(path) | {"groups": []})
    assert "BROKEN" == states(run, desk)["files"]


@pytest.mark.slow
@route(KIND, "motivated author", "changes a stored answer and mends every digest", "needs --corpus")
def test_a_stored_answer_is_changed(desk: Desk) -> None:
    """Better answers than the model's own would serve as its evidence."""
    run = desk.run()
    forge_predictions(run.folder, near_truth(0.001))
    verify_run(run.folder).raise_if_broken()
    assert "BROKEN" == states(run, desk)["weights"]


@route(KIND, "motivated author", "strikes the findings of the checkpoint gate", "TAMPERED")
def test_the_findings_of_the_gate_are_struck(desk: Desk) -> None:
    """A model that is torn would pass for one that is whole."""
    run = desk.run()
    path = run.folder / "model.json"
    path.write_text(json.dumps(read_json(path) | {"gate": None}))
    assert "BROKEN" == states(run, desk)["files"]


@route(KIND, "motivated author", "an archive names a function of scikit-learn that starts programs", "HOLD")
def test_an_archive_starts_a_program(desk: Desk) -> None:
    """A file of numbers would run any code, where the held-out targets lie."""
    trace = desk.folder / "ran"
    code = f"open({str(trace)!r}, 'w').write('x')"
    rows = desk.rows("train").select("a", "b").to_numpy()
    words = CountVectorizer(vocabulary={"x": 0}).fit(["x"])
    words.tokenizer, words.token_pattern = assert_run_python_script_without_output, None
    words.lowercase = False
    stack = StackingRegressor([("a", Ridge())], final_estimator=Ridge(), cv=2).fit(rows, rows[:, 0])
    stack.estimators_ = [DummyClassifier(strategy="constant", constant=code).fit(rows[:2], [code, "b"])]
    stack.final_estimator_ = make_pipeline(words, Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    dump(stack, desk.model)
    run = desk.run()
    outcome, sentence = rule(run.document, "gated")
    assert ("HOLD", "FAIL", False) == (run.verdict, outcome, trace.exists())
    assert "assert_run_python_script_without_output" in sentence
    assert 0 == looks(desk)


@route(KIND, "motivated author", "one file is an archive and a graph, and its suffix chooses", "HOLD")
def test_one_file_is_two_models(desk: Desk) -> None:
    """A digest would stand for two models, and the better one would be chosen by a name."""
    graph = linear_regressor([0.0, 1.0], 0.0)
    archive = desk.model.read_bytes()
    both = graph + b"\xc2\x3e" + _varint(len(archive)) + archive  # an unknown field of protobuf
    desk.model.write_bytes(both)
    assert "HOLD" == desk.run().verdict
    (desk.folder / "model.onnx").write_bytes(both)
    run = desk.run({"model": "model.onnx"}, study="as-a-graph")
    assert "form: onnx" in (run.folder / "study.lock.yaml").read_text()


@route(KIND, "motivated author", "a graph answers by chance, until it is lucky", "HOLD")
def test_a_graph_answers_by_chance(desk: Desk) -> None:
    """Noise would be tried until it passes."""
    model = onnx.load_model_from_string(linear_regressor([2.0, -1.0], 0.0))
    model.graph.node[-1].output[0] = "sure"
    model.graph.node.append(onnx.helper.make_node("RandomNormalLike", ["sure"], ["noise"], scale=0.01))
    model.graph.node.append(onnx.helper.make_node("Add", ["sure", "noise"], ["y"]))
    (desk.folder / "model.onnx").write_bytes(model.SerializeToString())
    run = desk.run({"model": "model.onnx"})
    outcome, sentence = rule(run.document, "gated")
    assert ("HOLD", "FAIL", 0) == (run.verdict, outcome, looks(desk))
    assert "RandomNormalLike" in sentence


@pytest.mark.slow
@route(KIND, "careless user", "a model answers one row with infinity", "HOLD")
def test_one_answer_is_infinite(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would end with a traceback after its look, and the look would be lost."""
    quick.with_rendering(monkeypatch)
    last = float(np.float32(desk.rows("judged")["a"].max()))
    nodes = [
        onnx.helper.make_node("Sub", ["a", "last"], ["gap"]),
        onnx.helper.make_node("Reciprocal", ["gap"], ["huge"]),
        onnx.helper.make_node("Mul", ["huge", "tiny"], ["odd"]),
        onnx.helper.make_node("Sum", ["a", "odd"], ["y"]),
    ]
    model = onnx.load_model_from_string(by_name({"a": 1.0, "b": 1.0}))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, value in (("last", last), ("tiny", 1e-6)):
        model.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [1], [value]))
    (desk.folder / "model.onnx").write_bytes(model.SerializeToString())
    run = desk.run({"model": "model.onnx"})
    assert ("HOLD", "FAIL") == (run.verdict, rule(run.document, "finite")[0])
    assert "1 row is left out" in (run.folder / "report.html").read_text()


@route(KIND, "careless user", "the manifest of the training corpus is damaged, or no manifest", "stopped")
@pytest.mark.parametrize(
    "change",
    [
        {"features": 5},
        {"features": [5]},
        {"features": {"a": 1}},
        {"groups": {}},
        {"groups": [{"sha256": "0"}]},
        {"groups": [{"id": "a"}]},
        {"groups": [{"id": 5, "sha256": "0"}]},
        {"groups": [{"id": "\ud800", "sha256": "0"}]},
        {"target": ["y"]},
        {"schema": None},
        None,
    ],
)
def test_the_manifest_of_training_is_damaged(desk: Desk, change: dict[str, object] | None) -> None:
    """A run would end with a traceback after its look, and the look would be lost."""
    path = desk.folder / "trained.json"
    path.write_text("no JSON" if change is None else json.dumps(read_json(path) | change))
    with pytest.raises(StudyError, match="training corpus cannot be read") as caught:
        desk.run()
    assert (2, True) == (caught.value.exit_code, "fit.held_out.trained_on" in str(caught.value.where))
    assert 0 == looks(desk)


@route(KIND, "careless user", "the model is a link that leads in a circle", "stopped")
@pytest.mark.parametrize("name", ["model.skops", "zero\0byte.skops"])
def test_a_link_leads_in_a_circle(desk: Desk, name: str) -> None:
    """A study would end with a traceback."""
    desk.model.unlink()
    desk.model.symlink_to(desk.model)
    with pytest.raises(StudyError, match="the model cannot be read") as caught:
        desk.prepare({"model": name})
    assert (2, True) == (caught.value.exit_code, "fit.model" in str(caught.value.where))


@pytest.mark.slow
@route(KIND, "careless user", "the labels of a classifier are other words than those of the corpus", "HOLD")
def test_labels_are_other_words(desk: Desk) -> None:
    """Every row would be wrong, and a look would be spent on it."""
    rows = desk.rows("train")
    dump(LogisticRegression().fit(rows.select("a", "b").to_numpy(), (rows["y"] > 0).cast(int).to_numpy()), desk.model)
    desk.manifest(target="label")
    run = desk.run(target="label")
    outcome, sentence = rule(run.document, "gated")
    assert ("HOLD", "FAIL", 0) == (run.verdict, outcome, looks(desk))
    assert "('0', '1') are none of the corpus ('no', 'yes')" in sentence
    named = desk.run({"classes": ["no", "yes"]}, target="label", study="named")
    assert "PROMOTE" == named.verdict
    more = desk.run({"classes": ["maybe", "yes"]}, target="label", study="more")
    assert "PASS" == rule(more.document, "gated")[0]


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])
