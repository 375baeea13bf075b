"""The corpus reader: what it takes as it is, and what it refuses with file, line and key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldout.corpus.guards import check_corpus
from heldout.domains.video.corpus import rows as decoding
from heldout.domains.video.corpus.blocks import BlockLayout
from heldout.domains.video.corpus.reader import FrameReader
from heldout.domains.video.corpus.rows import FEATURES, read_rows
from heldout.errors import CorpusError, InputError, PrerequisiteError
from heldout.plugins import load
from heldout.testing import ReaderConformance

Write = Callable[[Iterable[Any]], Path]


def row(src: str = "a", encoder: str = "libx264", cq: int = 23, frame: int = 0, **more: Any) -> dict[str, Any]:
    """A published row."""
    mixed = (ord(src[0]) * 7 + len(encoder) * 3 + cq + frame * 0.5) % 11
    features = {name: 0.5 + 0.01 * index + 0.001 * mixed for index, name in enumerate(FEATURES)}
    head = {"src": src, "encoder": encoder, "cq": cq, "enc_bytes": 900, "enc_time_ms": 1.5, "frame_index": frame}
    return {**head, "vmaf": 80.0 + mixed, **features, **more}


def corpus_rows(sources: str = "abc", frames: int = 20, cqs: tuple[int, ...] = (23, 31), **more: Any) -> list[Any]:
    return [row(src, cq=cq, frame=frame, **more) for src in sources for cq in cqs for frame in range(frames)]


@pytest.fixture(autouse=True, params=["polars", "decoders"])
def first_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds for rows that go to polars first, and for those that do not."""
    if request.param == "decoders":
        monkeypatch.setattr(BlockLayout, "of", lambda *_: None)
    monkeypatch.setenv("HELDOUT_CACHE", "off")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows (objects, or lines as they are) as JSONL."""

    def make(rows: Iterable[Any]) -> Path:
        path = tmp_path / "frames.jsonl"
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in rows]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return make


def read(path: Path, **options: Any) -> Any:
    return FrameReader(FrameReader.Options(path=path, **options)).read()


class TestConformance(ReaderConformance):
    reader = FrameReader
    group, target, file = "src", "vmaf", "frames.jsonl"

    def samples(self) -> pl.DataFrame:
        return pl.DataFrame(corpus_rows())

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        samples.write_ndjson(path)


def test_rows_of_the_existing_system_are_read_as_they_are(write: Write) -> None:
    """If this failed, nobody could bring the corpus that they already have."""
    path = write(corpus_rows())

    corpus = read(path)

    assert (len(corpus.ids), corpus.groups.unique().sort().to_list()) == (120, ["a", "b", "c"])
    assert [*FEATURES, "encoder", "cq", "preset"] == corpus.features.columns
    assert (corpus.ids[0], corpus.cells[0]) == ("a/libx264/cq23/000000", "a/libx264/cq23")
    assert corpus.manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert corpus.manifest.facts["frames"] == {"a": 20, "b": 20, "c": 20}
    assert corpus.manifest.facts["cqs_by_encoder"] == {"libx264": [23, 31]}
    assert corpus.manifest.facts["kilobytes_a_frame"] == {"libx264": {"23": 0.045, "31": 0.045}}


def test_the_reader_is_found_by_name_and_ignores_how_the_corpus_is_made(write: Write) -> None:
    """If this failed, a study that also says how to encode its corpus could not be read, or would hash differently."""
    cls = load("readers", "video_frames")
    options = cls.Options(path=write(corpus_rows()), produce={"sources": []})

    assert FrameReader is cls
    assert cls(options).read().manifest.rows == 120
    assert {"group", "min_rows", "min_groups"} == set(options.identity())


def test_every_number_is_the_one_in_the_file(write: Write) -> None:
    """If this failed, features and targets would differ from the file in the last bits or in their order."""
    rows = corpus_rows()

    corpus = read(write(rows))

    for name in FEATURES:
        assert [item[name] for item in rows] == corpus.features[name].to_list()
    np.testing.assert_array_equal([item["vmaf"] for item in rows], corpus.targets("verify"))


@pytest.mark.parametrize(
    ("change", "what", "key"),
    [
        ({"vmaf": None}, "expected float, got null", "vmaf"),
        ({"vmaf": "91.5"}, "expected float, got str", "vmaf"),
        ({"adm2": True}, "expected float, got bool", "adm2"),
        ({"cq": 23.5}, "expected int, got float", "cq"),
        ({"cq": 23.0}, "expected int, got float", "cq"),
        ({"cq": -1}, ">= 0", "cq"),
        ({"cq": 10**30}, "expected int", "cq"),
        ({"frame_index": -1}, ">= 0", "frame_index"),
        ({"vmaf": 100.5}, "<= 100", "vmaf"),
        ({"vmaf": -0.1}, ">= 0", "vmaf"),
        ({"src": ""}, "length >= 1", "src"),
        ({"src": 7}, "expected str", "src"),
        ({"motion2": [1.0]}, "expected float, got array", "motion2"),
        ({"source_sha256": "abc"}, "matching regex", "source_sha256"),
        ({"fps": 0}, "> 0", "fps"),
        ({"src": "a/b"}, "no slash", "src"),
        ({"encoder": " libx264"}, "blank at an end", "encoder"),
        ({"preset": "fast\u0000"}, "control character", "preset"),
    ],
)
def test_a_value_that_is_not_what_it_should_be_is_refused_with_line_and_key(
    write: Write, change: dict[str, Any], what: str, key: str
) -> None:
    """If this failed, a wrong value would be converted or dropped, and a model trained on it."""
    rows = corpus_rows()
    rows[77] |= change

    with pytest.raises(CorpusError) as error:
        read(write(rows))

    assert what in error.value.what.lower()
    assert f"frames.jsonl:78, key {key}" in str(error.value.where)


@pytest.mark.parametrize("key", ["src", "encoder", "cq", "frame_index", "vmaf", "vif_scale3", "motion2"])
def test_a_missing_key_is_refused(write: Write, key: str) -> None:
    """If this failed, a key that some rows lack would become NaN and pass."""
    rows = corpus_rows()
    del rows[5][key]

    with pytest.raises(CorpusError, match=f"the key '{key}' is missing") as error:
        read(write(rows))

    assert f"frames.jsonl:6, key {key}" in str(error.value.where)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"src":"a","src":"b",', "key 'src' appears twice"),
        (b'{"src":"a","src" :"b",', "key 'src' appears twice"),
        (b'{"src":"a","s\\u0072c":"b",', "key 'src' appears twice"),
        (b'{"note":{"x":1,"x":2},', "key 'x' appears twice"),
        (b'{"note":1,"note":1,', "key 'note' appears twice"),
        (b'{"note":NaN,', "NaN"),
        (b'{"note":-Infinity,', "-Infinity"),
        (b'{"note":1e999,', "1e999 overflows"),
        (b'{"note":01,', "not JSON"),
        (b'{"note":"\x07",', "control character"),
        (b'{"note":"\xff",', "not UTF-8"),
        (b'\x00\x00{"note":1,', "NUL"),
        (b'\xef\xbb\xbf{"note":1,', "byte-order mark"),
    ],
)
@pytest.mark.parametrize("at", [0, 77])
def test_what_json_readers_disagree_on_is_refused(write: Write, line: bytes, what: str, at: int) -> None:
    """If this failed, two programs would read two different corpora from the same bytes."""
    rows: list[Any] = corpus_rows()
    lacks = {key: value for key, value in rows[at].items() if b'"src"' not in line or key != "src"}
    rows[at] = line + json.dumps(lacks).encode()[1:]

    with pytest.raises(CorpusError) as error:
        read(write(rows))

    assert what.lower() in error.value.what.lower()
    assert f"frames.jsonl:{at + 1}" in str(error.value.where)


@pytest.mark.parametrize("bad", [b"", b"  ", b"[1]", b"7", b'{"src":', b"{}", b"garbage"])
def test_a_line_that_is_no_row_is_refused(write: Write, bad: bytes) -> None:
    """If this failed, line numbers would lie, or half a row would be read as another one."""
    rows: list[Any] = corpus_rows()
    rows.insert(9, bad)

    with pytest.raises(CorpusError) as error:
        read(write(rows))

    assert "frames.jsonl:10" in str(error.value.where)


@pytest.mark.parametrize("glue", [b"", b" ", b"\t"])
def test_two_rows_on_one_line_are_refused(write: Write, glue: bytes) -> None:
    """If this failed, a lost newline would shift the place of every later message."""
    rows: list[Any] = corpus_rows()
    rows[40:42] = [json.dumps(rows[40]).encode() + glue + json.dumps(rows[41]).encode()]

    with pytest.raises(CorpusError, match="Extra data") as error:
        read(write(rows))

    assert "frames.jsonl:41:" in str(error.value.where)


def test_a_torn_last_line_is_refused_even_if_it_is_a_whole_row(write: Write) -> None:
    """If this failed, a crash in mid-write would leave a corpus that looks complete."""
    path = write(corpus_rows())
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CorpusError, match="torn"):
        read(path)


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    """If this failed, a wrong path would train on nothing."""
    (tmp_path / "empty.jsonl").touch()

    with pytest.raises(CorpusError, match="no rows"):
        read(tmp_path / "empty.jsonl")
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        read(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="a folder stands where a plain file should be"):
        read(tmp_path)


def test_defect_31_rows_of_a_cell_that_was_appended_twice_are_refused(write: Write) -> None:
    """If this failed, a producer that ran twice would count every frame of a cell double."""
    rows = corpus_rows()

    with pytest.raises(CorpusError, match="src b, encoder libx264, cq 23, frame_index 0") as error:
        read(write([*rows[:30], rows[40], *rows[30:40], *rows[41:], rows[40]]))

    assert "frames.jsonl:121, first at line 31" in str(error.value.where)
    assert error.value.code == "HO-G004"


def test_the_preset_tells_cells_apart(write: Write) -> None:
    """If this failed, the same encoder with two presets would be taken for a duplicate."""
    rows = corpus_rows(preset="fast", cqs=(23,)) + corpus_rows(preset="slow", cqs=(23,))

    corpus = read(write(rows))

    assert corpus.manifest.facts["presets"] == ["fast", "slow"]
    assert corpus.cells[0] == "a/libx264/fast/cq23"
    assert corpus.ids.n_unique() == len(rows)


def test_rows_of_several_layouts_crlf_and_other_spacing_are_read_alike(write: Write) -> None:
    """If this failed, shards of two tools could not be put together."""
    rows = corpus_rows()
    compact = [json.dumps(item, separators=(",", ":")).encode() for item in rows[:40]]
    spaced = [json.dumps(item, separators=(" , ", " : ")).encode() for item in rows[40:60]]
    windows = [json.dumps(item).encode() + b"\r" for item in rows[60:80]]
    nested = [{"tool": {"name": 'a":b', "path": "C:\\x"}} | item for item in rows[80:100]]
    turned = [dict(reversed(item.items())) for item in rows[100:]]

    corpus = read(write([*compact, *spaced, *windows, *nested, *turned]))

    assert [item["vmaf"] for item in rows] == corpus.targets("verify").tolist()


def test_lines_across_blocks_keep_their_numbers(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, messages about a large file would name the wrong line."""
    monkeypatch.setattr(decoding, "_BLOCK", 700)
    rows = corpus_rows()
    path = write(rows)
    assert [item["vmaf"] for item in rows] == read(path).targets("verify").tolist()
    rows[99]["vmaf"] = None

    with pytest.raises(CorpusError) as error:
        read(write(rows))

    assert "frames.jsonl:100, key vmaf" in str(error.value.where)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 29), key=st.sampled_from(["src", "cq", "vmaf", "adm2", "note"]), data=st.data())
