"""Held-out groups that are not held out: names, copies, subjects and orders that a table hides."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from attack_kit import Desk, route

from heldout.cli.check import print_guards
from heldout.corpus.guards.names import drawn, folded
from heldout.errors import HeldoutError
from heldout.run import Study
from heldout.run.check import check_study

RNG = np.random.default_rng(20)


def planted(desk: Desk, frame: pl.DataFrame) -> None:
    frame.write_csv(desk.folder / desk.study["corpus"]["path"])


def table(desk: Desk) -> pl.DataFrame:
    return pl.read_csv(desk.folder / desk.study["corpus"]["path"])


def codes(desk: Desk, *, blocking: bool | None = None) -> list[str]:
    """Codes of the newest verdict's findings."""
    found = desk.verdict["findings"]
    return [each["code"] for each in found if blocking is None or each["blocking"] is blocking]


def found(desk: Desk, frame: pl.DataFrame | None = None, **corpus: Any) -> dict[str, bool]:
    """Codes that the guards of a run give to a table, before anything is fitted, and whether some finding blocks."""
    if frame is not None:
        planted(desk, frame)
    desk.write(corpus=desk.study["corpus"] | corpus)
    if corpus.get("task") == "classification":
        desk.rules({"id": "good", "metric": "balanced_accuracy", "over": "pooled", "at_least": 0.7})
        desk.write(fit={"estimator": "sklearn.linear_model.LogisticRegression"})
    codes: dict[str, bool] = {}
    for each in Study.load(desk.path).prepare().findings:
        codes[each.code] = codes.get(each.code, False) or each.blocking
    return codes


def renamed(frame: pl.DataFrame, second: str) -> pl.DataFrame:
    """Half of the rows of ``g0`` under another spelling."""
    half = (pl.col("site") == "g0") & (pl.int_range(pl.len()) % 2 == 0)
    return frame.with_columns(site=pl.when(half).then(pl.lit(second)).otherwise(pl.col("site")))


