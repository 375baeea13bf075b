"""The cheapest encode that is good enough: what is chosen, what is refused, and what is said of every candidate."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.cli.main import main
from heldout.domains.video.recommend.recommend import recommend
from heldout.errors import CorpusError, InputError, RefusedError, TamperedError
from heldout.evidence import read_json

pytest.importorskip("numba")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZES = {19: 40_000, 25: 25_000, 31: 14_000, 37: 8_000}


@pytest.fixture(scope="session")
def served(export_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export from eight sources, as its consumer has it: away from its run."""
    made = export_of(tmp_path_factory.mktemp("served"), sources=8, frames=6, encoders=("libx264", "libx265"))
    return Path(shutil.copytree(made.folder, tmp_path_factory.mktemp("consumer") / "model"))


@pytest.fixture
def ladder(write_frames: Any, tmp_path: Path) -> Callable[..., Path]:
    """A clip that the models never saw, over the quality ladder; scores are taken out."""

    def make(change: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: row, **more: Any) -> Path:
        source = write_frames(**({"sources": 1, "seed": 7, "frames": 6, "name": "all.jsonl"} | more))
        path = tmp_path / "ladder.jsonl"
        rows = [json.loads(line) for line in source.open()]
        for row in rows:
            factor = 0.7 if row["encoder"] == "libx265" else 1.0
            row["enc_bytes"] = int(SIZES.get(row["cq"], 5_000) * factor)
            del row["vmaf"]
        kept = [changed for row in rows if (changed := change(row)) is not None]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        return path

    return make


@pytest.mark.slow
def test_the_cheapest_encode_whose_lower_bound_meets_the_target_is_chosen(served: Path, ladder: Any) -> None:
    """If this failed, bytes would be wasted, or a clip would be shipped below its target."""
    rows = ladder()
    (choice,) = recommend(served, rows, 0.0, 0.8).choices
    bounds = sorted(each.lower for each in choice.candidates)
    target = (bounds[3] + bounds[4]) / 2

    found = recommend(served, rows, target, 0.8)

    (choice,) = found.choices
    good = [each for each in choice.candidates if each.lower >= target]
    assert 4 == len(good)
    assert choice.chosen == min(good, key=lambda each: each.bytes)
    assert sorted(each.bytes for each in choice.candidates) == [each.bytes for each in choice.candidates]
    for each in choice.candidates:
        assert each.lower == pytest.approx(max(0.0, each.mean - found.margin))
        assert each.meets == (each.lower >= target)
    assert (found.complete, found.sources) == (True, 8)


def test_the_mean_is_that_of_our_own_models(served: Path, ladder: Any) -> None:
    """If this failed, the recommendation would rest on other scores than those that were judged."""
    import onnxruntime

    rows = ladder()
    (choice,) = recommend(served, rows, 50.0, 0.8, ["libx264"]).choices
    table = [row for row in map(json.loads, rows.open()) if (row["encoder"], row["cq"]) == ("libx264", 25)]
    scores = []
    for path in sorted(served.glob("*.onnx")):
        card = read_json(path.with_suffix(".json"))
        raw = np.array([[row[key] for key in card["feature_order"]] for row in table])
        features = ((raw - card["feature_mean"]) / card["feature_std"]).astype(np.float32)
        onehot = [float("libx264" == slot) for slot in card["encoder_vocab"]]
        block = np.tile(np.array([*onehot, 0.5, (25 - 19) / (37 - 19)], dtype=np.float32), (len(table), 1))
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        scores.append(session.run(None, {"features": features, "codec_onehot": block})[0])
    (mine,) = (each for each in choice.candidates if each.cq == 25)
    assert mine.mean == pytest.approx(float(np.mean(scores)), abs=1e-4)
    assert {"libx264"} == {each.encoder for each in choice.candidates}


def test_a_confidence_that_the_calibration_cannot_hold_is_refused(served: Path, ladder: Any) -> None:
    """If this failed, eight sources would vouch for nineteen."""
    with pytest.raises(RefusedError, match=r"8 sources can hold no confidence above 0\.888: 0\.95 takes 19") as error:
        recommend(served, ladder(), 50.0, 0.95)
    assert "0.888 or less" in str(error.value.hint)
    assert recommend(served, ladder(), 50.0, 0.888).margin >= recommend(served, ladder(), 50.0, 0.5).margin


