"""``registry.json``: published schema, whole files, and flips of the members that cleared the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.domains.video.published.registry_json import flip, flip_back, validate_registry
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import digest, read_json, sha256_file, write_json

onnx = pytest.importorskip("onnx")
NAME = "fr_regressor_v2_ensemble_v1_seed{}"
VERDICT: dict[str, Any] = {
    "verdict": "PROMOTE",
    "evidence": "computed",
    "smoke": None,
    "seeds": [0, 1, 2],
    "gate": {"per_seed_plccs": {"0": 0.99, "1": 0.94, "2": 0.98}, "per_seed_min": 0.95, "failing_seeds": [1]},
}


def write_model(path: Path, value: float, *, outside: bool = False) -> None:
    weight = onnx.numpy_helper.from_array(np.full(1024, value, dtype=np.float32), "w")
    tensor = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1024]) for name in ("x", "y")]
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", tensor[:1], tensor[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, str(path), save_as_external_data=outside, location=path.name + ".data", size_threshold=0)


def export(folder: Path, verdict: dict[str, Any], value: float = 1.0) -> None:
    for seed in verdict["seeds"]:
        name = NAME.format(seed)
        path = folder / f"{name}.onnx"
        write_model(path, value + seed)
        facts = {"id": name, "seed": seed, "kind": "fr", "opset": 17, "verdict_sha256": digest(verdict)}
        write_json(folder / f"{name}.json", facts | {"onnx": path.name, "sha256": sha256_file(path)})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with three smoke rows, and members exported after a PROMOTE in which seed 1 failed."""
    export(tmp_path, VERDICT)
    rows = [
        {"sha256": "0" * 64, "id": NAME.format(seed), "kind": "fr", "onnx": f"{NAME.format(seed)}.onnx", "smoke": True}
        for seed in range(3)
    ]
    (tmp_path / "registry.json").write_text(json.dumps({"schema_version": 1, "models": rows}, indent=2) + "\n")
    write_json(tmp_path / "PROMOTE.json", VERDICT)
    return tmp_path


def test_only_members_that_cleared_the_gate_are_flipped(models: Path) -> None:
    """A member that failed by itself would ship in the shade of the others' mean."""
    path = models / "registry.json"
    before = path.read_text().splitlines()
    assert [NAME.format(0), NAME.format(2)] == flip(path, models / "PROMOTE.json")
    rows = read_json(path)["models"]
    assert [False, True, False] == [row["smoke"] for row in rows]
    assert "0" * 64 == rows[1]["sha256"]
    assert sha256_file(models / f"{NAME.format(2)}.onnx") == rows[2]["sha256"]
    after = path.read_text().splitlines()
    assert 2 * 3 == len([line for line in after if line not in before])
    assert [] == flip(path, models / "PROMOTE.json")


@pytest.mark.parametrize(
    "change", [{"verdict": "HOLD"}, {"evidence": "reported"}, {"smoke": "one epoch"}, {"seeds": [1]}]
)
def test_nothing_else_flips_a_row(models: Path, change: dict[str, Any]) -> None:
    """A registry would be flipped on a HOLD, on reported numbers, a quick look, or another run's verdict."""
    before = (models / "registry.json").read_bytes()
    write_json(models / "PROMOTE.json", VERDICT | change)
    with pytest.raises(RefusedError):
        flip(models / "registry.json", models / "PROMOTE.json")
    assert before == (models / "registry.json").read_bytes()


def test_a_model_that_is_not_its_sidecars_is_not_flipped(models: Path) -> None:
    """The digest in the registry would be of a file that nobody judged."""
    write_model(models / f"{NAME.format(0)}.onnx", 9.0)
    with pytest.raises(TamperedError):
        flip(models / "registry.json", models / "PROMOTE.json")