class TestNames:
    """HO-G001."""

    @pytest.mark.slow
    @route("names", "careless user", "one group is spelt in two ways: blanks, case, zeros before a number", "flagged")
    @route("names", "motivated author", "a letter of a group's name is Cyrillic or Greek and looks the same", "flagged")
    @pytest.mark.parametrize("second", ["G0\u00a0", "ɡ0"])
    def test_a_second_spelling_is_shown_under_the_rules(self, desk: Desk, second: str) -> None:
        """Half of a subject would train while the other half is held out, and the terminal say no guard found it."""
        planted(desk, renamed(table(desk), second))
        answer = desk.run()
        assert 0 == answer.code, answer
        assert ["HO-G001"] == codes(desk)
        assert ascii(second) in answer.out
        assert "no guard found a leak" not in answer.out
        assert "1 finding is reported: HO-G001" in desk.rule("guards")["sentence"]
        assert 0 == desk.heldout("verify", desk.newest).code

    @route("names", "motivated author", "a group's name holds a character that nobody sees", "HOLD")
    def test_a_name_with_an_unseen_character_holds(self, desk: Desk) -> None:
        """Two groups that no reader can tell apart would be held out from each other."""
        planted(desk, renamed(table(desk), "g0\u200b"))
        answer = desk.run()
        assert 1 == answer.code, answer
        assert ["HO-G001"] == codes(desk, blocking=True)
        assert r"'g0\u200b'" in answer.out
        assert "g0\u200b" not in answer.out

    @pytest.mark.parametrize("second", ["G0", "g0 ", "g0\u00a0", "gO", "g00", "ｇ０", "g٠", "ɡ0", "ɡО"])
    def test_spellings_that_a_writer_mixes_up(self, second: str) -> None:
        """One of them would pass for a group of its own."""
        assert folded("g0") == folded(second)
        assert drawn("g0") != drawn(second)

    @pytest.mark.parametrize(
        "second",
        ["g0\u200b", "g\u00ad0", "\ufeffg0", "g0\u2060", "g\u200d0", "g0\u202e", "g0\ufe0f", "g0\u034f", "g0\u3164"],
    )
    def test_characters_that_nobody_sees(self, second: str) -> None:
        """One of them would pass for a group of its own."""
        assert drawn("g0") == drawn(second)

    def test_check_and_its_document_tell_the_same(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        """A finding would be in one place and not in another."""
        planted(desk, renamed(table(desk), "G0"))
        checked = check_study(Study.load(desk.path).resolve(), fresh=False)
        print_guards(checked)
        assert "nothing blocks; 1 finding reported" in capsys.readouterr().out
        found = {each["code"]: each["findings"] for each in checked.to_json()["guards"]}
        assert ["'G0', 'g0'"] == [each["where"] for each in found["HO-G001"]]
        assert "HO-G001" in desk.heldout("gate", "plan", "study.yaml").out

    @pytest.mark.parametrize(
        "names",
        [
            ("IL", "LI"), ("1.5", "1.05"), ("1 1", "11"), ("v1.1", "v1.10"), ("s1", "s10"), ("2020-01", "2020-10"),
            ("resume", "résumé"), ("a b", "ab"), ("100", "10"), ("-1", "1"), ("Ω", "ω2"), ("日本", "日木"),
        ],
    )  # fmt: skip
    def test_names_that_mean_two_things_stay_two(self, names: tuple[str, str]) -> None:
        """Honest groups would be reported in every run, and people learn to look away."""
        assert 2 == len({folded(name) for name in names})

    def test_folding_twice_changes_nothing(self) -> None:
        """What is equal would depend on the order of the names."""
        for name in ["G0\u200b", "ＡΒ С", "x\t\u00a0y", "Ⅳ", "ﬁ", "0001", "1.00", "ß", "İ"]:
            assert folded(name) == folded(folded(name))
            assert drawn(name) == drawn(drawn(name))


Kind = Literal["text", "hash", "float", "tuple", "dummies"]


def visits(
    kind: Kind, *, task: str = "regression", subjects: int = 30, groups: int = 5, noise: float = 0.5
) -> pl.DataFrame:
    """Every subject in every group, and a target that is the subject's, with its id in one of many disguises."""
    rng = np.random.default_rng([subjects, groups])
    who, when = np.tile(np.arange(subjects), groups), np.repeat(np.arange(groups), subjects)
    rows = len(who)
    y = rng.normal(size=subjects)[who] + noise * rng.normal(size=rows)
    label = np.where(rng.permutation(subjects) % 2 == 0, "ill", "well")[who]
    frame = pl.DataFrame(
        {
            "site": [f"v{number}" for number in when],
            "a": rng.normal(size=rows),
            "b": rng.normal(size=rows),
            "y": y if task == "regression" else label,
        }
    )
    hashes, heights = rng.integers(0, 2**62, subjects), np.round(rng.normal(170, 5, subjects))
    disguise: dict[Kind, dict[str, Any]] = {
        "text": {"subject": [f"s{number:02d}" for number in who]},
        "hash": {"subject": hashes[who]},
        "float": {"height": rng.normal(170, 9, subjects)[who]},
        "tuple": {"height": heights[who], "born": rng.integers(1950, 1990, subjects)[who]},
        "dummies": {f"is_{number}": (who == number).astype(int) for number in range(subjects)},
    }
    return frame.with_columns(**{name: pl.Series(values) for name, values in disguise[kind].items()})


class TestSubjects:
    """HO-G010."""

    @route("hidden subjects", "careless user", "groups are visits, and the subject's name is a feature", "HOLD")
    @route("hidden subjects", "motivated author", "the subject's name is hashed to an integer", "HOLD")
    @route("hidden subjects", "careless user", "a measurement that never changes tells who the subject is", "HOLD")
    @route("hidden subjects", "careless user", "height and year of birth together tell who the subject is", "HOLD")
    @route("hidden subjects", "motivated author", "the subject is hidden in a column for each subject", "HOLD")
    @pytest.mark.parametrize("kind", ["text", "hash", "float", "tuple", "dummies"])
    @pytest.mark.parametrize("task", ["regression", "classification"])
    def test_a_subject_in_every_group_blocks(self, desk: Desk, kind: Kind, task: str) -> None:
        """The model would know every patient that it is judged on."""
        subjects = 20 if kind == "dummies" else 30
        assert found(desk, visits(kind, task=task, subjects=subjects), task=task)["HO-G010"]

    @route("hidden subjects", "careless user", "groups are visits, and the subject is named in `ignore:`", "HOLD")
    @pytest.mark.parametrize("kind", ["text", "hash"])
    def test_an_ignored_subject_blocks(self, desk: Desk, kind: Kind) -> None:
        """A subject that straddles the groups would pass because its name is no feature: its voice still is."""
        assert found(desk, visits(kind), ignore=["subject"])["HO-G010"]
        listed = desk.study["corpus"] | {"features": ["a", "b"], "ignore": []}
        desk.write(corpus=listed)
        assert found(desk)["HO-G010"]

    @pytest.mark.slow
    def test_the_verdict_is_hold_and_says_why(self, desk: Desk) -> None:
        """The finding would be printed and the model served."""
        planted(desk, visits("text"))
        answer = desk.run()
        assert 1 == answer.code, answer
        assert "HO-G010" in answer.out
        assert "'subject' has 30 levels" in desk.rule("guards")["sentence"]
        assert 0 != desk.heldout("verify", desk.newest).code or "HOLD" == desk.verdict["verdict"]

    @route("hidden subjects", "careless user", "each session is a group, and a subject has several sessions", "HOLD")
    def test_a_subject_of_several_sessions_blocks(self, desk: Desk) -> None:
        """Groups with names of their own would hide that they are one person's."""
        frame = visits("text", noise=0.1)
        frame = frame.with_columns(site=pl.format("{}/{}", "subject", "site"))[np.repeat(np.arange(150), 4)]
        frame = frame.with_columns(a=pl.Series(RNG.normal(size=600)), b=pl.Series(RNG.normal(size=600)))
        assert found(desk, frame)["HO-G010"]

    @route("hidden subjects", "careless user", "few or faint subjects stand in several groups", "flagged")
    @pytest.mark.parametrize(("subjects", "groups", "noise"), [(8, 10, 0.3), (12, 12, 0.5), (30, 5, 1.0)])
    def test_a_faint_subject_is_reported(self, desk: Desk, subjects: int, groups: int, noise: float) -> None:
        """What is too weak to block would be too weak to be told."""
        frame = visits("text", subjects=subjects, groups=groups, noise=noise)
        assert "HO-G010" in found(desk, frame)

    def test_what_is_declared_to_be_met_again_is_no_subject(self, desk: Desk) -> None:
        """There would be no way out for a table of products that every shop sells."""
        planted(desk, visits("text"))
        desk.write(split={"kind": "leave-one-group-out", "crossed": ["subject"]})
        assert {} == found(desk)
        desk.write(split={"kind": "leave-one-group-out", "crossed": ["sujbect"]})
        with pytest.raises(HeldoutError, match="no column 'sujbect'") as caught:
            found(desk)
        assert (2, "split.crossed") == (caught.value.exit_code, caught.value.where)

    @pytest.mark.parametrize("effect", [0.3, 1.0])
    @pytest.mark.parametrize("countries", [4, 12, 24])
    @pytest.mark.parametrize("nested", [True, False])
    def test_a_country_of_patients_does_not_block(
        self, desk: Desk, effect: float, countries: int, nested: bool
    ) -> None:
        """An honest predictor would be thrown out."""
        rng = np.random.default_rng([countries, int(10 * effect)])
        patient = np.repeat(np.arange(60), 5)
        country = rng.integers(0, countries, 60)[patient] if nested else np.arange(300) % countries
        a, b, error = rng.normal(size=(3, 300))
        y = a + b + effect * rng.normal(size=countries)[country] + rng.normal(size=60)[patient] + error
        columns = {"site": [f"p{number:02d}" for number in patient], "a": a, "b": b, "y": y}
        frame = pl.DataFrame(columns | {"country": [f"c{number}" for number in country]})
        assert not any(found(desk, frame).values())

    @pytest.mark.parametrize("design", ["dose", "year", "stimulus"])
    def test_what_the_features_explain_is_no_subject(self, desk: Desk, design: str) -> None:
        """A dose that every group got, or a picture that every rater saw, would count as somebody's name."""
        rng = np.random.default_rng(1)
        level, group = np.tile(np.arange(25), 8), np.repeat(np.arange(8), 25)
        shown = rng.normal(size=(25, 3))
        answer = {"dose": np.sqrt(level), "year": np.sin(level / 6) * 3, "stimulus": shown[level].sum(axis=1)}[design]
        y = answer + 0.3 * rng.normal(size=200)
        columns: dict[str, Any] = {"site": [f"g{number}" for number in group], "y": y}
        seen = {f"s{number}": shown[level, number] for number in range(3)}
        columns |= seen if design == "stimulus" else {design: level, "noise": rng.normal(size=200)}
        assert not any(found(desk, pl.DataFrame(columns)).values())


class TestColumns:
    """HO-G005, HO-G011, HO-G012 and HO-G013."""

    @route(
        "encoded targets", "careless user", "a feature is the mean of the target by group, over the whole table", "HOLD"
    )
    @route("encoded targets", "motivated author", "that mean was scaled, rounded or blurred", "HOLD")
    @route("encoded targets", "careless user", "a feature is the median or the first target of its group", "HOLD")
    @pytest.mark.parametrize("made", ["mean", "scaled", "rounded", "blurred", "median", "first"])
    def test_a_feature_of_the_groups_targets_blocks(self, desk: Desk, made: str) -> None:
        """Each held-out group would come with its own answer."""
        frame, y = table(desk), pl.col("y")
        code = {"median": y.median(), "first": y.first()}.get(made, y.mean()).over("site")
        frame = frame.with_columns(code=code * 7 - 3 if made == "scaled" else code)
        if made == "rounded":
            frame = frame.with_columns(pl.col("code").round(4))
        if made == "blurred":
            frame = frame.with_columns(code=pl.col("code") + 0.001 * pl.Series(RNG.normal(size=150)))
        assert found(desk, frame)["HO-G011"]

    @route("encoded targets", "careless user", "a feature is the share of a label in its group", "HOLD")
    def test_a_share_of_labels_blocks(self, desk: Desk) -> None:
        """A classification would be let through."""
        frame = table(desk).with_columns(y=pl.when(pl.col("y") > 0.3).then(pl.lit("ill")).otherwise(pl.lit("well")))
        frame = frame.with_columns(rate=(pl.col("y") == "ill").mean().over("site"))
        assert found(desk, frame, task="classification")["HO-G011"]

    @route("encoded targets", "motivated author", "a feature is the mean of the group's other targets", "HOLD")
    def test_a_mean_of_the_others_blocks(self, desk: Desk) -> None:
        """The usual way to hide an encoding would hide it."""
        others = (pl.col("y").sum().over("site") - pl.col("y")) / (pl.len().over("site") - 1)
        assert found(desk, table(desk).with_columns(others=others))["HO-G005"]

    def test_an_honest_property_of_the_groups_is_none(self, desk: Desk) -> None:
        """An altitude on which the target depends would be thrown out."""
        rng = np.random.default_rng(3)
        height, site = rng.normal(size=20), np.repeat(np.arange(20), 30)
        columns = {"site": [f"g{number:02d}" for number in site], "height": height[site], "a": rng.normal(size=600)}
        assert {} == found(desk, pl.DataFrame(columns | {"y": 2 * height[site] + rng.normal(size=600)}))

    @route("order of rows", "careless user", "a table sorted by class was written with its index", "HOLD")
    @route(
        "order of rows", "careless user", "that table was shuffled afterwards, or a part of its rows left out", "HOLD"
    )
    @pytest.mark.parametrize("task", ["regression", "classification"])
    @pytest.mark.parametrize("after", ["as it was", "shuffled", "thinned", "scaled"])
    def test_a_counter_of_sorted_rows_blocks(self, desk: Desk, task: str, after: str) -> None:
        """A tree would read the class of a held-out row off its neighbours' numbers."""
        noise = np.sort(RNG.normal(size=150))
        y = noise if task == "regression" else np.repeat(["x", "y", "z"], 50)
        frame = table(desk).with_columns(y=pl.Series(y)).with_row_index("")
        if task == "regression":
            frame = frame.with_columns(y=pl.col("y") + pl.Series(0.3 * RNG.normal(size=150)))
        if after in ("shuffled", "thinned"):
            frame = frame.sample(150 if after == "shuffled" else 135, shuffle=True, seed=2)
        if after == "scaled":
            frame = frame.with_columns(pl.col("") / 150)
        assert found(desk, frame, task=task)["HO-G012"]

    @route("order of rows", "careless user", "a table in no order was written with its index", "flagged")
    def test_a_counter_of_unsorted_rows_is_reported(self, desk: Desk) -> None:
        """Nobody would learn that a row's number is a feature."""
        assert {"HO-G012": False} == found(desk, table(desk).with_row_index(""))

    @route(
        "targets among features", "motivated author", "a feature is the answer with noise of up to a tenth", "flagged"
    )
    @route("targets among features", "motivated author", "a feature orders the answer, but in pieces", "flagged")
    @route("targets among features", "careless user", "several codes stand for each answer", "flagged")
    @pytest.mark.parametrize("made", ["blurred", "in pieces", "codes"])
    def test_one_feature_that_orders_the_target_is_reported(self, desk: Desk, made: str) -> None:
        """An answer that came back with a little noise would be the best feature of the year."""
        frame, y = table(desk), pl.col("y")
        if made == "codes":
            frame = frame.with_columns(y=pl.when(y > 0).then(pl.lit("ill")).otherwise(pl.lit("well")))
            code = pl.format("{}{}", pl.col("y").str.slice(0, 1), pl.Series(RNG.integers(0, 4, 150)))
            assert {"HO-G013": False} == found(desk, frame.with_columns(code=code), task="classification")
            return
        blurred = y + 0.1 * pl.Series(RNG.normal(size=150))
        pieces = pl.when(y > 0).then(y + 100).otherwise(-y)
        assert {"HO-G013": False} == found(desk, frame.with_columns(code=blurred if made == "blurred" else pieces))


class TestCopies:
    """HO-G003 and HO-G014."""

    @route("copies", "careless user", "ten easy rows of a group are in the table thirty times", "HOLD")
    def test_rows_copied_inside_a_group_block(self, desk: Desk) -> None:
        """A group would be easy because its easiest rows were sent again and again."""
        frame = table(desk)
        easy = frame.filter(pl.col("site") == "g0").head(10)
        assert found(desk, pl.concat([frame, *[easy] * 30]))["HO-G014"]

    @route("copies", "careless user", "some rows of a group are in the table twice", "flagged")
    def test_a_few_copies_are_reported(self, desk: Desk) -> None:
        """Rows that were appended twice would count twice, unseen."""
        frame = table(desk)
        assert {"HO-G014": False} == found(desk, pl.concat([frame, frame.filter(pl.col("site") == "g1").head(5)]))

    def test_coarse_answers_are_no_copies(self, desk: Desk) -> None:
        """A questionnaire repeats rows: nobody copied them."""
        rng = np.random.default_rng(2)
        answers = {f"q{number}": rng.integers(1, 6, 400) for number in range(3)}
        columns = {"site": [f"g{number % 5}" for number in range(400)], **answers}
        y = np.where(answers["q0"] + rng.integers(0, 3, 400) > 4, "yes", "no")
        assert {} == found(desk, pl.DataFrame(columns | {"y": y}), task="classification")

    @route("copies", "motivated author", "a subject is there under two ids, measured again with noise", "HOLD")
    @pytest.mark.parametrize("noise", [0.003, 0.01, 0.03, 0.1])
    @pytest.mark.parametrize("task", ["regression", "classification"])
    def test_a_subject_that_was_measured_again_blocks(self, desk: Desk, noise: float, task: str) -> None:
        """The held-out subject would train under its other name."""
        rng = np.random.default_rng(5)
        frame = table(desk).with_columns(c=pl.Series(rng.normal(size=150)), d=pl.Series(rng.normal(size=150)))
        names = ["a", "b", "c", "d", "y"]
        twin = frame.filter(pl.col("site") == "g0").with_columns(site=pl.lit("g7"))
        twin = twin.with_columns(
            pl.col(name) + frame[name].std() * noise * pl.Series(rng.normal(size=30)) for name in names
        )
        both = pl.concat([frame, twin.sample(fraction=1, shuffle=True, seed=1)])
        if task == "classification":
            both = both.with_columns(y=pl.when(pl.col("y") > 0).then(pl.lit("ill")).otherwise(pl.lit("well")))
        assert found(desk, both, task=task)["HO-G003"]


class TestLabels:
    """HO-G015."""

    @route("labels", "careless user", "rows without an answer have a blank label", "HOLD")
    @route("labels", "careless user", "rows without an answer are labelled nan or None", "flagged")
    @route("labels", "careless user", "one class is spelt in two ways", "flagged")
    @pytest.mark.parametrize(
        ("label", "blocks"),
        [
            (" ", True),
            ("\u200b", True),
            ("\u3164", True),
            ("nan", False),
            ("None", False),
            ("Yes ", False),
            ("уes", False),
        ],
    )
    def test_a_label_that_is_no_class(self, desk: Desk, label: str, blocks: bool) -> None:
        """Whatever made the gap would be predicted, and count as right."""
        frame = table(desk).with_columns(y=pl.when(pl.col("y") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
        gap = pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit(label)).otherwise(pl.col("y"))
        assert {"HO-G015": blocks} == found(desk, frame.with_columns(y=gap), task="classification")


def test_no_guard_blocks_an_honest_road(every_road: Desk) -> None:
    """A guard made for tables would HOLD every panel or film."""
    assert not any(found(every_road).values())


@route("copies", "motivated author", "a film is there under two names, its scores measured again with noise", "HOLD")
def test_a_film_that_was_measured_again_blocks(tmp_path: Any) -> None:
    """The guard would know tables and not films."""
    from attack_kit import frames_desk

    desk = frames_desk(tmp_path)
    path = desk.folder / "frames.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    spread = {name: np.std([row[name] for row in rows]) for name in rows[0] if isinstance(rows[0][name], float)}
    again = [
        row | {"src": "s9"} | {k: float(row[k] + 0.02 * spread[k] * RNG.normal()) for k in spread if k != "enc_time_ms"}
        for row in rows
        if row["src"] == "s1"
    ]
    for row in again:
        row["vmaf"] = float(np.clip(row["vmaf"], 0, 100))
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *again]))
    assert found(desk)["HO-G003"]


