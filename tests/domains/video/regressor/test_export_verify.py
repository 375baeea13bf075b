"""Ways to pass a changed model off as the one that was promoted. Each must end TAMPERED, at the link that it breaks.

A careless attacker changes one file. A careful one also mends the digests above it: sidecar, manifest, and the
manifest's digest of itself (``reseal``).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.cli.main import main
from heldout.domains.video.export.sidecar import content_sha256
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import read_json, sha256_file, write_json
from heldout.verify import exports, verify_path, verify_run

pytest.importorskip("numba")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAME = "fr_regressor_v2_ensemble_v1"
MANIFEST = f"{NAME}.json"
PROOF = f"{NAME}_parity.safetensors"
EXPORT_LINKS = [
    *("export", "export-manifest", "export-files", "export-sidecars", "export-graphs", "export-verdict"),
    *("export-confidence", "export-parity", "export-answers"),
]


def onnx_of(folder: Path, seed: int = 0) -> Path:
    return folder / f"{NAME}_seed{seed}.onnx"


def card_of(folder: Path, seed: int = 0) -> Path:
    return folder / f"{NAME}_seed{seed}.json"


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    write_json(path, document)


def reseal(folder: Path, change: Callable[[Any], None] = lambda _: None) -> None:
    """Mend every digest: of the graphs in the sidecars, of all files in the manifest, and the manifest's own."""
    manifest = read_json(folder / MANIFEST)
    for member in manifest["members"]:
        sha256 = sha256_file(folder / member["onnx"])
        edit(folder / member["sidecar"], lambda card, sha256=sha256: card.update(sha256=sha256))
        member |= {"sha256": sha256, "sidecar_sha256": sha256_file(folder / member["sidecar"])}
    manifest["parity"]["sha256"] = sha256_file(folder / PROOF)
    change(manifest)
    write_json(folder / MANIFEST, manifest | {"content_sha256": content_sha256(manifest)})


def edit_graph(path: Path, change: Callable[[Any], None]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def halve(model: Any) -> None:
    for tensor in model.graph.initializer:
        if tensor.name.endswith("weight"):
            values = onnx.numpy_helper.to_array(tensor) / 2
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))


