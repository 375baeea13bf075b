"""Into a slot without the evidence that it asks for: forged, moved, stale and foreign runs at the registry's door."""

from __future__ import annotations

import json
from pathlib import Path

from attack_kit import Desk, route
from forging_runs import forge_predictions, near_truth

from heldout.evidence import read_json

KIND = "a version that serves without its evidence"


def champion(desk: Desk) -> str | None:
    """Who serves in the study's slot."""
    path = desk.folder / "registry" / "slots" / str(desk.study["study"]) / "champion.json"
    return str(read_json(path)["version"]) if path.exists() else None


def corpus_of(desk: Desk) -> Path:
    return desk.folder / str(desk.study["corpus"]["path"])


def hold(desk: Desk) -> Path:
    """A run that is held, for its bound is out of reach of what was trained."""
    (rule,) = desk.study["gate"]["rules"]
    desk.rules(rule | {"at_least": 0.995 if rule["over"] == "pooled" else 0.9})
    assert 1 == desk.run().code
    return desk.newest


@route(KIND, "motivated author", "replaces what fits predicted by the truth plus noise, mends all digests", "stopped")
@route(KIND, "motivated author", "the same, where the corpus is at hand", "needs --corpus")
def test_forged_predictions_do_not_serve(road: Desk) -> None:
    """A model that learnt nothing would be champion on numbers that nobody's model predicted."""
    run = hold(road)
    forge_predictions(run, near_truth(0.01))
    assert (0, 0) == (road.heldout("verify", run).code, road.heldout("gate", run).code), "not well forged"
    corpus = corpus_of(road)
    away = corpus.rename(corpus.with_name("away" + corpus.suffix))
    assert 0 == road.heldout("registry", "add", run).code
    refused = road.heldout("registry", "promote", run.name)
    assert (3, True) == (refused.code, "corpus not verified" in refused.err), refused.err
    assert "--corpus FILE" in refused.err
    for asked in (("promote", run.name, "--corpus", away), ("add", run, "--corpus", away)):
        found = road.heldout("registry", *asked)
        assert (3, True) == (found.code, "'weights' is broken" in found.err), found.err
    forced = road.heldout("registry", "promote", run.name, "--corpus", away, "--override", "--reason", "trust me")
    assert (3, None) == (forced.code, champion(road))
    away.rename(corpus)
    found = road.heldout("registry", "add", run)
    assert (3, True) == (found.code, "'weights' is broken" in found.err)
    assert None is champion(road)


def test_an_honest_run_serves_without_a_word(road: Desk) -> None:
    """What is asked of everybody would stop those who did nothing wrong."""
    assert 0 == road.run().code
    added = road.heldout("registry", "add", road.newest)
    assert (0, True) == (added.code, "with the corpus (found)" in added.err), added
    assert 0 == road.heldout("registry", "promote", road.newest.name).code
    assert None is not champion(road)
    shown = json.loads(road.heldout("registry", "show", road.newest.name).out)
    assert ["registered", "promoted"] == [record["on"] for record in shown["verified"]]
    first = shown["verified"][0]
    assert ("fitted", "found", False) == (first["level"], first["corpus"], first["refit"])
    assert {"OK"} == {first["links"][link] for link in ("weights", "corpus-file", "guards", "metrics")}
    assert "signature" in first["why"]
    assert {"attacked": "default"} == shown["admissions"]
