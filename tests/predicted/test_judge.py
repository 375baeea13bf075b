"""`heldout judge`: predictions from elsewhere, judged on the one road; numbers are scikit-learn's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Answer, heldout

import heldout as api
from heldout.errors import HeldoutError
from heldout.evidence import read_json

SAYS = "sites were split before anything was trained"
WORDS = ("--group", "site", "--target", "y", "--prediction", "new", "--against", "old")


def numbers(rows: int = 240, groups: int = 8) -> pl.DataFrame:
    """Rows of several sites; `new` is near the truth, `old` is not so near."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "id": [f"s{number:03d}" for number in range(rows)],
            "site": [f"g{number % groups}" for number in range(rows)],
            "y": y,
            "new": y + rng.normal(0, 0.3, rows),
            "old": y + rng.normal(0, 0.8, rows),
        }
    )


def classes(rows: int = 240, groups: int = 8) -> pl.DataFrame:
    """The same of two classes, with the probability of `yes`."""
    frame = numbers(rows, groups)
    squashed = [(1 / (1 + (-2 * frame[name]).exp())).alias(name) for name in ("new", "old")]
    return frame.with_columns(*squashed, y=pl.when(frame["y"] > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))


Judge = Callable[..., Answer]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """`heldout judge` of files in a folder."""

    def run(*files: str, words: tuple[str, ...] = WORDS, more: tuple[str, ...] = ("--held-out", SAYS)) -> Answer:
        return heldout("judge", *files, *words, *more, cwd=tmp_path)

    return run


def newest(folder: Path) -> Path:
    verdicts = [*folder.glob("heldout-runs/*/*/PROMOTE.json"), *folder.glob("heldout-runs/*/*/HOLD.json")]
    return max(verdicts, key=lambda path: path.stat().st_mtime_ns).parent


def rule(folder: Path, identifier: str) -> dict[str, Any]:
    (name,) = (each for each in ("PROMOTE.json", "HOLD.json") if (folder / each).exists())
    found: dict[str, Any] = next(each for each in read_json(folder / name)["rules"] if each["id"] == identifier)
    return found


@pytest.mark.slow
def test_one_file_is_judged_and_verified(judge: Judge, tmp_path: Path) -> None:
    """Whoever has nothing but predictions would get no verdict at all."""
    from sklearn.metrics import root_mean_squared_error

    frame = numbers()
    frame.write_parquet(tmp_path / "preds.parquet")
    done = judge("preds.parquet")
    assert 0 == done.code, done.out + done.err
    assert f"(predicted; it is attested, and not shown, that the model never saw these groups: {SAYS})" in done.out
    run = newest(tmp_path)
    metrics = read_json(run / "metrics.json")
    gains = []
    for site in sorted(set(frame["site"])):
        part = frame.filter(pl.col("site") == site)
        new, old = (root_mean_squared_error(part["y"], part[name]) for name in ("new", "old"))
        assert new == pytest.approx(metrics["ensemble"]["groups"][site]["rmse"], rel=1e-12)
        gains.append(old - new)
    assert np.mean(gains) == pytest.approx(metrics["comparisons"]["old"]["rmse"]["gain"], rel=1e-12)
    told = heldout("verify", run, "--corpus", "preds.parquet", "--refit", cwd=tmp_path)
    assert (0, True) == (told.code, "VERIFIED PROMOTE" in told.out), told.out
    assert "BROKEN" not in told.out
    again = judge("preds.parquet")
    assert (0, run) == (again.code, newest(tmp_path))


def test_several_files_are_joined_by_id(judge: Judge, tmp_path: Path) -> None:
    """Rows in another order would be compared with the truth of others."""
    frame = numbers()
    frame.select("id", "site", "y").write_csv(tmp_path / "truth.csv")
    for name, seed in (("new", 1), ("old", 2)):
        part = frame.select("id", "y", pl.col(name).alias("prediction")).sample(fraction=1, shuffle=True, seed=seed)
        part.write_ndjson(tmp_path / f"{name}.jsonl")
    done = judge("truth.csv", "new.jsonl", "old.jsonl", more=("--id", "id", "--held-out", SAYS))
    assert 0 == done.code, done.out + done.err
    found = read_json(newest(tmp_path) / "metrics.json")["ensemble"]["pooled"]["rmse"]
    assert float(np.sqrt(((frame["new"] - frame["y"]) ** 2).mean())) == pytest.approx(found, rel=1e-12)


