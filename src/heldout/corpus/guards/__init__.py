"""What a corpus must not be: each guard looks for one way in which held-out groups are not held out.

A blocking finding makes the verdict HOLD and is named in it; the others are reported. Two more guards need more than a
corpus: HO-G007 a split (``heldout.split.guards``), HO-G008 a backbone (``heldout.run.fitted_state``).
"""

from __future__ import annotations

from heldout.corpus.guards.columns import check_constant, check_target
from heldout.corpus.guards.finding import TITLES, Finding, GuardResult, State, findings_of
from heldout.corpus.guards.groups import check_content, check_ids, check_sizes
from heldout.corpus.guards.names import check_names
from heldout.corpus.guards.near import check_near
from heldout.corpus.model import Corpus

SHARED_ROWS = 0.1

__all__ = ["SHARED_ROWS", "TITLES", "Finding", "GuardResult", "State", "check_corpus", "examine_corpus", "findings_of"]


def check_corpus(corpus: Corpus, shared_rows: float = SHARED_ROWS) -> list[Finding]:
    """Run every guard over a corpus; the findings in the order of their codes."""
    return findings_of(examine_corpus(corpus, shared_rows))


def examine_corpus(corpus: Corpus, shared_rows: float = SHARED_ROWS) -> list[GuardResult]:
    """What each guard says of a corpus.

    Args:
        corpus: The samples.
        shared_rows: Two groups may share at most this share of the smaller one's rows, up to rounding.
    """
    return [
        check_names(corpus),
        check_content(corpus),
        check_near(corpus, shared_rows),
        check_ids(corpus),
        check_target(corpus),
        check_constant(corpus),
        check_sizes(corpus),
    ]
