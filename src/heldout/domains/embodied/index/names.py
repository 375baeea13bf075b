"""Names of the files of a window index."""

from __future__ import annotations

INDEX_FILE = "window_index.jsonl"
MANIFEST_FILE = "window_index_manifest.json"
SKIPPED_FILE = "skipped_windows.jsonl"
TARGETS_FILE = "sealed_targets.jsonl"
OPENINGS_FILE = "openings.jsonl"
SEALED = frozenset({"test"})
