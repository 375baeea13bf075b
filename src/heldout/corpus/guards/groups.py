"""Guards over groups and samples as such: digests, ids, sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.manifest import GroupRecord
from heldout.corpus.model import Corpus

_LARGEST = 0.8


def check_content(corpus: Corpus) -> GuardResult:
    """HO-G002: the same rows under two names."""
    findings = [
        Finding(
            "HO-G002",
            blocking=True,
            what=f"the groups {', '.join(twins)} have the same content",
            where=", ".join(twins),
            hint="keep one of them: a copy in training shows the answers of the held-out one",
        )
        for twins in _same(corpus, lambda group: group.content)
    ]
    return GuardResult("HO-G002", tuple(findings))


def check_ids(corpus: Corpus) -> GuardResult:
    """HO-G004: a sample that counts twice."""
    repeated = corpus.ids.filter(corpus.ids.is_duplicated()).unique().sort()
    if not len(repeated):
        return GuardResult("HO-G004")
    found = Finding(
        "HO-G004",
        blocking=True,
        what=f"{len(repeated)} sample ids appear more than once, such as {repeated[0]!r}",
        where=str(repeated[0]),
        hint="a sample counts once; remove the copies",
    )
    return GuardResult("HO-G004", (found,))


def check_sizes(corpus: Corpus) -> GuardResult:
    """HO-G009: with nearly all rows in one group, the folds that train without it have nearly nothing to learn from."""
    largest = max(corpus.manifest.groups, key=lambda group: group.samples)
    share = largest.samples / max(1, sum(group.samples for group in corpus.manifest.groups))
    if share <= _LARGEST or len(corpus.manifest.groups) == 1:
        return GuardResult("HO-G009")
    found = Finding(
        "HO-G009",
        blocking=False,
        what=f"the group {largest.id!r} holds {share:.0%} of the rows",
        where=largest.id,
        hint="name a finer group column, or judge by the worst group: a mean over rows is the score of this group",
    )
    return GuardResult("HO-G009", (found,))


def _same(corpus: Corpus, key: Callable[[GroupRecord], str]) -> list[list[str]]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for group in corpus.manifest.groups:
        by_key[key(group)].append(group.id)
    return [names for names in by_key.values() if len(names) > 1]
