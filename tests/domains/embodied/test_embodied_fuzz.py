"""Documents of other people, damaged at random: every one is read or refused, and none ends in a traceback."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heldout.domains.embodied.contract.contracts import load_registry, parse_contract, validate
from heldout.domains.embodied.episodes.labels import answer, parse_labels
from heldout.domains.embodied.episodes.store import StoredEpisode
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.guards import check_index, read_index
from heldout.domains.embodied.index.views import view
from heldout.domains.embodied.index.windows import WindowOptions
from heldout.domains.embodied.select.guards import check_manifest
from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import HeldoutError

MakeEpisode = Callable[..., Path]
ROUNDS = 120
ODD: list[Any] = [None, 0, -1, 1e30, "", "x", [], {}, True, [1], {"a": 1}, "../..", "\0", 2**70]


def damaged(document: Any, source: random.Random) -> Any:
    """A copy with one or two values removed or replaced."""
    document = copy.deepcopy(document)
    spots: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in list(pairs):
            spots.append((value, key))
            walk(inner)

    walk(document)
    for holder, key in source.choices(spots, k=source.choice((1, 1, 2))):
        if isinstance(holder, dict) and source.random() < 0.3:
            holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = copy.deepcopy(source.choice(ODD))
    return document


def attempt(read: Callable[[Any], object], document: Any) -> Counter[str]:
    """How many damaged copies were read and refused."""
    source, seen = random.Random(7), Counter[str]()
    for _ in range(ROUNDS):
        try:
            read(damaged(document, source))
        except HeldoutError:
            seen["refused"] += 1
        else:
            seen["read"] += 1
    return seen


@pytest.fixture
def data(make_episode: MakeEpisode, tmp_path: Path) -> Path:
    for number in range(4):
        make_episode(number)
    build_manifest([tmp_path / "store"], tmp_path, SelectionRules())
    build_index(tmp_path, tmp_path / "index", WindowOptions(), load_registry(tmp_path))
    return tmp_path


def test_headers_and_labels(data: Path) -> None:
    """Someone else's episode would end a selection of days with a traceback."""
    folder = data / "store/s000/ep0"
    header, labels = (json.loads((folder / name).read_text()) for name in ("episode.json", "labels.json"))

    def read(document: Any) -> None:
        (folder / "episode.json").write_text(json.dumps(document))
        episode = StoredEpisode.open(folder)
        for name in episode.header.of_modality("pose"):
            episode.array(name)
        episode.labels()
        episode.contact()

    assert attempt(read, header)["refused"]
    assert attempt(lambda d: answer(parse_labels(d, 100, where="x"), None, 0, 19, 0.6), labels)["refused"]


def test_manifests_and_indexes(data: Path) -> None:
    """A guard that crashes guards nothing."""
    manifest, index, path = read_manifest(data), data / "index/window_index.jsonl", data / "x.jsonl"
    record = next(read_index(index))

    def read(document: Any) -> None:
        path.write_text(json.dumps(document) + "\n")
        check_index(path, manifest)

    assert attempt(check_manifest, manifest)["read"]
    assert attempt(read, record)["refused"]


def test_contracts(data: Path) -> None:
    """One wrong file would hide every other contract behind a traceback."""
    record = next(read_index(data / "index/window_index.jsonl"))

    def read(document: Any) -> None:
        contract = parse_contract(document, data / "cosmos_world_model.json")
        validate(contract, data)
        contract.summary()
        view(contract, record)

    assert attempt(read, dict(load_registry(data)["cosmos_world_model"].config))["refused"]
