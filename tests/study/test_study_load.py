"""From a study file to a typed study: near misses, places, overlays of variants, overrides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.errors import StudyError
from heldout.study import StudyFile, get_dotted, load_study, set_dotted

MINIMAL = "study: tiny\ncorpus: {path: rows.csv, group: site, target: y}\nbackbone: sklearn\n"
VARIANTS = MINIMAL + (
    "fit: {estimator: sklearn.linear_model.Ridge, params: {alpha: 1.0}}\n"
    "variants:\n"
    "  - id: stiff\n"
    "    set: {fit.params.alpha: 10.0}\n"
    "  - id: deep\n"
    "    set:\n"
    "      fit.params.tol: 0.5\n"
    "      bootstrap.draws: 7\n"
    "  - id: block\n"
    "    set: {fit: {estimator: sklearn.svm.SVR}}\n"
    "  - id: slow\n"
    "    set: {fit.params.tol: 0.5}\n"
)
Load = Callable[..., StudyFile]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str, sets: Sequence[str] = ()) -> StudyFile:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, sets)

    return read


@pytest.mark.parametrize(
    ("text", "place", "key", "near"),
    [
        (MINIMAL + "spilt: {kind: fixed}\n", "4:1", "spilt", "split"),
        (MINIMAL + "Seeds: [1]\n", "4:1", "Seeds", "seeds"),
        (
            MINIMAL + "gate:\n  rules:\n    - {id: a, metric: plcc, at_leest: 1}\n",
            "6:29",
            "gate.rules.0.at_leest",
            "at_least",
        ),
        (MINIMAL + "bootstrap:\n  drawz: 500\n", "5:3", "bootstrap.drawz", "draws"),
    ],
)
def test_an_unknown_key_is_refused_with_its_place_and_the_nearest_one(
    load: Load, text: str, place: str, key: str, near: str
) -> None:
    """A misspelt key would be ignored, and the default trained with instead."""
    with pytest.raises(StudyError, match=f"unknown key `{key}`") as caught:
        load(text)
    assert (caught.value.where or "").endswith(f"study.yaml:{place}")
    assert (caught.value.hint or "").startswith(f"did you mean {near!r}?")


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("study: a\ncorpus: {}\n", "1:1", "`backbone` is missing"),
        (MINIMAL.replace("tiny", "Tiny Study"), "1:1", "`study`"),
        (MINIMAL + "seeds: [-1]\n", "4:9", "`seeds.0`.*greater than or equal to 0, not -1"),
        (MINIMAL + "seeds: [3, 1, 3]\n", "4:1", "3 appears twice"),
        (MINIMAL + "seeds: []\n", "4:1", "`seeds`"),
        (MINIMAL + "gate: {rules: [{id: a, metric: plcc}]}\n", "4:16", "exactly one of"),
        (MINIMAL + "gate: {rules: [{id: a, metric: plcc, at_least: 0, at_most: 1}]}\n", "4:16", "exactly one of"),
        (MINIMAL + "gate: {rules: [{id: a, metric: plcc, at_least: 0, scope: members}]}\n", "4:16", "`statistic`"),
        (
            MINIMAL + "gate: {rules: [{id: a, metric: plcc, at_least: 0}, {id: a, metric: mae, at_most: 0}]}\n",
            "4:1",
            "'a' appears twice",
        ),
        (MINIMAL + "gate: {min_groups: 1}\n", "4:8", "`gate.min_groups`"),
        (MINIMAL + "variants: [{id: base, set: {fit.x: 1}}]\n", "1:1", "`base` names the study"),
        (MINIMAL + "variants: [{id: v, set: {}}]\n", "4:20", "`variants.0.set`"),
        (MINIMAL + "bootstrap: {level: 1.0}\n", "4:13", "`bootstrap.level`"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(load: Load, text: str, place: str, what: str) -> None:
    """A run would start that can never be judged, or that is judged by something else than was meant."""
    with pytest.raises(StudyError, match=what) as caught:
        load(text)
    assert (caught.value.where or "").endswith(f"study.yaml:{place}")


@pytest.mark.parametrize("text", ["", "- 1\n", "words\n"])
def test_a_file_that_is_no_mapping_is_refused(load: Load, text: str) -> None:
    """An empty file would be a study of nothing."""
    with pytest.raises(StudyError, match="not a mapping"):
        load(text)


def test_several_complaints_are_counted(load: Load) -> None:
    """People would mend one and think that they were done."""
    with pytest.raises(StudyError, match=r"unknown key `spilt` \(2 more after this one\)"):
        load("study: a\nspilt: 1\n")


def test_a_variant_changes_what_it_says_and_nothing_else(load: Load) -> None:
    """A variant would be compared with a base that differs in more than the declared overlay."""
    file = load(VARIANTS)
    base, stiff = file.variant("base"), file.variant("stiff")
    assert (1.0, 10.0) == (base.fit["params"]["alpha"], stiff.fit["params"]["alpha"])
    assert base == stiff.model_copy(update={"fit": base.fit})
    assert {"estimator": "sklearn.svm.SVR"} == file.variant("block").fit, "a whole block is replaced, not merged"
    assert {"alpha": 1.0, "tol": 0.5} == file.variant("slow").fit["params"], "and not on top of the variant before"


def test_a_complaint_about_a_variant_points_at_its_overlay(load: Load) -> None:
    """The base's line would be blamed for what the overlay says."""
    with pytest.raises(StudyError, match=r"`bootstrap\.draws`.*not 7") as caught:
        load(VARIANTS).variant("deep")
    assert (caught.value.where or "").endswith("study.yaml:11:7")


