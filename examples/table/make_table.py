"""Writes diabetes.csv: the table that ships with scikit-learn, with the patient's age band as its group column.

The question that the study answers: does the model hold for an age band that it never saw?
"""

import sys
from pathlib import Path

import polars as pl

try:
    from sklearn.datasets import load_diabetes
except ImportError:
    sys.exit("scikit-learn is not installed: pip install 'heldout[sklearn]'")

data = load_diabetes(scaled=False)
table = pl.DataFrame(data.data, schema=data.feature_names).with_columns(progression=pl.Series(data.target))
table = table.with_columns(age_band=pl.format("{}s", (pl.col("age") // 10 * 10).cast(pl.Int64))).drop("age")
out = Path(sys.argv[1] if len(sys.argv) > 1 else "diabetes.csv")
table.write_csv(out)
print(f"wrote {out}: {table.height} rows, {table['age_band'].n_unique()} age bands")