def test_d32_weights_outside_the_file_are_a_finding(models: Path) -> None:
    """Halved weights would pass: the digest covered three kilobytes of graph and not what it computes with."""
    path = models / "registry.json"
    flip(path, models / "PROMOTE.json")
    write_model(models / f"{NAME.format(0)}.onnx", 1.0, outside=True)
    document = read_json(path)
    document["models"][0]["sha256"] = sha256_file(models / f"{NAME.format(0)}.onnx")
    write_json(path, document)
    assert any("weights lie outside" in problem for problem in validate_registry(path))


def test_a_flip_can_be_taken_back_while_its_files_are_there(models: Path) -> None:
    """The old rows would come back over models that are no longer the ones they name."""
    path = models / "registry.json"
    with pytest.raises(InputError):
        flip_back(path)
    (models / "registry.json").unlink()
    flip(path, models / "PROMOTE.json")
    first = path.read_bytes()
    second = VERDICT | {"generated_at_utc": "2026-11-22T00:00:00+00:00"}
    write_json(models / "second.json", second)
    saved = {file.name: file.read_bytes() for file in models.glob("*seed*")}
    export(models, second, value=5.0)
    assert 2 == len(flip(path, models / "second.json"))
    with pytest.raises(RefusedError, match="does not verify"):
        flip_back(path)
    for name, data in saved.items():
        (models / name).write_bytes(data)
    tracked = flip_back(path)
    assert first == path.read_bytes()
    assert [] == validate_registry(path)
    told = re.findall(r"\| (taken back|in force again) \| \[.*\]\((.*)\), sha256 `(.*)` \|", tracked.read_text())
    expected = [("taken back", "second.json"), ("in force again", "PROMOTE.json")]
    assert [(word, name, sha256_file(models / name)) for word, name in expected] == told


def test_a_flip_that_is_not_on_record_is_taken_back_too(models: Path) -> None:
    """Whoever flipped by an older heldout could not go back."""
    path = models / "registry.json"
    before = path.read_bytes()
    flip(path, models / "PROMOTE.json")
    path.with_suffix(".flip.json").unlink()
    for seed in range(3):
        (models / f"{NAME.format(seed)}.onnx").unlink()
    document = read_json(path.with_suffix(".before.json")) | {"models": []}
    write_json(path.with_suffix(".before.json"), document)
    assert before != path.read_bytes()
    assert 2 == flip_back(path).read_text().count("none on record")
    assert [] == read_json(path)["models"]


DEFECTS: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "unknown key": lambda d, _: d["models"][0].update(author="x"),
    "a bad id": lambda d, _: d["models"][0].update(id="Upper"),
    "the same id twice": lambda d, _: d["models"].append(dict(d["models"][0])),
    "a null": lambda d, _: d["models"][0].update(notes=None),
    "a word for a flag": lambda d, _: d["models"][0].update(smoke="no"),
    "a way out of the folder": lambda d, _: d["models"][0].update(onnx="a/../../x.onnx"),
    "another digest": lambda d, _: d["models"][0].update(sha256="1" * 64),
    "an opset out of range": lambda d, _: d["models"][0].update(opset=22),
    "no int8 digest": lambda d, _: d["models"][0].update(quant_mode="static"),
    "a schema of the future": lambda d, _: d.update(schema_version=2),
    "a missing model": lambda d, folder: (folder / d["models"][0]["onnx"]).unlink(),
    "a missing sidecar": lambda d, folder: (folder / f"{d['models'][0]['id']}.json").unlink(),
    "another's sidecar": lambda d, folder: write_json(folder / f"{d['models'][0]['id']}.json", {"id": "x"}),
    "no model": lambda d, folder: (folder / d["models"][0]["onnx"]).write_bytes(b"\xff\xff\xff"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found(models: Path, name: str) -> None:
    """A registry that others load would name what is not there, or what they cannot read."""
    path = models / "registry.json"
    path.unlink()
    flip(path, models / "PROMOTE.json")
    assert [] == validate_registry(path)
    document = read_json(path)
    DEFECTS[name](document, models)
    write_json(path, document)
    assert [] != validate_registry(path)