def test_an_unknown_variant_gets_a_near_miss(load: Load) -> None:
    """`heldout run --variant stif` would run the base."""
    with pytest.raises(StudyError, match="no variant 'stif'") as caught:
        load(VARIANTS).variant("stif")
    assert "did you mean 'stiff'? declared: base, block, deep, slow, stiff" == caught.value.hint


def test_an_override_holds_for_the_base_and_for_every_variant(load: Load) -> None:
    """`--set` would be lost as soon as a variant is named."""
    file = load(VARIANTS, ["seeds=[7]", "fit.params.alpha=3"])
    assert {"seeds": [7], "fit.params.alpha": 3} == file.overrides
    assert ([7], 3) == (file.variant("base").seeds, file.variant("base").fit["params"]["alpha"])
    assert ([7], 3) == (file.variant("stiff").seeds, file.variant("stiff").fit["params"]["alpha"])


def test_an_override_does_not_write_into_the_variant_that_it_is_laid_over(load: Load) -> None:
    """The declared overlay, which the report shows, would hold the override too."""
    file = load(VARIANTS, ["fit.scale=false"])
    assert {"estimator": "sklearn.svm.SVR", "scale": False} == file.variant("block").fit
    assert {"fit": {"estimator": "sklearn.svm.SVR"}} == file.spec.variants[2].set


@pytest.mark.parametrize(
    ("override", "where", "what"),
    [
        ("seeds", "--set", "has no value"),
        ("study=tiny", "--set study", "changes nothing"),
        ("fit.params.alpha=1.0", "--set fit.params.alpha", "changes nothing"),
        ("bakbone=x", "--set bakbone", "unknown key `bakbone`"),
        ("bootstrap.level=7", "--set bootstrap.level", "`bootstrap.level`"),
        ("seeds=[0,0]", "--set seeds", "0 appears twice"),
        ("study.name=x", "--set study.name", "does not name a key of a block"),
        ("=5", "--set ", "does not name a key of a block"),
    ],
)
def test_an_override_that_is_wrong_is_blamed_on_the_command_line(
    load: Load, override: str, where: str, what: str
) -> None:
    """The file would be blamed for what the command line said, or the override ignored."""
    with pytest.raises(StudyError, match=what) as caught:
        load(VARIANTS, [override])
    assert where == caught.value.where


def test_the_study_folder_is_the_files_and_not_the_working_folder(load: Load, tmp_path: Path) -> None:
    """A relative corpus path would mean another file from another folder."""
    assert tmp_path.resolve() == load(MINIMAL).folder


KEYS = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=4).map(".".join)


@settings(max_examples=50)
@given(st.dictionaries(KEYS, st.integers(), max_size=5), KEYS, st.integers())
def test_what_is_set_at_a_dotted_key_is_found_there(others: dict[str, int], key: str, value: int) -> None:
    """An override would land beside the key that it names."""
    raw: dict[str, object] = {}
    for other, number in others.items():
        try:
            set_dotted(raw, other, number, where="test")
        except StudyError:
            continue
    try:
        set_dotted(raw, key, value, where="test")
    except StudyError:
        inside = [".".join(key.split(".")[:depth]) for depth in range(1, key.count(".") + 1)]
        assert any(isinstance(get_dotted(raw, part), int) for part in inside), "only a plain value stands in the way"
    else:
        assert value == get_dotted(raw, key)
