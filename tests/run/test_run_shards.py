"""A run in several places is the same run: on every road the same bytes, and nothing is scored before it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attack_kit import ROADS, Desk, table_desk
from safetensors.numpy import load_file, save_file

from heldout.evidence import read_json, sha256_file, write_json

SAME = ("predictions.jsonl", "predictions.csv", "metrics.json", "split.json", "corpus.json", "study.lock.yaml")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return table_desk(tmp_path)


def halves(desk: Desk) -> list[Path]:
    """Two folders of runs, a shard each."""
    places = [desk.folder / name for name in ("one", "two")]
    for number, place in enumerate(places):
        done = desk.run("--shard", f"{number}/2", "--runs", place)
        assert (0, True) == (done.code, "nothing is judged" in done.out), done
    return places


def units(place: Path) -> Iterator[Path]:
    yield from sorted(place.rglob("unit.json"))


@pytest.mark.first_is_fast
@pytest.mark.parametrize("road", sorted(ROADS, reverse=True))
def test_two_halves_are_the_whole(road: str, tmp_path: Path) -> None:
    """Two machines would come to another verdict than one."""
    desk = ROADS[road](tmp_path)
    whole = desk.run()
    alone = desk.newest
    places = halves(desk)
    shared = [len(list(units(place))) for place in places]
    assert abs(shared[0] - shared[1]) <= 1
    assert len(list(units(alone))) == sum(shared)
    assert not [path for place in places for path in place.rglob("*.jsonl") if path.name != "progress.jsonl"]
    merged = desk.heldout("merge", "study.yaml", *places, "--runs", "together", "--workers", 1)
    assert whole.code == merged.code, merged
    found = next(Path(tmp_path / "together").glob("*/*/metrics.json")).parent
    assert {name: sha256_file(alone / name) for name in SAME} == {name: sha256_file(found / name) for name in SAME}
    assert 0 == desk.heldout("verify", found).code


@pytest.mark.slow
def test_a_shard_that_is_missing_is_named(desk: Desk) -> None:
    """A verdict would be of half a run, or the merge would fit for a day on the wrong machine."""
    one, two = halves(desk)
    told = desk.heldout("merge", "study.yaml", one, "--runs", "together")
    assert (2, True) == (told.code, "units are in none of these folders" in told.err), told
    assert not list(Path(desk.folder / "together").rglob("trials.jsonl"))
    assert 0 == desk.heldout("merge", "study.yaml", two, "--runs", "together").code, "what was brought stays"


def test_a_unit_that_came_out_otherwise_is_refused(desk: Desk) -> None:
    """Which of two answers is judged would depend on the order of the folders."""
    one, two = halves(desk)
    other = desk.folder / "other"
    shutil.copytree(one, other)
    path = next(units(other)).parent
    values = load_file(path / "predictions.safetensors")
    save_file({"prediction": values["prediction"] + np.float64(1e-9)}, path / "predictions.safetensors")
    document = read_json(path / "unit.json")
    document["files"]["predictions.safetensors"] = sha256_file(path / "predictions.safetensors")
    write_json(path / "unit.json", document)
    told = desk.heldout("merge", "study.yaml", one, two, other, "--runs", "together")
    assert (3, True) == (told.code, "was fitted twice" in told.err), told


STRANGE = {
    "nul": lambda unit: unit["files"].update({"a\0b": "0" * 64}),
    "no predictions": lambda unit: unit["files"].pop("predictions.safetensors"),
    "no files": lambda unit: unit.update(files={}),
    "no classes": lambda unit: unit.pop("classes"),
    "warnings": lambda unit: unit.update(warnings=5),
    "time": lambda unit: unit.update(wall_time_s="x"),
    "no time": lambda unit: unit.pop("wall_time_s"),
    "another fold": lambda unit: unit.update(fold="elsewhere"),
    "another seed": lambda unit: unit.update(seed=7),
    "another contender": lambda unit: unit.update(contender="mean"),
    "fewer rows": lambda unit: unit.update(n_test=unit["n_test"] - 1),
    "more training": lambda unit: unit.update(n_train=unit["n_train"] + 1),
    "schema": lambda unit: unit.update(schema="heldout.unit/1"),
}


@pytest.mark.first_is_fast
@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_unit_is_none_and_spoils_nothing(desk: Desk, case: str) -> None:
    """A run would end in a traceback at each further try, or a PROMOTE that `verify` calls TAMPERED."""
    one, two = halves(desk)
    path = next(units(two))
    whole = path.read_bytes()
    document = read_json(path)
    STRANGE[case](document)
    write_json(path, document)
    told = desk.heldout("merge", "study.yaml", one, two, "--runs", "together")
    assert (2, True) == (told.code, "units are in none of these folders" in told.err), told
    path.write_bytes(whole)
    assert 0 == desk.heldout("merge", "study.yaml", one, two, "--runs", "together").code


@pytest.mark.first_is_fast
@pytest.mark.parametrize("case", ["garbage", "no key", "columns", "int32"])
def test_strange_predictions_are_none(desk: Desk, case: str) -> None:
    """The same, of the file beside the document."""
    one, two = halves(desk)
    path = next(units(two)).parent
    file, document = path / "predictions.safetensors", read_json(path / "unit.json")
    values = load_file(file)["prediction"]
    match case:
        case "garbage":
            file.write_bytes(b"\xff" * 100)
        case "no key":
            save_file({"other": values}, file)
        case "columns":
            save_file({"prediction": values.reshape(-1, 1)}, file)
        case "int32":
            save_file({"prediction": values.astype(np.int32)}, file)
    document["files"][file.name] = sha256_file(file)
    write_json(path / "unit.json", document)
    told = desk.heldout("merge", "study.yaml", one, two, "--runs", "together")
    assert (2, True) == (told.code, "predictions.safetensors" in told.err), told


@pytest.mark.slow
def test_units_of_another_world_are_not_brought(desk: Desk) -> None:
    """Models of other packages, or of another corpus, would be judged as these."""
    one, two = halves(desk)
    for path in units(two):
        write_json(path, read_json(path) | {"packages": {"numpy": "0.1"}})
    told = desk.heldout("merge", "study.yaml", one, two, "--runs", "together")
    assert (2, True) == (told.code, "numpy" in told.err), told


@pytest.mark.parametrize("name", ["../../../../../../stolen", "/etc/hostname"])
def test_a_unit_brings_its_own_files_and_no_others(desk: Desk, name: str) -> None:
    """A folder that came from elsewhere would write anywhere, or read anything into the run."""
    one, two = halves(desk)
    path = next(units(two))
    document = read_json(path)
    target = path.parent / name
    if not name.startswith("/"):
        target.write_text("written outside")
    document["files"][name] = sha256_file(target)
    write_json(path, document)
    told = desk.heldout("merge", "study.yaml", one, two, "--runs", "together")
    assert (2, True) == (told.code, "not its own" in told.err), told
    assert not [each for each in (desk.folder / "together").rglob("*") if each.name in ("stolen", "hostname")]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_a_link_in_a_shard_is_no_file(desk: Desk) -> None:
    """A file of this machine would be copied into a run that is given to others."""
    one, two = halves(desk)
    path = next(units(two)).parent
    secret = desk.folder / "secret"
    shutil.move(path / "predictions.safetensors", secret)
    (path / "predictions.safetensors").symlink_to(secret)
    told = desk.heldout("merge", "study.yaml", one, two, "--runs", "together")
    assert told.code in (2, 3), told
    assert not list((desk.folder / "together").rglob("trials.jsonl"))


@pytest.mark.parametrize("shard", ["2/2", "x", "1/0", "-1/2", "0/2/3", ""])
def test_what_is_no_shard_is_refused(desk: Desk, shard: str) -> None:
    """A slip would fit nothing, or everything twice."""
    told = desk.run(f"--shard={shard}")
    assert (2, True) == (told.code, "there is no shard" in told.err), told


def test_a_shard_goes_on_and_says_what_is_there(desk: Desk) -> None:
    """A shard that was killed would begin anew, and a script could not tell whether it is done."""
    place = desk.folder / "one"
    first = json.loads(desk.run("--shard", "0/2", "--runs", place, "--json").out)
    next(units(place)).unlink()
    again = json.loads(desk.run("--shard", "0/2", "--runs", place, "--json").out)
    assert first == again
    assert (len(list(units(place))), {"offset": 0, "stride": 2}) == (again["units"], again["shard"])
    assert 2 == desk.run("--shard", "0/2", "--dry-run").code
    assert 2 == desk.heldout("merge", "study.yaml", desk.folder / "nowhere").code
