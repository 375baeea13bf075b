"""The links of an exported ensemble: from its manifest over graphs and sidecars to the verdict that allowed it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.video.backbone.features import CODEC_BLOCK, ENCODER_VOCAB, ENCODER_VOCAB_VERSION, Affine
from heldout.domains.video.backbone.onnx import INPUTS, OPSET, OUTPUTS
from heldout.domains.video.backbone.parity import TOLERANCE, ask, distance, read_proof
from heldout.domains.video.backbone.regressor import FRParams
from heldout.domains.video.corpus.rows import FEATURES
from heldout.domains.video.export import graphs as export_graphs
from heldout.domains.video.export import sidecar
from heldout.domains.video.export.confidence import confidence
from heldout.errors import PrerequisiteError
from heldout.evidence import digest, dumps, loads, read_json, read_plain, sha256_file
from heldout.verify.chain import BrokenError, Check
from heldout.verify.differences import first_difference
from heldout.verify.exports import ExportEvidence

# On rows that they saw, members trained on all rows may be off this many times as far as the run on held-out rows.
_MUCH_WORSE = 1.5
_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,55}")
# What manifest and sidecar say alike, by its name in the sidecar and in the manifest.
_SHARED = {
    "ensemble_id": "id",
    "encoder_vocab": "codec_vocab",
    "encoder_vocab_version": "codec_vocab_version",
} | {key: key for key in ("codec_block_layout", "feature_order", "feature_mean", "feature_std", "corpus", "unseen")}
_SHARED |= {key: key for key in ("confidence", "verdict_sha256", "run_provenance")}


def check_manifest(evidence: ExportEvidence) -> str:
    """The manifest is as it was written, and names its files as they are named."""
    document, name = evidence.document, evidence.path.name
    if dumps(document) != read_plain(evidence.path):
        raise BrokenError("the manifest is not in the form in which an export writes it", name)
    if document["content_sha256"] != sidecar.content_sha256(document):
        raise BrokenError("the manifest is not the one that was written: its own digest differs", name)
    prefix, members = document["id"], document["members"]
    if document["schema"] != sidecar.ENSEMBLE_SCHEMA or not _PREFIX.fullmatch(prefix) or name != f"{prefix}.json":
        raise BrokenError("the manifest is of another schema or another name", name)
    seeds = [member["seed"] for member in members]
    for member in members:
        stem = f"{prefix}_seed{int(member['seed'])}"
        if (member["id"], member["onnx"], member["sidecar"]) != (stem, f"{stem}.onnx", f"{stem}.json"):
            raise BrokenError(f"the files of seed {member['seed']} are not named after it", f"{name}: members")
    if not seeds or len(set(seeds)) != len(seeds) or document["ensemble_size"] != len(seeds):
        raise BrokenError("the members do not add up, or one stands twice", f"{name}: members")
    if document["parity"]["file"] != sidecar.proof_name(prefix):
        raise BrokenError("the proof of parity is not named after the ensemble", f"{name}: parity")
    expected = {"codec_vocab": list(ENCODER_VOCAB), "codec_vocab_version": ENCODER_VOCAB_VERSION}
    expected |= {"codec_block_layout": list(CODEC_BLOCK), "feature_order": list(FEATURES)}
    place = first_difference(expected, {key: document[key] for key in expected})
    if place is not None:
        raise BrokenError("vocabulary or features are not those of this model family", f"{name}: {place}")
    return f"{prefix}: members of seeds {seeds}"


def check_files(evidence: ExportEvidence) -> str:
    """Every file that the manifest names is there, unchanged, and no weights lie beside them."""
    named = dict(_named(evidence.document))
    for name, sha256 in named.items():
        path = evidence.folder / name
        if path.is_symlink():
            raise BrokenError("a link stands where a file of the export should be", name)
        if not path.is_file():
            raise BrokenError("the file is missing", name)
        if sha256_file(path) != sha256:
            raise BrokenError("the file is not the one in the manifest: its sha256 differs", name)
    known = {*named, evidence.path.name}
    for path in sorted(evidence.folder.iterdir()):
        own = path.name.startswith(evidence.document["id"]) and not path.name.endswith(".sigstore.json")
        if (own or path.suffix == ".data") and path.name not in known:
            raise BrokenError("the manifest does not name this file", path.name)
    return f"{len(named)} files are the ones in the manifest"


def check_verdict(evidence: ExportEvidence) -> str:
    """The run's verdict is the PROMOTE that allowed this export, over this corpus, for these members."""
    run, document, name = evidence.known_run(), evidence.document, evidence.path.name
    verdict, judged = run.verdict, run.verdict["judged"]
    if (verdict["verdict"], verdict["evidence"], verdict["smoke"]) != ("PROMOTE", "computed", None):
        raise BrokenError(f"the run's verdict is {verdict['verdict']}, which allows no export", run.verdict_file.name)
    same = document["verdict_sha256"] == digest(verdict)
    if not same and document["judged"] != {key: judged.get(key) for key in sidecar.JUDGED}:
        raise BrokenError("it was exported under another verdict, of another run", f"{name}: verdict_sha256")
    groups = {group.id: group.sha256 for group in run.corpus.groups}
    found = document["corpus"]
    if (found["sha256"], found["n_rows"], found["groups"]) != (judged["corpus_sha256"], run.corpus.rows, groups):
        raise BrokenError("it was trained on another corpus than the one that was judged", f"{name}: corpus")
    if sorted(member["seed"] for member in document["members"]) != sorted(run.seeds):
        raise BrokenError(f"the members are not those that were judged: {list(run.seeds)}", f"{name}: members")
    recipe = sidecar.recipe(FRParams.model_validate(run.lock["fit"]))
    for seed, card in _sidecars(evidence):
        expected = {"gate": sidecar.gate_block(verdict, run.metrics, seed), "training_recipe": recipe}
        place = first_difference(_plain(expected), {key: card[key] for key in expected})
        if place is not None:
            raise BrokenError(
                "the sidecar says otherwise than the verdict", f"{document['id']}_seed{seed}.json: {place}"
            )
    given = "" if same else "; the same evidence was judged again since"
    return f"exported after PROMOTE over corpus {judged['corpus_sha256'][:12]}{given}"


