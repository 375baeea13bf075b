"""Links between what went in: the resolved study, the corpus, the split, and the name of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heldout.backbone.asked import model_of
from heldout.backbone.code import own_code, sha256_of
from heldout.corpus import SCHEMA as CORPUS_SCHEMA
from heldout.corpus.table import TableReader
from heldout.documents.names import CORPUS_FILE, LOCK_FILE, RUN_FILE, SPLIT_FILE
from heldout.evidence import digest, read_json
from heldout.run.layout import run_key
from heldout.run.resolve import IDENTITY, load_backbone
from heldout.run.resolve import SCHEMA as LOCK_SCHEMA
from heldout.run.units.unit import cached_corpus
from heldout.split import split_corpus, split_groups
from heldout.split.fold import OLDER
from heldout.split.splitter import with_targets
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.corpus_file import bound_reader
from heldout.verify.evidence import RunEvidence


def check_study(evidence: RunEvidence) -> str:
    """The resolved configuration has the variant's digest, and verdict and ``run.json`` are of that study."""
    lock, verdict, run = evidence.lock, evidence.verdict, evidence.run
    if lock["schema"] != LOCK_SCHEMA:
        raise BrokenError(f"the schema is {lock['schema']!r}", LOCK_FILE)
    sha256 = digest({part: lock[part] for part in IDENTITY})
    _same(sha256, verdict["judged"]["variant_sha256"], "the verdict judged another variant", "judged.variant_sha256")
    _same(sha256, run["variant_sha256"], "the run was started for another variant", "run.json: variant_sha256")
    for key in ("study", "variant", "seeds", "smoke"):
        for name, document in ((evidence.verdict_file.name, verdict), (RUN_FILE, run)):
            _same(lock[key], document[key], f"{key} differs from study.lock.yaml", f"{name}: {key}")
    _check_models(evidence)
    if not evidence.gate.rules:
        raise BrokenError("the policy has no rules", "study.lock.yaml: gate")
    return f"variant {sha256[:12]}: {lock['study']} / {lock['variant']}, seeds {list(lock['seeds'])}"


def _check_models(evidence: RunEvidence) -> None:
    """Models from elsewhere are those that the configuration asks, and the verdict says so."""
    for name, stated in evidence.models.items():
        known = evidence.contenders.get(name)
        if known is None or model_of(known[1]) != stated["sha256"]:
            raise BrokenError("the lock names a model that no contender asks", f"study.lock.yaml: models.{name}")
    own, verdict = evidence.models.get("", {}).get("sha256"), evidence.verdict
    _same(own, verdict["judged"].get("model_sha256"), "another model was judged", "judged.model_sha256")
    expected = "computed" if own is None else evidence.models[""].get("evidence", "asked")
    _same(expected, verdict["evidence"], "the level of evidence is another", f"{evidence.verdict_file.name}: evidence")


def check_corpus_document(evidence: RunEvidence) -> str:
    """``corpus.json`` is the corpus that was judged, and adds up."""
    corpus = evidence.corpus
    if read_json(evidence.folder / CORPUS_FILE)["schema"] != CORPUS_SCHEMA:
        raise BrokenError("the schema is another", CORPUS_FILE)
    judged = evidence.verdict["judged"]["corpus_sha256"]
    _same(corpus.sha256, judged, "the verdict judged another corpus", CORPUS_FILE)
    _same(corpus.sha256, evidence.run["corpus_sha256"], "the run was started over another corpus", CORPUS_FILE)
    if _weight_of_study(evidence) != corpus.weight:
        raise BrokenError("the study names another column of weights", "corpus.json: weight")
    ids = [group.id for group in corpus.groups]
    if ids != sorted(set(ids)) or sum(group.samples for group in corpus.groups) != corpus.rows:
        raise BrokenError("the groups do not add up to the corpus", "corpus.json: groups")
    named = _provenance_corpus(evidence.verdict)
    if named is not None:
        file_sha256 = corpus.facts.get("file_sha256", corpus.sha256)
        _same(file_sha256, named, "the provenance names another corpus file", "run_provenance.inputs.corpus")
    return f"corpus {corpus.sha256[:12]}: {corpus.rows} rows in {len(ids)} groups"


def _weight_of_study(evidence: RunEvidence) -> str | None:
    """The column of weights that the study names; of a reader that is not the table's, what the corpus says."""
    block = evidence.lock["corpus"]
    return block.get("weight") if block["reader"] == TableReader.name else evidence.corpus.weight


