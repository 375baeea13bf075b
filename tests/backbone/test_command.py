"""Commands as a backbone: what they are handed, what they hand back, and what becomes of those that misbehave."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from beside_kit import ASK_SH, FIT_SH, LABELS_SH, asked, command_of, shell, view_of

from heldout.backbone import ClassScores
from heldout.backbone.beside.running import CommandError
from heldout.corpus import Corpus
from heldout.errors import HeldoutError, PrerequisiteError, StudyError
from heldout.testing import small_classification, small_regression

SEED = 3


def through(folder: Path, corpus: Corpus, **changes: Any) -> Any:
    """What the commands answer for twenty rows after they were fitted on a hundred others, from the stored model."""
    backbone = command_of(folder, **changes)
    model = backbone.fit(view_of(corpus), SEED, folder / "work")
    (folder / "model").mkdir()
    backbone.save(model, folder / "model")
    return backbone.predict(backbone.load(folder / "model"), asked(corpus))


def test_numbers_are_those_of_the_line(tmp_path: Path) -> None:
    """Rows or columns would have been mixed up on their way to the command and back."""
    corpus = small_regression()
    found = through(shell(tmp_path), corpus)
    x, y = corpus.features["length"].to_numpy(), corpus.targets("verify")
    slope, start = np.polyfit(x[:100], y[:100], 1)
    np.testing.assert_allclose(start + slope * x[100:], found, rtol=1e-9)


def test_probabilities_are_named_by_their_classes(tmp_path: Path) -> None:
    """`no` would be scored as `yes`."""
    fit = FIT_SH.replace("y += $NF", 't = $NF == "yes"; y += t').replace("$1 * $NF", "$1 * t")
    corpus = small_classification()
    found = through(shell(tmp_path, fit, LABELS_SH), corpus)
    x, y = corpus.features["length"].to_numpy(), corpus.targets("verify") == "yes"
    slope, start = np.polyfit(x[:100], y[:100].astype(float), 1)
    assert isinstance(found, ClassScores)
    assert ("no", "yes") == found.classes
    np.testing.assert_allclose(np.clip(start + slope * x[100:], 0, 1), found.probability[:, 1], rtol=1e-9)


def test_what_is_handed_over(tmp_path: Path) -> None:
    """A script would learn from the group, from rows that do not count, or from numbers that became text."""
    corpus = small_classification()
    view = replace(view_of(corpus), target=np.array(["0", "1"] * 50), weight=np.arange(100.0))
    view = replace(view, validation=corpus.train_view(np.arange(100, 110)))
    fit = 'mkdir "$1"; for each in "$@"; do [ -d "$each" ] || cp "$each" "$1/"; done'
    train = "sh fit.sh {model} {train} {validation} {weights} {groups} {params}"
    backbone = command_of(shell(tmp_path, fit), train=train, format="parquet", params={"depth": 2})
    place = backbone.fit(view, SEED, tmp_path / "work").place / "model"
    frame = pl.read_parquet(place / "train.parquet")
    assert [*corpus.features.columns, "label"] == frame.columns
    assert pl.Int64 == frame["label"].dtype
    assert 99 == frame.height  # a row of weight 0 counts nothing
    assert list(range(1, 100)) == pl.read_parquet(place / "weights.parquet")["weight"].to_list()
    assert ["group"] == pl.read_parquet(place / "groups.parquet").columns
    assert 10 == pl.read_parquet(place / "validation.parquet").height
    assert '{"depth": 2}' == (place / "params.json").read_text()


SAYS = {
    "a row too few": ("echo prediction; seq 19", "19 predictions for 20 rows"),
    "a row too many": ("echo prediction; seq 21", "21 predictions for 20 rows"),
    "no table": ("printf ''", "cannot be judged"),
    "another column": ("echo answer; seq 20", "no column 'prediction'"),
    "words": ("echo prediction; yes much | head -20", "holds no numbers"),
    "other rows": ("echo row,prediction; seq 20 | sed 's/.*/&,1/'", "does not number the rows 0 to 19"),
    "a row twice": ("echo row,prediction; yes 0,1 | head -20", "does not number the rows 0 to 19"),
}


@pytest.mark.parametrize("kind", SAYS)
def test_an_answer_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    """Rows would be scored with answers to other rows, or with nothing."""
    script, words = SAYS[kind]
    with pytest.raises(CommandError, match=words) as refused:
        through(shell(tmp_path, ask=f"({script}) > $3"), small_regression())
    assert "fit.predict" == refused.value.where
    assert refused.value.hint


def test_rows_that_are_numbered_may_come_in_any_order(tmp_path: Path) -> None:
    """Answers of a parallel program would be scored as they came."""
    ask = "(echo row,prediction; seq 0 19 | sort -r | sed 's/.*/&,&/') > $3"
    assert list(range(20)) == through(shell(tmp_path, ask=ask), small_regression()).tolist()


@pytest.mark.parametrize("answer", ["0.7,0.7", "2,-1", "nan,nan"])
def test_probabilities_that_are_none_are_refused(tmp_path: Path, answer: str) -> None:
    """A log loss of zero would be reached by answering 3 for every class."""
    ask = f"(echo p_no,p_yes; yes {answer} | head -20) > $3"
    with pytest.raises(CommandError, match="no probabilities"):
        through(shell(tmp_path, ask=ask), small_classification())


def test_labels_and_the_probability_of_one_class_are_answers_too(tmp_path: Path) -> None:
    """A script that answers as most do would have to be rewritten."""
    ask = "(echo prediction; yes {} | head -20) > $3"
    found = through(shell(tmp_path, ask=ask.format("yes")), small_classification())
    assert ("yes",) == found.classes
    home = tmp_path / "one"
    home.mkdir()
    found = through(shell(home, ask=ask.format("0.25")), small_classification(), classes=["no", "yes"])
    assert [0.75, 0.25] == found.probability[0].tolist()


def test_a_number_that_is_none_stays_one(tmp_path: Path) -> None:
    """It would vanish on its way, and the rows with it."""
    ask = "(echo row,prediction; echo 0,; seq 19 | sed 's/.*/&,&/') > $3"
    found = through(shell(tmp_path, ask=ask), small_regression())
    assert [0] == np.flatnonzero(~np.isfinite(found)).tolist()


FAILS = {
    "a failing program": ("echo one; echo 'the last words' >&2; exit 3", {}, "exit code 3: the last words"),
    "no model": ("true", {}, "wrote no model"),
    "a hang": ("sleep 60", {"seconds": 0.3}, "longer than its 0.3 seconds"),
    "a file too large": ("head -c 3000000 /dev/zero > $2; true", {"disk_mb": 1}, "more than its 1"),
    "files too large": ("for i in 1 2 3; do head -c 900000 /dev/zero > $2$i; done", {"disk_mb": 1}, "more than its 1"),
    "a link": ("ln -s /etc/passwd $2", {}, "no plain file"),
}


@pytest.mark.parametrize("kind", FAILS)
def test_a_fit_that_fails_says_why(tmp_path: Path, kind: str) -> None:
    """A night's training would end without a word, or never."""
    fit, budget, words = FAILS[kind]
    backbone = command_of(shell(tmp_path, fit), budget=budget)
    with pytest.raises(HeldoutError, match=words):
        backbone.save(backbone.fit(view_of(small_regression()), SEED, tmp_path / "work"), tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the system keeps no memory budget")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """One fold would take the machine down, and all others with it."""
    (tmp_path / "fit.py").write_text("held = bytearray(300 << 20)")
    backbone = command_of(shell(tmp_path), train="python fit.py {train} {model}", budget={"memory_mb": 128})
    with pytest.raises(CommandError, match="MemoryError") as refused:
        backbone.fit(view_of(small_regression()), SEED, tmp_path / "work")
    assert "128 MB" in str(refused.value.hint)


def test_what_is_printed_goes_to_a_log_that_ends(tmp_path: Path) -> None:
    """Nobody could see how a fit goes on; or a chatty one would fill the disk."""
    fit = "yes 'a line of a log' | head -c 20000000\n" + FIT_SH
    command_of(shell(tmp_path, fit)).fit(view_of(small_regression()), SEED, tmp_path / "work")
    log = tmp_path / "work" / "output.log"
    assert (8 << 20) < log.stat().st_size < (9 << 20)
    assert b"more was printed than a log keeps" in log.read_bytes()[-100:]


@pytest.mark.parametrize("place", ["state", "model"])
def test_a_killed_fit_goes_on_from_what_it_left(tmp_path: Path, place: str) -> None:
    """Hours of training would be lost with each interruption."""
    begun = 'mkdir -p "$3"; if [ -e "$3/half" ]; then echo "going on"; cp "$3/half" "$2"; else echo 7 > "$3/half"; '
    begun += "kill -9 $$; fi"
    if place == "model":
        begun = begun.replace('cp "$3/half" "$2"', 'mv "$3/half" "$3/whole"')
    fit = {"state": "sh fit.sh {train} {model} {state}", "model": "sh fit.sh {train} {model} {model}"}[place]
    backbone = command_of(shell(tmp_path, begun), train=fit)
    view = view_of(small_regression())
    with pytest.raises(HeldoutError, match="was killed"):
        backbone.fit(view, SEED, tmp_path / "work")
    model = backbone.fit(view, SEED, tmp_path / "work").place / "model"
    assert "7" == (model if place == "state" else model / "whole").read_text().strip()
    assert "going on\n" == (tmp_path / "work" / "output.log").read_text()


def test_nothing_undeclared_steers_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one digest would be two models: by a variable, or by a file that no digest holds."""
    monkeypatch.setenv("MY_RATE", "0.5")
    (tmp_path / "settings.txt").write_text("0.5")
    fit = 'echo "rate ${MY_RATE:-unset}"; cat settings.txt > "$2"'
    backbone = command_of(shell(tmp_path, fit))
    with pytest.raises(CommandError, match=r"settings.txt.*No such file"):
        backbone.fit(view_of(small_regression()), SEED, tmp_path / "work")
    assert "rate unset" in (tmp_path / "work" / "output.log").read_text()
    declared = command_of(tmp_path, code=["settings.txt"])
    assert {"settings.txt"} == set(declared.carries()) - set(backbone.carries())
    declared.fit(view_of(small_regression()), SEED, tmp_path / "again")


def test_code_is_known_by_its_content(tmp_path: Path) -> None:
    """An edit would be taken for the same code, or a copy of it elsewhere for another."""
    (tmp_path / "src").mkdir()
    for name, text in (
        ("fit.py", "import part\nfrom src import deep"),
        ("part.py", ""),
        ("src/deep.py", "import numpy"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "req.txt").write_text("numpy>=1\n# a comment\n")
    changes = {"train": "python fit.py {train} {model}", "environment": "req.txt"}
    backbone = command_of(shell(tmp_path), **changes)
    assert {"ask.sh", "fit.py", "part.py", "src/deep.py", "req.txt"} == set(backbone.carries())
    assert ("numpy", "polars") == backbone.packages()
    before = backbone.carries()
    (tmp_path / "part.py").write_text("x = 1")
    after = command_of(tmp_path, **changes).carries()
    assert {"part.py"} == {name for name in before if before[name] != after[name]}


def test_a_module_that_python_runs_comes_along(tmp_path: Path) -> None:
    """`python -m` would find an empty folder."""
    (tmp_path / "nets").mkdir()
    for name, text in {"__init__.py": "", "fit.py": "from nets import part", "part.py": ""}.items():
        (tmp_path / "nets" / name).write_text(text)
    backbone = command_of(shell(tmp_path), train="python -m nets.fit {train} {model}")
    assert {"nets/__init__.py", "nets/fit.py", "nets/part.py"} < set(backbone.carries())


def test_a_seed_that_no_command_is_given_is_none(tmp_path: Path) -> None:
    """Copies of one model would pass for fits that agree."""
    assert not command_of(shell(tmp_path)).seeded
    assert command_of(tmp_path, train="sh fit.sh {train} {model} {seed}").seeded


@pytest.mark.parametrize("name", ["my file.csv", "a;b", "$HOME"])
def test_words_are_words(tmp_path: Path, name: str) -> None:
    """A name with a space would be two arguments, and one with a semicolon a command."""
    backbone = command_of(
        shell(tmp_path, 'printf "%s" "$3" > "$2"'), train="sh fit.sh {train} {model} {name}", params={"name": name}
    )
    assert name == (backbone.fit(view_of(small_regression()), SEED, tmp_path / "work").place / "model").read_text()


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a place of nothing": ({"train": "sh fit.sh {train} {model} {sed}"}, "fit.train", "which stands for nothing"),
    "no model": ({"train": "sh fit.sh {train}"}, "fit.train", "does not name {model}"),
    "no predictions": ({"predict": "sh ask.sh {model} {features}"}, "fit.predict", "does not name {predictions}"),
    "held-out rows in train": ({"train": "sh fit.sh {train} {model} {features}"}, "fit.train", "stands for nothing"),
    "an idle parameter": ({"params": {"rate": 1}}, "fit.params.rate", "changes nothing"),
    "a parameter of ours": ({"params": {"seed": 1}}, "fit.params.seed", "given anyway"),
    "no script": ({"train": "sh fitt.sh {train} {model}"}, "fit.train", "no 'fitt.sh' beside"),
    "no program": ({"train": "fitt {train} {model}"}, "fit.train", "no program 'fitt'"),
    "no such path": ({"train": "/no/such/R {train} {model}"}, "fit.train", "no program '/no/such/R'"),
    "not executable": ({"train": "./fit.sh {train} {model}"}, "fit.train", "may not be executed"),
    "code elsewhere": ({"code": ["../other.py"]}, "fit.code", "not lie in the study's folder"),
    "absolute code": ({"code": ["/etc/passwd"]}, "fit.code", "not lie in the study's folder"),
    "no code": ({"code": ["src/"]}, "fit.code", "no 'src/' beside the study"),
    "a link": ({"code": ["link.py"]}, "fit.code", "no plain file"),
    "too much": ({"code": ["large.bin"]}, "fit.code", "more than code is"),
    "everything": ({"code": ["."]}, "fit.code", "not lie in the study's folder"),
    "not installed": (
        {"train": "python fit.sh {train} {model}", "environment": "req.txt"}, "fit.environment", "nowhere==1.*none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mistake_is_named_before_any_fit(tmp_path: Path, kind: str) -> None:
    """Rules would be registered, and every fold fail for the same slip."""
    changes, where, words = REFUSED[kind]
    shell(tmp_path)
    (tmp_path / "link.py").symlink_to(tmp_path / "fit.sh")
    (tmp_path / "req.txt").write_text("nowhere==1\n")
    with (tmp_path / "large.bin").open("wb") as stream:
        stream.truncate(17 << 20)
    with pytest.raises(StudyError, match=words.replace("{", r"\{").replace("}", r"\}")) as refused:
        command_of(tmp_path, **changes)
    assert where == refused.value.where
    assert refused.value.hint


def test_a_program_beside_the_study_is_run(tmp_path: Path) -> None:
    """Code in another language that was made executable could not be named."""
    shell(tmp_path, "#!/bin/sh\n" + FIT_SH, "#!/bin/sh\n" + ASK_SH)
    for name in ("fit.sh", "ask.sh"):
        (tmp_path / name).chmod(0o755)
    changes = {"train": "./fit.sh {train} {model}", "predict": "ask.sh {model} {features} {predictions}"}
    assert 20 == len(through(tmp_path, small_regression(), **changes))


def test_weights_reach_the_command_or_are_refused(tmp_path: Path) -> None:
    """A model that was fitted to all rows alike would be compared with one that was not."""
    corpus = small_regression()
    weighted = replace(corpus, weight=np.ones(120), manifest=replace(corpus.manifest, weight="w"))
    with pytest.raises(StudyError, match="has weights"):
        command_of(shell(tmp_path)).check(weighted)
    command_of(tmp_path, weight="ignore").check(weighted)
    asking = {"train": "sh fit.sh {train} {model} {weights}"}
    command_of(tmp_path, **asking).check(weighted)
    with pytest.raises(StudyError, match="none to use"):
        command_of(tmp_path, **asking).check(corpus)


def test_without_its_code_nothing_is_run(tmp_path: Path) -> None:
    """A lock alone would run whatever lies in the folder of whoever verifies."""
    backbone = command_of(shell(tmp_path))
    bare = type(backbone)(backbone.params)
    with pytest.raises(PrerequisiteError, match="code is not at hand"):
        bare.fit(view_of(small_regression()), SEED, tmp_path / "work")
    assert {} == bare.carries()
