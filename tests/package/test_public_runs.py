"""Real runs of every domain, published: nothing is found in them, nothing private is left, they verify elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from heldout import Study
from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.package.public.audit import audit_package
from heldout.package.public.publish import package_public
from heldout.package.verify.any import verify_any

pytest.importorskip("sklearn")
pytest.importorskip("detect_secrets")
RIDGE = {"backbone": "sklearn", "fit": {"estimator": "sklearn.linear_model.Ridge"}}
MEAN = {"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}
RULE = {"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}
# What only models and the run beside it could show.
OPEN = {"package-run", "withheld"}


def table_run(folder: Path, groups: list[str], *, classes: bool = False, **changes: Any) -> Path:
    """A run over a small table whose groups have these names."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["site,a,b,y"]
    for row in range(24 * len(groups)):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        y = ("yes" if a > b else "no") if classes else 2 * a - b + rng.gauss(0, 0.1)
        lines.append(f"{groups[row % len(groups)]},{a},{b},{y}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    document = {"study": "demo", "corpus": {"path": "table.csv", "group": "site", "target": "y"}, "seeds": [0, 1],
                "baselines": [MEAN], "bootstrap": {"draws": 100}, "gate": {"rules": [RULE]}}  # fmt: skip
    document |= RIDGE | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1).folder


def classes_run(folder: Path) -> Path:
    changes = {
        "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "baselines": [MEAN | {"fit": {"estimator": "sklearn.dummy.DummyClassifier"}}],
        "gate": {"rules": [{"id": "acc", "metric": "accuracy", "over": "pooled", "at_least": 0.7}]},
    }
    return table_run(folder, ["s0", "s1", "s2"], classes=True, **changes)


def costly_run(folder: Path) -> Path:
    size = {"id": "size", "metric": "model_bytes", "at_most": 1e7}
    return table_run(folder, ["s0", "s1", "s2"], gate={"rules": [RULE, size]})


def market_run(folder: Path) -> Path:
    from market_kit import frame, prices

    frame(prices(560, 12, drift=0.004)).write_parquet(folder / "panel.parquet")
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    corpus = {"reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20, "features": features}
    document = {"study": "panel", "corpus": corpus, "split": {"kind": "walk-forward", "warmup": 14, "window": 4},
                "backbone": "market_stack", "fit": {"inner_folds": 3}, "seeds": [0]}  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1).folder