def check_folds(evidence: RunEvidence) -> str:
    """``split.json`` is the split that was judged, in the form in which a run writes it."""
    document, split = read_json(evidence.folder / SPLIT_FILE), evidence.split
    older = document["schema"] == OLDER
    if document != (split.to_older_json() if older else split.to_json()):
        raise BrokenError("the document is not in the form in which a run writes it", SPLIT_FILE)
    sha256 = split.older_sha256 if older else split.sha256
    for where, stated in (
        ("judged.split_sha256", evidence.verdict["judged"]["split_sha256"]),
        ("run.json: split_sha256", evidence.run["split_sha256"]),
    ):
        _same(sha256, stated, "another split was judged", where)
    return f"split {sha256[:12]}: {len(split.folds)} folds of {split.kind}"


def check_split(evidence: RunEvidence) -> str:
    """The folds are those that the declared split gives for these groups.

    Targets of held-out rows stand in the predictions too; a column stands in the corpus file alone.
    """
    splitter, split, groups = evidence.splitter, evidence.split, evidence.corpus.groups
    had = evidence.lock["split"].get("code")
    if had is not None and own_code(splitter.sources()) != had:
        raise NotCheckedError(f"the code of the split {split.kind!r} is not the one that the run had")
    if splitter.reads is None:
        made = split_corpus(splitter, evidence.corpus)
    elif evidence.corpus_path is not None:
        made = split_corpus(splitter, cached_corpus(bound_reader(evidence)))
    elif splitter.reads == "targets" and split.held_out.issuperset(split.groups):
        predictions = evidence.predictions
        rows = predictions.firsts
        made = split_groups(
            splitter, with_targets(groups, predictions.samples["group"].gather(rows), predictions.target[rows])
        )
    else:
        raise NotCheckedError(f"the split {split.kind!r} reads what only the corpus file has: --corpus FILE")
    if made != split:
        raise BrokenError("the folds are not those that the declared split gives for these groups", SPLIT_FILE)
    return f"{len(split.folds)} folds of {split.kind} made again: the same"


def check_run_name(evidence: RunEvidence) -> str:
    """The run's name ends with the digest of variant, corpus, smoke and code."""
    judged, run = evidence.verdict["judged"], evidence.run
    _same(judged["code_sha256"], run["code_sha256"], "the run was started with other code", "run.json: code_sha256")
    fit_code = judged.get("fit_code")  # older runs were named by all sources of heldout
    if fit_code is not None:
        _same(fit_code, run["fit_code"], "the run was started with other code", "run.json: fit_code")
        found = {name: sha256 for code in fit_code.values() for name, sha256 in code["user"].items()}
        _same(found, judged["user_code"], "the verdict names two codes of the user's own", "judged.user_code")
    code = judged["code_sha256"] if fit_code is None else sha256_of(fit_code)
    key = run_key(judged["variant_sha256"], judged["corpus_sha256"], evidence.lock["smoke"], code)
    name = str(run["run"])
    if not (name.startswith(f"{run['variant']}-") and name.endswith(f"-{key[:8]}")):
        raise BrokenError(f"the name {name!r} is of another variant, corpus, smoke mark or code", "run.json: run")
    outputs = evidence.verdict["run_provenance"]["outputs"]
    _same(name, outputs.get("run", name), "the provenance names another run", "run_provenance.outputs.run")
    return f"{name} is the name of this variant, corpus and code"


def check_smoke(evidence: RunEvidence) -> str:
    """Parameters that make a smoke run are marked as such."""
    backbone = load_backbone(str(evidence.lock["backbone"]), evidence.lock["fit"])
    if backbone.fits == ("" in evidence.models):
        raise BrokenError("whether a model from elsewhere is asked is stated wrongly", "study.lock.yaml: models")
    reason, mark = backbone.smoke_reason(), evidence.lock["smoke"]
    if reason is not None and reason not in str(mark):
        raise BrokenError(f"the run is not marked as a smoke run, though {reason}", "study.lock.yaml: smoke")
    return f"a smoke run: {mark}" if mark else "no smoke run by its parameters"


def check_code(evidence: RunEvidence) -> str:
    """The code that judges here is the code that judged then."""
    from heldout.evidence.provenance import code_digest

    sha256 = evidence.verdict["judged"]["code_sha256"]
    if sha256 != code_digest():
        raise NotCheckedError(f"made by other sources of heldout ({str(sha256)[:12]}) than those that verify here")
    return f"the sources of heldout are the same ({sha256[:12]})"


def _same(expected: Any, found: Any, what: str, where: str) -> None:
    if expected != found:
        raise BrokenError(f"{what}: {_short(expected)} against {_short(found)}", where)


def _short(value: Any) -> str:
    text = str(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:12]


def _provenance_corpus(verdict: Mapping[str, Any]) -> Any:
    return verdict["run_provenance"]["inputs"].get("corpus", {}).get("sha256")
