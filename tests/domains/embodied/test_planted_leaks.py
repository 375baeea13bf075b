"""Six leaks, planted where they would be in the world and found by name on the command line; their twins are clean."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from checkpoint_kit import make_world, write
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.evidence import read_json, write_json

MakeEpisode = Callable[..., Path]


class Leak(NamedTuple):
    """A leak.

    Attributes:
        plant: Puts it into the folder of the data.
        after: The step before which it is planted.
        look: The step that finds it.
        codes: Its name, and those of what follows from it.
        words: What is said of it.
    """

    plant: Callable[[Path, MakeEpisode], None]
    after: str
    look: str
    codes: tuple[str, ...]
    words: str


STEPS: dict[str, Sequence[str]] = {
    "select": ("embodied", "select", "store", "--out", "data", "--target", "16", "--no-replace", "--require", "audio"),
    "check": ("embodied", "check", "data"),
    "index": ("index", "build", "data", "--out", "index", "--context-frames", "40"),
    "check index": ("index", "check", "index", "--manifest", "data"),
    "checkpoint": ("backbone", "checkpoint", "driver", "policy", "--manifest", "data"),
}


def edit_episodes(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path, MakeEpisode], None]:
    def plant(folder: Path, make_episode: MakeEpisode) -> None:
        document = read_json(folder / "data/episode_manifest.json")
        change(document["episodes"])
        write_json(folder / "data/episode_manifest.json", document)

    return plant


def of(episodes: list[dict[str, Any]], split: str) -> dict[str, Any]:
    return next(episode for episode in episodes if episode["split"] == split)


def an_episode_in_two_splits(episodes: list[dict[str, Any]]) -> None:
    facts = {"split": "train", "top_level_session": "another", "content_sha256": None}
    episodes.append(copy.deepcopy(of(episodes, "test")) | facts)


def a_session_in_two_splits(episodes: list[dict[str, Any]]) -> None:
    of(episodes, "test")["top_level_session"] = of(episodes, "train")["top_level_session"]


def labels_of_test_among_the_options(folder: Path, make_episode: MakeEpisode) -> None:
    path = folder / "index/window_index.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        record["modalities"]["language"]["action_options"].append("pour the cup")
    path.write_text("".join(json.dumps(record, sort_keys=True) + "\n" for record in records))


def a_normaliser_fitted_on_all(folder: Path, make_episode: MakeEpisode) -> None:
    episodes = read_json(folder / "data/episode_manifest.json")["episodes"]
    write_policy(folder, [episode["episode_id"] for episode in episodes])


def a_look_ahead_context(folder: Path, make_episode: MakeEpisode) -> None:
    invoke(folder, ["index", "build", "data", "--out", "index", "--context-frames", "40", "--context", "centred"])


def an_empty_audio_stream(folder: Path, make_episode: MakeEpisode) -> None:
    shutil.rmtree(folder / "store/s015/ep15")
    make_episode(15, sound="silent")


LEAKS = {
    "an episode in two splits": Leak(
        edit_episodes(an_episode_in_two_splits), "select", "check", ("HO-G101",), "stands in test and train"
    ),
    "a session in two splits": Leak(
        edit_episodes(a_session_in_two_splits), "select", "check", ("HO-G102",), "stands in test and train"
    ),
    "test labels among the options": Leak(
        labels_of_test_among_the_options, "index", "check index", ("HO-G112",), "pour the cup"
    ),
    "a normaliser fitted on all": Leak(
        a_normaliser_fitted_on_all, "select", "checkpoint", ("HO-G106",), "4 episodes that are not in train"
    ),
    "a look-ahead context": Leak(a_look_ahead_context, "index", "check index", ("HO-G111",), "after"),
    "an empty audio stream": Leak(
        an_empty_audio_stream, "", "select", ("HO-G104", "HO-G105"), "audio: empty_audio in 1 of 16"
    ),
}


def write_policy(folder: Path, fitted_on: list[str]) -> None:
    make_world(folder / "policy", lambda _, files: files["normalization_stats.json"].update(fitted_on=fitted_on))
    config = dict(load_registry(folder)["policy_vla_branch"].config)
    config |= {"id": "driver", "entrypoints": {"predict": "checkpoint_kit:load"}}
    write(folder / "configs/backbones/driver.json", config)


def invoke(folder: Path, words: Sequence[str]) -> dict[str, Any]:
    done = CliRunner().invoke(build(words), [*words, "--json"])
    document: dict[str, Any] = json.loads(done.stdout)
    return document | {"exit": done.exit_code}


def walk(folder: Path, make_episode: MakeEpisode, leak: Leak | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Go the whole road, or as far as the step that looks; what each step found."""
    monkeypatch.chdir(folder)
    for number in range(16):
        make_episode(number, sound="tone")
    if leak and not leak.after:
        leak.plant(folder, make_episode)
    found: dict[str, Any] = {}
    for name, words in STEPS.items():
        if name == "checkpoint" and not (folder / "policy").is_dir():
            episodes = read_json(folder / "data/episode_manifest.json")["episodes"]
            write_policy(folder, [episode["episode_id"] for episode in episodes if episode["split"] == "train"])
        if leak is None or name in ("select", "index", leak.look):
            found[name] = invoke(folder, words)
        if leak and name == leak.look:
            break
        if leak and name == leak.after:
            leak.plant(folder, make_episode)
    return found


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found_by_its_name(
    name: str, tmp_path: Path, make_episode: MakeEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures would be those of a model that had seen what it was asked."""
    leak = LEAKS[name]
    document = walk(tmp_path, make_episode, leak, monkeypatch)[leak.look]
    assert (list(leak.codes), 1) == ([finding["code"] for finding in document["findings"]], document["exit"])
    finding = document["findings"][0]
    assert leak.words in f"{finding['what']} {finding['where']}"
    assert finding["blocking"]


@pytest.mark.slow
def test_their_clean_twins_raise_nothing(
    tmp_path: Path, make_episode: MakeEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that always objects is switched off."""
    found = walk(tmp_path, make_episode, None, monkeypatch)
    assert dict.fromkeys(STEPS, ([], 0)) == {name: (one["findings"], one["exit"]) for name, one in found.items()}
