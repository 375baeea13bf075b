"""Guards that were added since a run was judged: no forgery where they only report, no evidence where they block."""

from __future__ import annotations

import pytest

from heldout.verify.chain import NotCheckedError
from heldout.verify.corpus_file import _by_other_guards


def test_a_guard_that_was_added_since_is_no_forgery() -> None:
    """An upgrade would call every honest run of before TAMPERED, or let one pass whose leak is known by now."""
    reported, blocking = {"code": "HO-G013", "blocking": False}, {"code": "HO-G004", "blocking": True}
    assert "these also find HO-G013" in _by_other_guards([reported], 1)
    assert "these also find nothing" in _by_other_guards([], 1)
    with pytest.raises(NotCheckedError, match="HO-G004, which blocks: run the study again"):
        _by_other_guards([reported, blocking], 0)