@pytest.mark.slow
def test_an_area_is_compared_over_all_rows_where_groups_have_one_label(judge: Judge, tmp_path: Path) -> None:
    """A patient has one label: by groups no area exists, and every verdict would be UNKNOWN."""
    from sklearn.metrics import roc_auc_score

    frame = classes(400, 80)
    frame = frame.with_columns(y=pl.col("y").first().over("site"))
    frame.write_csv(tmp_path / "preds.csv")
    judge("preds.csv", more=("--held-out", SAYS, "--metric", "roc_auc"))
    found = read_json(newest(tmp_path) / "metrics.json")["comparisons"]["old"]["roc_auc"]
    new, old = (roc_auc_score(frame["y"] == "yes", frame[name]) for name in ("new", "old"))
    assert found["gain"] is None
    assert new - old == pytest.approx(found["pooled"]["gain"], rel=1e-9)
    assert found["pooled"]["low"] < new - old < found["pooled"]["high"]
    assert "over all rows" in rule(newest(tmp_path), "better")["sentence"]
    assert 0 == heldout("verify", newest(tmp_path), "--corpus", "preds.csv", cwd=tmp_path).code


def test_a_copy_of_the_old_model_gains_nothing(judge: Judge, tmp_path: Path) -> None:
    """The old model under a new name would replace itself."""
    numbers().with_columns(new=pl.col("old")).write_csv(tmp_path / "preds.csv")
    done = judge("preds.csv")
    assert 1 == done.code
    assert "FAIL" == rule(newest(tmp_path), "better")["outcome"]


def test_nobody_said_how_groups_were_held_out(judge: Judge, tmp_path: Path) -> None:
    """Predictions for training rows would be promoted."""
    numbers().write_csv(tmp_path / "preds.csv")
    assert 1 == judge("preds.csv", more=()).code
    assert "UNKNOWN" == rule(newest(tmp_path), "held-out")["outcome"]


@pytest.mark.slow
def test_a_training_corpus_that_holds_the_groups_is_found(judge: Judge, tmp_path: Path) -> None:
    """Whoever names what the model was trained on may name the judged groups themselves."""
    numbers().write_csv(tmp_path / "preds.csv")
    judge("preds.csv")
    trained = newest(tmp_path) / "corpus.json"
    (tmp_path / "trained.json").write_bytes(trained.read_bytes())
    done = judge("preds.csv", more=("--trained-on", "trained.json", "--ledger", "others"))
    assert 1 == done.code, done.err
    (run,) = tmp_path.glob("others/preds/base-*")
    assert "FAIL" == rule(run, "held-out")["outcome"]


@pytest.mark.slow
def test_another_metric_after_a_look_needs_a_reason(judge: Judge, tmp_path: Path) -> None:
    """Whoever may choose the metric after the numbers always finds one."""
    numbers().write_csv(tmp_path / "preds.csv")
    assert 0 == judge("preds.csv").code
    assert 1 == judge("preds.csv", more=("--held-out", SAYS, "--metric", "mae")).code
    assert "FAIL" == rule(newest(tmp_path), "pre-registered")["outcome"]


@pytest.mark.slow
def test_a_newer_model_in_the_same_file_is_another_attempt(judge: Judge, tmp_path: Path) -> None:
    """Whoever adds a column would have to say why the old model is another one."""
    frame = numbers()
    frame.write_csv(tmp_path / "preds.csv")
    assert 0 == judge("preds.csv").code
    newer = frame.with_columns(newer=(pl.col("new") * 2 + pl.col("y")) / 3)
    newer.select("id", "newer", "old", "site", "y", "new").write_csv(tmp_path / "preds.csv")
    words = ("--group", "site", "--target", "y", "--prediction", "newer", "--against", "old")
    done = judge("preds.csv", words=words)
    assert 0 == done.code, done.out
    verdict = read_json(newest(tmp_path) / "PROMOTE.json")
    assert 2 == verdict["trial"]["attempt"]
    newer.with_columns(old=pl.col("old") + 1).write_csv(tmp_path / "preds.csv")
    assert 1 == judge("preds.csv", words=words).code  # and an old model that is made worse is another yardstick
    assert "FAIL" == rule(newest(tmp_path), "pre-registered")["outcome"]


