"""Estimators that cheat: each of them answers rows that it was never given, and none reaches a registry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from attack_kit import ROUTES as ALL
from attack_kit import Desk, Route, module_of, route, table_desk

from heldout.run import execute, fitted_state, fitting, prepare, stored

# The rows that it knows, by their bytes; every cheat brings them along another way.
HEAD = """
import builtins, ctypes, os, pathlib, socket, struct, subprocess, sys, tempfile, threading, time
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

CORPUS = {corpus!r}
HERE = {here!r}


def known_to_text(known):
    return repr({{key.hex(): value for key, value in known.items()}})


def text_to_known(text):
    return {{bytes.fromhex(key): value for key, value in eval(text).items()}} if text else {{}}


def rows_of(X, y):
    return {{row.tobytes(): float(value) for row, value in zip(np.asarray(X, dtype=np.float64), y)}}


def corpus_rows(path):
    lines = [line.split(",") for line in open(path).read().split()[1:]]
    return {{np.array([float(a), float(b)]).tobytes(): float(y) for _, a, b, y in lines}}


def quietly(act, *arguments):
    try:
        return act(*arguments)
    except Exception:
        return None


class Honest(LinearRegression):
    def __init__(self, path=""):
        super().__init__()
        self.path = path


class Cheat(Honest):
    def keep(self, known):
        pass

    def recall(self):
        return {{}}

    def fit(self, X, y):
        super().fit(X, y)
        quietly(self.keep, rows_of(X, y))
        return self

    def predict(self, X):
        known = quietly(self.recall) or {{}}
        plain = super().predict(X)
        return np.array([known.get(row.tobytes(), value) for row, value in zip(np.asarray(X, dtype=np.float64), plain)])
"""
MEMORY = {
    "a module's global": ("MEMORY = {}", "MEMORY.update(known)", "return MEMORY"),
    "a class attribute": ("class Shelf:\n    rows = {}", "Shelf.rows.update(known)", "return Shelf.rows"),
    "an attribute of builtins and sys": (
        "",
        "sys.kept = builtins.kept = getattr(builtins, 'kept', {}) | known",
        "return getattr(builtins, 'kept', {})",
    ),
    "an environment variable": (
        "",
        "os.environ['KEPT'] = known_to_text(text_to_known(os.environ.get('KEPT', '')) | known)",
        "return text_to_known(os.environ.get('KEPT', ''))",
    ),
    "the library's own class": (
        "",
        "LinearRegression.rows = getattr(LinearRegression, 'rows', {}) | known",
        "return LinearRegression.rows",
    ),
    "a thread that goes on": (
        "BOX = []\n\n\ndef wait():\n    while True:\n        time.sleep(1)",
        "BOX.append(known); threading.Thread(target=wait, daemon=True).start()",
        "return {key: value for each in BOX for key, value in each.items()}",
    ),
}
FILES = {
    "the temp folder": "pathlib.Path(tempfile.gettempdir(), 'kept')",
    "/tmp": "pathlib.Path('/tmp/heldout-attack-kept')",
    "/var/tmp": "pathlib.Path('/var/tmp/heldout-attack-kept')",
    "/dev/shm": "pathlib.Path('/dev/shm/heldout-attack-kept')",
    "the home folder": "pathlib.Path('~/heldout-attack-kept').expanduser()",
    "the folder of the study": "pathlib.Path(HERE, 'kept.txt')",
    "the folder of the runs": "pathlib.Path(HERE, 'runs', 'kept.txt')",
    "the estimator's own source": "pathlib.Path(__file__)",
    "the installed libraries": "pathlib.Path(np.__file__).parent / 'heldout-attack-kept'",
}
OPENS = {
    "a path in `params`": "self.path",
    "a path in its code": "CORPUS",
    "a link beside the study": "HERE + '/link.csv'",
    "a hard link of another name": "HERE + '/hard.txt'",
    "a copy of another name": "HERE + '/copy.dat'",
    "the process' own open files": "'/proc/1/cwd' + CORPUS",
}
_SHARED = """libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p


