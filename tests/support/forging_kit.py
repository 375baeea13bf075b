"""A forger of evaluations: changes to numbers, rows and verdicts, and every digest above them made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heldout.domains.embodied.evaluate.sitting import windows_sha256
from heldout.evidence import canonical, dumps, read_json, read_json_lines, sha256_file
from heldout.package.verify.any import verify_any
from heldout.verify import Verification

Change = Callable[[Path], Any]


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


def as_reported(run: Path) -> None:
    """The verdict says that its predictions were brought: less of them could then be looked at."""
    edit(run / "HOLD.json", lambda document: document | {"evidence": "reported"})


def own_contract(run: Path) -> None:
    """A contract with fewer metrics to beat, under the same name."""
    edit(run / "contract.json", lambda contract: contract | {"primary_metrics": ["held_out_episode_count"]})


def cell(run: Path) -> None:
    text = (run / "confusion_matrix.csv").read_text()
    (run / "confusion_matrix.csv").write_text(text.replace(",0", ",7", 1))


def words(run: Path) -> None:
    text = (run / "RUN_REPORT.md").read_text()
    (run / "RUN_REPORT.md").write_text(text.replace("**HOLD**", "**PROMOTE**"))


def drop_counts(run: Path) -> None:
    (run / "train_labels.json").unlink()
