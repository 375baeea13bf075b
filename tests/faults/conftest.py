"""Where what survives a kill or a full disk is the point."""

from __future__ import annotations

import os

import pytest

FSYNC = os.fsync


@pytest.fixture(autouse=True)
def _flushed(quick_runs: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the disk is waited for."""
    monkeypatch.setattr(os, "fsync", FSYNC)