def video_run(folder: Path) -> Path:
    """Rows of encodes of clips, and the regressor over them."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    with (folder / "frames.jsonl").open("w") as stream:
        for clip, encoder, cq in ((c, e, q) for c in range(4) for e in ("libx264", "libx265") for q in (19, 25, 31)):
            for number in range(8):
                loss = float(np.exp((cq - 31) / 9) * (0.3 + 0.2 * clip) * np.exp(rng.normal(0, 0.1)))
                vif = {
                    f"vif_scale{n}": round(float(np.exp(-speed * loss)), 6)
                    for n, speed in enumerate((1, 0.4, 0.2, 0.1))
                }
                row = {"src": f"source{clip}", "encoder": encoder, "cq": cq, "frame_index": number, "enc_bytes": 4000,
                       "enc_time_ms": 1.0, "vmaf": round(100 / (1 + np.exp(-4 + 1.8 * loss)), 6),
                       "adm2": round(1 - 0.075 * loss, 6),
                       "motion2": round(float(rng.uniform(3, 9)), 6)} | vif  # fmt: skip
                stream.write(json.dumps(row) + "\n")
    linear = {"id": "linear", "backbone": "sklearn",
              "fit": {"estimator": "sklearn.linear_model.LinearRegression", "features": ["vif_scale0"]}}  # fmt: skip
    document = {"study": "clips", "corpus": {"reader": "video_frames", "path": "frames.jsonl"}, "seeds": [0, 1],
                "backbone": "fr_regressor", "fit": {"epochs": 2, "hidden": 8}, "bootstrap": {"draws": 100},
                "baselines": [linear]}  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1).folder


RUNS: dict[str, Callable[[Path], Path]] = {
    "table": lambda folder: table_run(folder, ["s0", "s1", "s2"]),
    "classes": classes_run,
    "costs": costly_run,
    "market": market_run,
    "video": video_run,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs by name, made once; nobody may change them."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            made[name] = RUNS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return run


SLOW = ("market", "video")


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in RUNS])
def test_a_real_run_is_published_clean_and_verifies_elsewhere(name: str, runs: Any, tmp_path: Path) -> None:
    """A run of a domain could not be published, or its verdict could not be checked by whoever reads it."""
    made = package_public(runs(name), tmp_path / "there" / "p.tar.gz")
    assert [] == audit_package(made.path).findings
    shutil.move(made.path, tmp_path / "elsewhere.tar.gz")
    found = verify_any(tmp_path / "elsewhere.tar.gz")
    assert found.holds
    unseen = {link.id: link.what for link in found.links if link.state != "OK"}
    assert OPEN == set(unseen), unseen
    names = {entry.rpartition("/")[2].rpartition(".")[2] for entry in made.document["files"]}
    assert names <= {"json", "jsonl", "csv", "md", "html", "yaml"}


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(runs: Any, tmp_path: Path) -> None:
    """Two people who publish one run could not tell that it is one."""
    code = (
        "import sys; from pathlib import Path; from heldout.package.public.publish import package_public\n"
        "print(package_public(Path(sys.argv[1]), Path(sys.argv[2])).sha256)"
    )
    copy = tmp_path / "other" / runs("table").name
    shutil.copytree(runs("table"), copy)
    digests = set()
    for number, (folder, zone, seed) in enumerate(((runs("table"), "UTC", "0"), (copy, "Asia/Tokyo", "7"))):
        here = tmp_path / f"here{number}"
        here.mkdir()
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        subprocess.run([sys.executable, "-c", f"import os; os.umask({number}*0o77)\n{code}", folder, "p.tar.gz"],
                       cwd=here, env=environment, check=True, capture_output=True)  # fmt: skip
        digests.add(hashlib.sha256((here / "p.tar.gz").read_bytes()).hexdigest())
    assert 1 == len(digests)


@pytest.mark.slow
def test_groups_that_are_paths_lose_their_folders_and_the_metrics_hold(tmp_path: Path) -> None:
    """A corpus whose groups are files of somebody's home could not be published, or its numbers not be checked."""
    groups = [f"/home/annsmith/clips/{name}.y4m" for name in ("alder", "birch", "cedar", "drift")]
    run = table_run(tmp_path / "study", groups)
    made = package_public(run, tmp_path / "p")
    published = b"".join(path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file())
    names = "\n".join(path.as_posix() for path in (tmp_path / "p").rglob("*"))
    assert b"annsmith" not in published
    assert "annsmith" not in names
    assert b"alder.y4m" in published
    found = verify_any(tmp_path / "p")
    states = {link.id: link.state for link in found.links}
    assert {"OK"} == {
        states[link] for link in ("predictions", "metrics", "rules", "verdict", "corpus", "package-origin")
    }
    assert "NOT CHECKED" == states["split"]
    assert made.document["replaced"]["home"] > 0


@pytest.mark.slow
def test_groups_that_change_their_order_are_refused(tmp_path: Path) -> None:
    """Intervals depend on the order of groups: a package would be published that contradicts its own verdict."""
    run = table_run(tmp_path / "study", ["/zzz/first/a.y4m", "A", "C", "D"])
    with pytest.raises(RefusedError, match="no longer holds"):
        package_public(run, tmp_path / "p.tar.gz")
    assert not (tmp_path / "p.tar.gz").exists()