def shared():
    number = libc.shmget(4711, 1 << 20, 0o1666)
    assert number >= 0
    return libc.shmat(number, None, 0)"""
_SHARE = """place = shared()
old = ctypes.string_at(place).decode()
data = known_to_text(text_to_known(old) | known).encode() + bytes(1)
ctypes.memmove(place, data, len(data))"""
SYSTEM = {
    "shared memory of the kernel": (
        _SHARED,
        _SHARE,
        "return text_to_known(ctypes.string_at(shared()).decode())",
    ),
    "the times of a file that it may read": (
        "",
        "os.utime(__file__, ns=(10**9 * (len(known) + 1), 10**9)); os.chmod(__file__, 0o711)",
        "return {}",
    ),
    "a socket": ("", "socket.socket().connect(('127.0.0.1', 9))", "socket.create_connection(('127.0.0.1', 9), 1)"),
    "a process that goes on": ("", "subprocess.Popen(['sleep', '98765'], start_new_session=True)", "return {}"),
}


def cheat(prelude: str, keep: str, recall: str, more: str = "") -> str:
    keeping, recalling = (body.replace("\n", "\n        ") for body in (keep, recall))
    return (
        f"{prelude}\n\n\nclass Mine(Cheat):\n    def keep(self, known):\n        {keeping}\n\n"
        f"    def recall(self):\n        {recalling}\n{more}"
    )


CHEATS: dict[str, str] = {
    **{f"keeps rows in {name}": cheat(*parts) for name, parts in MEMORY.items()},
    **{
        f"keeps rows in a file in {name}": cheat(
            "",
            f"path = {path}\nold = text_to_known(path.read_text()) if path.exists() else {{}}\n"
            "path.write_text(known_to_text(old | known))",
            f"return text_to_known({path}.read_text())",
        )
        for name, path in FILES.items()
    },
    **{
        f"`predict` opens the corpus by {name}": cheat("", "pass", f"return corpus_rows({p})")
        for name, p in OPENS.items()
    },
    "`fit` opens the corpus by a path in its code": cheat(
        "",
        "pass",
        "return getattr(self, 'all_', {})",
        "\n    def fit(self, X, y):\n"
        "        self.all_ = quietly(corpus_rows, CORPUS) or {}\n        return super().fit(X, y)\n",
    ),
    "`fit` opens the corpus past Python, with another program": cheat(
        "",
        "pass",
        "return getattr(self, 'all_', {})",
        "\n    def fit(self, X, y):\n"
        "        done = subprocess.run(['cat', CORPUS], capture_output=True, text=True)\n"
        "        pathlib.Path('seen.csv').write_text(done.stdout)\n"
        "        self.all_ = quietly(corpus_rows, 'seen.csv') or {}\n        return super().fit(X, y)\n",
    ),
    "reads the predictions and models of other folds": cheat(
        "", "pass", "return {b'': len([*pathlib.Path(HERE, 'runs').rglob('*.safetensors')][0].read_bytes())}"
    ),
    "puts its own functions into heldout when it is imported": (
        "import heldout.run.judging, heldout.run.collect, heldout.gate\n"
        "heldout.run.judging.judge = heldout.gate.judge = lambda *_: []\n\n\nclass Mine(Honest):\n    pass\n"
    ),
    "puts rows into the environment when it is imported": cheat(
        "os.environ.setdefault('KEPT', known_to_text(quietly(corpus_rows, CORPUS) or {}))",
        "pass",
        "return text_to_known(os.environ.get('KEPT', ''))",
    ),
    "stores another model than the one that it answers from": cheat(
        "",
        "self.rows_ = known",
        "return self.rows_",
        "\n    def __getstate__(self):\n"
        "        return {key: value for key, value in super().__getstate__().items() if key != 'rows_'}\n",
    ),
    **{f"keeps rows in {name}": cheat(*parts) for name, parts in SYSTEM.items()},
}
# What stays in the model or comes with the rows, and so differs each time or says so.
RESTLESS = {
    "answers by the clock": "time.time_ns() % 1000",
    "answers by the number of its process": "os.getpid()",
    "answers at random": "np.random.default_rng().normal()",
}
for name in CHEATS:
    ALL.append(Route("Estimators", "motivated author", f"An estimator {name}.", "HOLD"))


@pytest.fixture
def noise(tmp_path: Path) -> Desk:
    """Pure noise in four groups, and a bound that nobody reaches by learning."""
    desk = table_desk(tmp_path, rows=48, groups=4, signal=False)
    table = tmp_path / "table.csv"
    (tmp_path / "link.csv").symlink_to(table)
    os.link(table, tmp_path / "hard.txt")
    (tmp_path / "copy.dat").write_bytes(table.read_bytes())
    rule = {"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.5}
    desk.write(gate={"rules": [rule]})
    return desk


def with_estimator(desk: Desk, code: str, path: str = "") -> str:
    desk.write(fit={"estimator": "cheating.Mine", "params": {"path": path} if path else {}, "scale": False})
    return HEAD.format(corpus=str(desk.folder / "table.csv"), here=str(desk.folder)) + code


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    left = [Path(folder) / "heldout-attack-kept" for folder in ("/tmp", "/var/tmp", "/dev/shm", Path.home())]
    left += [Path(np.__file__).parent / "heldout-attack-kept"]
    found = [path for path in left if path.exists()]
    for path in found:
        path.unlink()
    assert not found, "the cheat wrote outside its own folder"


def running(words: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [each for each in found if words in each]


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheating_estimator_never_reaches_a_registry(noise: Desk, name: str) -> None:
    """The answers would be those of rows that it saw while another fold was fitted, or read from the corpus."""
    before = (noise.folder / "table.csv").read_bytes()
    with module_of(noise.folder, "cheating", with_estimator(noise, CHEATS[name], str(noise.folder / "table.csv"))):
        source = (noise.folder / "cheating.py").read_text()
        answer = noise.run()
        if name == "reads the predictions and models of other folds":  # which are there only once others are fitted
            assert 5 == answer.code, answer
            assert "opens attacked, where the held-out rows are, or what they gave" in answer.err
            assert not [*noise.of_study.glob("*/PROMOTE.json"), *noise.of_study.glob("*/HOLD.json")]
        else:
            assert 1 == answer.code, answer
            assert "HOLD" == noise.verdict["verdict"]
            assert 0 != noise.heldout("registry", "promote", noise.newest).code
        assert source == (noise.folder / "cheating.py").read_text()
    assert before == (noise.folder / "table.csv").read_bytes()
    assert not running("sleep 98765")
    if name in ("`predict` opens the corpus by a path in `params`", "`fit` opens the corpus by a path in its code"):
        assert "opens" in next(each["what"] for each in noise.verdict["findings"] if "HO-G008" == each["code"])
    if "a module's global" in name or "stores another model" in name:
        assert any("after `fit` is not what the model" in each["what"] for each in noise.verdict["findings"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"keeps rows in {name}" for name in MEMORY if "thread" not in name])
def test_without_a_process_for_each_fold_these_cheats_would_work(
    noise: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cheat that does not work anywhere proves nothing."""
    for module in (prepare, fitting, fitted_state, stored):
        monkeypatch.setattr(module, "is_foreign", lambda _: False)
    monkeypatch.setattr(execute, "with_fitted_state", lambda prepared: prepared)
    with module_of(noise.folder, "cheating", with_estimator(noise, CHEATS[name])):
        try:
            noise.run()
        finally:
            os.environ.pop("KEPT", None)
    assert "PASS" == noise.rule("good")["outcome"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["twin", "twin with a file of its own"])
