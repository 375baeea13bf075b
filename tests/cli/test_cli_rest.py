"""Help, schema, `init`, `gate` and `study show`: quick, and honest in their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import heldout as package
from heldout.evidence import dumps, loads
from heldout.study import load_yaml

Heldout = Callable[..., Any]
WriteStudy = Callable[..., Path]
HEAVY = {"torch", "sklearn", "polars", "scipy", "matplotlib", "onnx", "onnxruntime", "numba", "skops"}
COMMANDS = [
    [],
    ["run"],
    ["init"],
    ["gate"],
    ["study"],
    ["study", "schema"],
    ["study", "show"],
    ["video"],
    ["video", "encode"],
    ["video", "probe"],
]


def test_help_imports_nothing_heavy() -> None:
    """`heldout --help` would take seconds, and fail where an extra is not installed."""
    program = (
        "import json, sys\n"
        "from heldout.cli.main import main\n"
        "sys.argv = ['heldout', *json.loads(sys.argv[1])]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    print(json.dumps([end.code, sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)\n"
    )
    found = {}
    for command in ([], ["run"]):
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps([*command, "--help"])],
            capture_output=True,
            text=True,
            check=True,
        )
        code, modules = json.loads(done.stderr.splitlines()[-1])
        assert 0 == code
        assert "Usage" in done.stdout
        found[" ".join(command)] = HEAVY & set(modules)
    assert {"": set(), "run": set()} == found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(heldout: Heldout, command: list[str]) -> None:
    """A command could not be learnt from the terminal."""
    for option in ("--help", "-h"):
        answer = heldout(*command, option)
        assert (0, "") == (answer.code, answer.err)
        assert "Usage" in answer.out


def test_version_is_that_of_the_package(heldout: Heldout) -> None:
    """A bug report would name the wrong version."""
    assert (0, f"{package.__version__}\n", "") == heldout("--version")


def test_schema_is_one_document(heldout: Heldout, write_study: WriteStudy) -> None:
    """`heldout study schema > study.schema.json` would not be a schema."""
    answer = heldout("study", "schema")
    assert (0, "") == (answer.code, answer.err)
    schema = loads(answer.out, where="stdout")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(load_yaml(write_study()).value, schema)


def test_show_prints_every_default_and_the_identity(heldout: Heldout, write_study: WriteStudy) -> None:
    """Nobody could see what a study trains without training it."""
    study = write_study(variants=[{"id": "soft", "set": {"fit.params": {"alpha": 2.0}}}])
    base, soft = (json.loads(heldout("study", "show", study, *more).out) for more in ((), ("--variant", "soft")))
    assert True is base["config"]["fit"]["scale"]
    assert {"alpha": 2.0} == soft["config"]["fit"]["params"]
    assert base["sha256"] != soft["sha256"]
    assert 2 == heldout("study", "show", study, "--variant", "sotf").code


def test_init_writes_a_study_that_runs(heldout: Heldout, write_study: WriteStudy) -> None:
    """The first two commands of a newcomer would fail."""
    write_study()
    arguments = ("init", "table.csv", "--group", "person", "--target", "score", "--out", "first.yaml")
    answer = heldout(*arguments, "--estimator", "sklearn.linear_model.Ridge")
    assert 0 == answer.code
    assert "heldout run first.yaml" in answer.out
    assert "# yaml-language-server: $schema=" in Path("first.yaml").read_text()
    assert 0 == heldout("run", "first.yaml", "--workers", 1).code
    again = heldout(*arguments)
    assert 2 == again.code
    assert "--force" in again.err
    assert 0 == heldout(*arguments, "--force").code


def write_run(heldout: Heldout, write_study: WriteStudy, verdict: str) -> Path:
    """A run that was judged so."""
    rule = {"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9 if verdict == "PROMOTE" else 0.9999}
    study = write_study(gate={"rules": [rule]})
    assert (0 if verdict == "PROMOTE" else 1) == heldout("run", study, "--workers", 1).code
    return next(Path("runs/small").glob(f"*/{verdict}.json")).parent


@pytest.mark.slow
@pytest.mark.parametrize(("verdict", "code"), [("PROMOTE", 0), ("HOLD", 1)])
def test_gate_shows_the_verdict_of_a_run(heldout: Heldout, write_study: WriteStudy, verdict: str, code: int) -> None:
    """A script that asks for the verdict would get another answer than the run gave."""
    run = write_run(heldout, write_study, verdict)
    answer = heldout("gate", run)
    assert code == answer.code
    assert answer.out.startswith(f"{verdict} small / base")
    assert verdict == json.loads(heldout("gate", run, "--json").out)["verdict"]
    assert code == heldout("gate", run / f"{verdict}.json").code


def test_defect_11_gate_of_two_verdicts_is_refused(heldout: Heldout, write_study: WriteStudy) -> None:
    """A stale PROMOTE beside a newer HOLD would be read as PROMOTE."""
    run = write_run(heldout, write_study, "PROMOTE")
    (run / "HOLD.json").write_bytes(dumps({"verdict": "HOLD"}))
    answer = heldout("gate", run)
    assert (3, "") == (answer.code, answer.out)
    assert "error [HO-E400]" in answer.err
    assert str(run) in answer.err
    assert "fix:   judge the run again" in answer.err


def test_renamed_verdict_is_tampered(heldout: Heldout, write_study: WriteStudy) -> None:
    """`mv HOLD.json PROMOTE.json` would promote."""
    run = write_run(heldout, write_study, "HOLD")
    (run / "HOLD.json").rename(run / "PROMOTE.json")
    answer = heldout("gate", run)
    assert 3 == answer.code
    assert "error [HO-E410]" in answer.err


def test_gate_of_a_folder_without_a_verdict_is_bad_input(heldout: Heldout, tmp_path: Path) -> None:
    """Defect 12: an uncaught error exits 1, which a script reads as HOLD."""
    answer = heldout("gate", tmp_path)
    assert 2 == answer.code
    assert "the run has no verdict" in answer.err
    assert 2 == heldout("gate", tmp_path, "--reported", "--seeds", "0,one").code
