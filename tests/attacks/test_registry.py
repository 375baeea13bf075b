"""Into a slot without the evidence that it asks for: forged, moved, stale and foreign runs at the registry's door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attack_kit import Desk, module_of, route, rows_of_groups, table_desk
from forging_runs import forge_predictions, mend_unit, near_truth, rejudge, reverdict

from heldout.errors import TamperedError
from heldout.evidence import read_json
from heldout.registry import Registry, verify
from heldout.run.resolve import load_backbone
from heldout.verify.corpus_file import bound_reader
from heldout.verify.evidence import RunEvidence

KIND = "a version that serves without its evidence"


def champion(desk: Desk) -> str | None:
    """Who serves in the study's slot."""
    path = desk.folder / "registry" / "slots" / str(desk.study["study"]) / "champion.json"
    return str(read_json(path)["version"]) if path.exists() else None


def corpus_of(desk: Desk) -> Path:
    return desk.folder / str(desk.study["corpus"]["path"])


def hold(desk: Desk) -> Path:
    """A run that is held, for its bound is out of reach of what was trained."""
    (rule,) = desk.study["gate"]["rules"]
    desk.rules(rule | {"at_least": 0.995 if rule["over"] == "pooled" else 0.9})
    assert 1 == desk.run().code
    return desk.newest


@pytest.mark.slow
@route(KIND, "motivated author", "replaces what fits predicted by the truth plus noise, mends all digests", "stopped")
@route(KIND, "motivated author", "the same, where the corpus is at hand", "needs --corpus")
def test_forged_predictions_do_not_serve(road: Desk) -> None:
    """A model that learnt nothing would be champion on numbers that nobody's model predicted."""
    run = hold(road)
    forge_predictions(run, near_truth(0.01))
    assert (0, 0) == (road.heldout("verify", run).code, road.heldout("gate", run).code), "not well forged"
    corpus = corpus_of(road)
    away = corpus.rename(corpus.with_name("away" + corpus.suffix))
    assert 0 == road.heldout("registry", "add", run).code
    refused = road.heldout("registry", "promote", run.name)
    assert (3, True) == (refused.code, "corpus not verified" in refused.err), refused.err
    assert "--corpus FILE" in refused.err
    for asked in (("promote", run.name, "--corpus", away), ("add", run, "--corpus", away)):
        found = road.heldout("registry", *asked)
        assert (3, True) == (found.code, "'weights' is broken" in found.err), found.err
    forced = road.heldout("registry", "promote", run.name, "--corpus", away, "--override", "--reason", "trust me")
    assert (3, None) == (forced.code, champion(road))
    away.rename(corpus)
    found = road.heldout("registry", "add", run)
    assert (3, True) == (found.code, "'weights' is broken" in found.err)
    assert None is champion(road)


@pytest.mark.slow
def test_an_honest_run_serves_without_a_word(road: Desk) -> None:
    """What is asked of everybody would stop those who did nothing wrong."""
    assert 0 == road.run().code
    added = road.heldout("registry", "add", road.newest)
    assert (0, True) == (added.code, "with the corpus (found)" in added.err), added
    assert 0 == road.heldout("registry", "promote", road.newest.name).code
    assert None is not champion(road)
    shown = json.loads(road.heldout("registry", "show", road.newest.name).out)
    assert ["registered", "promoted"] == [record["on"] for record in shown["verified"]]
    first = shown["verified"][0]
    assert ("fitted", "found", False) == (first["level"], first["corpus"], first["refit"])
    assert {"OK"} == {first["links"][link] for link in ("weights", "corpus-file", "guards", "metrics")}
    assert "signature" in first["why"]
    assert {"attacked": "default"} == shown["admissions"]


@pytest.mark.slow
def test_labels_with_signs_of_their_own_are_no_forgery(tmp_path: Path) -> None:
    """A label with a quotation mark would make an honest run TAMPERED, for its table has the label in its header."""
    desk = table_desk(tmp_path, task="classification", name="table.parquet")
    table = pl.read_parquet(tmp_path / "table.parquet")
    odd = pl.when(pl.col("y") == "yes").then(pl.lit('"ja",\\')).otherwise(pl.lit("n'ein%_\n"))
    table.with_columns(y=odd, site="Größe " + pl.col("site")).write_parquet(tmp_path / "table.parquet")
    assert 0 == desk.run().code
    added = desk.heldout("registry", "add", desk.newest)
    assert (0, 0) == (added.code, desk.heldout("registry", "promote", desk.newest.name).code), added
    with Registry(tmp_path / "registry") as registry:
        assert sorted(['"ja",\\', "n'ein%_\n"]) == registry.history()[-1].body["holds"]["classes"]
    path = desk.newest / "predictions.csv"
    path.write_text(path.read_text().replace("Größe", "Groesse"))
    assert 3 == desk.heldout("verify", desk.newest).code


