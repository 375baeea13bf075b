"""Links between what came out: fits, predictions, metrics, rules, verdict; each recomputed from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from heldout.backbone import FloatArray
from heldout.backbone.beside.carried import read as read_code
from heldout.backbone.probabilities import why_not_probabilities
from heldout.documents.names import (
    CODE_FILE,
    COSTS_FILE,
    METRICS_FILE,
    PREDICTIONS_CSV,
    STORED_FILE,
    UNIT_FILE,
    UNIT_PREDICTIONS,
    safe_name,
)
from heldout.evidence import digest, dumps, loads, plain_source, read_json, read_plain, sha256_file
from heldout.evidence.provenance import code_digest
from heldout.gate import Facts, Policy, judge
from heldout.gate.integrity import Stored
from heldout.gate.verdict import verdict_of
from heldout.ledger.declaration import policy_sha256, rules_of, with_code
from heldout.run.asked.model_file import model_bytes as model_bytes_elsewhere
from heldout.run.asked.model_file import read_model
from heldout.run.champion import ID as CHAMPION
from heldout.run.champion import copied, describe
from heldout.run.costs import AS_SAVED, model_bytes, read_costs, saved_bytes, wanted
from heldout.run.layout import RunFolder
from heldout.run.metrics import known_here, metrics_of
from heldout.run.required import verdict_sha256
from heldout.run.resolve import load_backbone
from heldout.run.stored import read_stored
from heldout.run.units.unit import OLDER as OLDER_UNIT
from heldout.run.units.unit import SCHEMA as UNIT_SCHEMA
from heldout.split import Fold
from heldout.task import Metric, Predictions, summarise
from heldout.task.rivals import Wanted
from heldout.task.summary import OLDER_SCHEMA
from heldout.task.table import read_table, safe_for_spreadsheets, table_files, table_in
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.differences import ROUNDING, first_difference, without
from heldout.verify.evidence import RunEvidence, StoredUnit
from heldout.verify.trivial import check_trivial, stated_trivial

# Another processor or library may round the last digit otherwise; no rule is decided by less than this.


def check_units(evidence: RunEvidence) -> str:
    """Every fit is there, of this key, with the files that it names; and no other fit lies beside them."""
    count = 0
    for name, (_, _, seeds) in evidence.contenders.items():
        units = evidence.units(name)
        complete = len(units) == len(seeds) * len(evidence.split.folds)
        if not complete and (name == "" or name in evidence.metrics["baselines"]):
            raise BrokenError("fits are missing", f"baselines/{name}" if name else "fits")
        for (seed, _), unit, fold in _with_folds(evidence, units):
            _check_unit(evidence, name, seed, fold, unit)
            count += 1
    foreign = _foreign(evidence)
    if foreign:
        raise BrokenError("a fit of another seed or fold lies in the run", foreign[0])
    return f"{count} fits of this variant, corpus, split and code, each with its model and predictions"


def check_predictions(evidence: RunEvidence) -> str:
    """The table holds every held-out row once, in its fold, with what each fit predicted for it."""
    predictions, path = evidence.predictions, table_in(evidence.folder).name
    samples = predictions.samples
    if (evidence.corpus.weight is None) != (predictions.weight is None):
        raise BrokenError("either the corpus has weights or the predictions, and not both", f"{path}: column weight")
    if predictions.outputs != evidence.corpus.outputs:
        raise BrokenError("the targets are not those of the corpus", f"{path}: columns target_NAME")
    samples_of = {group.id: group.samples for group in evidence.corpus.groups}
    held_out = {(group, fold.id): samples_of[group] for fold in evidence.split.folds for group in fold.test}
    sizes: dict[str, int] = {}
    for (group, _), count in held_out.items():
        sizes[group] = sizes.get(group, 0) + count
    counted = dict(samples.group_by("group").len().iter_rows())
    for group in sorted({*sizes, *counted}):
        if sizes.get(group) != counted.get(group):
            what = f"{counted.get(group, 0)} rows of the group, the corpus has {sizes.get(group, 0)}"
            raise BrokenError(what, f"{path}: group {group}")
    found_in = samples.group_by("group", "fold").len().iter_rows()
    wrong = [group for group, fold, count in found_in if held_out.get((group, fold)) != count]
    if wrong:
        raise BrokenError("the group stands in another fold than it was held out in", f"{path}: group {min(wrong)}")
    by_fold = predictions.by_fold
    for (seed, fold), unit in evidence.units("").items():
        rows = by_fold[fold]
        found = predictions.members[seed][rows]
        if not np.array_equal(found, _aligned(unit, evidence.classes), equal_nan=True):
            raise BrokenError(
                "the numbers are not those that the fit predicted", f"{path}: column seed{seed}, fold {fold}"
            )
    _check_table(evidence, predictions)
    return f"{samples.height} rows, {len(predictions.members)} seeds: what the fits predicted, each row in its fold"


def check_metrics(evidence: RunEvidence) -> str:
    """``metrics.json`` is what the predictions give."""
    check_trivial(evidence)
    expected, lacking = recomputed_metrics(evidence), table_of(evidence)[1]
    if dumps(expected) == read_plain(evidence.folder / METRICS_FILE):
        return "recomputed from the predictions: byte for byte the same"
    place = first_difference(loads(dumps(expected), where="metrics"), without(evidence.metrics, lacking))
    if place is not None:
        raise BrokenError("the number is not the one that the predictions give", f"metrics.json: {place}")
    reasons = "; ".join(f"{name} was not recomputed: {why}" for name, why in lacking.items())
    if any(rule.metric in lacking for rule in evidence.gate.rules):
        raise NotCheckedError(f"{reasons}; all other metrics are the same")
    more = f"; {reasons}" if reasons else ""
    return f"recomputed from the predictions: the same to {ROUNDING:g}{more}"


def table_of(evidence: RunEvidence) -> tuple[tuple[Metric, ...], dict[str, str]]:
    """The metrics of the run that can be computed here, and by name why the others cannot."""
    task = evidence.corpus.task
    entries, lacking = known_here(evidence.lock.get("metrics", ()), task)
    rules = [rule for rule in evidence.gate.rules if rule.metric not in lacking]
    gate, labels = evidence.gate.model_copy(update={"rules": rules}), evidence.lock.get("labels")
    return metrics_of(gate, entries, task, evidence.task, labels), lacking


def check_rules(evidence: RunEvidence) -> str:
    """Every rule of the policy, judged again, says what the verdict says; none is left out."""
    outcomes = [outcome.to_json() for outcome in judge(evidence.metrics, evidence.gate, _facts(evidence))]
    stated = evidence.verdict["rules"]
    for mine, theirs in zip(outcomes, stated, strict=False):
        for key in ("id", "bound", "outcome", "observed"):
            if mine[key] != theirs.get(key):
                what = f"{key} is {theirs.get(key)!r}; judged again it is {mine[key]!r}"
                raise BrokenError(what, f"{evidence.verdict_file.name}: rule {mine['id']}")
    if len(outcomes) != len(stated):
        what = f"the verdict has {len(stated)} rules, the policy gives {len(outcomes)}"
        raise BrokenError(what, f"{evidence.verdict_file.name}: rules")
    older = "" if "trivial" in evidence.metrics else "; the run is older than the rule 'non-trivial'"
    return f"{len(outcomes)} rules judged again: the same outcomes{older}"


def check_verdict(evidence: RunEvidence) -> str:
    """PROMOTE only if every rule is PASS, no finding blocks and the run is no smoke run; the reasons are the rules'."""
    outcomes = judge(evidence.metrics, evidence.gate, _facts(evidence))
    document, where = evidence.verdict, evidence.verdict_file.name
    expected = verdict_of(outcomes)
    if document["verdict"] != expected:
        raise BrokenError(f"the verdict is {document['verdict']}, the rules say {expected}", f"{where}: verdict")
    reasons = [rule["sentence"] for rule in document["rules"] if rule["outcome"] != "PASS"]
    if document["reasons"] != reasons:
        raise BrokenError("the reasons are not those of the rules", f"{where}: reasons")
    return f"{expected} follows from the rules"