def answers_of_the_graphs(folder: Path) -> None:
    """Forge the proof too: its answers become those of the graphs as they are."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from heldout.domains.video.backbone.features import Affine
    from heldout.domains.video.backbone.parity import ask, read_proof

    proof, card = read_proof(folder / PROOF), read_json(card_of(folder))
    scaler = Affine(np.array(card["feature_mean"]), np.array(card["feature_std"]))
    found = {
        f"answer.seed{seed}": ask(onnx_of(folder, seed).read_bytes(), proof.features, proof.block, scaler)
        for seed in proof.answers
    }
    with safe_open(folder / PROOF, framework="numpy") as file:
        metadata = file.metadata()
    save_file({"features": proof.features, "codec_onehot": proof.block, **found}, folder / PROOF, metadata=metadata)


# --- attacks ------------------------------------------------------------------------------------------------------


def halved_weights(folder: Path) -> None:
    edit_graph(onnx_of(folder), halve)


def halved_weights_mended(folder: Path) -> None:
    halved_weights(folder)
    reseal(folder)


def halved_weights_and_proof(folder: Path) -> None:
    for seed in (0, 1):
        edit_graph(onnx_of(folder, seed), halve)
    answers_of_the_graphs(folder)
    reseal(folder)


def swapped_members(folder: Path) -> None:
    first, second = onnx_of(folder).read_bytes(), onnx_of(folder, 1).read_bytes()
    onnx_of(folder).write_bytes(second)
    onnx_of(folder, 1).write_bytes(first)


def swapped_members_mended(folder: Path) -> None:
    swapped_members(folder)
    reseal(folder)


def member_of_another_seed(folder: Path) -> None:
    shutil.copy(onnx_of(folder, 1), onnx_of(folder))
    reseal(folder)


def member_of_another_seed_renamed(folder: Path) -> None:
    """The graph of seed 1 says that it is seed 0."""
    own = {each.key: each.value for each in onnx.load(onnx_of(folder)).metadata_props}
    shutil.copy(onnx_of(folder, 1), onnx_of(folder))
    edit_graph(onnx_of(folder), lambda model: onnx.helper.set_model_props(model, own))
    reseal(folder)


def external_data_beside(folder: Path) -> None:
    onnx_of(folder).with_suffix(".onnx.data").write_bytes(b"\0" * 64)


def external_weights(folder: Path) -> None:
    model = onnx.load(onnx_of(folder))
    onnx.save(model, onnx_of(folder), save_as_external_data=True, location="weights.bin", size_threshold=0)
    reseal(folder)


def wrong_opset(folder: Path) -> None:
    edit_graph(onnx_of(folder), lambda model: setattr(model.opset_import[0], "version", 16))
    reseal(folder)


def wrong_opset_said_so(folder: Path) -> None:
    edit(card_of(folder), lambda card: card.update(opset=16))
    wrong_opset(folder)


def another_operator(folder: Path) -> None:
    def cap(model: Any) -> None:
        model.graph.node[-1].output[0] = "uncapped"
        model.graph.node.append(onnx.helper.make_node("Relu", ["uncapped"], ["score"]))

    edit_graph(onnx_of(folder), cap)
    reseal(folder)


def another_shape(folder: Path) -> None:
    def widen(model: Any) -> None:
        model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 6

    edit_graph(onnx_of(folder), widen)
    reseal(folder)


def bytes_behind_the_graph(folder: Path) -> None:
    path = onnx_of(folder)
    path.write_bytes(path.read_bytes() + onnx.StringStringEntryProto(key="x", value="y").SerializeToString())
    reseal(folder)


def truncated_graph(folder: Path) -> None:
    onnx_of(folder).write_bytes(onnx_of(folder).read_bytes()[:-100])


def truncated_graph_mended(folder: Path) -> None:
    truncated_graph(folder)
    reseal(folder)


def truncated_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes()[:-100])


def truncated_proof(folder: Path) -> None:
    path = folder / PROOF
    path.write_bytes(path.read_bytes()[:-8])
    reseal(folder)


def edited_sidecar(folder: Path) -> None:
    edit(card_of(folder), lambda card: card.update(notes="best of all"))


def edited_scaler_mended(folder: Path) -> None:
    edit(card_of(folder), lambda card: card["feature_mean"].__setitem__(0, 0.0))
    reseal(folder)


def edited_scaler_everywhere(folder: Path) -> None:
    for seed in (0, 1):
        edit(card_of(folder, seed), lambda card: card["feature_mean"].__setitem__(0, 0.0))
    reseal(folder, lambda manifest: manifest["feature_mean"].__setitem__(0, 0.0))


def edited_vocabulary(folder: Path) -> None:
    def drift(names: list[str]) -> None:
        names[5], names[6] = names[6], names[5]

    for seed in (0, 1):
        edit(card_of(folder, seed), lambda card: drift(card["encoder_vocab"]))
    reseal(folder, lambda manifest: drift(manifest["codec_vocab"]))


def loosened_tolerance(folder: Path) -> None:
    edit_graph(onnx_of(folder), halve)
    for seed in (0, 1):
        edit(card_of(folder, seed), lambda card: card["parity"].update(tolerance=10.0))
    reseal(folder, lambda manifest: manifest["parity"].update(tolerance=10.0))


def edited_manifest(folder: Path) -> None:
    edit(folder / MANIFEST, lambda manifest: manifest["eval"].update(in_sample_plcc=1.0))


def edited_manifest_form(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps(read_json(folder / MANIFEST)))


def narrower_intervals(folder: Path) -> None:
    def narrow(document: Any) -> None:
        document["confidence"]["conformal"]["clip"]["scores"]["too_high"] = [0.001] * 19

    for seed in (0, 1):
        edit(card_of(folder, seed), narrow)
    reseal(folder, narrow)


def better_gate_numbers(folder: Path) -> None:
    edit(card_of(folder), lambda card: card["gate"].update(this_seed_loso_plcc=0.9999))
    reseal(folder)


def another_recipe(folder: Path) -> None:
    edit(card_of(folder), lambda card: card["training_recipe"].update(epochs=200))
    reseal(folder)


def dropped_member(folder: Path) -> None:
    for path in (onnx_of(folder, 1), card_of(folder, 1)):
        path.unlink()

    def drop(manifest: Any) -> None:
        manifest["members"].pop()
        manifest["ensemble_size"] = 1

    edit(folder / MANIFEST, drop)
    reseal(folder)


def member_twice(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["members"].__setitem__(1, manifest["members"][0]))


def file_outside(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["members"][0].update(onnx="../run.json"))


def missing_sidecar(folder: Path) -> None:
    card_of(folder, 1).unlink()


def linked_graph(folder: Path) -> None:
    target = folder.parent / "scratch" / "moved.onnx"
    target.parent.mkdir(exist_ok=True)
    onnx_of(folder).rename(target)
    onnx_of(folder).symlink_to(target)


def another_schema(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest.update(schema="heldout.video.ensemble/2"))


ATTACKS: dict[Callable[[Path], None], str] = {
    halved_weights: "export-files",
    halved_weights_mended: "export-parity",
    halved_weights_and_proof: "export-answers",
    swapped_members: "export-files",
    swapped_members_mended: "export-graphs",
    member_of_another_seed: "export-graphs",
    member_of_another_seed_renamed: "export-parity",
    external_data_beside: "export-files",
    external_weights: "export-graphs",
    wrong_opset: "export-graphs",
    wrong_opset_said_so: "export-sidecars",
    another_operator: "export-graphs",
    another_shape: "export-graphs",
    bytes_behind_the_graph: "export-graphs",
    truncated_graph: "export-files",
    truncated_graph_mended: "export-graphs",
    truncated_manifest: "export",
    truncated_proof: "export-parity",
    edited_sidecar: "export-files",
    edited_scaler_mended: "export-sidecars",
    edited_scaler_everywhere: "export-graphs",
    edited_vocabulary: "export-manifest",
    loosened_tolerance: "export-parity",
    edited_manifest: "export-manifest",
    edited_manifest_form: "export-manifest",
    narrower_intervals: "export-confidence",
    better_gate_numbers: "export-verdict",
    another_recipe: "export-verdict",
    dropped_member: "export-verdict",
    member_twice: "export-manifest",
    file_outside: "export-manifest",
    missing_sidecar: "export-files",
    linked_graph: "export-files",
    another_schema: "export-manifest",
}


@pytest.fixture
def victim(exported: Any, tmp_path: Path) -> Path:
    """A copy of run and export, which may be tampered with; returns the run."""
    target = tmp_path / "elsewhere" / exported.run.name
    shutil.copytree(exported.run.parent, target.parent)
    return target


def broken_export_link(run: Path) -> str:
    """The first broken link of the export; the run's own chain is not walked again for every attack."""
    from heldout.verify.evidence import RunEvidence

    links = exports.links_of_run(RunEvidence.open(run))
    return next((link.id for link in links if link.state == "BROKEN"), "none")


