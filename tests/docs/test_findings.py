"""The pages of the findings are executed: each example raises exactly the finding of its page, its clean twin none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from heldout.corpus.guards import TITLES
from heldout.run import Study
from heldout.run.check import Checked, check_study

pytest.importorskip("sklearn")

PAGES = Path(__file__).parents[2] / "docs" / "findings"
CODES = sorted(TITLES)
# The first line of a page says whether the finding blocks; what is refused is found by `check` all the same.
REPORTED = {"HO-G001", "HO-G006", "HO-G009", "HO-G013", "HO-G016"}


def blocks(code: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / f"{code}.md").read_text(encoding="utf-8"), re.DOTALL)


def example(code: str, folder: Path, which: str) -> Path:
    """Write the planted or the clean table of a page and its study; return the study."""
    python, *modules = blocks(code, "python")
    names: dict[str, Any] = {}
    exec(python, names)
    frame: pl.DataFrame = names[which]
    frame.write_csv(folder / "rows.csv")
    for module in modules:
        (name,) = re.findall(r"^class (\w+)", module, re.MULTILINE)
        (folder / f"{name.lower()}.py").write_text(module)
    studies = blocks(code, "yaml")
    (folder / "study.yaml").write_text(studies[0] if which == "planted" else studies[-1])
    return folder / "study.yaml"


def check(study: Path) -> Checked:
    return check_study(Study.load(study).resolve(), fresh=False)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", CODES)
def test_the_example_raises_exactly_this_finding(code: str, desk: Path) -> None:
    """A page would show an example that nothing finds, or that something else finds too."""
    checked = check(example(code, desk, "planted"))
    assert [code] == [finding.code for result in checked.results for finding in result.findings]
    assert (code not in REPORTED) == bool(checked.blocking)
    sys.modules.pop("peeking", None)


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_its_clean_twin_raises_nothing(code: str, desk: Path) -> None:
    """The example would be found for something else than the fault that it shows."""
    checked = check(example(code, desk, "clean"))
    assert [] == [finding for result in checked.results for finding in result.findings]
    assert "OK" == next(result.state for result in checked.results if result.code == code)


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_what_why_example_and_mend(code: str) -> None:
    """A finding would come without a page, or a page without the way out."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {code} ")
    assert ["What", "Why", "Example", "Mend"] == [
        word for word in re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) if word != "Limits"
    ]
    assert text.split("\n")[2].startswith("Reported" if code in REPORTED else "Blocking")


def test_the_index_names_every_page() -> None:
    """A page would be there that nobody finds, or a code without a page."""
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(HO-G\d+)\]\((HO-G\d+)\.md\) \| (.+?) \|", index, re.MULTILINE)
    assert [(code, code, TITLES[code]) for code in CODES] == rows
    assert CODES == sorted(path.stem for path in PAGES.glob("HO-*.md"))


@pytest.mark.slow
def test_the_command_prints_what_the_index_shows(desk: Path) -> None:
    """The page would show an output that the command does not give."""
    example("HO-G002", desk, "planted")
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n\$ heldout check study.yaml\n(.*?)```", index, re.DOTALL)
    command = [sys.executable, "-m", "heldout.cli.main", "check", "study.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (1, shown) == (done.returncode, done.stdout), done.stderr