def memorised(run: Path, corpus: Path) -> None:
    """Every stored model becomes one that was fitted on all rows, and what it predicts is stored beside it."""
    evidence = RunEvidence.open(run, corpus)
    rows = bound_reader(evidence).read()
    backbone = load_backbone(str(evidence.lock["backbone"]), evidence.lock["fit"])
    model = backbone.fit(rows.train_view(rows.rows_of(rows.groups.unique().to_list())), 0, run.parent / "scratch")
    for unit in evidence.units("").values():
        backbone.save(model, unit.folder)
        mend_unit(unit.folder)
    forge_predictions(run, near_truth(0.0))


@pytest.mark.slow
@route(KIND, "motivated author", "stores models that were fitted on the held-out rows too, with what they predict",
       "needs --refit")  # fmt: skip
def test_models_that_saw_everything_need_a_refit(tmp_path: Path) -> None:
    """A slot that asks for a refit would take a model that knows the answers; one that does not says what it took."""
    desk = table_desk(tmp_path, signal=False)
    desk.write(fit={"estimator": "sklearn.neighbors.KNeighborsRegressor", "params": {"n_neighbors": 1}})
    assert 1 == desk.run().code
    run = desk.newest
    memorised(run, corpus_of(desk))
    assert 0 == desk.heldout("verify", run, "--corpus", corpus_of(desk)).code, "not well forged"
    assert 0 == desk.heldout("registry", "add", run).code
    assert 0 == desk.heldout("registry", "admission", "careful", "--links", "corpus,refit").code
    lacking = desk.heldout("registry", "promote", run.name, "--slot", "careful")
    assert (3, True) == (lacking.code, "refit not verified" in lacking.err)
    found = desk.heldout("registry", "promote", run.name, "--slot", "careful", "--refit")
    assert (3, True) == (found.code, "'refit' is broken" in found.err), found.err
    assert 0 == desk.heldout("registry", "promote", run.name).code
    shown = json.loads(desk.heldout("registry", "show", run.name).out)
    assert [False, False] == [record["refit"] for record in shown["verified"]]


@pytest.mark.slow
@route(KIND, "motivated author", "changes the held-out targets to what was predicted, and mends every digest",
       "TAMPERED")  # fmt: skip
def test_targets_that_are_not_the_corpus_s(desk: Desk) -> None:
    """Nothing has to be predicted well by whoever may choose what is true."""
    run = hold(desk)
    table = pl.read_ndjson(run / "predictions.jsonl")
    table.with_columns(target=pl.col("prediction")).write_ndjson(run / "predictions.jsonl")
    rejudge(run)
    found = desk.heldout("verify", run)
    assert (3, True) == (found.code, "TAMPERED at the link 'predictions" in found.out), found
    assert (3, None) == (desk.heldout("registry", "add", run).code, champion(desk))


@pytest.mark.slow
@route(KIND, "careless user", "moves or deletes the corpus between the run and the promotion", "stopped")
@route(KIND, "careless user", "leaves another table under the corpus's name", "stopped")
def test_a_corpus_that_is_not_there_vouches_for_nothing(desk: Desk) -> None:
    """A corpus would be believed by its name, or an honest run be lost for good because it moved."""
    assert 0 == desk.run().code
    run, corpus = desk.newest, corpus_of(desk)
    away = corpus.rename(desk.folder / "away.csv")
    assert 0 == desk.heldout("registry", "add", run).code
    refused = desk.heldout("registry", "promote", run.name)
    assert (3, True) == (refused.code, "corpus not verified" in refused.err)
    rows_of_groups(seed=5).write_csv(corpus)
    assert 3 == desk.heldout("registry", "promote", run.name).code
    other = desk.heldout("registry", "promote", run.name, "--corpus", corpus)
    assert (3, True) == (other.code, "another corpus" in other.err)
    assert None is champion(desk)
    gone = desk.heldout("registry", "promote", run.name, "--corpus", desk.folder / "nowhere.csv")
    assert (2, None) == (gone.code, champion(desk))
    corpus.unlink()
    back = away.rename(desk.folder / "other-name.csv")
    assert 0 == desk.heldout("registry", "add", run, "--corpus", back).code
    assert ["registered", "verified"] == kinds(desk)
    back.unlink()
    assert 0 == desk.heldout("registry", "promote", run.name).code, "what was verified once holds for the same bytes"


