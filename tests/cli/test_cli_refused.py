"""What the file system refuses, as somebody before a terminal or in CI sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heldout.cli.main import main


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{'abc'[n % 3]},{n},{n % 7 + 0.5}\n" for n in range(30))
    Path("rows.csv").write_text("site,x,y\n" + rows)
    gate = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]}
    document = {"study": "s", "corpus": {"path": "rows.csv", "group": "site", "target": "y"}, "backbone": "sklearn"}
    document |= {"fit": {"estimator": "sklearn.linear_model.Ridge"}, "gate": gate}
    Path("study.yaml").write_text(json.dumps(document))
    return Path("study.yaml")


def test_a_folder_that_cannot_be_is_bad_input_and_no_hold(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full or read-only disk would end in a traceback and in exit code 1, which a script reads as HOLD."""
    Path("file").touch()
    monkeypatch.setattr(sys, "argv", ["heldout", "run", str(study), "--runs", "file/runs"])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert 2 == left.value.code
    assert "error [HO-E100]" in told
    assert "Not a directory" in told
    assert "where: file/runs" in told
    assert "Traceback" not in told


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`heldout ... | head -1` would end in a traceback."""
    program = "import sys; from heldout.cli.main import main; sys.argv = ['heldout', 'study', 'schema']; main()"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in told, told