def test_no_duplicate_key_escapes_the_count(write: Write, at: int, key: str, data: st.DataObject) -> None:
    """If this failed, there would be a way to write a key twice that the fast path does not see."""
    rows: list[Any] = [item | {"note": "x", "other": 1} for item in corpus_rows(frames=5)]
    gap = data.draw(st.sampled_from(["", " ", "\t", "\r"]))
    hidden = data.draw(st.sampled_from([set(), {"note"} - {key}, {"other"}]))  # a key less may hide a key more
    kept = {name: value for name, value in rows[at].items() if name not in hidden}
    pair = f'"{key}"{gap}:{json.dumps(kept[key])}'
    rows[at] = json.dumps(kept)[:-1].encode() + b"," + pair.encode() + b"}"

    with pytest.raises(CorpusError, match=f"key '{key}' appears twice"):
        read_rows(write(rows))


def test_too_little_to_judge_is_a_missing_prerequisite(write: Write) -> None:
    """If this failed, a study would train for hours on a corpus that can prove nothing."""
    with pytest.raises(PrerequisiteError, match="80 rows of 2 sources"):
        read(write(corpus_rows("ab")))
    with pytest.raises(PrerequisiteError, match="96 rows of 3 sources"):
        read(write(corpus_rows(frames=16)))
    assert read(write(corpus_rows(frames=16)), min_rows=50).manifest.rows == 96