def kinds(desk: Desk) -> list[str]:
    with Registry(desk.folder / "registry") as registry:
        return [event.body["kind"] for event in registry.history()]


def a_link_inside(run: Path) -> None:
    path = run / "report.html"
    shutil.copy(path, run.parent / "report.html")
    path.unlink()
    path.symlink_to(run.parent / "report.html")


def another_folder(run: Path) -> None:
    other = run.with_name("other")
    shutil.copytree(run, other)
    (other / "RUN_REPORT.md").write_text("all is well")
    shutil.rmtree(run)
    run.symlink_to(other)


BETWEEN: dict[str, Callable[[Path], Any]] = {
    "the report": lambda run: (run / "RUN_REPORT.md").write_text("all is well"),
    "a link": a_link_inside,
    "the folder": another_folder,
    "an unnamed fit": lambda run: (run / "fits" / "seed0" / "extra.json").write_text("{}"),
    "the ledger": lambda run: (run.parent / "trials.jsonl").write_text(""),
}


@pytest.mark.slow
@route(KIND, "motivated author", "edits a run after it was registered, or puts a link in its place", "stopped")
@route(KIND, "motivated author", "empties the study's ledger between `add` and `promote`", "stopped")
@pytest.mark.parametrize("what", BETWEEN)
def test_what_is_promoted_is_what_was_registered(promoted: Desk, what: str) -> None:
    """The registry would vouch for files that it never saw."""
    run = promoted.newest
    assert 0 == promoted.heldout("registry", "add", run).code
    BETWEEN[what](run)
    for more in ((), ("--override", "--reason", "I know")):
        refused = promoted.heldout("registry", "promote", run.name, *more)
        assert 3 == refused.code, refused
    assert None is champion(promoted)


@pytest.mark.slow
@route(KIND, "motivated author", "puts an older PROMOTE back over a newer HOLD of the same run", "TAMPERED")
@route(KIND, "careless user", "registers a copy from before the HOLD, after the HOLD was registered", "stopped")
def test_a_newer_hold_ends_an_older_promote(promoted: Desk) -> None:
    """A backup of the run folder would undo a verdict."""
    run = promoted.newest
    kept = promoted.folder / "kept" / run.name
    shutil.copytree(run, kept)
    assert run == hold(promoted)
    held = promoted.folder / "held"
    run.rename(held)
    shutil.copytree(kept, run)
    restored = promoted.heldout("registry", "add", run)
    assert (3, True) == (restored.code, "newer look of this run: HOLD" in restored.err)
    assert 3 == promoted.heldout("gate", run).code
    shutil.rmtree(run)
    held.rename(run)
    assert 0 == promoted.heldout("registry", "add", run).code
    shutil.copy(corpus_of(promoted), kept.parent / corpus_of(promoted).name)
    older = promoted.heldout("registry", "add", kept, "--json")
    assert 0 == older.code, older
    refused = promoted.heldout("registry", "promote", json.loads(older.out)["id"])
    assert (3, True) == (refused.code, "judged again later: HOLD" in refused.err)