def test_chance_beats_a_poor_old_model_too(judge: Judge, tmp_path: Path) -> None:
    """Half as bad as nonsense would be good enough."""
    frame = classes()
    rng = np.random.default_rng(3)
    frame = frame.with_columns(old=rng.random(frame.height), new=0.35 + 0.3 * rng.random(frame.height))
    frame.write_csv(tmp_path / "preds.csv")
    assert 1 == judge("preds.csv").code
    assert ("PASS", "FAIL") == tuple(rule(newest(tmp_path), name)["outcome"] for name in ("better", "informed"))
    assert "PASS" == rule(newest(tmp_path), "non-trivial")["outcome"]


def spoilt(frame: pl.DataFrame, how: str) -> pl.DataFrame:
    """Predictions in which something is wrong."""
    match how:
        case "missing":
            return frame.head(-3)
        case "doubled":
            return pl.concat([frame, frame.head(1)])
        case "other":
            return pl.concat([frame, frame.head(1).with_columns(id=pl.lit("nobody"))])
        case "target":
            return frame.with_columns(y=pl.when(pl.col("id") == "s007").then(99.0).otherwise(pl.col("y")))
        case "unnamed":
            return frame.with_columns(id=pl.when(pl.col("id") == "s007").then(None).otherwise(pl.col("id")))
        case "lists":
            return frame.with_columns(new=pl.concat_list("new"))
        case "ids":
            return frame.with_columns(id=pl.concat_list("id"))
        case _:
            return frame.with_columns(new=pl.lit("much"))


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("missing", "3 of 240 samples have no prediction, such as 's237'"),
        ("doubled", "sample 's000' has 2 predictions"),
        ("other", "1 predictions are of samples that the corpus has not, such as 'nobody'"),
        ("target", "the target of 1 samples is another here: of s007 it is 99.0"),
        ("unnamed", "a sample id is missing"),
        ("words", "holds no numbers, and the target is one"),
        ("lists", "not one value a row"),
        ("ids", "not one value a row"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(how: str, what: str, judge: Judge, tmp_path: Path) -> None:
    """A mean over other rows would be called the model's."""
    frame = numbers()
    frame.select("id", "site", "y", "old").write_parquet(tmp_path / "truth.parquet")
    spoilt(frame.select("id", "y", "new"), how).write_parquet(tmp_path / "new.parquet")
    done = judge("truth.parquet", "new.parquet", more=("--id", "id", "--held-out", SAYS))
    assert 2 == done.code, done.out
    assert all(word in done.err for word in (what, "where:", "fix:")), done.err
    assert not list(tmp_path.glob("heldout-runs/*/*/metrics.json"))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--group", "site", "--target", "y", "--prediction", "new"), "nothing decides"),
        (("--group", "site", "--target", "y", "--prediction", "newer", "--against", "old"), "no file has predictions"),
        (("--group", "place", "--target", "y", "--prediction", "new", "--against", "old"), "no file has the columns"),
        (("--group", "site", "--target", "y", "--prediction", "new", "--against", "new"), "compared with itself"),
        (("--group", "site", "--target", "y", "--prediction", "y", "--against", "old"), "two things at once"),
        ((*WORDS, "--metric", "roc_auc"), "there is no metric 'roc_auc' of a regression"),
        ((*WORDS, "--task", "ranking"), "the target is no 'ranking'"),
        ((*WORDS, "--rules", "none.yaml"), "none.yaml"),
    ],
)
def test_questions_that_make_no_sense_are_refused(
    words: tuple[str, ...], what: str, judge: Judge, tmp_path: Path
) -> None:
    """A slip in a word would be judged as something else."""
    numbers().write_csv(tmp_path / "preds.csv")
    done = judge("preds.csv", words=words)
    assert (2, True) == (done.code, what in done.err), done.err
    assert all(word in done.err for word in ("where:", "fix:"))


def test_a_prediction_that_is_no_number_is_no_verdict(judge: Judge, tmp_path: Path) -> None:
    """A NaN would be left out of a mean."""
    frame = numbers().with_columns(new=pl.when(pl.col("id") == "s007").then(None).otherwise(pl.col("new")))
    frame.write_parquet(tmp_path / "preds.parquet")
    assert 1 == judge("preds.parquet").code
    assert "FAIL" == rule(newest(tmp_path), "finite")["outcome"]


