"""Names of the files of a run, of a study's folder of runs, and of what is served. No other module spells them."""

from __future__ import annotations

import hashlib
import urllib.parse

# --- a run: runs/<study>/<label>-<date>-<hash8>/
RUN_FILE = "run.json"
LOCK_FILE = "study.lock.yaml"
CORPUS_FILE = "corpus.json"
SPLIT_FILE = "split.json"
PREDICTIONS_FILE = "predictions.jsonl"
PREDICTIONS_CSV = "predictions.csv"
PREDICTIONS_PARQUET = "predictions.parquet"
METRICS_FILE = "metrics.json"
COSTS_FILE = "costs.json"
STORED_FILE = "stored.json"
MODEL_FILE = "model.json"
TRAINED_ON_FILE = "trained_on.json"
PROMOTE_FILE = "PROMOTE.json"
HOLD_FILE = "HOLD.json"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "verdict.dsse.json"
PROGRESS_FILE = "progress.jsonl"
REPORT_HTML = "report.html"
REPORT_MD = "RUN_REPORT.md"
# --- a unit of it: fits/seed<N>/<fold>/
UNIT_FILE = "unit.json"
UNIT_PREDICTIONS = "predictions.safetensors"
CHOICE_FILE = "choice.json"
CODE_FILE = "code.json"
OUTPUT_LOG = "output.log"
# --- a study's folder of runs
LEDGER_FILE = "trials.jsonl"
POLICY_FILE = "policies.jsonl"
# --- what serves: slots/<slot>/
POINTER_FILE = "champion.json"


def safe_name(name: str) -> str:
    """A group's or fold's name as a file name: itself where harmless, else percent-encoded; long ones are hashed."""
    quoted = urllib.parse.quote(name, safe=" ()+,=@")
    quoted = quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted
    if 0 < len(quoted) <= 96:
        return quoted
    return quoted[:64] + "~" + hashlib.sha256(name.encode()).hexdigest()[:16]
