"""Ways to a false PROMOTE, a wrong exit code or a lost file: each one a test, and one row of ``docs/threat-model.md``.

An attack is a test function with ``@route(...)``. Its docstring says what would be wrong in the world if it failed; the
route says who does it, how, and how it must end. ``ROUTES`` holds every route of the modules that were imported.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import polars as pl

Who = Literal["careless user", "motivated author", "sender of a bundle", "operator", "disk"]
Ends = Literal[
    "stopped",  # exit code 2, 3 or 5: no verdict comes out
    "HOLD",  # judged, and the reason is in the verdict
    "flagged",  # a finding, an amendment or a count that the verdict shows
    "TAMPERED",  # `heldout verify` says so, offline
    "needs --corpus",  # `heldout verify --corpus` says so
    "needs --refit",  # `heldout verify --refit` says so
    "needs a signature",
    "cannot be known",
]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Route:
    """One attack, as the threat model tells it."""

    kind: str
    who: Who
    how: str
    ends: Ends


ROUTES: list[Route] = []


def route(kind: str, who: Who, how: str, ends: Ends) -> Callable[[F], F]:
    """Mark a test as the proof of a route. Several decorators on a parametrised test are several routes."""
    ROUTES.append(Route(kind, who, how, ends))
    return lambda test: test


class Answer(NamedTuple):
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str


def heldout(*arguments: object, cwd: Path | None = None) -> Answer:
    """Run the real entry point in this process, as ``heldout ARGUMENTS`` in ``cwd``."""
    from heldout.cli.main import main

    before, argv, here = signal.getsignal(signal.SIGTERM), sys.argv, Path.cwd()
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["heldout", *map(str, arguments)]
    try:
        os.chdir(cwd or here)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    finally:
        os.chdir(here)
        sys.argv = argv
        signal.signal(signal.SIGTERM, before)
    return Answer(code, out.getvalue(), err.getvalue())


def rows_of_groups(
    *,
    task: str = "regression",
    rows: int = 150,
    groups: int = 5,
    noise: float = 0.3,
    seed: int = 0,
    signal: bool = True,
) -> pl.DataFrame:
    """A table of groups ``g0`` ..: ``y = a + b + noise``, its sign as a label for a classification, or pure noise."""
    rng = np.random.default_rng(seed)
    a, b, error = rng.normal(size=rows), rng.normal(size=rows), rng.normal(size=rows)
    y = a + b + noise * error if signal else error
    return pl.DataFrame(
        {
            "site": [f"g{number % groups}" for number in range(rows)],
            "a": a,
            "b": b,
            "y": y if task == "regression" else np.where(y > 0, "yes", "no"),
        }
    )


@dataclass
class Desk:
    """A folder with a corpus and a study of it."""

    folder: Path
    study: dict[str, Any]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def path(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def of_study(self) -> Path:
        """Where the study's runs and ledgers lie."""
        return self.runs / str(self.study["study"])

    def write(self, **changes: Any) -> Path:
        """Write the study with blocks replaced for good; JSON is YAML."""
        self.study = self.study | changes
        self.path.write_text(json.dumps(self.study, indent=1))
        return self.path

    def rules(self, *rules: Mapping[str, Any], **gate: Any) -> Path:
        """Write the study with these rules."""
        return self.write(gate={"rules": list(rules), **gate})

    def heldout(self, *arguments: object) -> Answer:
        return heldout(*arguments, cwd=self.folder)

    def run(self, *more: object) -> Answer:
        """``heldout run study.yaml``, in one process."""
        return self.heldout("run", "study.yaml", "--workers", 1, *more)

    @property
    def newest(self) -> Path:
        """The run directory that was judged last."""
        verdicts = [*self.of_study.glob("*/PROMOTE.json"), *self.of_study.glob("*/HOLD.json")]
        return max(verdicts, key=lambda path: path.stat().st_mtime_ns).parent

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict that was given last."""
        name = "PROMOTE.json" if (self.newest / "PROMOTE.json").exists() else "HOLD.json"
        found: dict[str, Any] = json.loads((self.newest / name).read_text())
        return found

    def rule(self, identifier: str) -> dict[str, Any]:
        """What one rule of the newest verdict says."""
        return next(rule for rule in self.verdict["rules"] if rule["id"] == identifier)


def table_desk(folder: Path, *, task: str = "regression", name: str = "table.csv", **rows: Any) -> Desk:
    """A table with a study that PROMOTEs: a linear model, one seed, bounds that a constant does not reach."""
    frame = rows_of_groups(task=task, **rows)
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}
    write[Path(name).suffix](folder / name)
    regression = task == "regression"
    rule = {"id": "good", "metric": "plcc" if regression else "balanced_accuracy", "over": "pooled", "at_least": 0.7}
    estimator = "LinearRegression" if regression else "LogisticRegression"
    desk = Desk(
        folder,
        {
            "study": "attacked",
            "corpus": {"reader": "table", "path": name, "group": "site", "target": "y", "task": task},
            "backbone": "sklearn",
            "fit": {"estimator": f"sklearn.linear_model.{estimator}"},
            "seeds": [0],
            "baselines": [],
            "gate": {"rules": [rule]},
            "bootstrap": {"draws": 100},
        },
    )
    desk.write()
    return desk


def frames_desk(folder: Path) -> Desk:
    """Scored frames of four sources (the video domain), with a study that PROMOTEs."""
    rng, path = np.random.default_rng(0), folder / "frames.jsonl"
    names = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")
    with path.open("w") as stream:
        for source in range(4):
            for cq in (19, 25, 31, 37):
                for frame in range(12):
                    loss = (0.3 + 0.2 * source) * np.exp((cq - 31) / 9 + rng.normal(0, 0.1))
                    values = np.exp(-loss * np.array([0.075, 1.05, 0.34, 0.21, 0.14])) + rng.normal(0, 0.003, 5)
                    scores = dict(zip(names, [*np.clip(values, 0, 1), 3 + abs(rng.normal())], strict=True))
                    vmaf = 100 / (1 + np.exp(-4.5 + 1.8 * loss))
                    head = {"src": f"s{source}", "encoder": "libx264", "cq": cq, "enc_bytes": 9000, "enc_time_ms": 1.0}
                    row = head | {"frame_index": frame, "vmaf": vmaf} | scores
                    stream.write(
                        json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}) + "\n"
                    )
    desk = Desk(
        folder,
        {
            "study": "attacked",
            "corpus": {"reader": "video_frames", "path": "frames.jsonl"},
            "backbone": "ridge",
            "seeds": [0],
            "baselines": [],
            "gate": {"rules": [{"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.7}]},
            "bootstrap": {"draws": 100},
        },
    )
    desk.write()
    return desk


def panel_desk(folder: Path) -> Desk:
    """A panel of twelve assets whose returns persist (the market domain), with a study that PROMOTEs."""
    from market_kit import frame, prices

    frame(prices(560, 12, drift=0.004)).write_parquet(folder / "panel.parquet")
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    reader = {"reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20, "features": features}
    desk = Desk(
        folder,
        {
            "study": "attacked",
            "corpus": reader,
            "split": {"kind": "walk-forward", "warmup": 14, "window": 4},
            "backbone": "ridge",
            "seeds": [0],
            "baselines": [],
            "gate": {"rules": [{"id": "good", "metric": "srocc", "over": "within_cell", "at_least": 0.02}]},
            "bootstrap": {"draws": 100},
        },
    )
    desk.write()
    return desk


def windows_desk(folder: Path) -> Desk:
    """Windows of 32 episodes (the embodied domain) in their manifest's split, with a study that PROMOTEs."""
    from evaluation_kit import make_index

    make_index(folder / "windows", episodes=32)
    desk = Desk(
        folder,
        {
            "study": "attacked",
            "corpus": {"reader": "window_index", "path": "windows/index/window_index.jsonl", "label": "next_action"},
            "split": {"kind": "declared", "column": "split"},
            "backbone": "sklearn",
            "fit": {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1000}},
            "seeds": [0],
            "baselines": [],
            "gate": {"rules": [{"id": "good", "metric": "kappa", "over": "pooled", "at_least": 0.3}]},
            "bootstrap": {"draws": 100},
        },
    )
    desk.write()
    return desk


