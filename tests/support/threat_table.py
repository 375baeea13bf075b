"""The table of ``docs/threat-model.md``, made from the routes of the attack suite.

``python tests/support/threat_table.py`` writes it; a test holds that it is current.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
ATTACKS = HERE.parent / "attacks"
PAGE = HERE.parents[1] / "docs" / "threat-model.md"
BEGIN, END = "<!-- routes: begin -->", "<!-- routes: end -->"
# In the order of how much the product can do about it.
_ENDS = (
    "stopped",
    "HOLD",
    "flagged",
    "TAMPERED",
    "needs --corpus",
    "needs --refit",
    "needs a signature",
    "cannot be known",
)


def routes() -> list[tuple[str, str, str, str]]:
    """Kind, who, how and end of every attack of the suite, without repetitions."""
    from attack_kit import ROUTES

    for path in sorted(ATTACKS.glob("test_*.py")):
        name = f"_routes_of_{path.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    found = {(each.kind, each.who, each.how, each.ends) for each in ROUTES}
    return sorted(found, key=lambda row: (row[0], _ENDS.index(row[3]), row[1], row[2]))


def table() -> str:
    """A Markdown table a kind, and the counts."""
    rows = routes()
    counts = ", ".join(f"{sum(row[3] == end for row in rows)} {end}" for end in _ENDS)
    lines = [f"{len(rows)} routes: {counts}.", ""]
    for kind in dict.fromkeys(row[0] for row in rows):
        lines += [f"### {kind[:1].upper()}{kind[1:]}", "", "| who | how | ends |", "|---|---|---|"]
        lines += [f"| {who} | {_cell(how)} | {end} |" for each, who, how, end in rows if each == kind]
        lines.append("")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with the table as of now between its markers."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