def test_an_encoder_that_the_models_never_saw_is_refused(served: Path, ladder: Any) -> None:
    """If this failed, a bound that nobody ever measured would be given."""
    rows = ladder(encoders=("libx264", "libsvtav1"))
    with pytest.raises(RefusedError, match="never saw the encoder 'libsvtav1'") as error:
        recommend(served, rows, 50.0, 0.8)
    assert "libx264, libx265" in str(error.value.hint)
    assert recommend(served, rows, 0.0, 0.8, ["libx264"]).complete


def test_what_cannot_be_compared_is_not_chosen(served: Path, ladder: Any) -> None:
    """If this failed, half of a clip, or a quality point beyond the training range, would be the cheapest."""

    def cut(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if (row["encoder"], row["cq"]) == ("libx264", 37) and row["frame_index"] > 2 else row

    (choice,) = recommend(served, ladder(cut, cqs=(19, 37, 51)), 0.0, 0.8).choices
    why = {(each.encoder, each.cq): each.why for each in choice.candidates}
    assert "it has 3 of 6 frames" == why["libx264", 37]
    assert "the models saw quality points from 19 to 37 only" == why["libx265", 51]
    assert choice.chosen is not None
    assert ("libx265", 37) == (choice.chosen.encoder, choice.chosen.cq)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda row: {key: row[key] for key in row if key != "adm2"}, "the key 'adm2' is missing"),
        (lambda row: row | {"enc_bytes": 0}, "enc_bytes"),
        (lambda row: row | {"motion2": "fast"}, "motion2"),
        (lambda row: row | {"frame_index": 0}, "a frame stands twice"),
        (lambda row: row | {"enc_bytes": 100 + row["frame_index"]}, "several sizes"),
        (lambda row: None, "there are no rows"),
    ],
)
def test_a_bad_row_is_refused(served: Path, ladder: Any, change: Any, why: str) -> None:
    """If this failed, a clip would be judged by rows that say nothing."""
    with pytest.raises((CorpusError, InputError), match=why):
        recommend(served, ladder(change), 50.0, 0.8)


def test_a_tampered_export_recommends_nothing(served: Path, ladder: Any, tmp_path: Path) -> None:
    """If this failed, whoever changes a model decides what is shipped."""
    copy = Path(shutil.copytree(served, tmp_path / "copy"))
    path = next(copy.glob("*_seed0.onnx"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TamperedError, match="export-files"):
        recommend(copy, ladder(), 50.0, 0.8)
    with pytest.raises(InputError, match="there is no export"):
        recommend(tmp_path, ladder(), 50.0, 0.8)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["heldout", "video", "recommend", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command_exits_by_its_answer(
    served: Path, ladder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this failed, a script would ship a clip for which nothing was good enough."""
    rows = ladder()
    assert command(monkeypatch, served, rows, "--target", 20, "--confidence", 0.8) == 0
    text = capsys.readouterr().out
    assert "from 8 held-out sources" in text
    assert "-> libx265 cq" in text or "-> libx264 cq" in text
    assert command(monkeypatch, served, rows, "--target", 100, "--confidence", 0.8, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert ("heldout.video.recommendation/1", False) == (document["schema"], document["complete"])
    (clip,) = document["clips"]
    assert (clip["chosen"], len(clip["candidates"])) == (None, 8)
    assert {"mean", "lower", "bytes", "encoder", "cq", "preset", "meets", "why"} == set(clip["candidates"][0])
    assert command(monkeypatch, served, rows) == 3
    assert "8 sources can hold no confidence above" in capsys.readouterr().err
    assert command(monkeypatch, served, rows, "--target", 101) == 2
    assert command(monkeypatch, served, "--confidence", 0.8) == 2
    assert command(monkeypatch, served, rows, "--cq", 30) == 2


@pytest.mark.slow
def test_a_source_is_encoded_first(served: Path, make_clip: Any, capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """If this failed, whoever has a clip and no features would get no answer."""
    clip = make_clip("clip.mp4", frames=8)
    words = ["--source", clip, "--encoder", "libx264", "--cq", 25, "--cq", 37, "--confidence", 0.8, "--json"]
    code = command(monkeypatch, served, *words, "--target", 1, "--out", tmp_path / "kept")
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["complete"] else 1)
    assert [25, 37] == sorted(each["cq"] for each in document["clips"][0]["candidates"])
    assert (tmp_path / "kept" / "per_frame_canonical6.jsonl").exists()
