"""The pages of the embodied findings are executed: each example raises exactly the finding of its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGES = Path(__file__).parents[2] / "docs/findings/embodied"
SOURCES = Path(__file__).parents[2] / "src/heldout/domains/embodied"
CODES = sorted(path.stem for path in PAGES.glob("HO-*.md"))


def python(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("code", CODES)
def test_the_example_raises_exactly_this_finding_and_its_twin_none(code: str) -> None:
    """A page would show an example that nothing finds, or that something else finds too."""
    names: dict[str, Any] = {}
    exec(python("README.md") + python(f"{code}.md"), names)
    assert {code} == {finding.code for finding in names["planted"]}
    assert [] == names["clean"]
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    kind = "Blocking" if all(finding.blocking for finding in names["planted"]) else "Reported"
    assert (f"# {code} ", kind) == (text[: len(code) + 3], text.split("\n")[2].rstrip("."))
    assert ["What", "Why", "Example", "Mend"] == re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)


def test_every_code_has_a_page_or_a_row() -> None:
    """A finding would come without an explanation."""
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert CODES == re.findall(r"^\| \[(HO-G\d+)\]\(HO-G\d+\.md\)", index, re.MULTILINE)
    rows = re.findall(r"^\| (HO-G\d+) \|", (PAGES / "checkpoints.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = {code for path in SOURCES.rglob("*.py") for code in re.findall(r"HO-G1\d+", path.read_text())}
    assert sorted(found) == sorted({*CODES, *rows})
