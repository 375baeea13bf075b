"""Ways to a false PROMOTE, or to any verdict that its evidence does not give. Each must end TAMPERED or INVALID.

A careless attacker edits one file. A careful one also mends every digest above it, up to the verdict and the
manifest, so that only recomputation finds the edit: ``reseal`` is that attacker's tool.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from heldout.errors import InputError, TamperedError
from heldout.evidence import canonical, digest, sha256_bytes, sha256_file, write_json
from heldout.gate import judge
from heldout.gate.verdict import recommend, verdict_of
from heldout.ledger.declaration import policy_sha256, rules_of, with_code
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.run.resolve import IDENTITY, lock_yaml
from heldout.task import summarise
from heldout.task.trivial import trivial_contenders
from heldout.verify import results, verify_run
from heldout.verify.evidence import RunEvidence

OTHER: dict[str, Path] = {}


# --- the attacker's tools ---------------------------------------------------------------------------------------


def verdict_path(run: Path) -> Path:
    return next(path for path in (run / "PROMOTE.json", run / "HOLD.json") if path.exists())


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Edit a JSON or YAML document; the change may return a new one."""
    text = path.read_text()
    document = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    changed = change(document)
    document = document if changed is None else changed
    path.write_text(lock_yaml(document)) if path.suffix == ".yaml" else write_json(path, document)


def put(*keys: Any, value: Any) -> Callable[[Any], None]:
    """Set one value deep in a document."""

    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        assert document[keys[-1]] != value, "the attack must change something"
        document[keys[-1]] = value

    return change


