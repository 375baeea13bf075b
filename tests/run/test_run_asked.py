"""A model from elsewhere on the whole road: named by digest, gated, asked on groups that it never saw, and judged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from asked_kit import JUDGED, MODULE, POINTS, ROWS, Desk, desk_at, rule
from plugin_kit import importable, install
from sklearn.linear_model import LogisticRegression, Ridge
from units_kit import told

from heldout.errors import HeldoutError, InputError, RefusedError, StudyError, UnitError
from heldout.evidence import read_json, sha256_file, write_json
from heldout.ledger.policy import amend
from heldout.ledger.trials import looks_of, read_ledger
from heldout.package.verify.any import verify_any
from heldout.plugins import trusting_code
from heldout.predict.partial import PARTIAL_FILE
from heldout.predict.shards import Shard
from heldout.registry import Registry, add, promote
from heldout.run import Run
from heldout.run.asking import ToAsk, ask_unit
from heldout.run.execute import execute
from heldout.run.shards import bring, fit_shard
from heldout.shadow.runner import run_shadow
from heldout.shadow.store import ShadowStore
from heldout.verify import verify_run

SAYS = {"says": "trained in 2019, before any of these sites was built"}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Models of heldout's own code are looked at in this process: another one takes seconds to start."""
    monkeypatch.setattr("heldout.run.asked.gate.run_fresh", lambda function, argument: function(argument))
    return desk_at(tmp_path)


@pytest.fixture
def line(desk: Desk) -> Iterator[dict[str, Any]]:
    """The study of a plug-in that asks a folder, and its module where it is installed."""
    install(desk.folder / "site-packages", "asked-line", {"asked_line.py": MODULE}, {"heldout.backbones": POINTS})
    (desk.folder / "line" / "notes").mkdir(parents=True)
    write_json(desk.folder / "line" / "line.json", {"a": 2.0, "b": -1.0})
    (desk.folder / "line" / "notes" / "about.txt").write_text("a straight line")
    with importable(desk.folder / "site-packages", "asked_line"):
        yield {"backbone": "gated_line", "fit": {"model": "line", "held_out": SAYS}}


def with_fit(study: dict[str, Any], **fit: Any) -> dict[str, Any]:
    return study | {"fit": study["fit"] | fit}


def units(run: Run) -> dict[str, int]:
    return {str(path.parent): path.stat().st_mtime_ns for path in run.folder.rglob("unit.json")}


