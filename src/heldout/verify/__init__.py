"""Verification: is a verdict what its evidence says? From the files alone, on any machine."""

from heldout.verify.chain import Link, Verification
from heldout.verify.champion import verified_champion
from heldout.verify.verify import verify_path, verify_run

__all__ = ["Link", "Verification", "verified_champion", "verify_path", "verify_run"]