def test_labels_are_judged_by_accuracy(judge: Judge, tmp_path: Path) -> None:
    """Somebody who has labels and no probabilities would be refused."""
    frame = classes()
    frame = frame.with_columns(
        *(pl.when(pl.col(n) > 0.5).then(pl.lit("yes")).otherwise(pl.lit("no")).alias(n) for n in ("new", "old"))
    )
    frame.write_csv(tmp_path / "preds.csv")
    assert judge("preds.csv").code in (0, 1)
    found = read_json(newest(tmp_path) / "metrics.json")
    assert float((frame["new"] == frame["y"]).mean()) == pytest.approx(found["ensemble"]["pooled"]["accuracy"])
    assert "accuracy" in rule(newest(tmp_path), "better")["sentence"]


def test_rules_of_a_study_judge(judge: Judge, tmp_path: Path) -> None:
    """A team's own bound would have no place."""
    numbers().write_csv(tmp_path / "preds.csv")
    gate = {"rules": [{"id": "close", "metric": "mae", "over": "worst_group", "at_most": 0.4}]}
    (tmp_path / "rules.yaml").write_text(json.dumps({"gate": gate}))
    words = ("--group", "site", "--target", "y", "--prediction", "new", "--rules", "rules.yaml")
    assert 0 == judge("preds.csv", words=words).code
    assert "PASS" == rule(newest(tmp_path), "close")["outcome"]


@pytest.mark.slow
def test_another_file_in_its_place_is_not_the_judged_one(judge: Judge, tmp_path: Path) -> None:
    """Predictions could be replaced after the verdict."""
    numbers().write_csv(tmp_path / "preds.csv")
    assert 0 == judge("preds.csv").code
    numbers().with_columns(new=pl.col("old")).write_csv(tmp_path / "preds.csv")
    told = heldout("verify", newest(tmp_path), cwd=tmp_path)
    assert "is not at hand" in told.out
    assert 3 == heldout("verify", newest(tmp_path), "--corpus", "preds.csv", cwd=tmp_path).code


@pytest.mark.slow
def test_a_slot_says_whether_predictions_are_enough(judge: Judge, tmp_path: Path) -> None:
    """What nobody can ask would serve."""
    numbers().write_csv(tmp_path / "preds.csv")
    assert 0 == judge("preds.csv").code
    added = heldout("registry", "add", newest(tmp_path), "--by", "ann", cwd=tmp_path)
    assert 0 == added.code, added.err
    version = added.out.split()[0]
    promote = ("registry", "promote", version, "--slot", "main", "--by", "ann", "--corpus", "preds.csv")
    refused = heldout(*promote, cwd=tmp_path)
    assert (3, True) == (refused.code, "the evidence is 'predicted'" in refused.err), refused
    why = ("--reason", "a vendor's model", "--by", "ann")
    admits = heldout("registry", "admission", "main", "--levels", "predicted", *why, cwd=tmp_path)
    assert 0 == admits.code, admits.err
    assert 0 == heldout(*promote, cwd=tmp_path).code


# --- in Python ---------------------------------------------------------------------------------------------------


def test_arrays_are_judged(tmp_path: Path) -> None:
    """Whoever sits in a notebook would have to write files."""
    frame = numbers()
    run = api.judge(
        frame["y"].to_numpy(),
        {"new": frame["new"].to_list(), "old": frame["old"]},
        groups=frame["site"].to_numpy(),
        held_out=SAYS,
        ledger=tmp_path / "runs",
    )
    assert "PROMOTE" == run.verdict
    assert run.verify(corpus=next((tmp_path / "runs").glob("judged-*.parquet"))).holds


