"""``heldout verify`` of an evaluation and of its public package: every number made again, every forgery named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_kit import make_index
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.contracts import load_registry
from heldout.domains.embodied.evaluation_plan import Plan
from heldout.domains.embodied.evaluation_run import run
from heldout.domains.embodied.evaluation_score import windows_sha256
from heldout.errors import TamperedError
from heldout.evidence import canonical, dumps, read_json, read_json_lines, sha256_file
from heldout.package.public import package_public
from heldout.package.verify_any import verify_any
from heldout.verify import Verification, verify_path

CONTRACT = "qwen3_omni_lora"
Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that beats what is most common."""
    home = tmp_path_factory.mktemp("evaluated")
    index = make_index(home, episodes=48)
    run(Plan(index, "nearest"), load_registry(index)[CONTRACT], home / "nearest")
    return home / "nearest"


@pytest.fixture(scope="module")
def held(evaluated: Path) -> Path:
    """An evaluation that answers what is most common."""
    out = evaluated.parent / "majority"
    index = evaluated.parent / "index"
    run(Plan(index, "majority"), load_registry(index)[CONTRACT], out)
    return out


@pytest.fixture(scope="module")
def packaged(evaluated: Path, held: Path) -> dict[str, Path]:
    """Unpacked public packages of both."""
    found = {}
    contracts = {name: one.config for name, one in load_registry(evaluated).items()}
    for folder in (evaluated, held):
        found[folder.name] = folder.parent / f"public-{folder.name}"
        package_public(folder, found[folder.name], contract=CONTRACT, contracts=contracts)
    return found


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON document and leave its form."""
    document = read_json(path)
    path.write_bytes(dumps(change(document) or document))


def rows_of(run: Path) -> list[dict[str, Any]]:
    return read_json_lines(run / "predictions.jsonl")


def put_rows(run: Path, rows: list[dict[str, Any]]) -> None:
    (run / "predictions.jsonl").write_bytes(b"".join(canonical(row) + b"\n" for row in rows))


def verdict_of(run: Path) -> Path:
    return next(run / name for name in ("PROMOTE.json", "HOLD.json") if (run / name).exists())


def redigest(package: Path) -> None:
    """As a forger would: mend every digest and count above what was changed, up to the package's own manifest."""
    run = package / "run" if (package / "public.json").exists() else package
    rows, verdict = rows_of(run), verdict_of(run)

    def of_record(record: Any) -> None:
        record["outputs"] = {name: sha256_file(run / name) for name in record["outputs"] if (run / name).exists()}
        record["samples"] = len(rows)
        record["verdict"] = verdict.stem

    def of_verdict(document: Any) -> None:
        document["judged"] |= {
            "metrics_sha256": sha256_file(run / "metrics.json"),
            "predictions_sha256": sha256_file(run / "predictions.jsonl"),
            "windows_sha256": windows_sha256(rows),
        }
        if (run / "train_labels.json").exists():
            document["judged"]["train_counts_sha256"] = sha256_file(run / "train_labels.json")

    edit(run / "evaluation.json", of_record)
    edit(verdict, of_verdict)
    if run == package:
        return

    def of_package(document: Any) -> None:
        for name in [name for name in document["files"] if not (package / name).exists()]:
            renamed = name.replace("HOLD", "PROMOTE")
            entry = document["files"].pop(name)
            if (package / renamed).exists() and renamed != name:
                document["files"][renamed] = entry
        for name, entry in document["files"].items():
            size, sha256 = (package / name).stat().st_size, sha256_file(package / name)
            entry |= {"bytes": size, "sha256": sha256, "original": {"bytes": size, "sha256": sha256}}

    edit(package / "public.json", of_package)


def forged(source: Path, tmp_path: Path, change: Change) -> Verification:
    """The verification of a copy that was changed, all digests mended."""
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    change(copy / "run" if (copy / "public.json").exists() else copy)
    redigest(copy)
    return verify_any(copy)


def first_row(run: Path, **values: Any) -> None:
    rows = rows_of(run)
    put_rows(run, [rows[0] | values, *rows[1:]])


def answer(run: Path) -> None:
    """One wrong answer becomes the right one in the raw text, and everything that follows from it in the row."""
    rows = rows_of(run)
    wrong = next(row for row in rows if not row["correct"])
    said = wrong["pred_json"] | {"action": wrong["true_label"]}
    wrong |= {"raw_prediction": canonical(said).decode(), "pred_json": said, "correct": 1}
    wrong["predicted_label"] = wrong["true_label"]
    put_rows(run, rows)


def swap_labels(run: Path) -> None:
    """What was true of a wrongly answered window becomes what was said of it, consistently in its row."""
    rows = rows_of(run)
    wrong = next(row for row in rows if not row["correct"])
    wrong |= {"true_label": wrong["predicted_label"], "correct": 1}
    wrong["true_json"] = wrong["true_json"] | {"action": wrong["predicted_label"]}
    put_rows(run, rows)


