"""A line through the first feature, in the shell and in Python: code beside a study that fits in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from heldout.backbone import FeaturesView, TrainView
from heldout.backbone.beside.command import CommandBackbone, CommandParams
from heldout.backbone.beside.python import PythonBackbone, PythonParams
from heldout.corpus import Corpus

# The target is the last column of {train}.
FIT_SH = r"""
awk -F, 'NR > 1 { n++; x += $1; y += $NF; xx += $1 * $1; xy += $1 * $NF }
  END { b = (n * xy - x * y) / (n * xx - x * x); printf "%.17g %.17g\n", (y - b * x) / n, b }' "$1" > "$2"
echo "fitted a line"
"""
ASK_SH = r"""
read -r a b < "$1"
awk -F, -v a="$a" -v b="$b" 'NR == 1 { print "prediction"; next } { printf "%.17g\n", a + b * $1 }' "$2" > "$3"
"""
LABELS_SH = r"""
read -r a b < "$1"
awk -F, -v a="$a" -v b="$b" 'NR == 1 { print "p_no,p_yes"; next }
  { p = a + b * $1; p = p < 0 ? 0 : p > 1 ? 1 : p; printf "%.17g,%.17g\n", 1 - p, p }' "$2" > "$3"
"""
COMMANDS = {
    "train": "sh fit.sh {train} {model}",
    "predict": "sh ask.sh {model} {features} {predictions}",
    "format": "csv",
}
MODEL_PY = """
import numpy as np
from helper import columns


class Line:
    def __init__(self, slope=1.0):
        self.slope = slope

    def fit(self, X, y):
        self.weights = np.linalg.lstsq(columns(X), self.slope * y, rcond=None)[0]
        return self

    def predict(self, X):
        return columns(X) @ self.weights / self.slope
"""
HELPER_PY = """
import numpy as np


def columns(X):
    return np.column_stack([np.ones(len(X)), X])
"""


def shell(folder: Path, fit: str = FIT_SH, ask: str = ASK_SH) -> Path:
    """The two scripts in a folder."""
    (folder / "fit.sh").write_text(fit)
    (folder / "ask.sh").write_text(ask)
    return folder


def python(folder: Path, model: str = MODEL_PY) -> Path:
    """A class in a file, and a module that it imports."""
    (folder / "model.py").write_text(model)
    (folder / "helper.py").write_text(HELPER_PY)
    return folder


def command_of(folder: Path, **changes: Any) -> CommandBackbone:
    return CommandBackbone(CommandParams(**COMMANDS | changes)).bound(folder)


def python_of(folder: Path, **changes: Any) -> PythonBackbone:
    return PythonBackbone(PythonParams(**{"factory": "model.py:Line"} | changes)).bound(folder)


def view_of(corpus: Corpus) -> TrainView:
    """A hundred rows to learn from."""
    return corpus.train_view(np.arange(100))


def asked(corpus: Corpus) -> FeaturesView:
    """Twenty others to answer."""
    return corpus.features_view(np.arange(100, 120))