@pytest.mark.slow
@route(KIND, "careless user", "promotes a regressor into the slot of a classifier", "stopped")
@route(KIND, "careless user", "promotes a model of another table, target or class into a slot", "stopped")
def test_a_slot_holds_one_task_one_target_and_one_corpus_family(tmp_path: Path) -> None:
    """Whoever asks the slot would get an answer to another question, and nobody would have said so."""
    first = made(tmp_path, "first", rows_of_groups(task="classification"), task="classification")
    place = tmp_path / "registry"
    assert 0 == first.heldout("registry", "add", first.newest, "--registry", place).code
    assert 0 == first.heldout("registry", "promote", first.newest.name, "--slot", "one", "--registry", place).code
    table = rows_of_groups(task="classification", seed=3)
    grown = pl.concat([rows_of_groups(task="classification"), table.with_columns(site="h" + pl.col("site"))])
    others = {
        "regressor": (rows_of_groups(), {"task": "regression"}, "the slot's task is"),
        "target": (table.rename({"y": "z"}), {"target": "z"}, "the slot's target is 'y'"),
        "group": (table.rename({"site": "clinic"}), {"group": "clinic"}, "columns is group 'site', target 'y'"),
        "classes": (table.with_columns(y=pl.col("y") + "!"), {}, "classes is 'no', 'yes'"),
        "features": (table.rename({"b": "c"}), {}, "another corpus family: it has no feature 'b'"),
    }
    for name, (frame, options, words) in others.items():
        desk = made(tmp_path, name, frame, **{"task": "classification", **options})
        assert 0 == desk.heldout("registry", "add", desk.newest, "--registry", place).code, name
        refused = desk.heldout("registry", "promote", desk.newest.name, "--slot", "one", "--registry", place)
        assert (3, True) == (refused.code, words in refused.err), (name, refused.err)
    same = made(tmp_path, "grown", grown, task="classification")
    assert 0 == same.heldout("registry", "add", same.newest, "--registry", place).code
    assert 0 == same.heldout("registry", "promote", same.newest.name, "--slot", "one", "--registry", place).code
    forced = ("--slot", "one", "--registry", place, "--override", "--reason", "the slot is asked for numbers now")
    other = tmp_path / "regressor" / "runs" / "regressor"
    run = next(path.parent for path in other.glob("*/PROMOTE.json"))
    assert 0 == first.heldout("registry", "promote", run.name, *forced).code
    with Registry(place) as registry:
        event = registry.history(slot="one")[-1]
    assert ("regression", True) == (event.body["holds"]["task"], "task" in event.body["overridden"][0])
    back = first.heldout("registry", "promote", first.newest.name, "--slot", "one", "--registry", place)
    assert (3, True) == (back.code, "the slot's task is 'regression'" in back.err)
    assert 0 == first.heldout("registry", "rollback", "one", "--registry", place).code


def made(folder: Path, name: str, frame: pl.DataFrame, **corpus: Any) -> Desk:
    """A desk with a run that was promoted, over this table."""
    home = folder / name
    home.mkdir()
    desk = table_desk(home, task=str(corpus.get("task", "regression")))
    frame.write_csv(home / "table.csv")
    desk.write(study=name, corpus=desk.study["corpus"] | corpus)
    assert 0 == desk.run().code, name
    return desk


@pytest.mark.slow
@route(KIND, "motivated author", "lets a slot ask for less before he promotes", "flagged")
@route(KIND, "operator", "edits in the database what a slot asks for", "TAMPERED")
def test_what_a_slot_asks_for_is_part_of_the_history(promoted: Desk) -> None:
    """The bar would be lowered for an hour, and nobody could see it afterwards."""
    run = promoted.newest
    corpus_of(promoted).unlink()
    assert 0 == promoted.heldout("registry", "add", run).code
    assert 3 == promoted.heldout("registry", "promote", run.name).code
    assert 2 == promoted.heldout("registry", "admission", "attacked", "--links", "none").code
    for wrong in (("--links", "corpus,moon"), ("--levels", "guessed"), ("--levels", "none"), ("--links", "signature")):
        assert 2 == promoted.heldout("registry", "admission", "attacked", *wrong, "--reason", "why not").code
    asked = promoted.heldout("registry", "admission", "attacked", "--links", "none", "--reason", "the corpus is gone")
    assert (0, True) == (asked.code, "the files alone" in asked.out)
    assert 0 == promoted.heldout("registry", "promote", run.name).code
    told = promoted.heldout("registry", "history").out
    assert "the corpus is gone" in told
    shown = json.loads(promoted.heldout("registry", "show", run.name).out)
    assert [] == shown["admissions"]["attacked"]["links"]
    with Registry(promoted.folder / "registry") as registry:
        assert 3 == verify(registry).events
        with registry.database.writing() as connection:
            connection.exec_driver_sql("DROP TRIGGER heldout_events_no_update")
            connection.exec_driver_sql(
                'UPDATE heldout_events SET body = replace(body, \'"links":[]\', \'"links":["corpus"]\') WHERE seq = 2'
            )
        with pytest.raises(TamperedError, match="event 2: it was edited"):
            verify(registry)