def metric(run: Path) -> None:
    edit(run / "metrics.json", lambda metrics: metrics | {"accuracy": 0.99})


def baseline(run: Path) -> None:
    def change(metrics: Any) -> None:
        metrics["evidence"]["accuracy"]["baselines"]["majority"]["value"] = 0.01

    edit(run / "metrics.json", change)


def wider(run: Path) -> None:
    """A level of one half, whose intervals would clear every bound."""

    def change(metrics: Any) -> None:
        metrics["evidence"]["accuracy"]["interval"]["level"] = 0.5

    edit(run / "metrics.json", change)


def counts(run: Path) -> None:
    """Train windows of one label become windows of another: sums hold, the majority does not."""

    def change(train: Any) -> None:
        labels = train["labels"]["action"]
        common, rare = max(labels, key=labels.get), min(labels, key=labels.get)
        labels[common], labels[rare] = labels[rare], labels[common]

    edit(run / "train_labels.json", change)


def more_counts(run: Path) -> None:
    def change(train: Any) -> None:
        train["labels"]["action"]["put"] += 1

    edit(run / "train_labels.json", change)


def promote(run: Path) -> None:
    """HOLD becomes PROMOTE, and nothing else."""
    document = read_json(run / "HOLD.json") | {"verdict": "PROMOTE"}
    (run / "HOLD.json").unlink()
    (run / "PROMOTE.json").write_bytes(dumps(document))


def promote_with_rules(run: Path) -> None:
    """HOLD becomes PROMOTE with rules that all say PASS, no reasons, and the recommendation of a PROMOTE."""
    document = read_json(run / "HOLD.json")
    rules = [rule | {"outcome": "PASS"} for rule in document["rules"]]
    document |= {"verdict": "PROMOTE", "rules": rules, "reasons": []}
    document["recommendation"] = "Every rule passed: register the run, then promote it."
    (run / "HOLD.json").unlink()
    (run / "PROMOTE.json").write_bytes(dumps(document))


def promote_without_rules(run: Path) -> None:
    """The rules that are in the way are left out."""
    promote_with_rules(run)
    edit(run / "PROMOTE.json", lambda d: d | {"rules": [r for r in d["rules"] if "beats" not in r["id"]]})


def own_contract(run: Path) -> None:
    """A contract with fewer metrics to beat, under the same name."""
    edit(run / "contract.json", lambda contract: contract | {"primary_metrics": ["held_out_episode_count"]})


def cell(run: Path) -> None:
    text = (run / "confusion_matrix.csv").read_text()
    (run / "confusion_matrix.csv").write_text(text.replace(",0", ",7", 1))


def words(run: Path) -> None:
    text = (run / "RUN_REPORT.md").read_text()
    (run / "RUN_REPORT.md").write_text(text.replace("**HOLD**", "**PROMOTE**"))


ATTACKS: dict[str, tuple[str, Change, str, str, str]] = {
    "a metric": ("nearest", metric, "metrics", "metrics.json: accuracy", r"stated 0\.99; .* give 0\.\d+"),
    "a baseline": ("nearest", baseline, "metrics", "metrics.json: evidence/accuracy/baselines/majority/value",
                   r"stated 0\.01; .* give 0\.\d+"),
    "the level of an interval": ("nearest", wider, "metrics", "metrics.json: evidence/accuracy/interval/level",
                                 "stated 0.5; .* give 0.95"),
    "a prediction": ("nearest", lambda run: first_row(run, raw_prediction="{}"), "rows", "predictions.jsonl: ",
                     "pred_json is .*; the row's own text and truth give {}"),
    "a prediction and its row": ("nearest", answer, "metrics", "metrics.json: accuracy", r"stated 0\.\d+; .* give"),
    "a label": ("nearest", lambda run: first_row(run, true_label="wave"), "rows", "predictions.jsonl: ",
                "correct is 1|true_label is 'wave', true_json says"),
    "a label and its row": ("nearest", swap_labels, "metrics", "metrics.json: accuracy", r"stated 0\.\d+; .* give"),
    "a verdict": ("majority", promote, "verdict", "PROMOTE.json: verdict", "the rules say HOLD"),
    "a verdict and its rules": ("majority", promote_with_rules, "rules", "PROMOTE.json: rule beats_trivial:",
                                "outcome: stated 'PASS'; judged again it is 'FAIL'"),
    "a verdict, some rules left out": ("majority", promote_without_rules, "rules", "PROMOTE.json: rule ", "id: stated"),
    "a contract": ("majority", own_contract, "rules", "judged.contract_sha256", "another contract"),
    "a dropped window": ("nearest", lambda run: put_rows(run, rows_of(run)[1:]), "rows", "predictions.jsonl",
                         r"the window '.*' is missing; predictions\.csv has it"),
    "a window twice": ("nearest", lambda run: put_rows(run, [*rows_of(run), rows_of(run)[0]]), "rows",
                       "predictions.jsonl: ", "stands twice"),
    "train counts": ("nearest", counts, "metrics", "metrics.json: ", "stated .*; the rows and train counts give"),
    "train counts that do not add up": ("nearest", more_counts, "train", "train_labels.json: action",
                                        r"the counts give \d+ windows, stated \d+"),
    "a cell of a table": ("nearest", cell, "tables", "confusion_matrix.csv: line", "stated '7'; the rows give '0'"),
    "the words of the report": ("majority", words, "reports", "RUN_REPORT.md: verdict", "not the one that metrics"),
}  # fmt: skip


