"""What a corpus must not be: each guard looks for one way in which held-out groups are not held out.

A blocking finding makes the verdict HOLD and is named in it; the others are reported.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from heldout.corpus.model import Corpus


@dataclass(frozen=True)
class Finding:
    """What a guard found.

    Attributes:
        code: Stable identifier.
        blocking: Whether the verdict must be HOLD.
        what: The sentence for people.
        where: Groups, columns or ids.
        hint: How to mend it.
    """

    code: str
    blocking: bool
    what: str
    where: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """The finding as a document."""
        return asdict(self)


def check_corpus(corpus: Corpus) -> list[Finding]:
    """Run every guard over a corpus."""
    findings = _same_content(corpus) + _duplicate_ids(corpus)
    return findings + (_target_in_features(corpus) if corpus.task == "regression" else []) + _constant_features(corpus)


def _same_content(corpus: Corpus) -> list[Finding]:
    by_digest: dict[str, list[str]] = defaultdict(list)
    for group in corpus.manifest.groups:
        by_digest[group.sha256].append(group.id)
    return [
        Finding(
            "HO-G002",
            blocking=True,
            what=f"the groups {', '.join(twins)} have the same content",
            where=", ".join(twins),
            hint="keep one of them: a copy in training shows the answers of the held-out one",
        )
        for twins in by_digest.values()
        if len(twins) > 1
    ]


def _duplicate_ids(corpus: Corpus) -> list[Finding]:
    repeated = corpus.ids.filter(corpus.ids.is_duplicated()).unique().sort()
    if not len(repeated):
        return []
    return [
        Finding(
            "HO-G004",
            blocking=True,
            what=f"{len(repeated)} sample ids appear more than once, such as {repeated[0]!r}",
            where=str(repeated[0]),
            hint="a sample counts once; remove the copies",
        )
    ]


def _target_in_features(corpus: Corpus) -> list[Finding]:
    findings = []
    target = corpus.target.astype(np.float64)
    for name in _numeric(corpus.features):
        values = corpus.features[name].cast(pl.Float64).to_numpy()
        if values.std() > 0 and target.std() > 0 and abs(np.corrcoef(values, target)[0, 1]) > 1 - 1e-9:
            findings.append(
                Finding(
                    "HO-G005",
                    blocking=True,
                    what=f"the feature {name!r} is the target, up to scale and offset",
                    where=f"column {name}",
                    hint="remove it from the features",
                )
            )
    return findings


def _constant_features(corpus: Corpus) -> list[Finding]:
    constant = [name for name in corpus.features.columns if corpus.features[name].n_unique() == 1]
    if not constant:
        return []
    return [
        Finding(
            "HO-G006",
            blocking=False,
            what=f"the features {', '.join(constant)} never change",
            where=f"column {constant[0]}",
            hint="remove them, or add data in which they vary",
        )
    ]


def _numeric(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