@pytest.mark.slow
def test_probabilities_of_several_classes_and_seeds(tmp_path: Path) -> None:
    """A matrix of probabilities, and a matrix a seed, are what people have."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 150)
    good, poor = (rng.dirichlet(np.ones(3), 150) * 0.5 + size * np.eye(3)[y] for size in (0.5, 0.3))
    poor = poor / poor.sum(axis=1, keepdims=True)
    names = np.array(["ant", "bee", "cow"])[y]
    run = api.judge(
        names, {"new": good, "old": poor}, groups=np.arange(150) % 6, metrics=["log_loss", "roc_auc"],
        held_out=SAYS, ledger=tmp_path / "runs",
    )  # fmt: skip
    assert "PROMOTE" == run.verdict
    from sklearn.metrics import log_loss, roc_auc_score

    pooled = run.numbers["ensemble"]["pooled"]
    assert log_loss(names, good) == pytest.approx(pooled["log_loss"], rel=1e-9)
    assert roc_auc_score(names, good, multi_class="ovr") == pytest.approx(pooled["roc_auc"], rel=1e-9)
    frame = numbers()
    seeds = {seed: frame["new"].to_numpy() + 0.01 * seed for seed in range(3)}
    run = api.judge(
        frame["y"], {"new": seeds, "old": frame["old"]}, groups=frame["site"], held_out=SAYS, ledger=tmp_path / "more"
    )
    assert ("PROMOTE", [0, 1, 2]) == (run.verdict, run.numbers["seeds"])


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"groups": ["a", "b"]}, "'group' has 2 rows, and there are 240 targets"),
        ({"predictions": {}}, "there are no predictions"),
        ({"predictions": {"new": [[1.0] * 5] * 240, "old": [0.0] * 240}}, "have the shape"),
        ({"predictions": {"group": [0.0] * 240}}, "a model cannot be named 'group'"),
        ({"y": [[1, 2], [3]]}, "'y' is no column"),
        ({"y": [[1, 2], [3, 4]]}, "predictions of 'new' have the shape [240], and the targets are y0, y1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed: dict[str, Any], what: str, tmp_path: Path) -> None:
    """A shape that was broadcast would be a verdict over other rows."""
    frame = numbers()
    told: dict[str, Any] = {
        "y": frame["y"], "predictions": {"new": frame["new"], "old": frame["old"]}, "groups": frame["site"],
    }  # fmt: skip
    told |= changed
    with pytest.raises(HeldoutError) as refused:
        api.judge(told["y"], told["predictions"], groups=told["groups"], held_out=SAYS, ledger=tmp_path / "runs")
    assert what in refused.value.what
    assert refused.value.where
    assert refused.value.hint


# --- what an attacker tried ----------------------------------------------------------------------------------------


def of_two_classes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, groups, and the probabilities of `yes` of a good and of a poor model."""
    frame = classes(400, 20)
    return tuple(frame[name].to_numpy() for name in ("y", "site", "new", "old"))  # type: ignore[return-value]


@pytest.mark.slow
def test_names_of_classes_are_part_of_what_was_predicted(judge: Judge, tmp_path: Path) -> None:
    """The old model could be turned round after a look, and nobody would be told."""
    frame = classes()
    both = frame.with_columns(old_p_no=1 - pl.col("old"), old_p_yes=pl.col("old")).drop("old")
    both.write_csv(tmp_path / "preds.csv")
    assert 0 == judge("preds.csv").code
    both.rename({"old_p_no": "old_p_yes", "old_p_yes": "old_p_no"}).write_csv(tmp_path / "preds.csv")
    assert 1 == judge("preds.csv").code
    assert "FAIL" == rule(newest(tmp_path), "pre-registered")["outcome"]


@pytest.mark.parametrize("who", ["new", "old"])
@pytest.mark.parametrize("how", ["labels", "columns", "booleans"])
def test_labels_in_other_words_are_refused(who: str, how: str, judge: Judge, tmp_path: Path) -> None:
    """Each would count as an error of a model that is right, and any other would beat it."""
    frame = classes()
    said = frame[who] > 0.5
    match how:
        case "labels":
            frame = frame.with_columns(pl.Series(["Yes" if each else "No" for each in said]).alias(who))
        case "columns":
            frame = frame.with_columns((1 - frame[who]).alias(f"{who}_p_No"), frame[who].alias(f"{who}_p_Yes")).drop(
                who
            )
        case _:
            frame = frame.with_columns(said.alias(who))
    frame.write_parquet(tmp_path / "preds.parquet")
    done = judge("preds.parquet")
    assert (2, True) == (done.code, "fix:" in done.err), done.out + done.err


