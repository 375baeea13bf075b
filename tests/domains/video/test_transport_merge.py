"""Shards of several machines: one corpus by the identity of its cells, or a refusal that says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path

import pytest

from heldout.domains.video.encode.plan import card_path
from heldout.domains.video.encode.produce import produce
from heldout.domains.video.encode.spec import EncodeSpec
from heldout.domains.video.kit.merge import merge_shards, read_shards
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import digest, sha256_file, write_json

MakeClip = Callable[..., Path]


def spec_of(sources: list[Path], cqs: list[int]) -> EncodeSpec:
    encoders = [{"name": "libx264", "preset": "ultrafast"}]
    return EncodeSpec.model_validate({"sources": [{"path": p} for p in sources], "encoders": encoders, "cqs": cqs})


class Boxes:
    """Two machines that encoded a source each, and both the second one's first point."""

    def __init__(self, home: Path, make_clip: MakeClip) -> None:
        self.clips = [
            make_clip(f"{name}.y4m", frames=4, picture=p) for name, p in (("a", "testsrc2"), ("b", "rgbtestsrc"))
        ]
        self.one, self.two, self.out = home / "one", home / "two", home / "out"
        self.spec = spec_of(self.clips, [20, 40])
        produce(self.spec, self.one, workers=1)
        produce(spec_of(self.clips[1:], [20, 40]), self.two, workers=1)
        for path in (self.one / "parts").glob("b__*cq40*"):
            path.unlink()


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, clip_in: MakeClip) -> Boxes:
    """What is not to be written to."""
    home = tmp_path_factory.mktemp("boxes")
    return Boxes(home, partial(clip_in, home))


@pytest.fixture
def boxes(encoded: Boxes, tmp_path: Path) -> Boxes:
    """The same two machines, with folders of their own."""
    mine = copy(encoded)
    mine.one, mine.two, mine.out = tmp_path / "one", tmp_path / "two", tmp_path / "out"
    shutil.copytree(encoded.one, mine.one)
    shutil.copytree(encoded.two, mine.two)
    return mine


@pytest.mark.slow
def test_defect_8a6_shards_of_several_machines_become_one_corpus(boxes: Boxes, tmp_path: Path) -> None:
    """Rows of all frames of a cell would collapse into one, or nothing be merged at all."""
    merged = merge_shards([boxes.one, boxes.two], boxes.out, spec=boxes.spec)
    assert (4, 1, (), 16) == (merged.cells, merged.duplicates, merged.gaps, merged.rows)
    rows = [json.loads(line) for line in merged.corpus.read_text().splitlines()]
    key = {(row["src"], row["encoder"], row["cq"], row["frame_index"]) for row in rows}
    assert 16 == len(key)
    alone = produce(boxes.spec, tmp_path / "alone", workers=1)
    assert _untimed(alone.corpus) == _untimed(merged.corpus)
    assert sha256_file(merged.corpus) == merged.document["corpus"]["sha256"]


@pytest.mark.slow
def test_merging_twice_and_in_any_order_holds_the_same_cells(boxes: Boxes) -> None:
    """A repeated command would double the rows."""
    first = merge_shards([boxes.one, boxes.two], boxes.out, spec=boxes.spec)
    again = merge_shards([boxes.out, boxes.two, boxes.one], boxes.out, spec=boxes.spec)
    assert first.document["corpus"] == again.document["corpus"]


def test_encoding_goes_on_in_the_merged_folder(boxes: Boxes) -> None:
    """What was encoded elsewhere would be encoded again."""
    merge_shards([boxes.one, boxes.two], boxes.out, spec=boxes.spec)
    assert 4 == produce(boxes.spec, boxes.out, workers=1).reused


def test_gaps_are_listed_and_no_corpus_is_written(boxes: Boxes) -> None:
    """A corpus with holes would look whole."""
    merged = merge_shards([boxes.one], boxes.out)
    assert ("b__libx264__ultrafast__cq40",) == merged.gaps
    assert not merged.corpus.exists()
    assert 0 == merged.rows
    allowed = merge_shards([boxes.one], boxes.out, allow_gaps=True)
    assert (12, False) == (allowed.rows, allowed.document["complete"])


def test_machines_that_disagree_are_refused(boxes: Boxes) -> None:
    """One of two scores of a cell would be taken by chance."""
    part = next((boxes.two / "parts").glob("b__*cq20.jsonl"))
    part.write_text(part.read_text().replace('"vmaf": ', '"vmaf": 1', 1))
    _vouch(part)
    with pytest.raises(RefusedError, match="scored the cell"):
        merge_shards([boxes.one, boxes.two], boxes.out)


@pytest.mark.first_is_fast
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ffmpeg_version", "n1.0", "another version of FFmpeg"),
        ("source_sha256", "0" * 64, "another file under the name"),
        ("content_sha256", "0" * 64, "other frames under the name"),
        ("model", "vmaf_4k", "another model"),
    ],
)
def test_cells_of_another_identity_are_refused_with_the_difference(
    key: str, value: str, words: str, boxes: Boxes
) -> None:
    """Rows of different tools or films would lie in one corpus under one name."""
    part = next((boxes.two / "parts").glob("b__*cq20.jsonl"))
    _vouch(part, **{key: value})
    with pytest.raises(RefusedError, match=words):
        merge_shards([boxes.one, boxes.two], boxes.out)


def test_one_film_under_two_names_is_refused(boxes: Boxes, tmp_path: Path) -> None:
    """It would be held out under one name and trained on under the other."""
    shutil.copy(boxes.clips[1], tmp_path / "renamed.y4m")
    produce(spec_of([tmp_path / "renamed.y4m"], [20, 40]), tmp_path / "three", workers=1)
    with pytest.raises(RefusedError, match="the same content"):
        merge_shards([boxes.one, tmp_path / "three"], boxes.out)


def test_defect_31_a_partial_shard_is_no_cell(boxes: Boxes) -> None:
    """A crash in mid-shard would leave rows that count as complete."""
    part = next((boxes.one / "parts").glob("a__*cq20.jsonl"))
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(TamperedError):
        read_shards(boxes.one)


def test_defect_31_a_rerun_doubles_no_rows(boxes: Boxes) -> None:
    """An appended shard would count every frame twice."""
    again = produce(spec_of(boxes.clips[1:], [20, 40]), boxes.two, workers=1)
    assert (2, 8) == (again.reused, again.rows)


def test_cells_that_the_study_has_not_are_refused(boxes: Boxes) -> None:
    """A corpus would hold what nobody declared."""
    with pytest.raises(RefusedError, match="the study has no cell"):
        merge_shards([boxes.one, boxes.two], boxes.out, spec=spec_of(boxes.clips, [20]))


def test_a_folder_without_cells_is_bad_input(tmp_path: Path) -> None:
    """A typing error would merge nothing and say so nowhere."""
    with pytest.raises(InputError, match="there are no cells"):
        merge_shards([tmp_path], tmp_path / "out")


def _untimed(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "enc_time_ms"} for row in rows]


def _vouch(part: Path, **identity: str) -> None:
    """Mend the card of a part that was changed."""
    card = json.loads(card_path(part).read_text())
    card["identity"] |= identity
    card |= {"key": digest(card["identity"]), "sha256": sha256_file(part)}
    write_json(card_path(part), card)
