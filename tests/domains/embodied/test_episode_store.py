"""The neutral store: what is written comes back, and what was changed is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.domains.embodied.episodes.labels import FrameLabels, answer, majority, runs_of
from heldout.domains.embodied.episodes.store import EpisodeWriter, StoredEpisode
from heldout.errors import InputError, StaleError, TamperedError

MakeEpisode = Callable[..., Path]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "episode.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_an_episode_comes_back_as_it_was_written(make_episode: MakeEpisode) -> None:
    """A backbone would train on other numbers than those recorded."""
    folder = make_episode(3)
    episode = StoredEpisode.open(folder, verify=True)
    expected = np.random.default_rng(3).normal(size=(100, 3)).astype(np.float32)
    np.testing.assert_array_equal(expected, episode.array("pose"))
    labels = episode.labels()
    assert labels is not None
    assert [("reach for the cup", 0, 42), ("move the cup", 43, 99)] == [(r.label, *r[:2]) for r in labels.action]
    contact = episode.contact()
    assert contact is not None
    assert [False, True] == [bool(contact[42]), bool(contact[43])]


def test_equal_recordings_have_equal_bytes(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """The manifest's digests would change with every rebuild, and nothing could be compared."""
    one, two = make_episode(1), make_episode(1, root=tmp_path / "again")
    assert (one / "episode.json").read_bytes() == (two / "episode.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(extra=1), "Extra inputs"),
        (lambda d: d.update(schema="heldout.episode/9"), "schema is"),
        (lambda d: d["streams"]["pose"].update(file="../../../etc/passwd"), "not a path inside"),
        (lambda d: d["streams"]["pose"].update(file="/etc/passwd"), "not a path inside"),
        (lambda d: d["streams"]["pose"].update(file=d["streams"]["action"]["file"]), "two streams name one file"),
        (lambda d: d["streams"]["pose"].update(rate_hz=200.0), "has 100 samples"),
        (lambda d: d["streams"]["pose"].update(rate_hz=None), "either a rate_hz"),
        (lambda d: d["streams"]["pose"].update(sha256=None), "has no sha256"),
        (lambda d: d.update(frames=0), "greater than or equal to 1"),
        (lambda d: d.update(episode_id="a/b"), "letters, digits"),
    ],
)
def test_a_wrong_header_is_refused(make_episode: MakeEpisode, change: Any, message: str) -> None:
    """Windows would be cut from the wrong seconds, or from files of someone else."""
    folder = make_episode()
    rewrite(folder, change)
    with pytest.raises(InputError, match=message):
        StoredEpisode.open(folder)


def test_a_changed_stream_is_found(make_episode: MakeEpisode) -> None:
    """Results would be published over data that nobody has."""
    folder = make_episode()
    path = folder / "streams/pose.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    StoredEpisode.open(folder)
    with pytest.raises(TamperedError, match="pose"):
        StoredEpisode.open(folder, verify=True)
    path.write_bytes(bytes(data[:-4]))
    with pytest.raises(TamperedError, match="pose"):
        StoredEpisode.open(folder)


def test_a_missing_stream_is_named(make_episode: MakeEpisode) -> None:
    """A crash in mid-training would be the first word of it."""
    folder = make_episode()
    (folder / "streams/action.npy").unlink()
    with pytest.raises(InputError, match="'action' is missing"):
        StoredEpisode.open(folder)


def test_pickles_and_numbers_that_are_not_finite_never_enter(tmp_path: Path) -> None:
    """Opening an episode would run its author's code; a NaN would poison a normaliser."""
    with EpisodeWriter(tmp_path / "s/ep") as writer:
        with pytest.raises(InputError, match="pickled"):
            writer.add_array("x", np.array([{}]), modality="x", units="1", rate_hz=1.0)
        with pytest.raises(InputError, match="not finite"):
            writer.add_array("x", np.array([np.nan]), modality="x", units="1", rate_hz=1.0)
    assert [] == list((tmp_path / "s").iterdir())


def test_a_pickle_in_place_of_an_array_is_not_loaded(make_episode: MakeEpisode) -> None:
    """Someone else's episode would run code here."""
    folder = make_episode()
    path = folder / "streams/pose.npy"
    size = path.stat().st_size
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    with pytest.raises(InputError, match="cannot be read"):
        StoredEpisode.open(folder).array("pose")


def test_a_writer_that_fails_leaves_nothing_and_two_never_mix(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """Half an episode would be selected, trained on, and blamed on the model."""
    folder = tmp_path / "store/s/ep"
    with pytest.raises(RuntimeError), EpisodeWriter(folder) as writer:  # noqa: PT012
        writer.add_array("x", np.zeros(3), modality="x", units="1", rate_hz=1.0)
        raise RuntimeError
    assert [] == list(folder.parent.iterdir())
    there = make_episode(5)
    with pytest.raises(StaleError):
        EpisodeWriter(there)


def test_span_gives_each_sample_to_one_frame(make_episode: MakeEpisode) -> None:
    """A window would see samples of the future, or two windows would share one."""
    folder = make_episode(arrays={"imu": np.zeros((948, 3), np.float32), "slow": np.zeros((25, 1), np.float32)})
    header = StoredEpisode.open(folder).header
    for name in ("imu", "slow", "pose"):
        spans = [header.span(name, frame, frame) for frame in range(100)]
        assert [b for _, b in spans[:-1]] == [a for a, _ in spans[1:]]
        assert (0, header.streams[name].shape[0]) == (spans[0][0], spans[-1][1])


def test_majority_by_the_published_rule() -> None:
    """The labels would not be those that published figures are about."""
    track = runs_of(["a"] * 6 + ["b"] * 4 + [""] * 10 + ["N/A"] * 5 + ["b"] * 5)
    assert ("a", None) == (majority(track, 0, 9, 0.6).label, majority(track, 0, 9, 0.6).problem)
    assert "label_ambiguous" == majority(track, 0, 9, 0.7).problem
    assert "no_label" == majority(track, 10, 24, 0.6).problem
    assert "b" == majority(track, 8, 24, 0.6).label  # a share of the labelled frames alone


def test_weakness_2_next_action_is_of_the_following_window_or_unknown() -> None:
    """A model would be asked to predict what lies in its own input, or past the end of the episode."""
    labels = FrameLabels(60, runs_of(["a"] * 20 + ["b"] * 20 + ["c"] * 20), ())
    found = [answer(labels, None, start, start + 19, 0.6) for start in (0, 20, 40)]
    assert ["b", "c", "unknown"] == [a["next_action"] for a in found]
    assert ["unknown"] * 3 == [a["contact"] for a in found]
