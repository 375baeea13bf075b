"""Verification: is a verdict what its evidence says? From the files alone, on any machine."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.verify.chain import Link, Verification
    from heldout.verify.champion import verified_champion
    from heldout.verify.comparison import Comparison, compare_runs
    from heldout.verify.verify import verify_path, verify_run

__all__ = ["Comparison", "Link", "Verification", "compare_runs", "verified_champion", "verify_path", "verify_run"]

_HOLDS = {
    "chain": ("Link", "Verification"),
    "champion": ("verified_champion",),
    "comparison": ("Comparison", "compare_runs"),
    "verify": ("verify_path", "verify_run"),
}
__getattr__ = lazily(__name__, _HOLDS)
