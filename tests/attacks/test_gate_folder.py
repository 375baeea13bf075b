"""``heldout gate DIR`` believes no file: it verifies, or says that there is nothing to verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attack_kit import Desk, heldout, route

from heldout.evidence import dumps, read_json
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.run.verdict import write_verdict

KIND = "a verdict believed unseen"
PUBLISHED = {
    "schema_version": 1,
    "verdict": "PROMOTE",
    "generated_at_utc": "2026-05-06T11:10:09+00:00",
    "loso_dir": "runs/ensemble_v2_real",
    "seeds": [0, 1, 2, 3, 4],
    "gate": {"passed": True, "mean_plcc": 0.99, "per_seed_plccs": {"0": 0.99}},
    "corpus": {"present": False, "corpus_root": "x", "sha256": None, "ref_count": 0, "dis_count": 0},
    "recommendation": "flip",
    "adr": "A",
    "parent_adr": "B",
}
LONE: dict[str, tuple[dict[str, Any], int, str]] = {
    "one word": ({"verdict": "PROMOTE"}, 2, "lies alone"),
    "published": (PUBLISHED, 2, "--reported"),
    "published, by heldout": (PUBLISHED | {"schema": "heldout.verdict/1", "evidence": "reported"}, 2, "--reported"),
    "newer schema": ({"schema": "heldout.verdict/2", "verdict": "PROMOTE"}, 2, "heldout.verdict/2"),
    "newer version": (PUBLISHED | {"schema_version": 2}, 2, "reported"),
    "another verdict inside": ({"verdict": "HOLD"}, 3, "says 'HOLD'"),
}


@route(KIND, "motivated author", 'writes {"verdict": "PROMOTE"} into a file PROMOTE.json and shows it', "stopped")
@route(KIND, "careless user", "asks the gate for a verdict of reported numbers that lies alone in a folder", "stopped")
@route(KIND, "operator", "asks the gate for a verdict that a newer heldout wrote", "stopped")
@pytest.mark.parametrize("name", LONE)
def test_a_verdict_alone_is_no_evidence(tmp_path: Path, name: str) -> None:
    """A release pipeline would let through what anybody can write with an editor."""
    document, code, words = LONE[name]
    (tmp_path / "PROMOTE.json").write_text(json.dumps(document))
    for more in ((), ("--json",), ("--junit", tmp_path / "junit.xml"), ("--summary", tmp_path / "summary.md")):
        answer = heldout("gate", tmp_path, *more)
        assert (code, "") == (answer.code, answer.out)
        assert words in answer.err
    assert [] == sorted(path.name for path in tmp_path.iterdir() if path.name in ("junit.xml", "summary.md"))


def test_seed_files_are_sent_to_the_option_that_judges_them(tmp_path: Path) -> None:
    """A newcomer with a folder of reports would not find out what judges them."""
    (tmp_path / "loso_seed0.json").write_text("{}")
    answer = heldout("gate", tmp_path)
    assert (2, True) == (answer.code, "--reported" in answer.err)
    (tmp_path / "PROMOTE.json").write_text(json.dumps(PUBLISHED))
    (tmp_path / "run.json").write_text("{}")
    assert 2 == heldout("gate", tmp_path).code


def edited(run: Path) -> None:
    (run / "PROMOTE.json").write_bytes(dumps(read_json(run / "HOLD.json") | {"verdict": "PROMOTE", "reasons": []}))
    (run / "HOLD.json").unlink()


def mended(run: Path) -> None:
    """All rules PASS, and every digest above them made again."""
    verdict = read_json(run / "HOLD.json")
    rules = [rule | {"outcome": "PASS"} for rule in verdict["rules"]]
    write_verdict(run, verdict | {"verdict": "PROMOTE", "reasons": [], "rules": rules})
    verdict = read_json(run / "PROMOTE.json")
    verdict["judged"]["files_sha256"] = files_digest(run_files(run))
    write_verdict(run, verdict)
    write_manifest(run)


def renamed(run: Path) -> None:
    (run / "HOLD.json").rename(run / "PROMOTE.json")


def both(run: Path) -> None:
    (run / "PROMOTE.json").write_bytes((run / "HOLD.json").read_bytes())


EDITS: dict[str, Callable[[Path], None]] = {"edited": edited, "mended": mended, "renamed": renamed, "both": both}


@pytest.mark.slow
@route(KIND, "motivated author", "turns HOLD.json of a run into PROMOTE.json and asks the gate", "stopped")
@route(KIND, "motivated author", "lets every rule of a HOLD say PASS and mends the digests", "TAMPERED")
@route(KIND, "disk", "leaves PROMOTE.json and HOLD.json side by side", "stopped")
def test_a_forged_verdict_of_a_run_is_refused(every_road: Desk) -> None:
    """A pipeline that asks `heldout gate RUN` would promote what was held, on any road."""
    name = every_road.study["gate"]["rules"][0]["metric"]
    rule = {"id": "good", "metric": name, "over": every_road.study["gate"]["rules"][0]["over"], "at_least": 0.99999}
    every_road.rules(rule)
    assert 1 == every_road.run().code
    honest = every_road.newest
    assert 1 == heldout("gate", honest).code
    for edit, change in EDITS.items():
        copy = honest.parent / f"copy-{edit}"
        shutil.copytree(honest, copy)
        change(copy)
        answer = heldout("gate", copy, "--json")
        assert (3, "") == (answer.code, answer.out), edit


@route(KIND, "motivated author", "takes the manifest away from a run, so that no digest is compared", "stopped")
@route(KIND, "careless user", "copies the verdict and run.json of a run, and nothing else", "stopped")
def test_less_evidence_is_no_verdict(desk: Desk) -> None:
    """Whoever removes the evidence would pass where whoever edits it does not."""
    assert 0 == desk.run().code
    bare = desk.folder / "bare"
    bare.mkdir()
    for name in ("PROMOTE.json", "run.json"):
        shutil.copy(desk.newest / name, bare / name)
    assert 2 == heldout("gate", bare).code
    (desk.newest / "manifest.json").unlink()
    answer = heldout("gate", desk.newest)
    assert (2, True) == (answer.code, "manifest.json" in answer.err)


@pytest.mark.slow
def test_an_honest_run_keeps_its_verdict(road: Desk) -> None:
    """What the gate shows and writes for CI would be refused of those who did nothing wrong."""
    assert 0 == road.run().code
    junit = road.folder / "junit.xml"
    answer = heldout("gate", road.newest, "--json", "--junit", junit)
    assert (0, "PROMOTE") == (answer.code, json.loads(answer.out)["verdict"])
    assert "<testsuite" in junit.read_text()


@pytest.mark.slow
def test_a_run_in_python_is_verified_on_request(desk: Desk) -> None:
    """From Python one could only believe the file."""
    from heldout import Run

    desk.run()
    run = Run(desk.newest)
    assert ("PROMOTE", True) == (run.verdict, run.verify(corpus=desk.folder / "table.csv").holds)
    (run.folder / "RUN_REPORT.md").write_text("better than it was")
    assert "files" == getattr(run.verify().broken, "id", None)