def recomputed_metrics(evidence: RunEvidence) -> dict[str, object]:
    """The document ``metrics.json``, from predictions and fits."""
    baselines = {}
    for name, (_, _, seeds) in evidence.contenders.items():
        units = evidence.units(name)
        if name and len(units) == len(seeds) * len(evidence.split.folds):
            described = evidence.metrics["baselines"].get(name, {}).get("description", "")
            baselines[name] = (str(described), _assembled(evidence, units))
    identity = evidence.lock["champion"]
    if identity is not None:
        baselines[CHAMPION] = (describe(identity), copied(evidence.folder, identity, evidence.classes))
    nothing = stated_trivial(evidence)
    table = None
    if evidence.metrics.get("schema") == OLDER_SCHEMA:
        if evidence.lock.get("metrics") or evidence.verdict["judged"]["code_sha256"] == code_digest():
            raise BrokenError("these sources list the metrics of a run, and the document lists none", METRICS_FILE)
    else:
        table = table_of(evidence)[0]
    asked = frozenset(evidence.models)
    return summarise(
        evidence.predictions, evidence.n_train, evidence.bootstrap, baselines, nothing, table=table, asked=asked,
        wanted=Wanted.of(evidence.gate),
    )  # fmt: skip


def _facts(evidence: RunEvidence) -> Facts:
    return Facts(
        seeds=evidence.seeds,
        folds=[fold.id for fold in evidence.split.folds],
        units=frozenset(evidence.units("")),
        foreign=RunFolder(evidence.folder).foreign_seeds(evidence.seeds),
        groups=len(evidence.split.held_out),
        smoke=evidence.lock["smoke"],
        attempt=evidence.verdict["trial"]["attempt"],
        policy=_policy(evidence),
        required=_required(evidence),
        costs=_costs(evidence),
        stored=_stored(evidence),
        model=read_model(evidence.folder, evidence.lock, frozenset(evidence.split.held_out)),
        blocking=[finding["what"] for finding in evidence.verdict["findings"] if finding["blocking"]],
        reported=[finding["code"] for finding in evidence.verdict["findings"] if not finding["blocking"]],
    )