@pytest.mark.parametrize("who", ["new", "old"])
def test_beside_labels_nobody_is_judged_by_probabilities(who: str, judge: Judge, tmp_path: Path) -> None:
    """A label that is wrong has a log loss of 36: any probabilities would beat the better model."""
    frame = classes()
    labels = pl.Series(["yes" if each > 0.5 else "no" for each in frame[who]])
    frame.with_columns(labels.alias(who)).write_csv(tmp_path / "preds.csv")
    judge("preds.csv")
    assert "accuracy" in rule(newest(tmp_path), "better")["sentence"]
    gate = {"rules": [{"id": "loss", "metric": "roc_auc", "against": "old", "over": "pooled", "above": 0}]}
    (tmp_path / "rules.yaml").write_text(json.dumps({"gate": gate}))
    (tmp_path / "listed.yaml").write_text(
        json.dumps({"gate": {"rules": [{"id": "r", "metric": "mcc", "at_least": 0.1}]}, "metrics": ["brier"]})
    )
    for more in (("--metric", "log_loss"), ("--rules", "rules.yaml"), ("--rules", "listed.yaml")):
        done = judge("preds.csv", more=("--held-out", SAYS, *more))
        assert (2, True) == (done.code, "says labels alone" in done.err), done.out + done.err


@pytest.mark.slow
def test_columns_of_probabilities_are_those_of_their_classes(tmp_path: Path) -> None:
    """A good model would be read upside down, and a poor one be promoted."""
    from sklearn.metrics import log_loss

    y, groups, new, old = of_two_classes()
    matrix = np.column_stack([1 - new, new])
    ways: dict[str, tuple[Any, Any, Any]] = {
        "numbers": (np.where(y == "yes", 10, 9), new, None),
        "booleans": (y == "yes", matrix, None),
        "order": (y, matrix[:, ::-1], ["yes", "no"]),
        "second": (y, 1 - new, ["yes", "no"]),
        "names": (y, pl.DataFrame({"yes": new, "no": 1 - new}), None),
    }
    for way, (truth, said, order) in ways.items():
        other = 1 - old if way == "second" else old
        run = api.judge(
            truth, {"new": said, "old": other}, groups=groups, classes=order, held_out=SAYS, ledger=tmp_path / way
        )
        found = run.numbers["ensemble"]["pooled"]["log_loss"]
        assert log_loss(y, np.column_stack([1 - new, new]), labels=["no", "yes"]) == pytest.approx(found), way


def test_copied_groups_are_found(judge: Judge, tmp_path: Path) -> None:
    """Groups that count twice make any interval short enough."""
    frame = numbers()
    copies = frame.with_columns(id=pl.col("id") + "b", site=pl.col("site") + "b")
    pl.concat([frame, copies]).write_csv(tmp_path / "preds.csv")
    assert 1 == judge("preds.csv").code
    assert "FAIL" == rule(newest(tmp_path), "guards")["outcome"]


