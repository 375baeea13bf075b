"""A registry that heldout wrote before versions recorded how much was verified: it opens, lists, serves, rolls back.

``golden/registry-1.tar.gz`` holds it as it was written then, with its two runs, their study and its table.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from archive_kit import OURS
from attack_kit import heldout

from heldout.evidence import read_json
from heldout.registry import Registry, admission_of, export_registry, import_registry, promote, rollback, verify

GOLDEN = Path(__file__).parent / "golden" / "registry-1.tar.gz"
HEAD = "da2ed51edf0c142c1ed123d7be300ce51adad9d37886b17d5a5abb1fe56a95de"
BASE, ALPHA2 = "base-20261129-ba38f742", "alpha2-20261129-763b0444"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, **OURS)
    return tmp_path


def test_an_old_registry_lists_serves_and_rolls_back(old: Path) -> None:
    """An upgrade would take away what serves, or the way back from it."""
    pointer = old / "registry" / "slots" / "demo" / "champion.json"
    served = pointer.read_bytes()
    listed = heldout("registry", "list", cwd=old)
    assert (0, [ALPHA2, BASE]) == (listed.code, [line.split()[0] for line in listed.out.splitlines()])
    shown = json.loads(heldout("registry", "show", ALPHA2, cwd=old).out)
    (record,) = shown["verified"]
    assert (None, "NOT CHECKED") == (record["level"], record["links"]["weights"])
    with Registry(old / "registry") as registry:
        assert HEAD == verify(registry, files="all").head
        assert ("fitted", "asked") == admission_of(registry, "demo").levels
        assert served == pointer.read_bytes()
        event = rollback(registry, "demo", by="ann", reason="drift")
        assert (BASE, "regression") == (event.body["version"], event.body["holds"]["task"])
        assert BASE == read_json(pointer)["version"]
        found = verify(registry, files="all", anchor=HEAD)
        assert (5, ()) == (found.events, found.lagging)


def test_an_old_version_is_promoted_once_its_corpus_was_verified(old: Path) -> None:
    """What was registered before would be shut out for good, or let in on what nobody looked at."""
    corpus = old / "table.csv"
    away = corpus.rename(old / "away.csv")
    refused = heldout("registry", "promote", BASE, cwd=old)
    assert (3, True) == (refused.code, "corpus not verified" in refused.err)
    assert 0 == heldout("registry", "promote", BASE, "--corpus", away, cwd=old).code
    with Registry(old / "registry") as registry:
        (moved,) = registry.history(slot="demo")[-1:]
        assert {"OK"} == {moved.body["verified"][link] for link in ("corpus-file", "weights")}
        assert "given" == moved.body["evidence"]["corpus"]
        document = export_registry(registry)
    with Registry(old / "other", create=True, serving=old / "registry") as copy:
        assert 5 == import_registry(copy, document, where="export")
        assert 5 == verify(copy).events
        assert "promoted" == promote(copy, ALPHA2, override=True, reason="its corpus is elsewhere").body["kind"]