def check_sidecars(evidence: ExportEvidence) -> str:
    """Every sidecar says what the manifest says, and what kind of graph it describes."""
    document, count = evidence.document, 0
    for (seed, card), member in zip(_sidecars(evidence), document["members"], strict=True):
        name = member["sidecar"]
        if dumps(card) != read_plain(evidence.folder / name):
            raise BrokenError("the sidecar is not in the form in which an export writes it", name)
        own = {key: member[key] for key in ("id", "onnx", "seed", "sha256")}
        own |= {"schema": sidecar.MEMBER_SCHEMA, "kind": "fr", "opset": OPSET}
        own |= {"input_names": list(INPUTS), "output_names": list(OUTPUTS)}
        expected = own | {mine: document[theirs] for mine, theirs in _SHARED.items()}
        place = first_difference(expected, {key: card[key] for key in expected})
        if place is not None:
            raise BrokenError("the sidecar says otherwise than manifest and graph", f"{name}: {place}")
        if card["target_scaling"]["in_graph"] is not True or card["seed"] != seed:
            raise BrokenError("the sidecar describes another graph", name)
        count += 1
    return f"{count} sidecars agree with the manifest"


def check_graphs(evidence: ExportEvidence) -> str:
    """Every graph is valid ONNX, whole in one file, with the inputs, vocabulary and scaler that its sidecar names."""
    for _, card in _sidecars(evidence):
        export_graphs.check(evidence.folder / card["onnx"], card)
    return f"{len(evidence.document['members'])} graphs: valid, opset {OPSET}, weights inside, inputs as in the sidecar"


def check_confidence(evidence: ExportEvidence) -> str:
    """The half-widths follow from the run's held-out predictions."""
    run, document = evidence.known_run(), evidence.document
    expected = _plain(confidence(run.metrics, run.predictions, [member["seed"] for member in document["members"]]))
    place = first_difference(expected, document["confidence"])
    if place is not None:
        raise BrokenError("the intervals are not those of the held-out predictions", f"{evidence.path.name}: {place}")
    return f"intervals made again from {len(run.predictions.target)} held-out predictions: the same"