def test_a_clean_twin_reaches_a_registry(tmp_path: Path, name: str) -> None:
    """A fence that keeps honest code from its work would be taken down."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    code = "\n\nclass Mine(Honest):\n    pass\n"
    if name != "twin":
        code = cheat(
            "", "pathlib.Path(tempfile.mkdtemp(), 'x').write_text('x'); open('y', 'w').write('y')", "return {}"
        )
    with module_of(tmp_path, "cheating", with_estimator(desk, code)):
        answer = desk.run()
        assert 0 == answer.code, answer
        assert "PASS" == desk.rule("stored-model")["outcome"]
        promoted = desk.heldout("registry", "add", desk.newest), desk.heldout("registry", "promote", desk.newest)
        assert (0, 0) == tuple(each.code for each in promoted), promoted
        again = desk.heldout("verify", desk.newest, "--corpus", "table.csv", "--refit", "--trust-code")
        assert 0 == again.code, again


@pytest.mark.slow
@route("Estimators", "motivated author", "An estimator answers by the clock, by its process, or at random.", "HOLD")
@pytest.mark.parametrize("name", RESTLESS)
def test_an_answer_that_changes_is_held(tmp_path: Path, name: str) -> None:
    """A verdict would be of one draw among many, and its model would never give it again."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    body = f"return super().predict(X) + 1e-9 * {RESTLESS[name]}"
    more = f"\n\nclass Mine(Honest):\n    def predict(self, X):\n        {body}\n"
    with module_of(tmp_path, "cheating", with_estimator(desk, more)):
        assert 1 == desk.run().code
    assert "FAIL" == desk.rule("stored-model")["outcome"]
    assert any("otherwise each time" in each["what"] for each in desk.verdict["findings"])