class TestTheRoad:
    """Train elsewhere, save, judge on other groups, verify, register, serve."""

    @pytest.mark.slow
    def test_from_a_file_to_a_slot(self, tmp_path: Path) -> None:
        """A model that nobody here trained could not be judged, verified or put into a slot."""
        desk = desk_at(tmp_path)
        run = desk.run()
        verdict = run.document
        assert ("PROMOTE", "asked") == (verdict["verdict"], verdict["evidence"])
        assert ("PASS", "PASS") == (rule(verdict, "gated")[0], rule(verdict, "held-out")[0])
        assert sha256_file(desk.model) == verdict["judged"]["model_sha256"]
        found = verify_run(run.folder, corpus=desk.folder / "judged.csv", refit_too=True)
        found.raise_if_broken()
        states = {link.id: link.state for link in found.links}
        assert {"OK"} == {states[name] for name in ("model", "model-gate", "weights", "refit", "rules", "metrics")}
        with Registry(desk.folder / "registry", create=True) as registry:
            version = add(registry, run.folder)
            promote(registry, version.id)
            served = registry.champion("elsewhere")
            assert served is not None
            assert version.id == served.id
            assert sha256_file(desk.model) == served.content["judged"]["model_sha256"]

    @pytest.mark.slow
    def test_it_can_be_the_champion(self, desk: Desk) -> None:
        """A challenger could not be compared with what serves now."""
        first = desk.run()
        desk.train(Ridge(alpha=300.0))
        beats = {"id": "beats", "metric": "rmse", "against": "champion", "at_least": 0.0}
        second = desk.run(champion=str(first.folder), gate={"rules": [*_gate(), beats]}, study="challenge")
        assert ("HOLD", "FAIL") == (second.verdict, rule(second.document, "beats")[0])
        verify_run(second.folder, corpus=desk.folder / "judged.csv").raise_if_broken()

    def test_numbers_are_those_of_scikit_learn(self, desk: Desk) -> None:
        """The verdict would be over other answers than the model's own."""
        estimator = desk.train(Ridge(alpha=2.0))
        run = desk.run()
        rows = desk.rows("judged")
        expected = estimator.predict(rows.select("a", "b").to_numpy())
        found = pl.read_ndjson(run.folder / "predictions.jsonl")
        assert expected.tolist() == found["seed0"].to_list()
        metrics = read_json(run.folder / "metrics.json")
        pearson = float(np.corrcoef(expected, rows["y"].to_numpy())[0, 1])
        assert pearson == pytest.approx(metrics["ensemble"]["pooled"]["plcc"], abs=1e-12)
        assert 0 == read_json(next(run.folder.rglob("unit.json")))["n_train"]

    @pytest.mark.slow
    def test_a_classifier_is_asked_for_probabilities(self, desk: Desk) -> None:
        """Labels without probabilities, or columns under the wrong labels, would be scored."""
        estimator = desk.train(LogisticRegression(), "label", named=True)
        desk.manifest(target="label")
        run = desk.run(target="label")
        rows = desk.rows("judged")
        assert "PROMOTE" == run.verdict, run.document["reasons"]
        metrics = read_json(run.folder / "metrics.json")
        accuracy = float((estimator.predict(rows.select("a", "b")) == rows["label"].to_numpy()).mean())
        assert accuracy == metrics["ensemble"]["pooled"]["accuracy"]
        verify_run(run.folder, corpus=desk.folder / "judged.csv", refit_too=True).raise_if_broken()

    @pytest.mark.slow
    def test_a_folder_of_files_is_one_model(self, desk: Desk, line: dict[str, Any]) -> None:
        """A checkpoint of several files could not be judged, or one of them be changed without notice."""
        first = desk.prepare(**line)
        assert "PROMOTE" == desk.run(**line).verdict
        (desk.folder / "line" / "notes" / "about.txt").write_text("another line")
        assert first.resolved.sha256 != desk.prepare(**line).resolved.sha256

    @pytest.mark.slow
    def test_a_baseline_may_be_a_model_from_elsewhere(self, desk: Desk) -> None:
        """A rival could not be the model that is sold elsewhere; fitted training rows would be counted of it."""
        desk.train(Ridge(alpha=500.0), path=desk.folder / "rival.skops")
        rival = {"id": "rival", "backbone": "saved", "fit": {"model": "rival.skops"}}
        mean = {"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}
        run = desk.run(baselines=[rival, mean])
        folds = read_json(run.folder / "metrics.json")["baselines"]
        trained = {name: {each["n_train"] for each in block["folds"].values()} for name, block in folds.items()}
        assert {"rival": {0}, "mean": {ROWS * (len(JUDGED) - 1)}} == trained
        verify_run(run.folder, corpus=desk.folder / "judged.csv").raise_if_broken()


def _gate() -> list[dict[str, Any]]:
    return [{"id": "good", "metric": "pearson", "over": "pooled", "at_least": 0.9}]


class TestAfterwards:
    """What a slot serves of it is the model itself, by digest."""

    @pytest.mark.slow
    def test_a_slot_serves_it_in_shadow_and_refuses_another(self, desk: Desk) -> None:
        """The slot would answer with other weights than those that were judged, or with none."""
        run = desk.run()
        rows = desk.rows("judged").select("site", "a", "b")[:30]
        rows.write_csv(desk.folder / "monday.csv")
        rows[:10].write_csv(desk.folder / "tuesday.csv")
        with Registry(desk.folder / "registry", create=True) as registry:
            promote(registry, add(registry, run.folder).id)
            store = ShadowStore(desk.folder / "shadow", "elsewhere")
            (done,) = run_shadow(registry, store, desk.folder / "monday.csv").results
            assert ("predicted", 30, 0) == (done.state, done.rows, done.in_sample)
            found = pl.read_ndjson(next(store.folder("monday").glob("*.jsonl")))
            assert (
                pl.read_ndjson(run.folder / "predictions.jsonl")["seed0"][:30].to_list()
                == found["prediction"].to_list()
            )
            desk.train(Ridge(alpha=300.0))
            with pytest.raises(HeldoutError, match="is not at hand"):
                run_shadow(registry, store, desk.folder / "tuesday.csv")

    @pytest.mark.slow
    def test_what_it_costs_can_be_judged(self, desk: Desk) -> None:
        """A rule on size or speed could not be declared of a model that was bought."""
        costs = [
            {"id": "small", "metric": "model_bytes", "at_most": 1e6},
            {"id": "fast", "metric": "latency_us", "at_most": 1e9},
        ]
        run = desk.run(gate={"rules": [*_gate(), *costs]})
        assert ("PROMOTE", desk.model.stat().st_size) == (
            run.verdict,
            read_json(run.folder / "costs.json")["model_bytes"],
        )
        verify_run(run.folder).raise_if_broken()

    @pytest.mark.slow
    def test_without_the_model_all_else_is_verified(self, desk: Desk) -> None:
        """A run whose model was thrown away would be worth nothing, or be called verified whole."""
        run = desk.run()
        desk.model.unlink()
        found = verify_run(run.folder, corpus=desk.folder / "judged.csv")
        found.raise_if_broken()
        states = {link.id: link.state for link in found.links}
        assert {"NOT CHECKED"} == {states[name] for name in ("model", "model-gate", "weights")}
        assert {"OK"} == {states[name] for name in ("metrics", "rules", "verdict", "corpus-file")}
        with Registry(desk.folder / "registry", create=True) as registry:
            version = add(registry, run.folder)
            with pytest.raises(RefusedError, match="no checkpoint gate held"):
                promote(registry, version.id)

    def test_a_kit_does_not_carry_it(self, desk: Desk) -> None:
        """Another operator would unpack a study whose model is not there."""
        from heldout.package.kit.build import build_kit

        desk.study()
        with pytest.raises(StudyError, match="does not carry models"):
            build_kit(desk.folder / "study.yaml", desk.folder / "kit.tar.gz")

    @pytest.mark.slow
    def test_a_public_package_is_verified_without_it(self, desk: Desk) -> None:
        """What is published of such a run could not be checked by anybody."""
        from heldout.package.public.publish import package_public

        pytest.importorskip("detect_secrets")
        run = desk.run({"held_out": SAYS})
        package_public(run.folder, desk.folder / "public.tar.gz")
        desk.model.unlink()
        found = verify_any(desk.folder / "public.tar.gz")
        assert {"OK"} == {link.state for link in found.links if link.id in ("rules", "verdict", "published")}


class TestShards:
    """Held-out rows that are asked for hours are asked in several places."""

    @pytest.mark.slow
    def test_two_halves_are_the_whole(self, desk: Desk) -> None:
        """Two machines would come to another verdict than one, or to none."""
        whole, study = desk.run(), desk.study()
        places = [desk.folder / name for name in ("one", "two")]
        for number, place in enumerate(places):
            told = fit_shard(study.prepare(runs=place), Shard(number, 2), workers=1)
            assert (5, {"offset": number, "stride": 2}) == (told["of"], told["shard"])
        together = study.prepare(runs=desk.folder / "together")
        assert 5 == bring(together, places)
        document = execute(together, workers=1)
        assert ("PROMOTE", "asked") == (document["verdict"], document["evidence"])
        folder = together.folder.path
        assert [sha256_file(each / "predictions.jsonl") for each in (whole.folder, folder)] == [
            document["judged"]["predictions_sha256"]
        ] * 2
        assert verify_run(folder).holds


class TestIdentity:
    """Weights are content; their place is none."""

    def test_equal_weights_elsewhere_are_the_same_run(self, desk: Desk) -> None:
        """A file that was moved would be asked for hours once more, and count as another attempt."""
        run = desk.run()
        before = units(run)
        (desk.folder / "kept").mkdir()
        shutil.move(desk.model, desk.folder / "kept" / "old.skops")
        again = desk.run({"model": "kept/old.skops"})
        assert (run.folder, before) == (again.folder, units(again))
        assert 1 == len(looks_of(read_ledger(run.folder.parent)))

    @pytest.mark.slow
    def test_other_weights_at_the_same_place_are_another_attempt(self, desk: Desk) -> None:
        """Whoever replaces the file until it passes would have tried once."""
        first = desk.run()
        desk.train(Ridge(alpha=300.0))
        second = desk.run()
        assert first.folder != second.folder
        assert (1, 2) == (first.document["trial"]["attempt"], second.document["trial"]["attempt"])
        texts = [(each.folder / "predictions.jsonl").read_text() for each in (first, second)]
        assert texts[0] != texts[1]

    def test_the_place_stands_in_no_key(self, desk: Desk) -> None:
        """Two people with the same file would have different runs."""
        shutil.copy(desk.model, desk.folder / "b.skops")
        one, two = (desk.prepare({"model": name}) for name in ("model.skops", "b.skops"))
        assert [unit.key for unit in one.main.units] == [unit.key for unit in two.main.units]
        assert "model.skops" not in str(one.resolved.config)

    def test_the_size_of_a_batch_is_no_part_of_it(self, desk: Desk) -> None:
        """A machine with less memory would make another variant."""
        run = desk.run({"batch": 7})
        before = units(run)
        assert before == units(desk.run({"batch": 1000}))

    @pytest.mark.slow
    def test_what_a_kill_left_beside_a_finished_unit_is_swept(self, desk: Desk) -> None:
        """The files of a resumed run would not be those of one that nobody disturbed."""
        run = desk.run()
        unit = next(run.folder.rglob("unit.json")).parent
        (unit / PARTIAL_FILE).write_bytes(b"{}")
        (run.folder / "manifest.json").unlink()
        desk.run()
        assert ["predictions.safetensors", "unit.json"] == sorted(path.name for path in unit.iterdir())
        verify_run(run.folder).raise_if_broken()

    def test_answers_are_thrown_away_when_their_unit_is_on_disk(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A power cut would cost the answers of a night, and the unit that was made of them."""
        told: list[str] = []
        monkeypatch.setattr("heldout.run.units.landing.settle", lambda paths: told.extend(["disk"] * bool(paths)))
        monkeypatch.setattr("heldout.run.asking.sweep", lambda units: told.extend("swept" for _ in units))
        run = desk.run()
        assert ["disk", "swept"] * len([*run.folder.rglob("unit.json")]) == told

    def test_a_model_that_changes_meanwhile_is_refused(self, desk: Desk) -> None:
        """One unit would be of the old weights and the next of the new ones, under one digest."""
        prepared = desk.prepare()
        unit = prepared.main.units[0]
        argument, inputs = told(prepared, unit)
        desk.train(Ridge(alpha=300.0))
        with pytest.raises(UnitError, match="the model changed during the run"):
            ask_unit(ToAsk(argument, unit.folder), inputs)
        assert not (unit.folder / "unit.json").exists()
        assert not list(unit.folder.glob("*.jsonl"))

    def test_what_is_no_model_is_refused(self, desk: Desk) -> None:
        """A pipe would be waited for, and a link lead out of what is named."""
        for name, match in (("nothing.skops", "cannot be read"), ("judged.csv", "neither a skops archive")):
            with pytest.raises(StudyError, match=match):
                desk.prepare({"model": name})
        with pytest.raises(StudyError, match="named by its path in a study"):
            desk.prepare({"model": "sha256:" + "0" * 64})


class TestGate:
    """A model that does not pass its checkpoint gate is never asked, and nobody looked."""

    def test_a_damaged_file_is_a_hold_without_a_look(self, desk: Desk) -> None:
        """It would end in a traceback, or in a look that was wasted."""
        desk.model.write_bytes(desk.model.read_bytes()[:-200])
        run = desk.run()
        assert "HOLD" == run.verdict
        outcome, sentence = rule(run.document, "gated")
        assert "FAIL" == outcome
        assert "the model cannot be read" in sentence
        assert not list(run.folder.rglob("unit.json"))
        assert ["FAILED"] == [link.record["outcome"] for link in read_ledger(run.folder.parent)]

    def test_other_features_are_found_before_anything_is_asked(self, desk: Desk) -> None:
        """Columns in another order or number would be asked without a word."""
        desk.train(Ridge(), named=True)
        for part in ("judged", "train"):
            desk.rows(part).rename({"a": "z"}).write_csv(desk.folder / f"{part}.csv")
        run = desk.run()
        assert ("HOLD", True) == (run.verdict, "asks for 'a'" in rule(run.document, "gated")[1])

    @pytest.mark.slow
    def test_a_model_without_a_gate_is_unknown(self, desk: Desk, line: dict[str, Any]) -> None:
        """Nobody looked at the file, and it would be promoted all the same."""
        run = desk.run(**line | {"backbone": "asked_line"})
        assert ("HOLD", "UNKNOWN") == (run.verdict, rule(run.document, "gated")[0])
        others = [each["id"] for each in run.document["rules"] if each["outcome"] != "PASS"]
        assert ["gated"] == others
        with pytest.raises(InputError, match="no computed verdict"):
            desk.prepare(champion=str(run.folder))

    @pytest.mark.slow
    def test_a_regressor_does_not_answer_classes(self, desk: Desk) -> None:
        """Numbers would be scored as labels."""
        desk.manifest(target="label")
        run = desk.run(target="label")
        assert ("HOLD", True) == (run.verdict, "numbers and no probabilities" in rule(run.document, "gated")[1])


class TestHeldOut:
    """That the model never saw these groups is shown, attested, or unknown."""

    @pytest.mark.slow
    def test_nothing_said_is_unknown(self, desk: Desk) -> None:
        """A model that was trained on everything would be promoted on its training rows."""
        run = desk.run({"held_out": None})
        assert ("HOLD", "UNKNOWN") == (run.verdict, rule(run.document, "held-out")[0])

    @pytest.mark.slow
    def test_a_word_is_repeated_wherever_the_verdict_is_read(self, desk: Desk, capsys: Any) -> None:
        """A reader would take somebody's word for evidence."""
        from heldout.cli.printing import RunPrinter

        run = desk.run({"held_out": SAYS})
        assert ("PROMOTE", "PASS") == (run.verdict, rule(run.document, "held-out")[0])
        RunPrinter(quiet=True).verdict(run.document, run.folder)
        first = capsys.readouterr().out.splitlines()[0]
        for text in (rule(run.document, "held-out")[1], run.document["recommendation"], run.report.read_text(), first):
            assert "attested, and not shown" in text
            assert SAYS["says"] in text
        verify_run(run.folder).raise_if_broken()

    def test_a_leaked_group_is_named(self, desk: Desk) -> None:
        """A group that was trained on would be judged as if nobody had seen it."""
        everything = pl.concat([desk.rows("train"), desk.rows("judged").filter(pl.col("site") == "e")])
        everything.write_csv(desk.folder / "train.csv")
        desk.manifest()
        outcome, sentence = rule(desk.run().document, "held-out")
        assert ("FAIL", True) == (outcome, "judged: e" in sentence)

    def test_a_leaked_group_under_another_name_is_found_by_content(self, desk: Desk) -> None:
        """A new name would hide that it was trained on."""
        leaked = desk.rows("judged").filter(pl.col("site") == "f").with_columns(site=pl.lit("new"))
        pl.concat([desk.rows("train"), leaked]).write_csv(desk.folder / "train.csv")
        desk.manifest()
        run = desk.run()
        assert ("FAIL", True) == (rule(run.document, "held-out")[0], "f (as new)" in rule(run.document, "held-out")[1])
        assert "HOLD" == run.verdict

    @pytest.mark.slow
    def test_other_columns_show_nothing(self, desk: Desk) -> None:
        """Digests of other columns never agree, so a leak under another name would PASS."""
        leaked = desk.rows("judged").with_columns(site=pl.lit("old"), more=1.5)
        leaked.write_csv(desk.folder / "train.csv")
        desk.manifest()
        outcome, sentence = rule(desk.run().document, "held-out")
        assert ("UNKNOWN", True) == (outcome, "content cannot be compared" in sentence)

    def test_what_is_no_manifest_is_refused(self, desk: Desk) -> None:
        """Any JSON would pass for a training corpus without groups."""
        write_json(desk.folder / "trained.json", {"groups": []})
        with pytest.raises(StudyError, match=r"no manifest of a corpus"):
            desk.prepare()
        with pytest.raises(StudyError, match="give one of"):
            desk.prepare({"held_out": {}})
        with pytest.raises(StudyError, match="in a sentence"):
            desk.prepare({"held_out": {"says": "trust me"}})

    @pytest.mark.slow
    def test_another_word_after_a_look_needs_a_reason(self, desk: Desk) -> None:
        """Whoever saw the number could then say whatever makes it pass."""
        desk.run({"held_out": None})
        run = desk.run({"held_out": SAYS})
        outcome, sentence = rule(run.document, "pre-registered")
        assert ("HOLD", "FAIL") == (run.verdict, outcome)
        assert "stated otherwise" in sentence
        prepared = desk.prepare({"held_out": SAYS})
        amend(prepared.study, prepared.declared, "the vendor answered our letter")
        assert "PROMOTE" == desk.run({"held_out": SAYS}).verdict

    def test_each_model_has_a_word_of_its_own(self, desk: Desk) -> None:
        """A challenger with another training corpus would need an amendment for nothing."""
        desk.run()
        desk.train(Ridge(alpha=1.0))
        assert "PROMOTE" == desk.run({"held_out": SAYS}).verdict


class TestForeign:
    """Code that nobody here wrote is asked shut in, a fresh process a block."""

    @pytest.mark.slow
    def test_it_is_asked_again_and_verified(self, desk: Desk, line: dict[str, Any]) -> None:
        """Its answers would be taken on its word."""
        run = desk.run(workers=2, **line)
        assert ("PROMOTE", "PASS") == (run.verdict, rule(run.document, "stored-model")[0])
        assert len(JUDGED) == read_json(run.folder / "stored.json")["asked"]
        rows = desk.rows("judged")
        found = pl.read_ndjson(run.folder / "predictions.jsonl")["seed0"]
        assert (2 * rows["a"] - rows["b"]).to_list() == found.to_list()
        with trusting_code():
            found = verify_run(run.folder, corpus=desk.folder / "judged.csv", refit_too=True)
        found.raise_if_broken()
        assert {"OK"} == {link.state for link in found.links if link.id in ("model-gate", "weights", "refit")}

    @pytest.mark.slow
    def test_one_that_remembers_what_it_was_asked_is_found(self, desk: Desk, line: dict[str, Any]) -> None:
        """Its answer for a row would be another one when it serves."""
        run = desk.run(**with_fit(line, way="remembers"))
        assert ("HOLD", "FAIL") == (run.verdict, rule(run.document, "stored-model")[0])

    @pytest.mark.slow
    def test_one_that_opens_the_corpus_is_a_hold(self, desk: Desk, line: dict[str, Any]) -> None:
        """It would read the answers beside the questions."""
        run = desk.run(**with_fit(line, way="opens", file=str(desk.folder / "judged.csv")))
        assert ("HOLD", "FAIL") == (run.verdict, rule(run.document, "guards")[0])
        assert not list(run.folder.rglob("unit.json"))

    @pytest.mark.slow
    def test_answers_that_are_no_numbers_hold(self, desk: Desk, line: dict[str, Any]) -> None:
        """A gap would vanish from the score."""
        gated = desk.run(**with_fit(line, way="nan"))
        assert ("HOLD", "FAIL") == (gated.verdict, rule(gated.document, "gated")[0])
        free = desk.run(**with_fit(line, way="nan") | {"backbone": "asked_line"})
        assert ("HOLD", "FAIL") == (free.verdict, rule(free.document, "finite")[0])

    @pytest.mark.slow
    def test_answers_that_are_no_probabilities_are_refused(self, desk: Desk, line: dict[str, Any]) -> None:
        """A confidence of three would be scored."""
        three = with_fit(line, way="three") | {"backbone": "asked_line", "target": "label"}
        with pytest.raises(UnitError, match="no probabilities"):
            desk.run(**three)
        gated = desk.run(**three | {"backbone": "gated_line"})
        assert ("HOLD", True) == (gated.verdict, "no probabilities" in rule(gated.document, "gated")[1])