@pytest.mark.parametrize("where", ["package", "folder"])
@pytest.mark.parametrize("case", ATTACKS)
def test_a_forgery_with_every_digest_made_again_is_found_and_named(
    case: str, where: str, packaged: dict[str, Path], evaluated: Path, tmp_path: Path
) -> None:
    """Whoever edits numbers and mends the digests above them would pass for verified."""
    name, change, link, place, what = ATTACKS[case]
    source = packaged[name] if where == "package" else evaluated.parent / name
    found = forged(source, tmp_path, change)
    assert found.broken is not None
    assert (link, place) == (found.broken.id, str(found.broken.where)[: len(place)])
    with pytest.raises(TamperedError, match=what):
        found.raise_if_broken()


def test_whatever_is_changed_is_found_by_its_digest(evaluated: Path, tmp_path: Path) -> None:
    """A careless edit would need a recomputation to be found, or would not be found where nothing is recomputed."""
    record = read_json(evaluated / "evaluation.json")["outputs"]
    for name in (*record, "evaluation.json"):
        copy = tmp_path / name
        shutil.copytree(evaluated, copy)
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data.replace(b"0", b"1", 1) if b"0" in data else data + b" ")
        assert not verify_path(copy).holds, name


def test_an_honest_evaluation_holds_and_says_what_was_recomputed(evaluated: Path, packaged: dict[str, Path]) -> None:
    """An honest package would be refused, or it would not be known what its numbers rest on."""
    for path in (evaluated, evaluated / "metrics.json", packaged["nearest"], packaged["majority"]):
        found = verify_any(path)
        assert found.holds, found.broken
        states = {one.name: one.state for one in found.metrics}
        names = {"accuracy", "action_macro_f1", "next_action_accuracy", "object_micro_f1", "smoke", "num_samples"}
        assert {"recomputed"} == {states[name] for name in names}
        assert ["train_labels_sha256"] == [name for name, state in states.items() if state == "attested"]
        assert "Only attested: train_labels_sha256 (the window index is not published)" in found.left_open
        wanted = {"rows", "train", "identity", "metrics", "rules", "tables", "reports", "verdict", "files"}
        assert wanted == {link.id for link in found.links if link.state == "OK"} & wanted
    assert ("HOLD", sha256_file(evaluated / "HOLD.json")) == (
        verify_path(evaluated).verdict,
        verify_path(evaluated / "HOLD.json").verdict_sha256,
    )


def test_the_command_says_it_in_text_and_as_json(packaged: dict[str, Path], evaluated: Path) -> None:
    """A reader would take an attested number for a recomputed one."""
    for path in (packaged["nearest"], evaluated):
        told = CliRunner().invoke(build(), ["verify", str(path)])
        assert 0 == told.exit_code, told.output
        assert "recomputed with their baselines and intervals; 1 only attested: train_labels_sha256" in told.output
        document = json.loads(CliRunner().invoke(build(), ["verify", str(path), "--json"]).output)
        states = {one["name"]: (one["state"], one["why"]) for one in document["metrics"]}
        assert ("recomputed", None) == states["accuracy"]
        assert ("attested", "the window index is not published") == states["train_labels_sha256"]
        assert all(set(link) == {"id", "title", "state", "what", "where"} for link in document["links"])


def test_without_train_counts_every_metric_is_only_attested(
    packaged: dict[str, Path], evaluated: Path, tmp_path: Path
) -> None:
    """Taking one file away would turn recomputed numbers into believed ones, silently."""
    found = forged(packaged["nearest"], tmp_path, drop_counts)
    assert found.holds
    assert {"attested"} == {one.state for one in found.metrics}
    assert "train_labels.json is not published" in found.left_open
    with pytest.raises(TamperedError, match="the file is missing"):
        forged(evaluated, tmp_path, drop_counts).raise_if_broken()


def drop_counts(run: Path) -> None:
    (run / "train_labels.json").unlink()
