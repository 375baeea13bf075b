"""The command line of doctor and kit: documents, exit codes, and nothing heavy before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from portable_kit import bundle, judged

__all__ = ["bundle", "judged"]
TABLE = """
study: tabled
corpus: {reader: table, path: table.csv, group: site, target: y}
backbone: sklearn
fit: {estimator: sklearn.linear_model.Ridge}
gate: {rules: [{id: r, metric: rmse, at_most: 1}]}
"""


def heldout(*words: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heldout.cli.main", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert code == done.returncode, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_bundle_import_and_verify_by_the_command_line(judged, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A script could not go the way of the runbook."""
    made = json.loads(
        heldout("kit", "bundle", judged.folder, "--out", "b.tar.gz", "--without-corpus", "--json", cwd=tmp_path).stdout
    )
    assert ("heldout.bundle/1", "PROMOTE") == (made["schema"], made["verdict"])
    found = json.loads(heldout("kit", "import", "b.tar.gz", "--json", cwd=tmp_path).stdout)
    assert ("heldout.import/1", made["sha256"], None) == (
        found["schema"],
        found["bundle_sha256"],
        found["second_hardware"],
    )
    assert "VERIFIED PROMOTE" in heldout("verify", "b.tar.gz", cwd=tmp_path).stdout
    document = json.loads(heldout("kit", "verdict", found["run"], "--judged", "--json", cwd=tmp_path).stdout or "{}")
    assert {} == document
    again = heldout("kit", "import", "b.tar.gz", "--against", judged.folder, cwd=tmp_path, code=1)
    assert "UNKNOWN" in again.stdout


@pytest.mark.slow
def test_verdict_of_a_study_that_was_not_run_exits_with_2(judged, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Step 03 would take failed fits for a HOLD."""
    words = ["kit", "verdict", judged.study, "--runs", judged.study.parent / "runs"]
    assert "VERIFIED" in heldout(*words, cwd=tmp_path).stdout
    assert "was not judged yet" in heldout(*words[:-1], tmp_path / "none", cwd=tmp_path, code=2).stderr


WRONG = (
    ("kit", "import", "nothing.tar.gz"),
    ("kit", "build", "nothing.yaml", "--out", "k.tar.gz"),
    ("kit", "corpus", "pack", "nowhere", "--out", "t.tar.zst"),
    ("kit", "corpus", "extract", "nothing.tar.zst"),
    ("kit", "corpus", "merge", "nowhere", "--out", "m"),
    ("kit", "bundle", "nothing", "--out", "b.tar.gz"),
    ("doctor", "nothing.yaml"),
    ("doctor", "--cqs", "a,b"),
)


@pytest.mark.first_is_fast
@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_bad_input_is_named_with_its_mend(words: tuple[str, ...], tmp_path: Path) -> None:
    """A typing error would end in a traceback."""
    done = heldout(*words, cwd=tmp_path, code=2)
    assert "Traceback" not in done.stderr
    assert "fix:" in done.stderr
    assert [] == list(tmp_path.glob("*.tar*"))


@pytest.mark.slow
def test_doctor_of_a_study_without_video_asks_for_no_encoder(tmp_path: Path) -> None:
    """A table would need FFmpeg to be judged."""
    (tmp_path / "study.yaml").write_text(TABLE)
    found = json.loads(heldout("doctor", "study.yaml", "--out-dir", "out", "--json", cwd=tmp_path).stdout)
    assert ("heldout.doctor/1", True) == (found["schema"], found["healthy"])
    ids = {finding["id"] for finding in found["findings"]}
    assert {"platform", "python", "import-sklearn", "disk", "memory", "writable-out"} <= ids
    assert not {name for name in ids if name.startswith(("encoder-", "libvmaf"))}


def test_help_of_kit_loads_nothing_heavy() -> None:
    """Asking for the options would take seconds."""
    names = "'torch' in sys.modules, 'polars' in sys.modules"
    code = f"import sys; from heldout.cli.main import build; build(['kit']); print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False False" == done.stdout.strip()
