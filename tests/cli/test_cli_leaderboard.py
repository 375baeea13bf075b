"""``heldout leaderboard``, ``heldout zoo replay`` and ``heldout demo`` at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from market_kit import frame, prices
from nightly import NIGHTLY

from heldout import Study
from heldout.domains.market.demo import demo, panel

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study over twelve names, and two finished runs of it."""
    found = tmp_path_factory.mktemp("market")
    frame(prices(700, 12, drift=0.004)).write_parquet(found / "panel.parquet")
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    corpus = {"reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20, "features": features}
    document = {
        "study": "panel",
        "corpus": corpus,
        "split": {"kind": "walk-forward", "warmup": 14, "window": 6},
        "backbone": "market_stack",
        "fit": {"inner_folds": 3},
        "seeds": [0],
        "baselines": [],
        "gate": {"rules": [{"id": "ic", "metric": "srocc", "over": "within_cell", "at_least": 0.0}]},
        "variants": [{"id": "no-reversal", "set": {"corpus.features.reversal": None}}],
    }
    (found / "study.yaml").write_text(yaml.safe_dump(document))
    for variant in ("base", "no-reversal"):
        Study.load(found / "study.yaml").run(variant, runs=found / "runs", workers=1)
    return found


def _runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / "panel").glob("*-*-*"))


@pytest.mark.slow
def test_the_board_is_one_document_and_one_table(heldout: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    """Machines and people would be told different things."""
    command = ("leaderboard", *_runs(folder), "--panel", folder / "panel.parquet", "--top", 3, "--effect", 0.1)
    answer = heldout(*command, "--json")
    document = json.loads(answer.out)
    assert ("heldout.leaderboard/1", "base") == (document["schema"], document["champion"])
    assert int(document["decision"]["switch_to"] is None) == answer.code
    page = tmp_path / "board.html"
    told = heldout(*command, "--html", page)
    assert "no-reversal" in told.out
    assert "KEEP base" in told.out or "SWITCH to" in told.out
    assert "<h1>" in page.read_text()


@pytest.mark.slow
def test_the_wait_is_printed_before_the_first_number(heldout: Callable[..., Any], folder: Path) -> None:
    """Nobody would learn how long it takes before having looked."""
    told = heldout("leaderboard", *_runs(folder), "--panel", folder / "panel.parquet")
    assert told.out.startswith("A lead of 0.02 takes ")


@pytest.mark.parametrize("arguments", [(), ("--slot", "panel")])
def test_a_board_of_nobody_is_bad_input(
    heldout: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """An empty board would exit as if the champion had been kept for a reason."""
    monkeypatch.chdir(tmp_path)
    assert 2 == heldout("leaderboard", *arguments).code


@pytest.mark.slow
def test_a_replay_leaves_a_document_and_a_page(heldout: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    """What was re-lived could be seen once, on a terminal."""
    command = ("zoo", "replay", "--study", folder / "study.yaml", "--first", 2002, "--last", 2002, "--months", 6)
    answer = heldout(*command, "--out", tmp_path, "--workers", 1, "--json")
    assert 0 == answer.code, answer.err
    document = json.loads(answer.out)
    assert json.loads((tmp_path / "replay.json").read_text()) == document
    assert "heldout.replay/1" == document["schema"]
    page = (tmp_path / "replay.html").read_text()
    assert all(rule["id"] in page for rule in document["rules"])
    told = heldout(*command, "--out", tmp_path, "--workers", 1)
    assert "supported-lead" in told.out
    assert "noise was served by" in told.out


def test_a_replay_without_two_noise_arms_is_refused(heldout: Callable[..., Any], folder: Path) -> None:
    """A rule would be shown without what it has to be told from."""
    assert 2 == heldout("zoo", "replay", "--study", folder / "study.yaml", "--noise", 1).code


def test_a_panel_that_nobody_has_is_bad_input(heldout: Callable[..., Any], tmp_path: Path) -> None:
    """A misspelt panel would begin minutes of training on another one."""
    answer = heldout("demo", "market", "--panel", "sp500", "--out", tmp_path / "demo")
    assert 2 == answer.code
    assert "skfolio or generated" in answer.err


@pytest.mark.slow
@pytest.mark.longest
def test_the_demonstration_goes_the_whole_road(
    heldout: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that shows what this is for would break first, and be tried first."""
    pytest.importorskip("lightgbm")
    if not NIGHTLY:  # ten years of prices: a fifth of the fits, and too few blocks for any gate
        monkeypatch.setattr(panel, "generated_panel", partial(panel.generated_panel, dates=2700))
        monkeypatch.setattr(demo, "BATCHES", 2)
    answer = heldout("demo", "market", "--panel", "generated", "--out", tmp_path / "demo", "--workers", 2, "--json")
    assert 0 == answer.code, answer.err
    document = json.loads(answer.out)
    ids = ["base", "residual-momentum", "momentum-swapped", "horizon-60d", "nonlinear-blend"]
    assert ids == [each["variant"] for each in document["trained"]]
    assert {"trained", "held"} >= {each["state"] for each in document["trained"]}
    assert sorted(ids) == sorted(row["arm"] for row in document["board"]["rows"])
    assert 483 == document["board"]["rows"][0]["dates"]
    assert NIGHTLY == (not document["first"]["content"]["verdict"]["reasons"])
    assert ["promoted", "rolled-back"] == [move["kind"] for move in document["moves"]]
    assert document["first"]["id"] == document["moves"][-1]["version"]
    assert Path(document["page"]).is_file()
    if not NIGHTLY:
        return
    again = json.loads(heldout("demo", "market", "--panel", "generated", "--out", tmp_path / "demo", "--json").out)
    told = [{row["arm"]: (row["dates"], row["mean"]) for row in each["board"]["rows"]} for each in (document, again)]
    assert told[0] == told[1]