def test_names_of_this_machine_and_words_to_hide_are_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account and the host that trained would be published in a command line."""
    monkeypatch.setenv("LOGNAME", "carlasmith")
    monkeypatch.setenv("HOME", "/srv/people/carlasmith")
    monkeypatch.setattr("socket.gethostname", lambda: "wolkenstein.lan")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text(
        json.dumps({"a": "on wolkenstein", "b": "/srv/people/carlasmith/x", "c": "in /x/carlasmith/y", "d": "cluster9"})
    )
    package_public(tmp_path / "run", tmp_path / "p", hide=["cluster9"])
    text = (tmp_path / "p" / "run" / "metrics.json").read_text()
    assert not any(word in text for word in ("wolkenstein", "carlasmith", "cluster9"))
    assert audit_package(tmp_path / "p", hide=["cluster9"]).clean
    assert not audit_package(tmp_path / "run").clean


def test_every_changed_byte_of_a_package_is_found(runs: Any, tmp_path: Path) -> None:
    """A number in a published table could be changed on its way."""
    made = package_public(runs("table"), tmp_path / "p.tar.gz")
    data = made.path.read_bytes()
    rng = random.Random(1)
    # Of the last byte before the checksum some bits fill it up: they are no content, and no library tells which.
    places = [place for place in range(len(data)) if place != len(data) - 9]
    for place in rng.sample(places, 60):
        made.path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
        with pytest.raises(HeldoutError):
            verify_any(made.path).raise_if_broken()


@pytest.mark.slow
def test_every_file_of_an_unpacked_package_is_bound(runs: Any, tmp_path: Path) -> None:
    """A file could be changed, removed or slipped in after unpacking."""
    package_public(runs("table"), tmp_path / "p")
    for path in sorted((tmp_path / "p").rglob("*")):
        if path.is_file() and path.name != "public.json":
            data = path.read_bytes()
            path.write_bytes(data.replace(b"0", b"1", 1))
            assert "package-files" == verify_any(tmp_path / "p").broken.id
            path.write_bytes(data)
    (tmp_path / "p" / "run" / "more.json").write_text("{}")
    assert "package-files" == verify_any(tmp_path / "p").broken.id


@pytest.mark.first_is_fast
@pytest.mark.parametrize(
    ("link", "name", "old", "new"),
    [
        ("metrics", "metrics.json", '"rmse": 0.', '"rmse": 9.'),
        ("rules", "PROMOTE.json", '"observed": 0.9', '"observed": 0.8'),
        ("predictions", "predictions.csv", ",0.", ",7."),
        ("metrics", "baselines/mean/predictions.jsonl", '"seed0":0.', '"seed0":7.'),
        ("rules", "study.lock.yaml", "at_least: 0.9", "at_least: 0.1"),
    ],
)
def test_a_forged_file_is_found_though_the_package_names_it(
    link: str, name: str, old: str, new: str, runs: Any, tmp_path: Path
) -> None:
    """Whoever mends the digests of the package too would get a better number past a reader."""
    package_public(runs("table"), tmp_path / "p")
    path = tmp_path / "p" / "run" / name
    text = path.read_text().replace(old, new, 1)
    assert text != path.read_text()
    path.write_text(text)
    document = json.loads((tmp_path / "p" / "public.json").read_text())
    entry = document["files"][f"run/{name}"]
    entry |= {"bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest(), "scrubbed": True}
    if entry["original"] is None:
        entry["scrubbed"] = False
    (tmp_path / "p" / "public.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    broken = {each.id for each in verify_any(tmp_path / "p").links if each.state == "BROKEN"}
    assert link in broken


@pytest.mark.slow
def test_a_package_is_held_against_the_run_that_is_given(runs: Any, tmp_path: Path) -> None:
    """A package of another run could be shown as this one."""
    package_public(runs("table"), tmp_path / "p")
    same = verify_any(tmp_path / "p", run=runs("table"))
    assert {"package-run": "OK"}.items() <= {each.id: each.state for each in same.links}.items()
    other = verify_any(tmp_path / "p", run=runs("costs"))
    assert {"package-run": "BROKEN"}.items() <= {each.id: each.state for each in other.links}.items()


def test_a_run_that_was_changed_is_not_published(runs: Any, tmp_path: Path) -> None:
    """A forged run would get a clean package."""
    copy = tmp_path / runs("table").name
    shutil.copytree(runs("table"), copy)
    (copy / "predictions.csv").write_text("sample_id\n1\n")
    with pytest.raises(TamperedError):
        package_public(copy, tmp_path / "p.tar.gz")
    assert not (tmp_path / "p.tar.gz").exists()


def test_nothing_that_is_there_is_replaced(runs: Any, tmp_path: Path) -> None:
    """Packaging into a folder would destroy what lies in it."""
    (tmp_path / "p").mkdir()
    with pytest.raises(InputError, match="already"):
        package_public(runs("table"), tmp_path / "p")
    with pytest.raises(InputError, match="no run"):
        package_public(tmp_path / "nowhere", tmp_path / "q")