def _stored(evidence: RunEvidence) -> Stored | None:
    """As the run found it; a run of the user's own code must have asked."""
    found = read_stored(evidence.folder)
    if found is None and evidence.verdict["judged"].get("user_code"):
        raise BrokenError("nobody asked the stored models of the user's own code again", STORED_FILE)
    return found


def _policy(evidence: RunEvidence) -> Policy:
    """As the verdict states it; the link to the ledger compares it with what was written down."""
    policy = Policy.from_json(evidence.verdict["policy"])
    if policy.sha256 != policy_sha256(evidence.lock):
        raise BrokenError("the verdict was given by another policy", f"{evidence.verdict_file.name}: policy")
    stated, fit_code = policy.rules_sha256, evidence.verdict["judged"].get("fit_code")
    if stated is not None and fit_code is not None and stated != digest(with_code(rules_of(evidence.lock), fit_code)):
        what = "the verdict was given by other rules than those of the lock"
        raise BrokenError(what, f"{evidence.verdict_file.name}: policy.rules_sha256")
    return policy


def _required(evidence: RunEvidence) -> dict[str, str | None]:
    """As the verdict states them; a run that lies beside this one must still say so."""
    stated = evidence.verdict["required"]
    wanted = sorted(name for name in evidence.gate.requires if name != evidence.lock["variant"])
    if sorted(stated) != wanted:
        raise BrokenError(
            "the required variants are not those of the policy", f"{evidence.verdict_file.name}: required"
        )
    for variant, found in stated.items():
        folder = evidence.folder.resolve().parent / found["run"] if found else None
        if found and folder is not None and verdict_sha256(folder) not in (None, found["verdict_sha256"]):
            raise BrokenError(f"the run of the required variant {variant!r} was judged again", found["run"])
    return {variant: found["verdict"] if found else None for variant, found in stated.items()}


def _costs(evidence: RunEvidence) -> dict[str, float]:
    """As measured by the run: a size can be measured again, a time cannot."""
    found = read_costs(evidence.folder)
    if not found and wanted(evidence.gate):
        raise BrokenError("a rule asks for a cost and none was measured", COSTS_FILE)
    if found and evidence.with_models:
        size = _model_bytes(evidence)
        if found["model_bytes"] != size:
            raise BrokenError(f"model_bytes is {found['model_bytes']:g}; the fits have {size}", COSTS_FILE)
    return found


def _model_bytes(evidence: RunEvidence) -> int:
    if "" in evidence.models:
        return model_bytes_elsewhere(evidence.folder)
    folders = [unit.folder for unit in evidence.units("").values()]
    if read_json(evidence.folder / COSTS_FILE)["form"] == AS_SAVED:
        return max(saved_bytes(folder) for folder in folders)
    backbone = load_backbone(str(evidence.lock["backbone"]), evidence.lock["fit"])
    return max(model_bytes(folder, backbone) for folder in folders)


def _with_folds(
    evidence: RunEvidence, units: Mapping[tuple[int, str], StoredUnit]
) -> Iterator[tuple[tuple[int, str], StoredUnit, Fold]]:
    folds = {fold.id: fold for fold in evidence.split.folds}
    for key, unit in sorted(units.items()):
        yield key, unit, folds[key[1]]


