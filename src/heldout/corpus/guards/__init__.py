"""What a corpus must not be: each guard looks for one way in which held-out groups are not held out.

A blocking finding makes the verdict HOLD and is named in it; the others are reported. Two more guards need more than a
corpus: HO-G007 a split (``heldout.split.guards``), HO-G008 a backbone (``heldout.run.fitted_state``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from heldout.corpus.guards.alone import check_alone
from heldout.corpus.guards.columns import check_constant, check_target
from heldout.corpus.guards.copies import check_copies
from heldout.corpus.guards.encoded import check_encoded
from heldout.corpus.guards.finding import TITLES, Finding, GuardResult, State, findings_of
from heldout.corpus.guards.gaps import each_column, without_gaps
from heldout.corpus.guards.groups import check_content, check_ids, check_sizes
from heldout.corpus.guards.labels import check_labels
from heldout.corpus.guards.looks import check_looks
from heldout.corpus.guards.names import check_names
from heldout.corpus.guards.near import check_near
from heldout.corpus.guards.order import check_order
from heldout.corpus.guards.subjects import check_subjects
from heldout.corpus.model import Corpus

SHARED_ROWS = 0.1

__all__ = [
    "SHARED_ROWS",
    "TITLES",
    "Finding",
    "GuardResult",
    "State",
    "check_corpus",
    "examine_corpus",
    "findings_of",
]


def check_corpus(corpus: Corpus, shared_rows: float = SHARED_ROWS, crossed: Collection[str] = ()) -> list[Finding]:
    """Run every guard over a corpus; the findings in the order of their codes."""
    return findings_of(examine_corpus(corpus, shared_rows, crossed))


def examine_corpus(
    corpus: Corpus, shared_rows: float = SHARED_ROWS, crossed: Collection[str] = ()
) -> list[GuardResult]:
    """What each guard says of a corpus.

    Args:
        corpus: The samples.
        shared_rows: Two groups may share at most this share of the smaller one's rows, up to rounding.
        crossed: Columns whose levels may stand in several groups.
    """
    each = [_examined(one, shared_rows, crossed) for one in corpus.by_output()]
    return [_together(results) for results in zip(*each, strict=True)]


def _together(results: Sequence[GuardResult]) -> GuardResult:
    """What a guard says of several targets, one after the other; what it says of each is said once."""
    return replace(results[0], findings=tuple(dict.fromkeys(each for one in results for each in one.findings)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # values near the largest float have no spread
def _examined(corpus: Corpus, shared_rows: float, crossed: Collection[str]) -> list[GuardResult]:
    """What each guard says of a corpus with one target."""
    if not corpus.features.width:
        return _without_features(corpus, crossed)
    gapped, corpus = corpus, without_gaps(corpus)
    target, subjects = each_column(check_target, gapped, corpus), check_subjects(corpus, crossed)
    # A column is named once, by the guard that says most of it.
    order = _without(each_column(check_order, gapped, corpus), target)
    return [
        check_names(corpus),
        check_content(corpus),
        check_near(corpus, shared_rows),
        check_ids(corpus),
        target,
        check_constant(corpus),
        check_sizes(corpus),
        subjects,
        each_column(check_encoded, gapped, corpus),
        order,
        _without(each_column(check_alone, gapped, corpus), target, subjects, order),
        check_copies(corpus),
        check_labels(corpus),
        _without(check_looks(gapped), order),
    ]


_OF_FEATURES = (
    "HO-G003", "HO-G005", "HO-G006", "HO-G011", "HO-G012", "HO-G013", "HO-G014", "HO-G016",
)  # fmt: skip


def _without_features(corpus: Corpus, crossed: Collection[str]) -> list[GuardResult]:
    """What can be said where nothing is there to learn from: two groups of equal labels are no copies."""
    looked = [check_names(corpus), check_ids(corpus), check_sizes(corpus), check_subjects(corpus, crossed)]
    looked.append(check_labels(corpus))
    why = "nothing but targets tells one group from another"
    looked.append(
        check_content(corpus) if corpus.manifest.told_by_content else GuardResult("HO-G002", not_applicable=why)
    )
    nothing = [GuardResult(code, not_applicable="the corpus has no features") for code in _OF_FEATURES]
    return sorted([*looked, *nothing], key=lambda result: result.code)


def _without(result: GuardResult, *others: GuardResult) -> GuardResult:
    """The findings of columns that no other guard has named."""
    named = {finding.where for other in others for finding in other.findings}
    return replace(result, findings=tuple(each for each in result.findings if each.where not in named))