def rows(run: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Edit the rows of the predictions, in both files that hold them."""
    path = run / "predictions.jsonl"
    table = [json.loads(line) for line in path.read_text().splitlines()]
    change(table)
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in table))
    head = list(table[0])
    lines = [",".join(str(row[key]) for key in head) for row in table]
    (run / "predictions.csv").write_text("\n".join([",".join(head), *lines]) + "\n")


def reseal(run: Path) -> None:
    """Mend predictions, metrics and file digests in the verdict, and the manifest."""
    path = verdict_path(run)
    document = json.loads(path.read_text())
    for label, name in (("predictions", "predictions.jsonl"), ("metrics", "metrics.json")):
        document["judged"][f"{label}_sha256"] = sha256_file(run / name)
    document["judged"]["files_sha256"] = files_digest(run_files(run))
    write_json(path, document)
    write_manifest(run)


def reseal_unit(folder: Path) -> None:
    edit(folder / "unit.json", lambda u: u["files"].update({n: sha256_file(folder / n) for n in u["files"]}))


def _answer_again(run: Path, evidence: RunEvidence) -> None:
    """What contenders that know nothing answer, from whatever the targets are now."""
    samples = evidence.predictions.samples
    answers = trivial_contenders(evidence.predictions.target, samples["group"].to_numpy(), evidence.split.folds)

    def change(document: Any) -> None:
        for name, each in answers.items():
            document["trivial"]["contenders"][name]["answers"] = each.to_json()

    edit(run / "metrics.json", change)


def rejudge(run: Path) -> None:
    """Recompute metrics, rules and verdict from whatever the predictions and the lock say now."""
    path = verdict_path(run)
    evidence = RunEvidence.open(run)
    _answer_again(run, evidence)
    evidence = RunEvidence.open(run)
    write_json(run / "metrics.json", results.recomputed_metrics(evidence))
    evidence = RunEvidence.open(run)
    outcomes = judge(evidence.metrics, evidence.gate, results._facts(evidence))
    document = dict(evidence.verdict)
    reasons = [outcome.sentence for outcome in outcomes if outcome.outcome != "PASS"]
    name = verdict_of(outcomes)
    document |= {"rules": [o.to_json() for o in outcomes], "reasons": reasons, "verdict": name}
    document["recommendation"] = recommend(name, reasons, evidence.lock["smoke"])
    path.unlink()
    write_json(run / f"{name}.json", document)


def in_both(run: Path, change: Callable[[Any], Any], *names: str) -> None:
    for name in names:
        edit(verdict_path(run) if name == "verdict" else run / name, change)


# --- the attacks ------------------------------------------------------------------------------------------------


def edit_prediction(run: Path) -> None:
    rows(run, lambda table: table[0].update(seed0=table[0]["target"]))


def edit_prediction_consistently(run: Path) -> None:
    def change(table: list[dict[str, Any]]) -> None:
        row = table[0]
        row["seed0"] = row["target"]
        members = np.array([row["seed0"], row["seed1"]])
        row["prediction"], row["sigma"] = float(members.mean()), float(members.std(ddof=1))

    rows(run, change)


def edit_ensemble(run: Path) -> None:
    rows(run, lambda table: [row.update(prediction=row["target"]) for row in table])


def edit_target(run: Path) -> None:
    rows(run, lambda table: [row.update(target=row["prediction"]) for row in table])


def edit_target_and_rejudge(run: Path) -> None:
    edit_target(run)
    rejudge(run)


def drop_row(run: Path) -> None:
    rows(run, lambda table: table.pop(3))


def drop_worst_group(run: Path) -> None:
    rows(run, lambda table: table.__delitem__(slice(0, 12)))


def duplicate_row(run: Path) -> None:
    rows(run, lambda table: table.append(table[0]))


def duplicate_row_under_new_id(run: Path) -> None:
    rows(run, lambda table: table.append({**table[0], "sample_id": "row99"}))


def swap_rows_of_groups(run: Path) -> None:
    def change(table: list[dict[str, Any]]) -> None:
        table[0]["group"], table[12]["group"] = table[12]["group"], table[0]["group"]

    rows(run, change)


def move_group_to_other_fold(run: Path) -> None:
    rows(run, lambda table: [row.update(fold="south") for row in table if row["group"] == "north"])


def insert_nan(run: Path) -> None:
    path = run / "predictions.jsonl"
    text = path.read_text()
    start = text.index('"seed0":') + len('"seed0":')
    path.write_text(text[:start] + "NaN" + text[text.index(",", start) :])


def insert_null(run: Path) -> None:
    path = run / "predictions.jsonl"
    text = path.read_text()
    start = text.index('"seed0":') + len('"seed0":')
    path.write_text(text[:start] + "null" + text[text.index(",", start) :])


def add_column(run: Path) -> None:
    rows(run, lambda table: [row.update(seed2=row["target"]) for row in table])


def truncate_predictions(run: Path) -> None:
    path = run / "predictions.jsonl"
    os.truncate(path, path.stat().st_size // 2)


def tear_last_line(run: Path) -> None:
    path = run / "predictions.jsonl"
    os.truncate(path, path.stat().st_size - 10)


def edit_csv(run: Path) -> None:
    path = run / "predictions.csv"
    lines = path.read_text().splitlines()
    head, first = lines[0].split(","), lines[1].split(",")
    first[head.index("prediction")] = first[head.index("target")]
    path.write_text("\n".join([lines[0], ",".join(first), *lines[2:]]) + "\n")


def edit_metrics(run: Path) -> None:
    edit(run / "metrics.json", put("ensemble", "pooled", "plcc", value=0.99999))


def edit_metrics_and_rules(run: Path) -> None:
    edit_metrics(run)
    document = json.loads(verdict_path(run).read_text())
    evidence = RunEvidence.open(run)
    document["rules"] = [o.to_json() for o in judge(evidence.metrics, evidence.gate, results._facts(evidence))]
    document |= {"verdict": "PROMOTE", "reasons": []}
    document["recommendation"] = recommend("PROMOTE", [], None)
    verdict_path(run).unlink()
    write_json(run / "PROMOTE.json", document)


def metrics_with_a_repeated_key(run: Path) -> None:
    path = run / "metrics.json"
    path.write_text(path.read_text().replace("{", '{\n  "rows": 9999,', 1))


def remove_a_baseline_from_the_metrics(run: Path) -> None:
    edit(run / "metrics.json", lambda m: m["baselines"].clear())


def flip_verdict(run: Path) -> None:
    document = json.loads((run / "HOLD.json").read_text())
    (run / "HOLD.json").unlink()
    write_json(run / "PROMOTE.json", document | {"verdict": "PROMOTE"})


def rename_verdict(run: Path) -> None:
    (run / "HOLD.json").rename(run / "PROMOTE.json")


def flip_verdict_and_rules(run: Path) -> None:
    flip_verdict(run)
    edit(run / "PROMOTE.json", lambda d: [rule.update(outcome="PASS") for rule in d["rules"]] and None)
    edit(run / "PROMOTE.json", put("reasons", value=[]))


def remove_rule_from_verdict(run: Path) -> None:
    edit(verdict_path(run), lambda d: d["rules"].pop() and None)


def remove_failed_rule_and_flip(run: Path) -> None:
    flip_verdict(run)
    edit(run / "PROMOTE.json", lambda d: d.update(rules=[r for r in d["rules"] if r["outcome"] == "PASS"], reasons=[]))


def loosen_threshold_in_lock(run: Path) -> None:
    edit(run / "study.lock.yaml", put("gate", "rules", 0, "at_least", value=0.1))


def remove_rule_from_lock(run: Path) -> None:
    edit(run / "study.lock.yaml", lambda lock: lock["gate"]["rules"].pop(0) and None)


def remove_all_rules(run: Path) -> None:
    edit(run / "study.lock.yaml", put("gate", "rules", value=[]))


def repeat_a_key_in_lock(run: Path) -> None:
    path = run / "study.lock.yaml"
    path.write_text(path.read_text() + "smoke: null\n")


def remove_seed(run: Path) -> None:
    in_both(run, put("seeds", value=[0]), "study.lock.yaml", "run.json", "verdict")


def remove_seed_and_its_digest(run: Path) -> None:
    """One seed is left out everywhere: its fits are still there."""
    remove_seed(run)
    lock = yaml.safe_load((run / "study.lock.yaml").read_text())
    sha256 = digest({part: lock[part] for part in IDENTITY})
    edit(run / "run.json", put("variant_sha256", value=sha256))
    edit(verdict_path(run), put("judged", "variant_sha256", value=sha256))


def change_fit(run: Path) -> None:
    edit(run / "study.lock.yaml", put("fit", "params", "n_estimators", value=300))


def change_bootstrap(run: Path) -> None:
    edit(run / "study.lock.yaml", put("bootstrap", "seed", value=7))


def remove_baseline_from_lock(run: Path) -> None:
    edit(run / "study.lock.yaml", put("baselines", value=[]))


def remove_fold(run: Path) -> None:
    edit(run / "split.json", lambda split: split["folds"].pop(0) and None)


def train_on_held_out(run: Path) -> None:
    edit(run / "split.json", lambda split: split["folds"][0].update(test=split["folds"][1]["test"]))


def swap_corpus_document(run: Path) -> None:
    shutil.copy(OTHER["twin"] / "corpus.json", run / "corpus.json")


def claim_another_corpus(run: Path) -> None:
    fake = "0" * 64
    edit(run / "corpus.json", put("sha256", value=fake))
    edit(run / "run.json", put("corpus_sha256", value=fake))
    edit(verdict_path(run), put("judged", "corpus_sha256", value=fake))
    edit(verdict_path(run), put("run_provenance", "inputs", "corpus", "sha256", value=fake))


def rename_group(run: Path) -> None:
    edit(run / "corpus.json", put("groups", 0, "id", value="aaaa"))


def add_group(run: Path) -> None:
    edit(run / "corpus.json", lambda c: c["groups"].append({**c["groups"][0], "id": "zzz", "samples": 0}))


def inflate_rows(run: Path) -> None:
    edit(run / "corpus.json", put("rows", value=100_000))


def replay_verdict(run: Path) -> None:
    verdict_path(run).unlink()
    shutil.copy(OTHER["promote"] / "PROMOTE.json", run / "PROMOTE.json")


def replay_verdict_of_twin(run: Path) -> None:
    verdict_path(run).unlink()
    shutil.copy(OTHER["twin"] / "HOLD.json", run / "HOLD.json")


def both_verdicts(run: Path) -> None:
    shutil.copy(OTHER["promote"] / "PROMOTE.json", run / "PROMOTE.json")


def clear_smoke_in_verdict(run: Path) -> None:
    edit(verdict_path(run), put("smoke", value=None))


def clear_smoke_everywhere(run: Path) -> None:
    in_both(run, put("smoke", value=None), "study.lock.yaml", "run.json", "verdict")
    rejudge(run)


def say_reported(run: Path) -> None:
    edit(verdict_path(run), put("evidence", value="reported"))


def other_schema(run: Path) -> None:
    edit(verdict_path(run), put("schema", value="heldout.verdict/0"))


def truncate_verdict(run: Path) -> None:
    os.truncate(verdict_path(run), 100)


def claim_other_code(run: Path) -> None:
    fake = "0" * 64
    edit(verdict_path(run), put("judged", "code_sha256", value=fake))
    edit(verdict_path(run), put("run_provenance", "code", "sha256", value=fake))
    edit(run / "run.json", put("code_sha256", value=fake))
    for path, keys in ((verdict_path(run), ("judged", "fit_code")), (run / "run.json", ("fit_code",))):
        edit(path, put(*keys, "", "heldout", value=fake))


def claim_other_packages(run: Path) -> None:
    edit(verdict_path(run), put("run_provenance", "packages", "numpy", value="0.0.1"))


def empty_reasons(run: Path) -> None:
    edit(verdict_path(run), put("reasons", value=[]))


def edit_recommendation(run: Path) -> None:
    edit(verdict_path(run), put("recommendation", value="Ship it."))


def rename_study(run: Path) -> None:
    edit(verdict_path(run), put("study", value="other"))


def flip_weights(run: Path) -> None:
    path = run / "fits/seed0/north/model.skops"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap_models(run: Path) -> None:
    """The model of another fold, with its digest mended."""
    folder = run / "fits/seed0/north"
    shutil.copy(run / "fits/seed0/south/model.skops", folder / "model.skops")
    reseal_unit(folder)


def unit_names_a_device(run: Path) -> None:
    """A file that never ends: whoever verifies would wait for ever."""
    edit(run / "fits/seed0/north/unit.json", lambda unit: unit["files"].update({"/dev/zero": "0" * 64}))


def unit_names_outside(run: Path) -> None:
    path = "../../../verdict-elsewhere.json"
    (run.parent / "verdict-elsewhere.json").write_text("{}")
    edit(run / "fits/seed0/north/unit.json", lambda unit: unit["files"].update({path: "0" * 64}))


def remove_model(run: Path) -> None:
    (run / "fits/seed0/north/model.skops").unlink()


def remove_unit(run: Path) -> None:
    shutil.rmtree(run / "fits/seed0/north")


def unit_of_other_seed(run: Path) -> None:
    shutil.rmtree(run / "fits/seed0/north")
    shutil.copytree(run / "fits/seed1/north", run / "fits/seed0/north")


def unit_of_other_run(run: Path) -> None:
    shutil.rmtree(run / "fits/seed0/north")
    shutil.copytree(OTHER["twin"] / "fits/seed0/north", run / "fits/seed0/north")


def extra_unit(run: Path) -> None:
    shutil.copytree(run / "fits/seed0/north", run / "fits/seed9/north")


def edit_unit_predictions(run: Path) -> None:
    """Fit, table and digests say the same; the metrics are not made again."""
    folder = run / "fits/seed0/north"
    values = load_file(folder / "predictions.safetensors")["prediction"]
    table = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    targets = np.array([row["target"] for row in table if row["group"] == "north"])
    save_file({"prediction": values * 0 + targets}, folder / "predictions.safetensors")
    reseal_unit(folder)

    def change(table: list[dict[str, Any]]) -> None:
        for row in (row for row in table if row["group"] == "north"):
            row["seed0"] = row["target"]
            members = np.array([row["seed0"], row["seed1"]])
            row["prediction"], row["sigma"] = float(members.mean()), float(members.std(ddof=1))

    rows(run, change)


def forge_from_the_fits_up(run: Path) -> None:
    """Everything above the models is made again from predictions that are the targets."""
    edit_unit_predictions(run)
    rejudge(run)


def edit_report(run: Path) -> None:
    path = run / "RUN_REPORT.md"
    path.write_text(path.read_text().replace("HOLD", "PROMOTE") + "\nAll good.\n")


def link_in_place_of_file(run: Path) -> None:
    outside = run.parent / "metrics-elsewhere.json"
    (run / "metrics.json").rename(outside)
    (run / "metrics.json").symlink_to(outside)


def link_in_place_of_folder(run: Path) -> None:
    outside = run.parent / "fits-elsewhere"
    (run / "fits").rename(outside)
    (run / "fits").symlink_to(outside, target_is_directory=True)


def shrink_manifest(run: Path) -> None:
    edit(run / "manifest.json", lambda m: m["files"].pop("metrics.json") and None)


def shrink_manifest_to_the_verdict(run: Path) -> None:
    edit(run / "manifest.json", lambda m: m["files"].pop("fits/seed0/north/model.skops") and None)


def manifest_names_outside(run: Path) -> None:
    entry = {"bytes": 1, "sha256": "0" * 64}
    edit(run / "manifest.json", lambda m: m["files"].update({"../x": entry}))


def remove_finding(run: Path) -> None:
    """The guard's finding goes, and the verdict is judged again without it."""
    edit(verdict_path(run), lambda d: d.update(findings=[]))
    rejudge(run)


def unblock_finding(run: Path) -> None:
    edit(verdict_path(run), put("findings", 0, "blocking", value=False))
    rejudge(run)


def remove_finding_and_content(run: Path) -> None:
    """The twin's digest is changed too, so that only the corpus shows it."""
    edit(run / "corpus.json", put("groups", 0, "sha256", value="0" * 64))
    edit(run / "corpus.json", put("groups", 1, "sha256", value="1" * 64))
    edit(run / "corpus.json", put("groups", 2, "sha256", value="2" * 64))
    remove_finding(run)


def ledger_lines(run: Path, change: Callable[[list[bytes]], Any]) -> None:
    path = run.parent / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def loosen_threshold_and_rejudge(run: Path) -> None:
    loosen_policy = put("gate", "rules", 0, "at_least", value=0.1)
    edit(run / "study.lock.yaml", loosen_policy)
    evidence = RunEvidence.open(run)
    rules = with_code(rules_of(evidence.lock), evidence.verdict["judged"]["fit_code"])
    edit(verdict_path(run), put("policy", "sha256", value=policy_sha256(evidence.lock)))
    edit(verdict_path(run), put("policy", "rules_sha256", value=digest(rules)))
    rejudge(run)


def remove_look(run: Path) -> None:
    ledger_lines(run, lambda lines: lines.pop())


def remove_earlier_look(run: Path) -> None:
    ledger_lines(run, lambda lines: lines.pop(0))


def edit_look(run: Path) -> None:
    ledger_lines(run, lambda lines: lines.insert(1, lines.pop(1).replace(b'"HOLD"', b'"FAILED"')))


def claim_first_attempt(run: Path) -> None:
    edit(verdict_path(run), put("trial", value={**json.loads(verdict_path(run).read_text())["trial"], "of": 1}))


def ledger_of_another_study(run: Path) -> None:
    shutil.copy(OTHER["twin"].parent / "trials.jsonl", run.parent / "trials.jsonl")


def keep_promote_after_a_newer_hold(run: Path) -> None:
    """The run was judged again under another policy; the verdict of before is put back."""

    def append(lines: list[bytes]) -> None:
        newer = json.loads(lines[-1]) | {"outcome": "HOLD", "gate_sha256": "0" * 64}
        newer["prev"] = sha256_bytes(lines[-1].rstrip())
        lines.append(canonical(newer) + b"\n")

    ledger_lines(run, append)


class Attack(NamedTuple):
    """What is done to which run, and the first link that must break."""

    do: Callable[[Path], None]
    victim: str
    link: str
    careful: bool = False
    corpus: bool = False


ATTACKS = [
    # One file edited, nothing mended.
    *(Attack(do, "promote", "files") for do in (
        edit_prediction, edit_target, drop_row, duplicate_row, insert_nan, truncate_predictions, tear_last_line,
        edit_csv, edit_metrics, loosen_threshold_in_lock, remove_rule_from_verdict, remove_fold, swap_corpus_document,
        rename_group, claim_other_code, flip_weights, remove_model, remove_unit, unit_of_other_seed, unit_of_other_run,
        extra_unit, edit_report, link_in_place_of_file, link_in_place_of_folder, shrink_manifest, remove_seed,
        shrink_manifest_to_the_verdict, manifest_names_outside,
    )),
    *(Attack(do, "hold", "files") for do in (flip_verdict, flip_verdict_and_rules, replay_verdict, empty_reasons)),
    Attack(rename_verdict, "hold", "verdict-file"),
    Attack(both_verdicts, "hold", "verdict-file"),
    Attack(truncate_verdict, "promote", "verdict-file"),
    Attack(clear_smoke_in_verdict, "smoke", "files"),
    # Every digest mended up to verdict and manifest: recomputation must find it.
    Attack(say_reported, "promote", "verdict-file", careful=True),
    Attack(other_schema, "promote", "verdict-file", careful=True),
    Attack(both_verdicts, "hold", "verdict-file", careful=True),
    Attack(rename_verdict, "hold", "verdict-file", careful=True),
    Attack(link_in_place_of_file, "promote", "files", careful=True),
    Attack(claim_other_packages, "promote", "bound", careful=True),
    Attack(repeat_a_key_in_lock, "promote", "study", careful=True),
    Attack(remove_all_rules, "promote", "study", careful=True),
    Attack(remove_seed, "promote", "study", careful=True),
    Attack(change_fit, "promote", "study", careful=True),
    Attack(rename_study, "promote", "study", careful=True),
    Attack(replay_verdict_of_twin, "hold", "run-name", careful=True),
    Attack(replay_verdict, "hold", "rules", careful=True),
    Attack(clear_smoke_in_verdict, "smoke", "study", careful=True),
    Attack(clear_smoke_everywhere, "smoke", "run-name", careful=True),
    Attack(claim_another_corpus, "promote", "run-name", careful=True),
    Attack(claim_other_code, "promote", "run-name", careful=True),
    Attack(remove_seed_and_its_digest, "promote", "run-name", careful=True),
    Attack(swap_corpus_document, "promote", "corpus", careful=True),
    Attack(rename_group, "promote", "folds", careful=True),
    Attack(add_group, "promote", "split", careful=True),
    Attack(inflate_rows, "promote", "corpus", careful=True),
    Attack(remove_fold, "promote", "folds", careful=True),
    Attack(train_on_held_out, "promote", "folds", careful=True),
    Attack(remove_baseline_from_lock, "promote", "units", careful=True),
    Attack(remove_model, "promote", "units", careful=True),
    Attack(unit_names_a_device, "promote", "units", careful=True),
    Attack(unit_names_outside, "promote", "units", careful=True),
    Attack(remove_unit, "promote", "units", careful=True),
    Attack(unit_of_other_seed, "promote", "units", careful=True),
    Attack(unit_of_other_run, "promote", "units", careful=True),
    Attack(extra_unit, "promote", "units", careful=True),
    Attack(edit_prediction, "promote", "predictions", careful=True),
    Attack(edit_prediction_consistently, "promote", "predictions", careful=True),
    Attack(edit_ensemble, "promote", "predictions", careful=True),
    Attack(drop_row, "promote", "predictions", careful=True),
    Attack(drop_worst_group, "promote", "predictions", careful=True),
    Attack(duplicate_row, "promote", "predictions", careful=True),
    Attack(duplicate_row_under_new_id, "promote", "predictions", careful=True),
    Attack(swap_rows_of_groups, "promote", "predictions", careful=True),
    Attack(move_group_to_other_fold, "promote", "predictions", careful=True),
    Attack(insert_nan, "promote", "predictions", careful=True),
    Attack(insert_null, "promote", "predictions", careful=True),
    Attack(add_column, "promote", "predictions", careful=True),
    Attack(truncate_predictions, "promote", "predictions", careful=True),
    Attack(tear_last_line, "promote", "predictions", careful=True),
    Attack(edit_csv, "promote", "predictions", careful=True),
    Attack(edit_target, "promote", "metrics", careful=True),
    Attack(edit_metrics, "promote", "metrics", careful=True),
    Attack(edit_metrics_and_rules, "hold", "metrics", careful=True),
    Attack(metrics_with_a_repeated_key, "promote", "metrics", careful=True),
    Attack(remove_a_baseline_from_the_metrics, "promote", "metrics", careful=True),
    Attack(change_bootstrap, "promote", "metrics", careful=True),
    Attack(edit_unit_predictions, "promote", "metrics", careful=True),
    Attack(flip_verdict_and_rules, "hold", "rules", careful=True),
    Attack(remove_rule_from_verdict, "promote", "rules", careful=True),
    Attack(remove_failed_rule_and_flip, "hold", "rules", careful=True),
    Attack(loosen_threshold_in_lock, "promote", "rules", careful=True),
    Attack(remove_rule_from_lock, "hold", "rules", careful=True),
    Attack(flip_verdict, "hold", "verdict", careful=True),
    Attack(empty_reasons, "hold", "verdict", careful=True),
    Attack(edit_recommendation, "promote", "published", careful=True),
    Attack(remove_finding, "twin", "guards", careful=True),
    Attack(unblock_finding, "twin", "guards", careful=True),
    # Everything made again, but for the ledger beside the run.
    Attack(loosen_threshold_and_rejudge, "second", "ledger", careful=True),
    Attack(remove_look, "second", "ledger"),
    Attack(remove_earlier_look, "second", "ledger"),
    Attack(edit_look, "second", "ledger"),
    Attack(claim_first_attempt, "second", "ledger", careful=True),
    Attack(ledger_of_another_study, "promote", "ledger"),
    Attack(keep_promote_after_a_newer_hold, "second", "ledger"),
    # Everything made again above the edit: the corpus file shows it.
    Attack(remove_finding_and_content, "twin", "corpus-file", careful=True, corpus=True),
    Attack(remove_finding, "twin", "guards", careful=True, corpus=True),
    Attack(edit_target_and_rejudge, "promote", "corpus-file", careful=True, corpus=True),
    Attack(swap_models, "promote", "weights", careful=True, corpus=True),
    Attack(forge_from_the_fits_up, "promote", "weights", careful=True, corpus=True),
]  # fmt: skip
IDS = [f"{a.do.__name__}-{'careful' if a.careful else 'careless'}" for a in ATTACKS]


@pytest.fixture(scope="module", autouse=True)
def _other_runs(honest: dict[str, Any]) -> None:
    OTHER.update({name: run.folder for name, run in honest.items()})


@pytest.mark.slow
def test_there_are_at_least_forty_ways() -> None:
    """The promise of forty attacks would be worth less than it says."""
    assert len({attack.do for attack in ATTACKS}) >= 40


@pytest.mark.parametrize("attack", ATTACKS, ids=IDS)
def test_an_attack_breaks_the_chain_at_its_link(attack: Attack, victim: Any, honest: dict[str, Any]) -> None:
    """A verdict that its evidence does not give would be believed."""
    run = victim(attack.victim)
    attack.do(run)
    if attack.careful:
        reseal(run)
    found = verify_run(run, corpus=honest[attack.victim].corpus if attack.corpus else None)
    broken = found.broken
    assert broken is not None
    assert attack.link == broken.id, broken
    with pytest.raises(TamperedError) as caught:
        found.raise_if_broken()
    assert caught.value.exit_code == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["promote", "hold", "smoke", "twin"])
