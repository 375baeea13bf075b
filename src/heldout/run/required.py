"""Other variants of the study whose verdict this one stands on, such as the same model judged along another axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.corpus import CorpusManifest
from heldout.documents.names import CORPUS_FILE, HOLD_FILE, PROMOTE_FILE
from heldout.evidence import provenance, read_json, sha256_file
from heldout.gate.verdict_files import read_verdict
from heldout.run.layout import known_runs, stated_otherwise
from heldout.run.prepare import Prepared


def required_verdicts(prepared: Prepared) -> dict[str, dict[str, str] | None]:
    """By required variant: run, verdict and digest of the verdict file; None where there is no finished run.

    It must be of the same corpus file and the same code. A variant does not require itself.
    """
    study, mine = prepared.study, file_sha256(prepared.corpus.manifest)
    wanted = [name for name in prepared.resolved.gate.requires if name != prepared.resolved.variant]
    return {variant: _newest(study, variant, mine) for variant in wanted}


def file_sha256(manifest: CorpusManifest | Mapping[str, Any]) -> str:
    """Digest of the corpus file, whatever it was grouped by."""
    if isinstance(manifest, CorpusManifest):
        return str(manifest.facts.get("file_sha256", manifest.sha256))
    return str(manifest["facts"].get("file_sha256", manifest["sha256"]))


def verdict_sha256(folder: Path) -> str | None:
    """Digest of a run's verdict file; None without one."""
    return next((sha256_file(folder / name) for name in (PROMOTE_FILE, HOLD_FILE) if (folder / name).exists()), None)


def _newest(study: Path, variant: str, corpus_file: str) -> dict[str, str] | None:
    found = []
    for folder in (each.path for each in known_runs(study, variant)):
        if stated_otherwise(folder, {"run": folder.name, "study": study.name, "variant": variant}) is not None:
            continue  # a copy from elsewhere, which this study never judged
        verdict = read_verdict(folder)
        sha256 = verdict_sha256(folder)
        if verdict is None or sha256 is None or verdict["variant"] != variant or verdict["smoke"]:
            continue
        same_file = file_sha256(read_json(folder / CORPUS_FILE)) == corpus_file
        if same_file and verdict["judged"]["code_sha256"] == provenance.code_digest():
            named = {"run": folder.name, "verdict": str(verdict["verdict"]), "verdict_sha256": sha256}
            found.append((str(verdict["generated_at_utc"]), named))
    return max(found, key=lambda item: item[0])[1] if found else None