def _check_unit(evidence: RunEvidence, name: str, seed: int, fold: Fold, unit: StoredUnit) -> None:
    where = (unit.folder / UNIT_FILE).relative_to(evidence.folder).as_posix()
    document = unit.document
    contender = name or evidence.lock["variant"]
    schema = OLDER_UNIT if document["schema"] == OLDER_UNIT else UNIT_SCHEMA
    expected = {"schema": schema, "contender": contender, "seed": seed, "fold": fold.id}
    model = evidence.models.get(name)
    trained = 0 if model else evidence.n_train[fold.id]  # nothing is fitted of a model from elsewhere
    expected |= {"n_train": trained, "n_test": len(unit.prediction)}
    expected |= {"model_sha256": model["sha256"]} if model else {}
    for key, value in expected.items():
        if document.get(key) != value:
            raise BrokenError(f"{key} is {document.get(key)!r}, not {value!r}", where)
    if document["key"] != evidence.unit_key(name, seed, fold, schema):
        raise BrokenError("the fit was made for another corpus, configuration, fold or code", where)
    wrong = why_not_probabilities(unit.prediction, document["classes"], finite_only=False) if evidence.classes else None
    if wrong is not None:
        raise BrokenError(f"the predictions are no probabilities: {wrong}", where)
    if UNIT_PREDICTIONS not in document["files"] or (not model and len(document["files"]) < 2):
        raise BrokenError("the fit names no model or no predictions", where)
    _check_code(unit, where)
    for file, sha256 in document["files"].items():
        parts = PurePosixPath(file).parts
        if file.startswith("/") or ".." in parts or not (unit.folder / file).is_file():
            raise BrokenError(f"{file} is no file of the fit", where)
        if sha256_file(unit.folder / file) != sha256:
            raise BrokenError(f"{file} is not the file that the fit left", where)


def _check_code(unit: StoredUnit, where: str) -> None:
    """Code that is stored with a model is that which the fit says that it was made by."""
    if CODE_FILE not in unit.document["files"]:
        return
    stated, found = (unit.document.get("code") or {}).get("user", {}), read_code(unit.folder / CODE_FILE)[0].digests
    if any(stated.get(name) != sha256 for name, sha256 in found.items()):
        raise BrokenError("the code that is stored with the model is not that which fitted it", where)


def _foreign(evidence: RunEvidence) -> list[str]:
    """Folders among the fits that belong to no declared seed, fold or baseline."""
    expected = set()
    for name, (_, _, seeds) in evidence.contenders.items():
        root = f"baselines/{name}/fits" if name else "fits"
        expected |= {f"{root}/seed{seed}/{safe_name(fold.id)}" for seed in seeds for fold in evidence.split.folds}
    found = {path.parent.relative_to(evidence.folder).as_posix() for path in evidence.folder.rglob(UNIT_FILE)}
    return sorted(found - expected)


def _aligned(unit: StoredUnit, classes: tuple[str, ...]) -> FloatArray:
    """Predictions of a fit, its probabilities spread over all classes."""
    if not classes:
        return unit.prediction
    full = np.zeros((len(unit.prediction), len(classes)))
    full[:, [classes.index(label) for label in unit.document["classes"]]] = unit.prediction
    return full


def _assembled(evidence: RunEvidence, units: Mapping[tuple[int, str], StoredUnit]) -> Predictions:
    """Out-of-fold predictions of a baseline, over the rows of the variant's own."""
    mine = evidence.predictions
    members: dict[int, FloatArray] = {}
    by_fold = mine.by_fold
    for (seed, fold), unit in units.items():
        member = members.setdefault(seed, np.full(next(iter(mine.members.values())).shape, np.nan))
        member[by_fold[fold]] = _aligned(unit, evidence.classes)
    return Predictions(mine.samples, members, mine.classes)


def _check_table(evidence: RunEvidence, predictions: Predictions) -> None:
    """Mean and spread over the seeds are recomputed; the CSV is the same table."""
    expected = predictions.to_frame()
    for name in table_files([table_in(evidence.folder).name]):
        path, safe = evidence.folder / name, expected
        if name != PREDICTIONS_CSV:
            found = read_table(path)
        else:
            found = _read_csv(path, expected.schema)
            safe = safe_for_spreadsheets(expected)  # older runs hold such texts as they are
        if found.columns != expected.columns:
            raise BrokenError("the columns are not those of a run", name)
        for column, dtype in expected.schema.items():
            told = found[column].cast(dtype)
            if not (_equal(expected[column], told) or _equal(safe[column], told)):
                raise BrokenError("the column is not what the seeds' predictions give", f"{name}: column {column}")


def _read_csv(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """The table in a CSV file. Its header is read as a row: polars leaves the quotation marks in a name doubled."""
    header = pl.read_csv(plain_source(path), has_header=False, n_rows=1, infer_schema=False).row(0)
    body = pl.read_csv(plain_source(path), has_header=False, skip_rows=1, schema=schema)
    return body.rename(dict(zip(body.columns, header, strict=True)))


def _equal(expected: pl.Series, found: pl.Series) -> bool:
    if not expected.dtype.is_float():
        return expected.equals(found)
    a, b = expected.to_numpy(), found.fill_null(float("nan")).to_numpy()
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=ROUNDING, atol=0.0, equal_nan=True))