@pytest.mark.slow
def test_an_honest_export_holds_with_its_run_and_alone(victim: Path, tmp_path: Path) -> None:
    """An honest export would be called tampered, here or where only its own files are."""
    whole = verify_run(victim)
    alone = verify_path(Path(shutil.copytree(victim / "exports", tmp_path / "alone")))

    assert whole.broken is None
    assert EXPORT_LINKS == [link.id for link in whole.links if link.id.startswith("export")]
    assert {"OK"} == {link.state for link in whole.links if link.id.startswith("export")}
    assert {MANIFEST: sha256_file(victim / "exports" / MANIFEST)} == whole.exports
    open_links = {"export-verdict", "export-confidence", "export-answers"}
    assert open_links == {link.id for link in alone.links if link.state == "NOT CHECKED"}
    assert (alone.holds, alone.verdict, alone.to_json()["run"]) == (True, None, None)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attack_is_tampered_at_the_link_that_it_breaks(attack: Callable[[Path], None], victim: Path) -> None:
    """A changed model would be served as the one that was promoted."""
    assert broken_export_link(victim) == "none"
    attack(victim / "exports")
    assert ATTACKS[attack] == broken_export_link(victim)


def test_every_byte_of_every_file_counts(victim: Path) -> None:
    """One flipped byte in some file of an export would pass."""
    folder = victim / "exports"
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for at in {0, len(data) - 1, int(rng.integers(len(data)))}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert broken_export_link(victim) != "none", (path.name, at)
        path.write_bytes(data)


def test_an_export_of_another_run_is_no_export_of_this_one(victim: Path, another_export: Any) -> None:
    """A model that was never judged would be shown with the PROMOTE of another."""
    other = another_export
    shutil.rmtree(victim / "exports")
    shutil.copytree(other.folder, victim / "exports")

    assert broken_export_link(victim) == "export-verdict"
    found = verify_path(other.folder, run=victim)
    assert (found.broken.id if found.broken else None) == "export-verdict"
    assert verify_path(other.folder).holds