def check_parity(evidence: ExportEvidence) -> str:
    """Every graph, run here, answers what our own model answered when it was exported."""
    _require_runtime()
    document = evidence.document
    proof = read_proof(evidence.folder / document["parity"]["file"])
    if set(proof.answers) != {member["seed"] for member in document["members"]}:
        raise BrokenError("the proof is of other members", document["parity"]["file"])
    if document["parity"]["rows"] != len(proof.sample_ids):
        raise BrokenError("the manifest counts other rows than the proof has", f"{evidence.path.name}: parity")
    worst = 0.0
    for seed, card in _sidecars(evidence):
        declared = {document["parity"]["tolerance"], card["parity"]["tolerance"]}
        if declared != {TOLERANCE}:
            raise BrokenError(f"the declared tolerance is {max(declared):g}, not {TOLERANCE:g}", card["onnx"])
        found = _answer(evidence, card, proof)
        if not found.relative <= TOLERANCE:
            what = f"ONNX Runtime answers otherwise than the model that was exported: by {found.absolute:.3g} VMAF"
            raise BrokenError(what, f"{card['onnx']} (seed {seed})")
        worst = max(worst, found.relative)
    return f"ONNX Runtime answers {len(proof.features)} rows as our own models did, within {worst:.1e}"


def check_answers(evidence: ExportEvidence) -> str:
    """The kept answers fit the targets that the run judged: a proof forged together with its graphs would not."""
    run = evidence.known_run()
    proof = read_proof(evidence.folder / evidence.document["parity"]["file"])
    samples = run.predictions.samples
    place = {name: row for row, name in enumerate(samples["sample_id"])}
    lacking = [name for name in proof.sample_ids if name not in place]
    if lacking:
        raise BrokenError(f"the row {lacking[0]} is none of the run's", evidence.document["parity"]["file"])
    target = run.predictions.target[[place[name] for name in proof.sample_ids]]
    mean = np.mean([values[: len(target)] for values in proof.answers.values()], axis=0)
    rmse = float(np.sqrt(np.mean((target - mean) ** 2)))
    held_out = run.metrics["ensemble"]["pooled"]["rmse"]
    if held_out is None or not rmse <= _MUCH_WORSE * held_out:
        what = f"off by {rmse:.3g} VMAF (RMSE) on rows that they saw, the run by {held_out} on held-out rows"
        raise BrokenError(what, evidence.document["parity"]["file"])
    return (
        f"off by {rmse:.2g} VMAF (RMSE) on {len(target)} rows that they saw, the run by {held_out:.2g} on held-out rows"
    )


CHAIN = (
    Check("export-manifest", "export manifest", check_manifest),
    Check("export-files", "export manifest → every file", check_files, ("export-manifest",)),
    Check("export-sidecars", "export manifest → sidecars", check_sidecars, ("export-files",)),
    Check("export-graphs", "sidecars → graphs", check_graphs, ("export-sidecars",)),
    Check("export-verdict", "export → verdict, corpus", check_verdict, ("export-sidecars",)),
    Check("export-confidence", "predictions → intervals", check_confidence, ("export-verdict",)),
    Check("export-parity", "graphs → our own answers", check_parity, ("export-graphs",)),
    Check("export-answers", "our own answers → targets", check_answers, ("export-verdict", "export-parity")),
)


def _named(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for member in document["members"]:
        yield member["onnx"], member["sha256"]
        yield member["sidecar"], member["sidecar_sha256"]
    yield document["parity"]["file"], document["parity"]["sha256"]


def _sidecars(evidence: ExportEvidence) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for member in evidence.document["members"]:
        yield member["seed"], read_json(evidence.folder / member["sidecar"])


def _answer(evidence: ExportEvidence, card: Mapping[str, Any], proof: Any) -> Any:
    scaler = Affine(np.array(card["feature_mean"]), np.array(card["feature_std"]))
    path = Path(evidence.folder / card["onnx"])
    try:
        found = ask(read_plain(path), proof.features, proof.block, scaler)
    except Exception as error:  # noqa: BLE001 - the runtime raises its own, by version
        raise BrokenError(f"ONNX Runtime cannot run it: {str(error).splitlines()[0][:200]}", path.name) from None
    return distance(found, proof.answers[card["seed"]])


def _require_runtime() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise PrerequisiteError(
            "onnxruntime is not installed", where="onnxruntime", hint="pip install 'heldout[video]'"
        ) from None


def _plain(document: Mapping[str, Any]) -> Any:
    return loads(dumps(dict(document)), where="export")
