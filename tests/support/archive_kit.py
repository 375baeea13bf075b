"""Opening archives that a test has made itself: patch releases of Python 3.11 before the fourth know no filters."""

from __future__ import annotations

import tarfile
from typing import Any

OURS: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