@pytest.mark.slow
@route(
    KIND,
    "motivated author",
    "signs his own run with a key of his, for a slot that asks for a signature",
    "stopped",
)
def test_a_signature_is_of_the_key_that_the_slot_names(promoted: Desk) -> None:
    """Any signature would do, and so none would say anything."""
    pytest.importorskip("securesystemslib")
    run, mine, his = promoted.newest, promoted.folder / "mine", promoted.folder / "his"
    for key in (mine, his):
        assert 0 == promoted.heldout("sign", "--new-key", key).code
    asked = ("--links", "corpus,signature", "--key", f"{mine}.pub")
    assert 0 == promoted.heldout("registry", "admission", "attacked", *asked).code
    assert 0 == promoted.heldout("sign", run, "--key", his).code
    assert 0 == promoted.heldout("registry", "add", run, "--key", f"{his}.pub").code
    refused = promoted.heldout("registry", "promote", run.name)
    assert (3, True) == (refused.code, "of another key" in refused.err), refused.err
    assert 3 == promoted.heldout("registry", "promote", run.name, "--key", f"{mine}.pub").code
    assert 0 == promoted.heldout("sign", run, "--key", mine).code
    assert 0 == promoted.heldout("registry", "promote", run.name, "--key", f"{mine}.pub").code


@route(KIND, "motivated author", "takes a rule out of the verdict's policy after it was held", "TAMPERED")
def test_a_run_that_does_not_verify_names_the_link(promoted: Desk) -> None:
    """Whoever is refused would not know why."""
    run = hold(promoted)
    document = read_json(run / "metrics.json")
    document["ensemble"]["pooled"]["plcc"] = 0.9999
    (run / "metrics.json").write_bytes(json.dumps(document).encode())
    reverdict(run)
    refused = promoted.heldout("registry", "add", run)
    assert (3, True) == (refused.code, "the link 'metrics' is broken" in refused.err)


OWN = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

class Mine(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.weights_ = np.linalg.lstsq(np.asarray(X, float), y, rcond=None)[0]
        return self

    def predict(self, X):
        return np.asarray(X, float) @ self.weights_
"""


@pytest.mark.slow
@route(KIND, "sender of a bundle", "sends a run of his own estimator, whose code is not installed here", "stopped")
def test_what_cannot_be_asked_here_vouches_for_nothing(desk: Desk) -> None:
    """A stored model that nobody here can ask would pass for one that answered."""
    with module_of(desk.folder, "elsewhere", OWN):
        desk.write(fit={"estimator": "elsewhere.Mine"})
        assert 0 == desk.run().code
    (desk.folder / "elsewhere.py").unlink()
    run = desk.newest
    added = desk.heldout("registry", "add", run)
    assert (0, True) == (added.code, "weights" in added.err.partition("not checked")[2]), added
    refused = desk.heldout("registry", "promote", run.name)
    assert (3, True, None) == (refused.code, "corpus not verified (weights" in refused.err, champion(desk))
    assert 2 == desk.heldout("registry", "promote", run.name, "--corpus", corpus_of(desk)).code


@pytest.mark.slow
@route(KIND, "sender of a bundle", "packs another table under the corpus's name into the bundle of a run", "stopped")
def test_a_bundle_carries_its_corpus(promoted: Desk) -> None:
    """A run from another machine could never be promoted, or any table beside it would vouch for it."""
    from heldout.package.kit.bundle import build_bundle
    from heldout.package.kit.importing import import_bundle

    bundle = build_bundle(promoted.newest, promoted.folder / "out.tar.gz", corpus=corpus_of(promoted))
    corpus_of(promoted).unlink()
    home = import_bundle(bundle.path, promoted.folder / "imports")
    added = promoted.heldout("registry", "add", home.run)
    assert (0, True) == (added.code, "with the corpus (carried)" in added.err), added
    rows_of_groups(seed=9).write_csv(home.folder / "corpus" / "table.csv")
    other = promoted.heldout("registry", "add", home.run, "--registry", "other")
    assert (0, True) == (other.code, "without the corpus" in other.err)
    assert 3 == promoted.heldout("registry", "promote", home.run.name, "--registry", "other").code
    assert 0 == promoted.heldout("registry", "promote", home.run.name).code


@pytest.fixture
def promoted(desk: Desk, honest: Path) -> Desk:
    """A desk with a run that was promoted; trained once for all tests of this module."""
    shutil.rmtree(desk.folder)
    shutil.copytree(honest, desk.folder)
    return desk


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    assert 0 == table_desk(folder).run().code
    return folder