def test_one_file_under_two_names_is_refused(write: Write) -> None:
    """If this failed, a copy of the held-out source would be trained on under another name."""
    digests = {"a": "0" * 64, "b": "1" * 64, "c": "0" * 64}
    rows = [item | {"source_sha256": digests[item["src"]]} for item in corpus_rows()]

    with pytest.raises(CorpusError, match="a, c are one file under several names") as error:
        read(write(rows))

    assert (error.value.code, "frames.jsonl:81, key src" in str(error.value.where)) == ("HO-G002", True)


def test_two_files_under_one_name_are_refused(write: Write) -> None:
    """If this failed, two different clips would be one group."""
    rows = [item | {"source_sha256": f"{ord(item['src']):064x}"} for item in corpus_rows()]
    rows[10]["source_sha256"] = "f" * 64

    with pytest.raises(CorpusError, match="source a is several files under one name"):
        read(write(rows))


def test_the_same_rows_under_two_names_are_found_without_any_digest(write: Write) -> None:
    """If this failed, a renamed copy in a corpus of the existing system, which has no digests, would go unseen."""
    rows = corpus_rows("abc")
    rows += [item | {"src": "copy of a"} for item in rows if item["src"] == "a"]

    findings = check_corpus(read(write(rows)))

    assert [(each.code, each.blocking) for each in findings if "copy of a" in each.what] == [("HO-G002", True)]


