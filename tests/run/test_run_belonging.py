"""A run that was copied to where it does not belong is not taken for this study's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from heldout.documents.names import LEDGER_FILE
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, write_json
from heldout.ledger.trials import read_ledger
from heldout.run import Run
from heldout.run.finished import finished_verdict
from heldout.run.required import required_verdicts
from heldout.verify import verify_run

RULE = {"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(desk: Any, copy: Path, key: str, **changes: Any) -> None:
    """Preparing names the key, and leaves the copy as it is."""
    before = contents(copy)
    with pytest.raises(InputError, match="another run") as caught:
        desk.run(**changes)
    assert f"{copy / 'run.json'}: {key}" == caught.value.where
    assert str(copy.parent) in str(caught.value.hint)
    assert before == contents(copy)


@pytest.mark.slow
def test_a_run_copied_under_another_study_is_not_its_own(again: tuple[Any, Path]) -> None:
    """A study would show a PROMOTE that was given under the rules of another one."""
    desk, run = again
    copy = desk.runs / "other" / run.name
    shutil.copytree(run, copy)
    refused(desk, copy, "study", study="other", gate={"rules": [RULE]})
    assert not (copy.parent / LEDGER_FILE).exists()
    shutil.rmtree(copy)
    own = desk.run(study="other", gate={"rules": [RULE]})
    assert ("other", None) == (own.document["study"], verify_run(own.folder).broken)


@pytest.mark.slow
def test_a_run_copied_under_another_name_is_not_another_run(again: tuple[Any, Path]) -> None:
    """The copy of a verdict would stand for a second run that nobody made."""
    desk, run = again
    copy = run.with_name(run.name.replace("base-20", "base-21"))
    shutil.copytree(run, copy)
    refused(desk, copy, "run")
    shutil.rmtree(copy)
    assert run == desk.run().folder


def test_a_run_copied_under_another_variant_is_not_that_variant(again: tuple[Any, Path]) -> None:
    """The verdict of one configuration would be shown for another."""
    desk, run = again
    study = desk.load(variants=[{"id": "stiff", "set": {"fit.params": {"alpha": 9.0}}}])
    copy = study.prepare("stiff", runs=desk.runs).folder.path
    shutil.copytree(run, copy)
    write_json(copy / "run.json", read_json(copy / "run.json") | {"run": copy.name, "variant": "stiff"})
    with pytest.raises(InputError, match="variant_sha256"):
        study.prepare("stiff", runs=desk.runs)


def test_a_verdict_that_this_ledger_never_counted_stops_the_study(again: tuple[Any, Path]) -> None:
    """A run brought over from a colleague's folder would print PROMOTE, or a shortened ledger begin anew."""
    desk, run = again
    ledger = run.parent / LEDGER_FILE
    whole = ledger.read_text()
    opening, look = (json.loads(line) for line in whole.splitlines())
    stranger = look | {"ts": "2020-01-01T00:00:00+00:00"}
    lines = (json.dumps(each, sort_keys=True, separators=(",", ":")) for each in (opening, stranger))
    ledger.write_text("".join(f"{line}\n" for line in lines))
    assert "ledger" == verify_run(run).broken.id  # type: ignore[union-attr]
    assert finished_verdict(desk.prepare()) is None
    with pytest.raises(TamperedError, match="lacks a record that the verdict of"):
        desk.run()
    ledger.write_text(whole)
    assert run == desk.run().folder


@pytest.mark.slow
def test_a_copied_verdict_does_not_carry_who_requires_it(again: tuple[Any, Path]) -> None:
    """The second axis could be borrowed from a study that asked for less."""
    desk, _ = again
    changes = {"variants": [{"id": "halves", "set": {"split": {"kind": "group-k-fold", "folds": 2}}}]}
    desk.amend("halves", study="lax", gate={"rules": [RULE]}, **changes)
    lax = desk.load(study="lax", gate={"rules": [RULE]}, **changes)
    halves: Run = lax.run("halves", runs=desk.runs, workers=1)
    assert "PROMOTE" == halves.verdict
    strict = {"study": "strict", "gate": {"rules": [RULE], "requires": ["halves"]}} | changes
    shutil.copytree(halves.folder, desk.runs / "strict" / halves.folder.name)
    assert {"halves": None} == required_verdicts(desk.prepare(**strict))
    assert [] == read_ledger(desk.runs / "strict")
