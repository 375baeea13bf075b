"""Writes panel.parquet: `python make_panel.py [OUT] [--generated]`.

By default daily closes of 20 US stocks and the S&P 500 index, 1990 to 2022, that ship with skfolio. Its own note says
that these data are for tests and examples: stale, and of 20 survivors. They are read from the installed package and
never copied into this repository; `pip install --no-deps skfolio` is enough, `pip install 'heldout[market-demo]'`
installs it with all that it depends on. With `--generated` a panel of 20 names that needs nothing and whose truth is
known: winners go on winning for a while.
"""

import sys
from pathlib import Path

from heldout.domains.market.demo.panel import demo_panel
from heldout.errors import PrerequisiteError

words = [word for word in sys.argv[1:] if not word.startswith("--")]
try:
    panel = demo_panel("generated" if "--generated" in sys.argv else "skfolio")
except PrerequisiteError as error:
    sys.exit(f"{error.what}: {error.hint}")
out = Path(words[0]) if words else Path(__file__).parent / "corpus" / "panel.parquet"
out.parent.mkdir(parents=True, exist_ok=True)
panel.write_parquet(out)
volume = "with volumes" if "volume" in panel.columns else "no volume"
print(f"wrote {out}: {panel['date'].n_unique()} dates, {panel['asset'].n_unique()} assets, {volume}")