def test_the_attackers_tools_alone_break_nothing(name: str, victim: Any, honest: dict[str, Any]) -> None:
    """The attacks above would be found by a flaw of the tools, and not by the edit."""
    run = victim(name)
    rows(run, lambda table: None)
    rejudge(run)
    reseal(run)
    verify_run(run, corpus=honest[name].corpus).raise_if_broken()


def no_verdict(run: Path) -> None:
    verdict_path(run).unlink()


def no_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def verdict_names_no_files(run: Path) -> None:
    edit(verdict_path(run), lambda d: d["judged"].pop("files_sha256") and None)


def not_a_run(run: Path) -> None:
    (run / "run.json").unlink()


def nothing_there(run: Path) -> None:
    shutil.rmtree(run)


@pytest.mark.parametrize("do", [no_verdict, no_manifest, verdict_names_no_files, not_a_run, nothing_there])
def test_incomplete_evidence_is_invalid(do: Callable[[Path], None], victim: Any) -> None:
    """A run without a verdict would pass for a verified one."""
    run = victim("promote")
    do(run)
    with pytest.raises(InputError, match="INVALID") as caught:
        verify_run(run)
    assert caught.value.exit_code == 2


def outcome(run: Path) -> str:
    try:
        return "VERIFIED" if verify_run(run).holds else "TAMPERED"
    except InputError:
        return "INVALID"


