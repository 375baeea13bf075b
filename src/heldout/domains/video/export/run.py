"""Exports the members of a run directory: everything that they are made from comes out of the run's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.domains.video.backbone.regressor import FRRegressorBackbone
from heldout.domains.video.corpus.reader import FrameOptions, FrameReader
from heldout.domains.video.export.members import PREFIX, ExportedMember, export_members
from heldout.errors import InputError, RefusedError
from heldout.evidence import digest, provenance, read_json, sha256_file
from heldout.gate.verdict_files import read_verdict
from heldout.run.resolve import IDENTITY, read_lock
from heldout.task import read_predictions
from heldout.task.table import table_in
from heldout.verify.evidence import RunEvidence

_LOCK = "study.lock.yaml"


def export_run(
    folder: Path, corpus: Path | None = None, out: Path | None = None, *, prefix: str = PREFIX
) -> list[ExportedMember]:
    """Refit every judged seed on the whole corpus and export it as ONNX with its sidecar.

    Args:
        folder: The run directory.
        corpus: The corpus file; by default where the run found it, seen from the working folder.
        out: Folder of the exports; ``exports`` in the run directory by default.
        prefix: Id of the ensemble.

    Raises:
        InputError: If the run is not whole, or its corpus is not there.
        RefusedError: Without a PROMOTE that judged this corpus, this configuration and these metrics.
    """
    verdict = read_verdict(folder)
    if verdict is None:
        raise InputError("the run has no verdict", where=str(folder), hint="run the study to its end")
    if verdict["verdict"] != "PROMOTE":
        raise RefusedError(
            f"no export: the verdict is {verdict['verdict']}",
            where=str(folder / f"{verdict['verdict']}.json"),
            hint=verdict["recommendation"],
        )
    lock = _lock(folder)
    _refuse_other(folder, verdict, lock)
    path = corpus or Path(verdict["judged"]["corpus_path"]).expanduser()
    if not path.is_file():
        raise InputError("the corpus is not there", where=str(path), hint="name it with --corpus FILE")
    options = {key: value for key, value in lock["corpus"].items() if key != "reader"}
    made = provenance.build(
        args={"run": folder.name, "seeds": lock["seeds"], "prefix": prefix},
        inputs={"corpus": path, "metrics": folder / "metrics.json", "verdict": folder / "PROMOTE.json"},
        outputs={"exports": prefix},
    )
    return export_members(
        FRRegressorBackbone(FRRegressorBackbone.Params.model_validate(lock["fit"])),
        FrameReader(FrameOptions.model_validate(options | {"path": path})).read(),
        lock["seeds"],
        verdict,
        read_json(folder / "metrics.json"),
        out or folder / "exports",
        corpus_path=path,
        workdir=folder / "scratch" / "export",
        provenance=made,
        prefix=prefix,
        predictions=read_predictions(table_in(folder), lock["seeds"]),
    )


def can_export(evidence: RunEvidence) -> bool:
    """Whether ``export_run`` has anything to do: a PROMOTE over held-out sources, of our own regressor."""
    lock = evidence.lock
    by_source = lock["corpus"].get("group", "src") == "src"
    return bool(evidence.verdict["verdict"] == "PROMOTE" and lock["backbone"] == FRRegressorBackbone.name and by_source)


def _lock(folder: Path) -> dict[str, Any]:
    path = folder / _LOCK
    found = read_lock(path)
    if found["backbone"] != FRRegressorBackbone.name:
        raise InputError(
            f"the backbone {found['backbone']!r} has no ONNX export",
            where=str(path),
            hint=f"a run of {FRRegressorBackbone.name!r} can be exported",
        )
    if found["corpus"].get("group", "src") != "src":
        raise RefusedError(
            "no export: this verdict is over held-out encoders, every source was seen in training",
            where=str(path),
            hint="export the run that holds out sources",
        )
    return found


def _refuse_other(folder: Path, verdict: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
    judged = verdict["judged"]
    found = {
        _LOCK: ("variant_sha256", digest({part: lock[part] for part in IDENTITY})),
        "metrics.json": ("metrics_sha256", sha256_file(folder / "metrics.json")),
        table_in(folder).name: ("predictions_sha256", sha256_file(table_in(folder))),
    }
    for name, (key, value) in found.items():
        if judged.get(key) != value:
            raise RefusedError(
                f"no export: {name} is not what the verdict judged",
                where=str(folder / name),
                hint="run the study again; finished units are reused",
            )
