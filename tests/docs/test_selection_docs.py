"""The page on choosing is executed, and its studies are ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_kit import ROOT, links, run_commands

PAGE = (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_run_as_written(tmp_path: Path) -> None:
    """What people copy from the page would not run."""
    done = run_commands(PAGE, tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "PROMOTE chosen / base" in done.stdout or "HOLD chosen / base" in done.stdout, done.stderr
    assert 7 == len([*tmp_path.glob("runs/chosen/base-*/fits/seed0/*/choice.json")])


def test_its_variants_fit_its_study_and_links_lead_somewhere(tmp_path: Path) -> None:
    """A key that does not exist would be copied."""
    from heldout import Study
    from heldout.errors import CorpusError

    text = re.search(r"<<'END'\n(.*?)END\n", PAGE, re.DOTALL)
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    plain = re.sub(r"select:\n(  .*\n)+", "", text[1])
    (tmp_path / "study.yaml").write_text(plain + block)
    with pytest.raises(CorpusError, match=r"diabetes\.csv"):  # all that is missing is the table
        Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs")
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]
