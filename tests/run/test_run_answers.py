"""Answers on their way: of one identity, without a gap, to the last bit, or thrown away with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.backbone import ClassScores
from heldout.backbone.asked import Answers
from heldout.predict.identity import Identity
from heldout.run.asked.answers import Collected

MINE = Identity("model", "corpus", "fold", "fit", "key", "code")
ODD = [0.1 + 0.2, -0.0, float("nan"), float("inf"), 5e-324]


def collected(folder: Path, *parts: list[float], identity: Identity = MINE) -> Path:
    """A file with these batches."""
    with Collected(folder, identity) as found:
        for part in parts:
            found.append(Answers(np.array(part), ["seen"]))
    return found.path


def test_every_bit_comes_back(tmp_path: Path) -> None:
    """A resumed run would have other bytes than one that nobody disturbed, or a NaN would become a number."""
    collected(tmp_path, ODD[:2], ODD[2:])
    with Collected(tmp_path, MINE) as found:
        assert (5, None) == (found.rows, found.why_not)
        joined = found.joined()
    assert np.array(ODD).tobytes() == np.asarray(joined.predicted).tobytes()
    assert ["seen"] == joined.warnings


def test_classes_come_back(tmp_path: Path) -> None:
    """Probabilities would stand under other labels after a kill."""
    scores = ClassScores(("yes", "no"), np.array([[0.25, 0.75], [1.0, 0.0]]))
    with Collected(tmp_path, MINE) as found:
        found.append(Answers(scores, []))
    with Collected(tmp_path, MINE) as found:
        back = found.joined().predicted
    assert isinstance(back, ClassScores)
    assert (scores.classes, scores.probability.tobytes()) == (back.classes, back.probability.tobytes())


def test_a_torn_last_line_costs_itself(tmp_path: Path) -> None:
    """A kill in the middle of a write would cost all that was answered, or add half a number."""
    path = collected(tmp_path, [1.0], [2.0])
    path.write_bytes(path.read_bytes()[:-5])
    with Collected(tmp_path, MINE) as found:
        assert 1 == found.rows
        found.append(Answers(np.array([3.0]), []))
    with Collected(tmp_path, MINE) as found:
        assert [1.0, 3.0] == np.asarray(found.joined().predicted).tolist()


@pytest.mark.parametrize("part", ["adapter", "dataset", "split", "prompt", "decoding", "code"])
def test_answers_of_anything_else_are_thrown_away(tmp_path: Path, part: str) -> None:
    """Rows of another model, corpus, fold or code would stand among these."""
    changes: dict[str, Any] = {part: "another"}
    collected(tmp_path, [1.0], identity=replace(MINE, **changes))
    with Collected(tmp_path, MINE) as found:
        assert (0, True) == (found.rows, f"differ in {part}" in str(found.why_not))
        found.append(Answers(np.array([2.0]), []))
    with Collected(tmp_path, MINE) as found:
        assert [2.0] == np.asarray(found.joined().predicted).tolist()


@pytest.mark.parametrize("damage", ["gap", "middle", "number", "head"])
def test_a_damaged_file_is_thrown_away(tmp_path: Path, damage: str) -> None:
    """Answers would move to other rows, or a run that was killed could never be finished."""
    path = collected(tmp_path, [1.0], [2.0], [3.0])
    head, one, two, three, _ = path.read_bytes().split(b"\n")
    lines = {
        "gap": [head, one, three],
        "middle": [head, one, two[:-9], three],
        "number": [head, one.replace(b"0x1", b"zzz"), two, three],
        "head": [b"{}", one, two, three],
    }
    path.write_bytes(b"\n".join([*lines[damage], b""]))
    with Collected(tmp_path, MINE) as found:
        assert (0, True) == (found.rows, found.why_not is not None)