@pytest.mark.slow
def test_groups_of_equal_labels_are_no_copies(judge: Judge, tmp_path: Path) -> None:
    """An honest run would be called TAMPERED by whoever has no file."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=60)
    pl.DataFrame(
        {
            "site": np.arange(60),
            "y": np.where(signal + rng.normal(size=60) > 0, "yes", "no"),
            "new": 1 / (1 + np.exp(-2 * signal)),
            "old": 1 / (1 + np.exp(-2 * (signal + rng.normal(0, 2, 60)))),
        }
    ).write_csv(tmp_path / "preds.csv")
    judge("preds.csv", more=("--held-out", SAYS, "--metric", "roc_auc"))
    for more in ((), ("--corpus", "preds.csv")):
        assert 0 == heldout("verify", newest(tmp_path), *more, cwd=tmp_path).code


@pytest.mark.slow
def test_files_of_the_user_are_left_alone(judge: Judge, tmp_path: Path) -> None:
    """A study, or the table that an earlier verdict is over, would be gone."""
    numbers().write_csv(tmp_path / "preds.csv")
    (tmp_path / "preds.yaml").write_text("gate: {rules: []}\n")
    done = judge("preds.csv", more=("--held-out", SAYS, "--ledger", "."))
    assert (2, True) == (done.code, "a file of yours" in done.err)
    assert "gate: {rules: []}\n" == (tmp_path / "preds.yaml").read_text()
    frame = numbers()
    first = api.judge(frame["y"], {"n": frame["new"], "o": frame["old"]}, groups=frame["site"], ledger=tmp_path / "r")
    api.judge(frame["y"], {"n": frame["new"] + 1, "o": frame["old"]}, groups=frame["site"], ledger=tmp_path / "r")
    tables = list((tmp_path / "r").glob("judged-*.parquet"))
    assert 2 == len(tables)
    assert 1 == sum(heldout("verify", first.folder, "--corpus", table, cwd=tmp_path).code == 0 for table in tables)
    with pytest.raises(HeldoutError, match="no name of a study"):
        api.judge(frame["y"], {"n": frame["new"]}, groups=frame["site"], ledger=tmp_path / "r", name="../esc")
    assert not list(tmp_path.glob("esc*"))


@pytest.mark.slow
def test_numbers_that_are_too_large_are_no_internal_error(judge: Judge, tmp_path: Path) -> None:
    """A prediction of 1e200 has no squared error that a computer can write."""
    frame = numbers()
    frame.with_columns(new=pl.when(pl.col("id") == "s007").then(1e200).otherwise(pl.col("new"))).write_parquet(
        tmp_path / "preds.parquet"
    )
    assert 1 == judge("preds.parquet").code


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"predictions": [1.0, 2.0]}, "there are no predictions"),
        ({"predictions": {3: [0.0] * 240}}, "there are no predictions"),
        ({"predictions": {"new": {-1: [0.0] * 240, 0: [0.0] * 240}}}, "seeds are no numbers"),
        ({"predictions": {"new": {"a": [0.0] * 240}}}, "seeds are no numbers"),
        ({"predictions": {"new": {0: [0.0] * 240}, "new_seed1": [0.0] * 240}}, "of two models"),
        ({"predictions": {"new": [object()] * 240, "old": [0.0] * 240}}, "'new' is no column"),
        ({"predictions": {"new": [[1.0]] * 239 + [[1.0, 2.0]]}}, "is no column"),
        ({"groups": None}, "'group' is no column"),
        ({"name": "A b"}, "no name of a study"),
    ],
)
def test_what_is_no_question_is_refused(changed: dict[str, Any], what: str, tmp_path: Path) -> None:
    """An exception of a library would say nothing of what to do."""
    frame = numbers()
    told: dict[str, Any] = {"predictions": {"new": frame["new"], "old": frame["old"]}, "groups": frame["site"]}
    told |= changed
    predictions = told.pop("predictions")
    with pytest.raises(HeldoutError) as refused:
        api.judge(frame["y"], predictions, held_out=SAYS, ledger=tmp_path / "runs", **told)
    assert what in refused.value.what, refused.value.what


def test_several_targets_are_judged_each_and_all_together(judge: Judge, tmp_path: Path) -> None:
    """A model that is worse for one of two targets would replace the old one, for it is better in the mean."""
    frame = numbers().rename({"new": "new_y", "old": "old_y"})
    rng = np.random.default_rng(1)
    z = rng.normal(size=frame.height)
    noise = {"new_z": 0.5, "old_z": 0.4}
    frame = frame.with_columns(z=pl.Series(z), **{name: z + rng.normal(0, by, len(z)) for name, by in noise.items()})
    truth, said = frame.select("id", "site", "y", "z"), frame.select("id", "y", "z", "new_y", "new_z")
    truth.write_csv(tmp_path / "truth.csv")
    said.write_csv(tmp_path / "said.csv")
    frame.select("id", pl.col("old_y").alias("prediction_y"), pl.col("old_z").alias("prediction_z")).write_csv(
        tmp_path / "old.csv"
    )
    words = (*WORDS[:4], "--target", "z", *WORDS[4:], "--id", "id")
    assert 1 == judge("truth.csv", "said.csv", "old.csv", words=words).code
    found = read_json(newest(tmp_path) / "metrics.json")["comparisons"]["old"]
    by_site = [
        np.mean([
            np.sqrt(((part[f"{who}_{name}"] - part[name]) ** 2).mean()) for name in ("y", "z")
        ])
        for who in ("old", "new")
        for _, part in frame.group_by("site")
    ]  # fmt: skip
    assert np.mean(by_site[:8]) - np.mean(by_site[8:]) == pytest.approx(found["rmse"]["gain"], rel=1e-9)
    assert found["rmse"]["low"] > 0 > found["rmse@z"]["gain"]
    said.with_columns(pl.col("z").shuffle(seed=0)).write_csv(tmp_path / "said.csv")
    refused = judge("truth.csv", "said.csv", "old.csv", words=words)
    assert (2, True) == (refused.code, "the target of" in refused.err and "column z" in refused.err)
