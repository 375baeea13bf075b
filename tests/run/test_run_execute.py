"""The whole road in one directory: what a run leaves, and how it goes on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from heldout.errors import StaleError
from heldout.evidence import read_json, read_json_lines, sha256_file
from heldout.gate.verdict_files import read_verdict
from heldout.run import Run
from heldout.run.execute import execute
from heldout.run.layout import RunFolder
from heldout.verify import verify_run

SAME = ("predictions.jsonl", "predictions.csv", "metrics.json", "corpus.json", "split.json", "study.lock.yaml")


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [each for each in read_json_lines(folder / "progress.jsonl") if each["event"] == name]


def promotes(folder: Path) -> bool:
    return (folder / "PROMOTE.json").exists()


def outcome(document: Any, rule: str) -> str:
    return str({each["id"]: each["outcome"] for each in document["rules"]}[rule])


class TestWhatARunLeaves:
    """A run directory, read by people and by machines."""

    @pytest.mark.slow
    def test_every_document_is_there(self, judged: tuple[Any, Run]) -> None:
        """Half of the evidence would be missing."""
        _, run = judged
        names = {path.name for path in run.folder.iterdir()}
        documents = {"run.json", "progress.jsonl", "manifest.json", "RUN_REPORT.md", "report.html", "PROMOTE.json"}
        assert {*SAME, *documents, "fits", "baselines"} <= names
        assert "scratch" not in names
        units = {str(path.parent.relative_to(run.folder)) for path in run.folder.rglob("unit.json")}
        folds = ("ann", "bob", "cyd", "dan")
        variant = {f"fits/seed{seed}/{fold}" for seed in (0, 1) for fold in folds}
        assert variant | {f"baselines/mean/fits/seed0/{fold}" for fold in folds} == units

    @pytest.mark.slow
    def test_every_document_is_strict_json_with_a_schema(self, judged: tuple[Any, Run]) -> None:
        """Other programs could not read the evidence, or not know what it is."""
        for path in judged[1].folder.rglob("*.json"):
            assert read_json(path)["schema"].startswith("heldout."), path

    def test_manifest_names_every_file_by_digest(self, judged: tuple[Any, Run]) -> None:
        """A file could be added or changed without a trace."""
        folder = judged[1].folder
        listed = {name: entry["sha256"] for name, entry in read_json(folder / "manifest.json")["files"].items()}
        unlisted = {"manifest.json", "progress.jsonl", ".lock"}
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert {name: sha256_file(path) for name, path in there.items() if name not in unlisted} == listed

    def test_verdict_names_what_it_judged(self, judged: tuple[Any, Run]) -> None:
        """Defect 13: nothing would tie the verdict to its corpus, its model and its predictions."""
        desk, run = judged
        found = run.document["judged"]
        assert sha256_file(desk.table) == found["corpus_sha256"] == read_json(run.folder / "corpus.json")["sha256"]
        assert sha256_file(run.folder / "predictions.jsonl") == found["predictions_sha256"]
        assert sha256_file(run.folder / "metrics.json") == found["metrics_sha256"]
        resolved = desk.load().resolve()
        assert resolved.sha256 == found["variant_sha256"] == read_json(run.folder / "run.json")["variant_sha256"]
        assert "table.csv" == Path(found["corpus_path"]).name

    def test_predictions_are_kept_row_by_row(self, judged: tuple[Any, Run]) -> None:
        """Defect 30: nobody could compute another metric, or an interval, without training again."""
        rows = read_json_lines(judged[1].folder / "predictions.jsonl")
        assert 60 == len(rows) == judged[1].numbers["rows"]
        assert {"sample_id", "group", "fold", "target", "prediction", "sigma", "seed0", "seed1"} == set(rows[0])
        assert all(row["prediction"] == pytest.approx((row["seed0"] + row["seed1"]) / 2) for row in rows)

    def test_baseline_stands_in_the_table_and_not_in_the_verdict(self, judged: tuple[Any, Run]) -> None:
        """A model that learnt nothing would look good for want of a comparison; or the baseline would be judged."""
        metrics = judged[1].numbers
        assert {"mean"} == set(metrics["baselines"])
        ours, theirs = metrics["ensemble"]["pooled"]["rmse"], metrics["baselines"]["mean"]["pooled"]["rmse"]
        assert theirs > 5 * ours
        assert "the mean of the training rows" in judged[1].report.read_text()

    def test_no_file_is_a_pickle(self, judged: tuple[Any, Run]) -> None:
        """Opening a run of someone else would run their code."""
        for path in judged[1].folder.rglob("*"):
            if path.is_file():
                assert path.suffix not in {".pkl", ".pickle", ".joblib", ".pt"}
                assert not path.read_bytes().startswith(b"\x80")

    def test_progress_tells_every_unit_and_ends_complete(self, judged: tuple[Any, Run]) -> None:
        """A watcher could not tell a finished run from a killed one."""
        folder = judged[1].folder
        told = read_json_lines(folder / "progress.jsonl")
        assert {"event", "ts", "unit", "done", "total"} == set(told[0])
        assert 12 == len({each["unit"] for each in events(folder, "fitted")}) == len(events(folder, "fitted"))
        assert ("complete", "PROMOTE") == (told[-1]["event"], told[-1]["unit"])


class TestGoingOn:
    """The same command, again."""

    def test_nothing_left_to_do_changes_nothing(self, again: tuple[Any, Path]) -> None:
        """A finished run would be trained again, or end otherwise than it did."""
        desk, folder = again
        before, units = {name: (folder / name).read_bytes() for name in SAME}, desk.fitted(folder)
        assert folder == desk.run().folder
        assert before == {name: (folder / name).read_bytes() for name in SAME}
        assert units == desk.fitted(folder)
        assert 12 == len(events(folder, "fitted"))
        assert events(folder, "plan")[-1]["unit"].startswith("nothing to do: judged 2")
        assert promotes(folder)

    @pytest.mark.slow
    def test_interrupted_run_reuses_its_units_and_ends_in_the_same_bytes(
        self, judged: tuple[Any, Run], desk: Any
    ) -> None:
        """An interruption would cost the whole training, or change the result."""

        def interrupt(event: Any) -> None:
            if event["event"] == "fitted" and event["done"] == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            desk.run(listener=interrupt)
        (folder,) = (desk.runs / "small").glob("base-*")
        assert read_verdict(folder) is None
        early = desk.fitted(folder)
        assert 3 == len(early)
        summary = desk.prepare().summary()
        assert {"reused": 3, "to_fit": 5} == summary["units"]["base"]
        assert folder == desk.run().folder
        assert early == {name: desk.fitted(folder)[name] for name in early}
        plan = [each["unit"] for each in events(folder, "plan")]
        assert "base: 3 units reused, 5 to fit (5 not fitted yet)" in plan
        assert 12 == len({each["unit"] for each in events(folder, "fitted")}) == len(events(folder, "fitted"))
        calm = judged[1].folder
        for name in SAME:
            assert (calm / name).read_bytes() == (folder / name).read_bytes(), name

    def test_only_the_damaged_unit_is_fitted_again(self, again: tuple[Any, Path]) -> None:
        """One flipped bit would cost the whole training, or be judged as it is."""
        desk, folder = again
        before, units = (folder / "predictions.jsonl").read_bytes(), desk.fitted(folder)
        damaged = folder / "fits" / "seed1" / "bob" / "predictions.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-8] + b"\x00" * 8)
        desk.run()
        changed = {name for name, moment in desk.fitted(folder).items() if moment != units[name]}
        assert {"fits/seed1/bob"} == changed
        assert before == (folder / "predictions.jsonl").read_bytes()
        assert "1 predictions.safetensors is not the file that unit.json names" in events(folder, "plan")[-2]["unit"]

    def test_defect_11_older_promote_is_gone_while_units_are_pending(self, again: tuple[Any, Path]) -> None:
        """A run that is interrupted while it is repaired would keep the verdict of other predictions."""
        desk, folder = again
        assert promotes(folder)
        (folder / "fits" / "seed0" / "cyd" / "unit.json").unlink()

        def interrupt(event: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            desk.run(listener=interrupt)
        assert not promotes(folder)
        assert read_verdict(folder) is None
        assert "PROMOTE" == desk.run().verdict

    def test_stricter_gate_judges_again_and_leaves_one_verdict(self, again: tuple[Any, Path]) -> None:
        """Defect 11: HOLD after PROMOTE would leave both, and whoever looks for PROMOTE first would export."""
        desk, folder = again
        units = desk.fitted(folder)
        strict = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.99999}]}
        run = desk.run(gate=strict)
        assert (folder, "HOLD") == (run.folder, run.verdict)
        assert not promotes(folder)
        assert units == desk.fitted(folder)

    def test_defect_11_fits_of_undeclared_seeds_hold(self, again: tuple[Any, Path]) -> None:
        """Fits of an older run would lie beside the verdict as if it had judged them."""
        desk, folder = again
        (folder / "fits" / "seed1" / "ann" / "unit.json").parent.rename(folder / "fits" / "seed7")
        run = desk.run()
        assert "HOLD" == run.verdict
        assert "FAIL" == outcome(run.document, "one-evidence")
        assert any("seed7" in reason for reason in run.document["reasons"])

    def test_second_process_on_the_same_run_is_stale(self, again: tuple[Any, Path]) -> None:
        """Two processes would write the same units at once."""
        desk, folder = again
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}
        with FileLock(RunFolder(folder).file(".lock")), pytest.raises(StaleError) as caught:
            desk.run()
        assert (4, str(folder)) == (caught.value.exit_code, caught.value.where)
        assert caught.value.hint
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}
        assert before == after
        assert "PROMOTE" == desk.run().verdict

    @pytest.mark.slow
    def test_plan_is_made_again_under_the_lock(self, desk: Any) -> None:
        """Who waited for another process would fit all of its units a second time."""
        early = desk.prepare()
        folder = desk.run().folder
        units = desk.fitted(folder)
        execute(early, workers=1)
        assert units == desk.fitted(folder)
        assert promotes(folder)


class TestWhatHolds:
    """Nothing that is not the declared study, whole, is promoted."""

    @pytest.mark.slow
    def test_smoke_run_never_promotes(self, again: tuple[Any, Path]) -> None:
        """Defect 10: a quick look would be promoted like the real thing."""
        desk, folder = again
        run = desk.run(["fit.scale=false"])
        assert folder != run.folder
        assert "HOLD" == run.verdict
        assert ["not-smoke"] == [each["id"] for each in run.document["rules"] if each["outcome"] != "PASS"]
        assert "fit.scale" in run.document["smoke"]
        assert "HOLD" == desk.run(["fit.scale=false"]).verdict

    @pytest.mark.slow
    def test_smoke_of_the_same_training_has_a_directory_of_its_own(self, again: tuple[Any, Path]) -> None:
        """An override of the gate alone would replace the real verdict."""
        desk, folder = again
        run = desk.run(["bootstrap.draws=200"])
        assert "HOLD" == run.verdict
        assert folder != run.folder
        assert promotes(folder)

    @pytest.mark.slow
    def test_copied_group_holds(self, desk: Any) -> None:
        """A copy of a held-out group in training shows the model the answers."""
        lines = desk.table.read_text().splitlines(keepends=True)
        copies = [line.replace(",ann,", ",ann-copy,").replace("s0", "t0") for line in lines if ",ann," in line]
        desk.table.write_text("".join([*lines, *copies]))
        run = desk.run()
        assert "HOLD" == run.verdict
        assert "FAIL" == outcome(run.document, "guards")
        assert ["HO-G002"] == [finding["code"] for finding in run.document["findings"]]

    @pytest.mark.slow
    def test_too_few_groups_or_seeds_hold(self, desk: Any) -> None:
        """Defect 10: one fold or one seed would be enough to promote."""
        rules = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]}
        run = desk.run(gate=rules | {"min_groups": 5, "min_seeds": 3})
        assert "HOLD" == run.verdict
        assert ("FAIL", "FAIL") == (outcome(run.document, "groups"), outcome(run.document, "seeds"))

    @pytest.mark.slow
    def test_groups_that_only_trained_are_no_evidence(self, desk: Any) -> None:
        """A test set of one group would pass for as many groups as the corpus has."""
        rules = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]}
        run = desk.run(gate=rules | {"min_groups": 3}, split={"kind": "fixed", "test": ["ann", "bob"]})
        assert ("HOLD", "FAIL") == (run.verdict, outcome(run.document, "groups"))
        assert verify_run(run.folder).broken is None

    @pytest.mark.slow
    def test_defect_12_constant_prediction_is_unknown_and_holds(self, desk: Any) -> None:
        """A correlation that is not a number would vanish from the mean, and the rest be promoted."""
        run = desk.run(fit={"estimator": "sklearn.dummy.DummyRegressor"}, baselines=[])
        assert "HOLD" == run.verdict
        rules = {"rules": [{"id": "plcc", "metric": "plcc", "at_least": 0.5}]}
        document = desk.run(fit={"estimator": "sklearn.dummy.DummyRegressor"}, baselines=[], gate=rules).document
        assert "UNKNOWN" == outcome(document, "plcc")
        assert run.numbers["undefined"]

    @pytest.mark.slow
    def test_every_number_on_disk_is_json(self, desk: Any) -> None:
        """Defect 12: bare NaN in a file that other programs read."""
        run = desk.run(fit={"estimator": "sklearn.dummy.DummyRegressor"}, baselines=[])
        for path in run.folder.rglob("*.json"):
            json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in a document"))


@pytest.mark.slow
def test_number_of_workers_changes_nothing(judged: tuple[Any, Run], desk: Any) -> None:
    """A machine with more cores would decide otherwise."""
    found = desk.run(workers=2).folder
    for name in SAME:
        assert (judged[1].folder / name).read_bytes() == (found / name).read_bytes(), name
    for path in judged[1].folder.glob("fits/*/*/model.skops"):
        assert path.read_bytes() == (found / path.relative_to(judged[1].folder)).read_bytes()


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(desk: Any) -> None:
    """Running again what is finished would change the files that somebody signed or registered."""
    folder = desk.run().folder
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    assert folder == desk.run().folder
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    moving = {folder / "progress.jsonl", folder / ".lock"}
    assert {path: before[path] for path in before if path not in moving} == {
        path: after[path] for path in after if path not in moving
    }


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", ["metrics.json", "report.html", "predictions.csv", "manifest.json"])
def test_a_finished_run_that_was_touched_is_judged_again(desk: Any, name: str) -> None:
    """A damaged run would stay damaged for ever."""
    folder = desk.run().folder
    sound = (folder / "metrics.json").read_bytes()
    (folder / name).write_bytes(b"damaged") if name != "manifest.json" else (folder / name).unlink()
    desk.run()
    assert sound == (folder / "metrics.json").read_bytes()
    assert b"damaged" != (folder / name).read_bytes()
