"""Commands and classes beside a study that reach for what they may not see, or are not what they are said to be."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from attack_kit import Desk, route, table_desk
from beside_kit import ASK_SH, COMMANDS, FIT_SH, command_of, shell
from forging_runs import mend_unit, reverdict

from heldout.backbone import FeaturesView, FitJob
from heldout.errors import UnitError
from heldout.run.apart.foreign import Apart, ReachedError
from heldout.testing import small_regression

pytestmark = pytest.mark.slow  # the first one starts the process that forks
KIND = "Code beside the study"
fenced = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can shut a program in")


def desk_of(folder: Path, fit: str = FIT_SH, ask: str = ASK_SH) -> Desk:
    """Noise in four groups, and commands that learn a line from it."""
    desk = table_desk(folder, rows=48, groups=4, signal=False)
    shell(folder, fit, ask)
    desk.write(backbone="command", fit=COMMANDS)
    return desk


def job() -> FitJob:
    return FitJob("seed0/fold", small_regression().train_view(np.arange(100)), 7)


def rows() -> FeaturesView:
    return FeaturesView(small_regression().features[100:])


# Each tries to read held-out targets, and fails loudly if it cannot.
REACHES = {
    "the corpus, by its absolute path": 'cat {corpus} > "$2"',
    "the corpus, past a link beside it": 'cat {link} > "$2"',
    "the runs": 'cat {runs}/*/predictions.jsonl > "$2"',
    "the folder of the study": 'cat {home}/study.yaml > "$2"',
    "the state of another fold": 'cat {kept}/other/seed0/fold/state/half > "$2"',
    "the process that asks": 'cat /proc/1/environ > "$2"',
}


@fenced
@route(KIND, "motivated author", "A command reads the corpus, a run, or the state of another fold.", "stopped")
@pytest.mark.parametrize("place", REACHES)
def test_a_command_cannot_read_a_held_out_target(tmp_path: Path, place: str) -> None:
    """It would be judged on what it was given."""
    corpus, link, home, kept = (tmp_path / name for name in ("table.csv", "link.csv", "home", "kept"))
    corpus.write_text("the held-out target")
    link.symlink_to(corpus)
    for path in (
        home / "study.yaml",
        home / "runs" / "one" / "predictions.jsonl",
        kept / "other/seed0/fold/state/half",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a held-out target")
    (kept / "mine").mkdir()
    script = REACHES[place].format(corpus=corpus, link=link, home=home, kept=kept, runs=home / "runs")
    (tmp_path / "code").mkdir()
    apart = Apart(command_of(shell(tmp_path / "code", script)), (corpus, home / "runs"))
    with pytest.raises(UnitError) as refused:
        apart.fit(job(), tmp_path / "out", kept / "mine")
    assert "ermission denied" in refused.value.what or isinstance(refused.value, ReachedError)
    assert not (tmp_path / "out").exists()


@fenced
@route(KIND, "motivated author", "A command's program lies in a folder that looks like an installation, with the data.",
       "stopped")  # fmt: skip
def test_a_folder_around_the_data_is_no_installation(tmp_path: Path) -> None:
    """A `bin` and a `lib` beside the table would open the whole folder to the command, copies of the table included."""
    for name in ("bin", "lib", "code"):
        (tmp_path / name).mkdir()
    tool, copy = tmp_path / "bin" / "tool", tmp_path / "copy.txt"
    tool.write_text(f'#!/bin/sh\ncat {copy} > "$2"\n')
    tool.chmod(0o755)
    copy.write_text("a copy of the table")
    backbone = command_of(shell(tmp_path / "code"), train=f"{tool} {{train}} {{model}}")
    with pytest.raises(UnitError, match="ermission denied"):
        Apart(backbone, (tmp_path / "table.csv",)).fit(job(), tmp_path / "out")


@fenced
@route(KIND, "motivated author", "A command opens the corpus by a path in its code.", "HOLD")
def test_a_command_that_opens_the_corpus_is_held(tmp_path: Path) -> None:
    """A verdict would be over what the script looked up."""
    desk = desk_of(tmp_path, f'cat {tmp_path / "table.csv"} > "$2" || exit 1')
    assert 1 == desk.run().code
    assert "where the held-out rows are" in next(f["what"] for f in desk.verdict["findings"] if f["code"] == "HO-G008")


@route(
    KIND, "motivated author", "A command answers from files that an earlier process left, or from a daemon.", "stopped"
)
@pytest.mark.parametrize("place", ["$TMPDIR", "$HOME", "/tmp", "/dev/shm", "."])
def test_nothing_is_left_from_one_process_to_another(tmp_path: Path, place: str) -> None:
    """Rows that one fold trains on are held out of another."""
    fit = f'cat "{place}/heldout-attack-kept" && exit 1\necho 1 2>/dev/null > "{place}/heldout-attack-kept"\n{FIT_SH}'
    apart = Apart(command_of(shell(tmp_path, fit)), ())
    for number in range(2):
        apart.fit(job(), tmp_path / f"out{number}")
    assert not Path("/tmp/heldout-attack-kept").exists()
    assert not Path("/dev/shm/heldout-attack-kept").exists()


@fenced
@route(KIND, "motivated author", "A command leaves a process running that outlives it.", "stopped")
def test_a_daemon_is_ended(tmp_path: Path) -> None:
    """It would write into the model after it was digested, or answer for the next fold."""
    fit = f"(setsid sleep 98764 &) \n{FIT_SH}"
    Apart(command_of(shell(tmp_path, fit)), ()).fit(job(), tmp_path / "out")
    time.sleep(0.1)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"98764" not in path.read_bytes()
        except OSError:
            continue


@route(KIND, "motivated author", "`predict` changes the model, or deletes what it was given.", "stopped")
def test_what_a_command_is_given_stays(tmp_path: Path) -> None:
    """The model that is kept and served would not be the one that was judged."""
    ask = f'{ASK_SH}\nrm -rf "$2"; echo 0 0 > "$1" || true\nrm -f ask.sh fit.sh\n'
    apart = Apart(command_of(shell(tmp_path, ask=ask)), ())
    apart.fit(job(), tmp_path / "out")
    first, second = (apart.ask(tmp_path / "out", rows()).predicted for _ in range(2))
    assert np.array_equal(first, second)
    assert (tmp_path / "ask.sh").read_text() == ask


@route(KIND, "motivated author", "A model reads what was judged of it, when it is asked a second time.", "stopped")
def test_a_model_is_not_shown_what_it_answered(tmp_path: Path) -> None:
    """One that draws its answers would repeat them from the file, and pass for one that answers the same."""
    spy = shell(tmp_path, ask='[ -e "$(dirname "$1")/../predictions.safetensors" ] && exit 3\n' + ASK_SH)
    apart = Apart(command_of(spy), ())
    apart.fit(job(), tmp_path / "out")
    for name in ("predictions.safetensors", "unit.json"):
        (tmp_path / "out" / name).write_text("judged")
    assert 20 == len(np.asarray(apart.ask(tmp_path / "out", rows()).predicted))


@route(KIND, "careless user", "The corpus, or a run over it, lies in a folder that is declared as code.", "stopped")
@pytest.mark.parametrize("name", ["data/table.csv", "data/copy.txt", "runs/s/one/predictions.jsonl"])
def test_the_corpus_is_no_code(tmp_path: Path, name: str) -> None:
    """Every fold would be handed the targets that are held out of it."""
    desk = desk_of(tmp_path)
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((tmp_path / "table.csv").read_bytes() if "data" in name else b"{}")
    (place.parent / "run.json").write_text("{}") if "runs" in name else None
    code = ["data/"] if "data" in name else [name]
    desk.write(corpus=desk.study["corpus"] | ({"path": name} if name == "data/table.csv" else {}))
    desk.write(fit=COMMANDS | {"code": code})
    answer = desk.run()
    assert 2 == answer.code, answer
    assert f"the code holds '{name}'" in answer.err
    assert not desk.of_study.exists()


@route(KIND, "sender of a bundle", "Code in a run is another than the one that fitted it, or runs when it is verified.",
       "TAMPERED")  # fmt: skip
def test_code_of_a_stranger_is_not_run_and_not_exchanged(tmp_path: Path) -> None:
    """Verifying a run that was sent would start a program; or its code be read, and another one have been judged."""
    desk = desk_of(tmp_path)
    desk.rules({"id": "good", "metric": "rmse", "over": "pooled", "at_most": 100})
    desk.run()
    (path, *_) = sorted(desk.newest.glob("fits/*/*/code.json"))
    document = json.loads(path.read_text())
    document["files"]["ask.sh"]["text"] = f"touch {tmp_path / 'was-run'}\n{ASK_SH}"
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    mend_unit(path.parent)
    reverdict(desk.newest)
    answer = desk.heldout("verify", desk.newest, "--corpus", "table.csv", "--trust-code")
    assert 3 == answer.code
    assert "the code that is stored with the model is not that which fitted it" in answer.out + answer.err
    assert not (tmp_path / "was-run").exists()


@route(KIND, "operator", "A variable of the environment, or a file that is not declared, steers a command.", "stopped")
def test_what_no_digest_holds_steers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one digest would be two models."""
    monkeypatch.setenv("RATE", "1")
    (tmp_path / "settings.txt").write_text("1")
    fit = f'[ -z "$RATE" ] || exit 1\ncat settings.txt {tmp_path}/settings.txt && exit 1\n{FIT_SH}'
    apart = Apart(command_of(shell(tmp_path, fit)), ())
    apart.fit(job(), tmp_path / "out")
    assert (tmp_path / "out" / "model" / "model").exists()


@route(
    KIND,
    "motivated author",
    "A file that is declared as code holds the held-out answers, in a form that is not the corpus's.",
    "cannot be known",
)
def test_answers_in_the_code_are_bound_by_its_digest(tmp_path: Path) -> None:
    """Nobody can tell a table of constants from answers; whoever looks later must find the file that was judged."""
    (tmp_path / "constants.txt").write_text("answers")
    backbone = command_of(shell(tmp_path), code=["constants.txt"])
    apart = Apart(backbone, ())
    apart.fit(job(), tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "code.json").read_text())["files"]
    assert {"text": "answers"} == stored["constants.txt"]
    assert "constants.txt" in backbone.carries()
