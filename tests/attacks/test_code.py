"""The user's own code is judged as it was: an edit is another model, wherever in the code it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_kit import Desk, heldout, module_of, route, table_desk

from heldout.backbone.code import code_of
from heldout.run.resolve import load_backbone

ESTIMATOR = """
from importlib import import_module
from sklearn.linear_model import LinearRegression
from own_pack.inner import shift


class Mine(LinearRegression):
    def fit(self, X, y):
        self.late_ = import_module("own_late").VALUE
        return super().fit(X, y + shift(0.0))
"""
FILES = {
    "own_pack/__init__.py": "",
    "own_pack/inner.py": "from .deepest import ZERO\n\n\ndef shift(x):\n    return x + ZERO\n",
    "own_pack/deepest.py": "ZERO = 0.0\n",
    "own_late.py": "VALUE = 1.0\n",
}


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose study names a user's own estimator, with helpers beside it."""
    desk = table_desk(tmp_path)
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    desk.write(fit={"estimator": "own_estimator.Mine"})
    with module_of(tmp_path, "own_estimator", ESTIMATOR):
        yield desk


def units_to_fit(desk: Desk) -> int:
    answer = desk.heldout("run", "study.yaml", "--dry-run", "--json")
    assert 0 == answer.code, answer
    return int(json.loads(answer.out)["units"]["base"]["to_fit"])


@route(
    "Code",
    "motivated author",
    "Edits the estimator, or a module that it imports, after the run, and calls the old models those of the new code.",
    "stopped",
)
@pytest.mark.parametrize("edited", ["own_estimator.py", *FILES])
def test_an_edit_is_fitted_again(mine: Desk, edited: str) -> None:
    """The verdict of one code would stand for another one: "nothing changed"."""
    assert 0 == mine.run().code
    assert 0 == units_to_fit(mine)
    named = mine.verdict["judged"]["user_code"]
    assert {"own_estimator", "own_late", "own_pack", "own_pack.deepest", "own_pack.inner"} == set(named)
    with (mine.folder / edited).open("a") as stream:
        stream.write("# edited\n")
    assert 5 == units_to_fit(mine)


@pytest.mark.slow
@route("Code", "motivated author", "Edits the estimator at every try, so that each is a first attempt.", "HOLD")
def test_an_edit_is_another_attempt(mine: Desk) -> None:
    """Three hundred random models could be tried on noise, and the best be promoted as the only one."""
    mine.write(gate=mine.study["gate"] | {"max_attempts": 1})
    assert 0 == mine.run().code
    assert (1, 1) == (mine.verdict["trial"]["attempt"], mine.rule("attempts")["observed"])
    with (mine.folder / "own_late.py").open("a") as stream:
        stream.write("# another try\n")
    assert 2 == json.loads(mine.heldout("gate", "plan", "study.yaml", "--json").out)["attempt"]
    assert 1 == mine.run().code
    assert (2, "FAIL") == (mine.verdict["trial"]["attempt"], mine.rule("attempts")["outcome"])
    assert 0 == mine.heldout("verify", mine.newest, "--trust-code").code


@pytest.mark.slow
@route(
    "Code",
    "motivated author",
    "Edits the estimator and removes some units of the finished run, so that it is resumed as one run of two codes.",
    "stopped",
)
def test_a_resume_never_mixes_two_codes(mine: Desk) -> None:
    """Half of the predictions would be of a model that nobody can see any more, and `verify` would be green."""
    assert 0 == mine.run().code
    first = mine.newest
    for path in sorted(first.glob("fits/*/*/unit.json"))[:2]:
        path.unlink()
    with (mine.folder / "own_pack" / "deepest.py").open("a") as stream:
        stream.write("# edited\n")
    assert 5 == units_to_fit(mine)


@pytest.mark.slow
@route("Code", "operator", "Edits the list of the user's modules in the verdict of a finished run.", "TAMPERED")
@pytest.mark.parametrize("key", ["user_code", "fit_code"])
def test_the_list_of_codes_is_verified(mine: Desk, key: str) -> None:
    """A verdict could name the published code and be of another one."""
    assert 0 == mine.run().code
    path = mine.newest / "PROMOTE.json"
    document = json.loads(path.read_text())
    judged = document["judged"]
    (judged if key == "user_code" else judged["fit_code"][""])["user_code" if key == "user_code" else "user"][
        "own_late"
    ] = "0" * 64
    path.write_text(json.dumps(document))
    assert 3 == heldout("verify", mine.newest).code


def test_what_is_not_used_costs_no_fit() -> None:
    """A comment in a demonstration would refit everything."""
    from heldout.backbone import code
    from heldout.corpus.table import TableReader
    from heldout.evidence import imports

    seen: set[str] = set()
    backbone = load_backbone("sklearn", {"estimator": "sklearn.linear_model.Ridge"})
    assert {} == code_of(backbone, TableReader).user
    starts = ("heldout.run.units.compute", "heldout.run.models", "heldout.backbone.sklearn", "heldout.corpus.table")
    seen = set(imports.closure(starts, code._source))
    assert {"heldout.backbone.estimators", "heldout.corpus.model", "heldout.run.units"} <= seen
    rooms = {name.split(".")[1] for name in seen if "." in name}
    assert not rooms & {"domains", "cli", "report", "registry", "verify", "zoo", "leaderboard", "shadow", "fit"}