def test_an_export_outlives_a_run_that_is_judged_again_but_no_hold(exported: Any, victim: Path) -> None:
    """Running a finished study again would turn its export into a forgery; or a HOLD would leave it in force."""
    verdict = read_json(victim / "PROMOTE.json")
    write_json(victim / "PROMOTE.json", verdict | {"generated_at_utc": "2030-01-01T00:00:00+00:00"})
    assert broken_export_link(victim) == "none"
    (victim / "PROMOTE.json").unlink()
    write_json(victim / "HOLD.json", verdict | {"verdict": "HOLD"})
    assert broken_export_link(victim) == "export-verdict"


def test_what_cannot_be_looked_at_is_not_verified(
    victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export would pass where nothing ran it; or a run could not be verified where ONNX Runtime is missing."""
    alone = Path(shutil.copytree(victim / "exports", tmp_path / "alone"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    found = verify_run(victim)

    (parity,) = (link for link in found.links if link.id == "export-parity")
    assert (found.holds, parity.state, parity.what) == (True, "NOT CHECKED", "onnxruntime is not installed")
    with pytest.raises(PrerequisiteError, match="onnxruntime is not installed"):
        verify_path(alone)


def test_files_that_no_manifest_names_are_not_vouched_for(victim: Path) -> None:
    """Whoever took the manifest away would be left with files that look verified."""
    (victim / "exports" / MANIFEST).unlink()

    (link,) = (link for link in verify_run(victim).links if link.id.startswith("export"))
    assert (link.state, link.what) == ("NOT CHECKED", "no manifest names the files in it: nothing vouches for them")
    with pytest.raises(InputError, match="INVALID"):
        verify_path(victim / "exports")


def test_options_of_a_run_need_the_run(victim: Path, tmp_path: Path) -> None:
    """A corpus or a key that was given and not looked at would be taken for checked."""
    alone = Path(shutil.copytree(victim / "exports", tmp_path / "alone"))
    with pytest.raises(InputError, match="the run of this export is not known"):
        verify_path(alone, corpus=tmp_path / "frames.jsonl")
    with pytest.raises(InputError, match="there is no export"):
        verify_path(victim, run=victim)
    with pytest.raises(InputError, match="INVALID"):
        verify_path(victim / "metrics.json")


def test_a_verifier_that_cannot_be_loaded_verifies_nothing(
    victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export would pass where the code that checks it is not installed."""
    alone = Path(shutil.copytree(victim / "exports", tmp_path / "alone"))
    monkeypatch.setitem(sys.modules, "heldout.domains.video.export.checks", None)

    (link,) = (link for link in verify_run(victim).links if link.id.startswith("export"))
    assert "NOT CHECKED" == link.state
    with pytest.raises(PrerequisiteError, match="cannot be imported"):
        verify_path(alone)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["heldout", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command_exits_by_the_chain_of_an_export(
    victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release script would ship a tampered model."""
    alone = Path(shutil.copytree(victim / "exports", tmp_path / "alone"))
    sha256 = sha256_file(alone / MANIFEST)
    assert command(monkeypatch, "verify", alone) == 0
    assert f"VERIFIED {MANIFEST}  sha256 {sha256}" in capsys.readouterr().out
    assert command(monkeypatch, "verify", alone / MANIFEST, "--run", victim) == 0
    assert "VERIFIED PROMOTE  sha256 " in capsys.readouterr().out
    halved_weights_mended(alone)
    assert command(monkeypatch, "verify", alone) == 3
    assert "TAMPERED at the link 'graphs → our own answers'" in capsys.readouterr().out
    assert command(monkeypatch, "verify", victim / "exports", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["result"], document["verdict"], [MANIFEST]) == ("VERIFIED", "PROMOTE", list(document["exports"]))


def test_the_proof_is_of_real_rows(exported: Any) -> None:
    """The proof would be of rows that nobody ever measured, or of too few to notice anything."""
    from heldout.domains.video.backbone.parity import read_proof

    proof, manifest = read_proof(exported.folder / PROOF), read_json(exported.folder / MANIFEST)
    rows = {f"{row['src']}/{row['encoder']}/cq{row['cq']}/{row['frame_index']:06d}": row
            for row in map(json.loads, exported.corpus.open())}  # fmt: skip

    assert 256 == len(proof.sample_ids) == manifest["parity"]["rows"]
    for name, values in zip(proof.sample_ids, proof.features, strict=False):
        assert [rows[name][key] for key in manifest["feature_order"]] == values.tolist()
    assert {0, 1} == set(proof.answers)
    assert (exported.folder / PROOF).stat().st_size < 100_000