@route(
    "hidden subjects", "motivated author", "the subject's number is in two columns, as tens and ones", "cannot be known"
)
@route("hidden subjects", "motivated author", "the subject's number is blurred in each row", "cannot be known")
@route(
    "hidden subjects",
    "motivated author",
    "the subject is in the number of a row or in its time, after the visit",
    "cannot be known",
)
@route(
    "encoded targets",
    "motivated author",
    "a feature is the quarter of its group in which the target lies",
    "cannot be known",
)
@pytest.mark.parametrize("kind", ["digits", "blurred", "after the visit", "quarter"])
def test_disguises_that_no_guard_tells_from_a_measurement(desk: Desk, kind: str) -> None:
    """The threat model would promise what the guards do not do: these look like a design, a measurement, a score."""
    frame = visits("text", subjects=36, groups=6, noise=0.4)
    who = frame["subject"].str.slice(1).cast(pl.Int64)
    hidden: dict[str, dict[str, pl.Series | pl.Expr]] = {
        "digits": {"tens": who // 6, "ones": who % 6},
        "blurred": {"value": who + pl.Series(np.random.default_rng(0).normal(0, 1e-3, len(who)))},
        "after the visit": {"number": who + 1000 * frame["site"].str.slice(1).cast(pl.Int64)},
        "quarter": {"score": pl.col("y").rank().over("site") // 9},
    }
    assert not {"HO-G010", "HO-G011"} & {*found(desk, frame.with_columns(**hidden[kind]).drop("subject"))}