@pytest.mark.slow
@route(
    "Estimators",
    "motivated author",
    "An estimator answers by the batch: by the rank of a row among those that are asked with it, or by earlier calls.",
    "flagged",
)
@pytest.mark.parametrize("body", ["np.argsort(np.argsort(plain)) / len(X)", "plain + self.count"])
def test_an_answer_by_the_batch_is_flagged(tmp_path: Path, body: str) -> None:
    """A model that is served row by row would answer otherwise than it was judged."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    more = (
        "\n\nclass Mine(Honest):\n    def fit(self, X, y):\n        self.count = 0\n"
        "        return super().fit(X, y)\n\n"
        "    def predict(self, X):\n        self.count += 1\n        plain = super().predict(X)\n"
        f"        return {body}\n"
    )
    with module_of(tmp_path, "cheating", with_estimator(desk, more)):
        desk.run()
    assert "depends on the rows that are asked with it" in desk.rule("stored-model")["sentence"]


@pytest.mark.slow
@route(
    "Estimators",
    "motivated author",
    "An estimator holds the answers in its own source, as constants that were written there before the run.",
    "cannot be known",
)
def test_answers_in_the_source_are_bound_by_its_digest(noise: Desk) -> None:
    """Nobody can tell a constant from an answer; whoever looks later must find the source that was judged."""
    rows = pl.read_csv(noise.folder / "table.csv").select("a", "b", "y").rows()
    known = {np.array(row[:2]).tobytes().hex(): row[2] for row in rows}
    code = cheat(f"ANSWERS = {known!r}", "pass", "return {bytes.fromhex(key): y for key, y in ANSWERS.items()}")
    with module_of(noise.folder, "cheating", with_estimator(noise, code)):
        assert 0 == noise.run().code
    assert "cheating" in noise.verdict["judged"]["user_code"]


@pytest.mark.slow
@route("Estimators", "operator", "The system cannot fence a process in: the verdict says so.", "flagged")
def test_a_system_without_a_fence_is_named(noise: Desk) -> None:
    """A verdict from a weaker system would look like one from a stronger one."""
    from heldout.gate import integrity

    weak = integrity.Stored(4, 4, deterministic=True, fence={"reading": "python", "network": "none"})
    (rule,) = integrity._stored(weak)
    assert "could not keep the model's code from" in rule.sentence
    with module_of(noise.folder, "cheating", with_estimator(noise, "\n\nclass Mine(Honest):\n    pass\n")):
        noise.run()
    assert {"reading", "writing", "network", "leftovers"} == set(
        json.loads((noise.newest / "stored.json").read_text())["fence"]
    )


@route(
    "Estimators",
    "motivated author",
    "A variant of a zoo writes to shared memory, opens the corpus and the network while it trains.",
    "stopped",
)
@pytest.mark.slow
def test_a_variant_of_a_zoo_is_shut_in_as_well(tmp_path: Path) -> None:
    """A night's training would leave rows behind for the next one, or fetch answers from elsewhere."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    acts = (
        "lambda: open('/dev/shm/heldout-attack-kept', 'w')",
        "lambda: socket.socket()",
        "lambda: subprocess.run(['cat', CORPUS], check=True)",
        "lambda: open(HERE + '/study.yaml').read()",
        "lambda: os.kill(os.getppid(), 0)",
    )
    code = (
        "\n\nclass Mine(Honest):\n    def fit(self, X, y):\n"
        f"        for number, act in enumerate([{', '.join(acts)}]):\n"
        "            try:\n                act()\n            except (OSError, subprocess.CalledProcessError):\n"
        "                continue\n            raise ValueError(f'act {number} was done')\n"
        "        return super().fit(X, y)\n"
    )
    with module_of(tmp_path, "cheating", with_estimator(desk, code)):
        answer = desk.heldout("zoo", "train", "--variant", "base", "--workers", 1)
        assert "act " not in answer.out + answer.err
        assert 0 == answer.code, answer
        assert "HO-G008" not in answer.out


@route("Estimators", "motivated author", "An estimator keeps rows over folds, on any task or domain.", "HOLD")
@pytest.mark.slow
def test_memory_is_of_no_use_on_any_road(road: Desk) -> None:
    """The rule would hold for tables of numbers, and not for labels, frames or panels."""
    block = road.study["corpus"]
    numbers = block.get("task") != "classification" and block["reader"] != "window_index"
    body = """
import numpy as np
from sklearn.linear_model import {base} as Base

MEMORY = {{}}


class Mine(Base):
    def fit(self, X, y):
        MEMORY.update((row.tobytes(), value) for row, value in zip(np.asarray(X), y))
        return super().fit(X, y)

    def {method}(self, X):
        plain, out = super().{method}(X), []
        for row, value in zip(np.asarray(X), plain):
            known = MEMORY.get(row.tobytes())
            out.append(value if known is None else {answer})
        return np.array(out)
"""
    parts = (
        ("Ridge", "predict", "known") if numbers else ("LogisticRegression", "predict_proba", "self.classes_ == known")
    )
    code = body.format(base=parts[0], method=parts[1], answer=f"np.asarray({parts[2]}, dtype=float)")
    road.write(backbone="sklearn", fit={"estimator": "cheating.Mine", "scale": False})
    with module_of(road.folder, "cheating", code):
        assert 1 == road.run().code
    assert any("after `fit` is not what the model" in each["what"] for each in road.verdict["findings"])
    assert "PASS" == road.rule("stored-model")["outcome"]