def test_defect_33_what_the_rows_say_of_a_source_is_kept(write: Write) -> None:
    """If this failed, frame rate and size of a source would be unknown to whoever reads the manifest."""
    more = {"fps": 23.976, "width": 320, "height": 180, "pix_fmt": "yuv420p"}

    facts = read(write(corpus_rows(**more))).manifest.facts

    assert facts["sources"]["b"] == {"fps": 23.976, "width": 320, "height": 180}


def test_cells_with_missing_frames_are_named(write: Write) -> None:
    """If this failed, a cell that lost frames on the way would look like the others."""
    assert read(write(corpus_rows()[:45] + corpus_rows()[50:])).manifest.facts["short_cells"] == ["b/libx264/cq23"]


@pytest.mark.slow
def test_a_million_rows_are_read_in_seconds(tmp_path: Path) -> None:
    """If this failed, a large corpus would cost minutes before anything is trained."""
    import time

    path = tmp_path / "large.jsonl"
    frames = [json.dumps(row("SRC", frame=frame)) + "\n" for frame in range(20_000)]
    with path.open("w") as stream:
        for source in range(50):
            stream.writelines(frame.replace('"SRC"', f'"s{source}"', 1) for frame in frames)
    started = time.process_time()

    corpus = read(path)

    assert corpus.manifest.rows == 1_000_000
    assert time.process_time() - started < 30  # about 5 on one core; other work shares the machine of the tests


def three_encoders(**more: Any) -> list[Any]:
    return [each for name in ("libx264", "libx265", "libsvtav1") for each in corpus_rows("ab", encoder=name, **more)]


def test_a_group_can_be_an_encoder(write: Write) -> None:
    """If this failed, nobody could ask how far a model holds on an encoder that it never saw."""
    path = write(three_encoders(ref_phash="0f1e2d3c4b5a6978"))

    by_source, by_encoder = read(path, min_groups=2), read(path, group="encoder")

    assert ["libsvtav1", "libx264", "libx265"] == by_encoder.groups.unique().sort().to_list()
    assert by_encoder.ids.equals(by_source.ids)
    assert by_encoder.cells.equals(by_source.cells)
    assert (by_source.prints is None, by_encoder.prints is None) == (False, True)
    assert ["a", "b"] == by_encoder.manifest.facts["straddling_sources"]
    assert "straddling_sources" not in by_source.manifest.facts
    assert by_encoder.manifest.facts["file_sha256"] == by_source.manifest.sha256 != by_encoder.manifest.sha256


def test_what_is_held_out_is_part_of_the_identity_of_a_variant(write: Write) -> None:
    """If this failed, a run held out by encoder would pass for, or be resumed as, one held out by source."""
    path = write(three_encoders())
    options = [FrameReader.Options(path=path, group=group) for group in ("src", "encoder")]
    assert ["src", "encoder"] == [each.identity()["group"] for each in options]
    assert options[0].identity() == FrameReader.Options(path=path).identity()


def test_too_few_encoders_cannot_be_held_out(write: Write) -> None:
    """If this failed, a corpus of one encoder would be split into nothing."""
    with pytest.raises(PrerequisiteError, match="1 encoders are too few"):
        read(write(corpus_rows()), group="encoder")
