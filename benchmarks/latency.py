"""How long does a command take that only shows something? Beside a bare `python -c pass`, in turns.

The figures are seconds above that; `cpu` counts the work of all cores, which other work on the machine changes little.

    python benchmarks/latency.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from _measure import clock_children, report, spread
from registry_kit import write_study

from heldout import Study
from heldout.registry import Registry, add

BARE = "python -c pass"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = Study.load(write_study(folder)).run(runs=folder / "runs", workers=1)
        with Registry(folder / "registry", create=True) as registry:
            version = add(registry, run.folder).id
        heldout = [sys.executable, "-m", "heldout.cli.main"]
        commands = {
            BARE: [sys.executable, "-c", "pass"],
            "heldout --help": [*heldout, "--help"],
            "heldout gate": [*heldout, "gate", str(run.folder)],
            "heldout registry show": [*heldout, "registry", "show", version],
            "python -c 'import typer, pydantic.main'": [sys.executable, "-c", "import typer, pydantic.main"],
            "python -c 'import sqlalchemy'": [sys.executable, "-c", "import sqlalchemy"],
        }
        turns = [
            {name: clock_children(command, folder) for name, command in commands.items()}
            for _ in range(options.turns + 1)
        ]
    figures, ratio = {}, {}
    for name in list(commands)[1:]:
        above = [turn[name][0] - turn[BARE][0] for turn in turns[1:]]
        figures[f"{name}, above {BARE}"] = spread(above, "s")
        figures[f"{name}, above {BARE}, cpu"] = spread([turn[name][1] - turn[BARE][1] for turn in turns[1:]], "s")
        ratio[f"{name} over {BARE}"] = spread([turn[name][0] / turn[BARE][0] for turn in turns[1:]])
    report("latency", "commands that only show something", ("typer", "pydantic", "SQLAlchemy"), ratio, figures)


if __name__ == "__main__":
    main()
