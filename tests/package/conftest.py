"""Fixtures of ``portable_kit`` for the tests of this folder."""

from __future__ import annotations

from portable_kit import bundle, forge, judged, unpacked

__all__ = ["bundle", "forge", "judged", "unpacked"]