@pytest.mark.slow
def test_one_flipped_byte_of_any_file_is_found(victim: Any) -> None:
    """A file of the chain could be changed unseen."""
    run, rng = victim("promote"), random.Random(0)
    names = [*json.loads((run / "manifest.json").read_text())["files"], "manifest.json"]
    assert len(names) > 30
    for name in names:
        path = run / name
        data = path.read_bytes()
        for position in {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(4))}:
            for mask in (0x01, 0x2A, 0x80):
                flipped = bytearray(data)
                flipped[position] ^= mask
                path.write_bytes(flipped)
                assert outcome(run) != "VERIFIED", (name, position, mask)
        path.write_bytes(data)
    assert outcome(run) == "VERIFIED"


@pytest.mark.slow
def test_every_byte_of_the_verdict_is_bound(victim: Any) -> None:
    """A date or a package version in the verdict could be changed unseen."""
    run, rng = victim("promote"), random.Random(1)
    path = verdict_path(run)
    data = path.read_bytes()
    for position in sorted(rng.sample(range(len(data)), 60)):
        flipped = bytearray(data)
        flipped[position] ^= 0x01
        path.write_bytes(flipped)
        assert outcome(run) != "VERIFIED", position


@pytest.mark.slow
def test_other_weights_under_every_digest_are_found_by_a_refit(victim: Any, honest: dict[str, Any]) -> None:
    """Models of a re-rolled seed, consistent with every file, would pass for those of the declared one."""
    run = victim("promote")
    for fold in ("north", "south", "east", "west"):
        ours, theirs = run / "fits/seed0" / fold, run / "fits/seed1" / fold
        for name in ("model.skops", "predictions.safetensors"):
            shutil.copy(theirs / name, ours / name)
        reseal_unit(ours)
    rows(run, lambda table: [row.update(seed0=row["seed1"], prediction=row["seed1"], sigma=0.0) for row in table])
    rejudge(run)
    reseal(run)
    for name in ("trials.jsonl", "policies.jsonl", "looks"):  # a run that came without its ledgers
        (run.parent / name).rename(run.parent.parent / name)
    corpus = honest["promote"].corpus
    assert verify_run(run, corpus=corpus).holds
    broken = verify_run(run, corpus=corpus, refit_too=True, workers=1).broken
    assert broken is not None
    assert broken.id == "refit"


def test_summarise_is_what_the_chain_recomputes(victim: Any) -> None:
    """The chain would compare metrics with another computation than the run's own."""
    evidence = RunEvidence.open(victim("promote"))
    own = summarise(evidence.predictions, evidence.n_train, evidence.bootstrap)
    assert own["ensemble"] == results.recomputed_metrics(evidence)["ensemble"]