def answers_desk(folder: Path) -> Desk:
    """What somebody answered about those windows, in the published form, with a study that PROMOTEs."""
    from heldout.domains.embodied.evaluate.predictors import Nearest
    from heldout.domains.embodied.index.sealed import read_targets
    from heldout.domains.embodied.index.source import IndexSource

    desk = windows_desk(folder)
    source = IndexSource(folder / "windows/index")
    samples, truth = source.samples("test"), read_targets(source.folder)
    said = Nearest(str(source.folder)).predict(samples)
    rows = (
        {"id": record["id"], "episode_id": record["episode_id"], "split": "test", "center_window": record["window"]}
        | {"true_label": truth[record["id"]]["action"], "true_json": truth[record["id"]], **answer}
        for record, answer in zip(source.records(samples), said, strict=True)
    )
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held_out = {"says": "only windows of train were measured"}
    fit = {"model": "answers.jsonl", "columns": ["next_action"], "held_out": held_out}
    desk.write(task="window_answers", backbone="window_answers", fit=fit)
    return desk


# Every task and domain on the road: an honesty rule is asked over all of them.
ROADS: dict[str, Callable[[Path], Desk]] = {
    "regression": lambda folder: table_desk(folder, task="regression"),
    "classification": lambda folder: table_desk(folder, task="classification"),
    "frames": frames_desk,
    "panel": panel_desk,
    "windows": windows_desk,
}
# And what is not fitted on it: what asks for no fit is asked over these too.
EVERY_ROAD = ROADS | {"answers": answers_desk}


@contextlib.contextmanager
def module_of(folder: Path, name: str, code: str) -> Iterator[str]:
    """A module of the user's own beside the study, importable while the block lasts, in child processes too."""
    (folder / f"{name}.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
    sys.path.insert(0, str(folder))
    try:
        yield name
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
        os.environ.pop("PYTHONPATH") if before is None else os.environ.__setitem__("PYTHONPATH", before)
