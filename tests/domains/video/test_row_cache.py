"""The cache of decoded rows: never trusted without the digest of the source, and never in the way."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from heldout.domains.video.corpus import cache as row_cache
from heldout.domains.video.corpus import rows as decoding
from heldout.domains.video.corpus.rows import FEATURES, read_rows
from heldout.errors import CorpusError

LINES = [
    json.dumps(
        {"src": "a", "encoder": "e", "cq": 1, "frame_index": index, "vmaf": 80.5, **dict.fromkeys(FEATURES, 0.5)}
    )
    for index in range(50)
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decoding, "_LARGE", 0)
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "frames.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


def entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.parquet"))


def test_rows_from_the_cache_are_the_rows_of_the_file(
    corpus: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, the second run of a study would see another corpus than the first, or gain nothing."""
    first = read_rows(corpus)
    assert len(entries(cache)) == 1
    monkeypatch.setattr(decoding, "_blocks", None)  # nothing is decoded any more

    second = read_rows(corpus)

    assert first.frame.equals(second.frame, null_equal=True)
    assert (first.sha256, first.frame.schema) == (second.sha256, second.frame.schema)


def test_a_changed_corpus_of_the_same_size_is_decoded_anew(corpus: Path, cache: Path) -> None:
    """If this failed, a mended value would not reach the training."""
    before = read_rows(corpus)
    corpus.write_text(corpus.read_text().replace("80.5", "90.5", 1))

    after = read_rows(corpus)

    assert (80.5, 90.5) == (before.frame["vmaf"][0], after.frame["vmaf"][0])
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_entry_is_removed_and_made_again(corpus: Path, cache: Path, damage: bytes | None) -> None:
    """If this failed, a bad sector in a cache would crash every run or, worse, change the rows."""
    first = read_rows(corpus)
    (entry,) = entries(cache)
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(bytes(data) if damage is None else damage)

    assert first.frame.equals(read_rows(corpus).frame, null_equal=True)
    assert [entry] == entries(cache)


def test_a_corpus_with_a_fault_is_never_kept(corpus: Path, cache: Path) -> None:
    """If this failed, a refused corpus would pass the second time."""
    corpus.write_text(corpus.read_text().replace("80.5", "null", 1))

    for _ in range(2):
        with pytest.raises(CorpusError):
            read_rows(corpus)
    assert [] == entries(cache)


def test_no_cache_can_be_had(corpus: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, a read-only home or a full disk would stop a study, or `off` would still write."""
    monkeypatch.setenv("HELDOUT_CACHE", "off")
    assert 50 == read_rows(corpus).frame.height
    assert not cache.exists()
    monkeypatch.setenv("HELDOUT_CACHE", str(corpus))  # a file: no folder can be made there
    assert 50 == read_rows(corpus).frame.height


def test_the_cache_does_not_grow_without_end(corpus: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, every corpus that was ever read would stay on the disk."""
    monkeypatch.setattr(row_cache, "_ENTRIES", 3)
    for score in range(10, 18):
        corpus.write_text(corpus.read_text().replace("80.5", f"{score}.5", 1))
        read_rows(corpus)

    assert 3 == len(entries(cache))


def _read_often(path: Path) -> int:
    decoding._LARGE = 0
    return sum(read_rows(path).frame.height for _ in range(20))


@pytest.mark.slow
def test_writers_at_the_same_time_leave_sound_entries(corpus: Path, cache: Path) -> None:
    """If this failed, two runs over one corpus would break each other's cache."""
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert [1000] * 6 == pool.map(_read_often, [corpus] * 6)

    assert 1 == len(entries(cache))
    assert not list(cache.rglob("*.partial"))
