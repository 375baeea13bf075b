"""What the golden archives are made of: each family is built in an empty folder by commands that users give.

``make.py`` packs what these functions leave; the tests of ``test_golden_schemas.py`` build it again with the code as
it is now. Numbers come from ``random.Random``, and models are such that no processor's arithmetic decides a digit
that counts: trees, closed forms, small networks whose own predictions are kept.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import shutil
import statistics
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from archive_kit import OURS
from attack_kit import Answer, heldout

TREES = {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "params": {"n_estimators": 2, "max_depth": 3}}
CLASS_TREES = {"estimator": "sklearn.ensemble.ExtraTreesClassifier", "params": {"n_estimators": 2, "max_depth": 3}}
MEAN = {"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}
MAJORITY = {"id": "majority", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyClassifier"}}


def told(cwd: Path, *words: object, code: int = 0) -> Answer:
    """What a command answers; anything but this exit code is an error of the recipe."""
    answer = heldout(*words, cwd=cwd)
    if int(answer.code) != code:
        raise AssertionError(f"heldout {' '.join(map(str, words))}: exit {answer.code}\n{answer.out}{answer.err}")
    return answer


def write_json(path: Path, document: Any) -> Path:
    """A study, say: JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def write_rows(path: Path, header: str, rows: Iterable[Iterable[object]]) -> Path:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(path: Path, *, task: str = "regression", groups: int = 12, each: int = 10, seed: int = 0) -> Path:
    """Twelve patients of ten rows: ``y`` is a step of ``a`` and a line of ``b``, with noise, or a label of it."""
    rng, rows = random.Random(seed), []
    for number in range(groups * each):
        a, b, noise = (round(rng.gauss(0, 1), 4) for _ in range(3))
        y = round(2 * (a > 0) + b + 0.2 * noise, 4)
        label = "high" if y > 1 else "low"
        sex = "f" if rng.random() < 0.5 else "m"
        rows.append((f"r{number:03d}", f"p{number % groups:02d}", sex, a, b, y if task == "regression" else label))
    return write_rows(path, "row,patient,sex,a,b,y", rows)


def tables(home: Path) -> None:
    """A regression and a classification: PROMOTE, HOLD, a smoke run, an amendment, plans and checks."""
    regression = home / "regression"
    table(regression / "table.csv")
    rules = [
        {"id": "pearson", "metric": "pearson", "over": "pooled", "at_least": 0.7},
        {"id": "beats-mean", "metric": "rmse", "against": "mean", "at_least": 0},
        {"id": "worst-patient", "metric": "rmse", "over": "worst_group", "at_most": 1.5},
        {"id": "both-sexes", "metric": "rmse", "over": "worst_slice", "slice": "sex", "at_most": 1.2},
        {"id": "spread", "metric": "pearson", "scope": "members", "statistic": "spread", "at_most": 0.2},
    ]
    study = {
        "study": "patients",
        "corpus": {"path": "table.csv", "id": "row", "group": "patient", "target": "y", "features": ["sex", "a", "b"]},
        "backbone": "sklearn",
        "fit": TREES,
        "seeds": [0, 1],
        "baselines": [MEAN, {"id": "linear", "backbone": "ridge"}],
        "variants": [
            {"id": "deep", "set": {"fit.params.max_depth": 6}},
            {"id": "stump", "set": {"fit.params.max_depth": 1, "fit.params.n_estimators": 1}},
        ],
        "gate": {"rules": rules, "slices": ["sex"]},
        "bootstrap": {"draws": 200},
    }
    write_json(regression / "study.yaml", study)
    keep(regression / "said/check.json", told(regression, "check", "study.yaml", "--json"))
    keep(regression / "said/plan.json", told(regression, "gate", "plan", "study.yaml", "--json"))
    told(regression, "run", "study.yaml", "--workers", 1, "--set", "fit.params.max_depth=2", code=1)
    told(regression, "run", "study.yaml", "--workers", 1)
    told(regression, "run", "study.yaml", "--workers", 1, "--variant", "stump", code=1)
    rules[0]["at_least"] = 0.65
    write_json(regression / "study.yaml", study)
    told(regression, "gate", "amend", "study.yaml", "--variant", "deep", "--reason", "the assay repeats to 0.7 only")
    told(regression, "run", "study.yaml", "--workers", 1, "--variant", "deep")
    keep(regression / "said/plan-after.json", told(regression, "gate", "plan", "study.yaml", "--json"))
    labels = home / "classification"
    table(labels / "table.csv", task="classification", seed=1)
    rules = [
        {"id": "balanced", "metric": "balanced_accuracy", "over": "pooled", "at_least": 0.7},
        {"id": "beats-majority", "metric": "accuracy", "against": "majority", "at_least": 0},
    ]
    study |= {"study": "labels", "corpus": study["corpus"] | {"task": "classification"}, "fit": CLASS_TREES}
    study |= {"variants": [], "baselines": [MAJORITY], "gate": {"rules": rules}}
    write_json(labels / "study.yaml", study)
    told(labels, "run", "study.yaml", "--workers", 1)


def keep(path: Path, answer: Answer) -> None:
    """Store what a command said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(answer.out)


def newest(runs: Path, label: str = "base") -> Path:
    """The only run directory of a label that was judged and is no smoke run."""
    (found,) = (
        path.parent
        for name in ("PROMOTE.json", "HOLD.json")
        for path in runs.glob(f"{label}-*/{name}")
        if json.loads(path.read_text())["smoke"] is None
    )
    return found


def small(folder: Path, *, name: str = "sites", seed: int = 2, **changes: Any) -> Path:
    """A quick study: ridges over six patients, all but ``useless`` PROMOTE."""
    table(folder / "table.csv", groups=6, seed=seed)
    document = {
        "study": name,
        "corpus": {"path": "table.csv", "id": "row", "group": "patient", "target": "y", "features": ["a", "b"]},
        "backbone": "ridge",
        "seeds": [0],
        "baselines": [{"id": "flat", "backbone": "ridge", "fit": {"alpha": 1e9}}],
        "variants": [
            {"id": "alpha2", "set": {"fit.alpha": 2.0}},
            {"id": "alpha4", "set": {"fit.alpha": 4.0}},
            {"id": "useless", "set": {"fit.alpha": 1e6}},
        ],
        "gate": {"rules": [{"id": "pearson", "metric": "pearson", "over": "pooled", "at_least": 0.7},
                           {"id": "error", "metric": "rmse", "over": "pooled", "at_most": 1.1}]},
        "bootstrap": {"draws": 100},
    }  # fmt: skip
    return write_json(folder / "study.yaml", document | changes)


def ran(folder: Path, label: str = "base", code: int = 0) -> Path:
    """The folder of a run of the study, relative to that of the study."""
    told(folder, "run", "study.yaml", "--workers", 1, "--variant", label, code=code)
    study = json.loads((folder / "study.yaml").read_text())["study"]
    return newest(folder / "runs" / study, label).relative_to(folder)


def registry(home: Path) -> None:
    """Two champions and a rollback in SQLite; challengers in the shadow of two batches, and the outcomes of one."""
    small(home)
    served(home)
    told(home, "registry", "add", ran(home, "alpha4"), "--challenger", "--by", "ann")
    for day in ("monday", "tuesday"):
        rng = random.Random(day)
        write_rows(home / f"{day}.csv", "row,a,b", ((f"{day}{n}", rng.random(), rng.random()) for n in range(20)))
        told(home, "shadow", "run", "--batch", f"{day}.csv", "--slot", "sites")
    now = dt.datetime.now(dt.UTC).isoformat()  # what was known before it was predicted is refused
    known = ((f"monday{n}", n / 10, now) for n in range(20))
    write_rows(home / "outcomes.csv", "sample_id,outcome,available_at", known)
    told(home, "shadow", "join", "--outcomes", "outcomes.csv", "--slot", "sites")
    keep(home / "said/shadow.json", told(home, "shadow", "list", "--slot", "sites", "--json"))


def served(home: Path) -> None:
    """Two champions, one after the other, and the way back."""
    for run in (ran(home), ran(home, "alpha2")):
        told(home, "registry", "add", run, "--by", "ann")
        told(home, "registry", "promote", run, "--slot", "sites", "--by", "ann", "--reason", "better")
    told(home, "registry", "rollback", "sites", "--by", "ben", "--reason", "complaints from the field")
    told(home, "registry", "export", "registry.json")
    keep(home / "said/list.json", told(home, "registry", "list", "--json"))
    keep(home / "said/history.json", told(home, "registry", "history", "--json"))


def kit(home: Path) -> None:
    """A kit's documents, the bundle that came back, our own run, a public package, and a signed run that is held."""
    small(home, name="handed")
    told(home, "kit", "build", "study.yaml", "--out", "kit.tar.gz", "--no-hashes", "--agree", "plcc=0.005")
    run, operator = ran(home), home / "handed-kit"
    with tarfile.open(home / "kit.tar.gz") as archive:
        archive.extractall(home, **OURS)
    shutil.copy(home / "table.csv", operator / "table.csv")
    theirs = ran(operator)
    told(operator, "kit", "bundle", theirs, "--out", "../results.tar.gz", "--corpus", "table.csv", "--kit", ".")
    told(home, "package", "public", run, "--out", "public.tar.gz")
    told(home, "sign", "--new-key", "key.pem")
    held = ran(home, "useless", code=1)
    told(home, "kit", "bundle", held, "--out", "held.tar.gz", "--without-corpus")
    told(home, "sign", held, "--key", "key.pem")
    (home / "key.pem").unlink()
    (home / "kit.tar.gz").unlink()  # a kit holds all of heldout's sources
    for part in ("dist", "runs"):
        shutil.rmtree(operator / part)


def market(home: Path) -> None:
    """A panel of eight assets, runs over it, and the board that ranks them."""
    from market_kit import frame, prices

    if not (home / "panel.csv").exists():
        frame(prices(300, 8, drift=0.004)).write_csv(home / "panel.csv")
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    reader = {"reader": "market_panel", "path": "panel.csv", "forward_days": 5, "block": 20, "features": features}
    document = {
        "study": "panel",
        "corpus": reader,
        "split": {"kind": "walk-forward", "warmup": 5, "window": 3},
        "backbone": "ridge",
        "seeds": [0],
        "baselines": [],
        "variants": [
            {"id": "no-reversal", "set": {"corpus.features.reversal": None}},
            {"id": "noise", "set": {"backbone": "market_noise", "fit": {}}},
        ],
        "gate": {"rules": [{"id": "rank-ic", "metric": "srocc", "over": "within_cell", "at_least": 0.02}]},
        "bootstrap": {"draws": 100},
    }
    write_json(home / "study.yaml", document)
    ran(home)
    ran(home, "no-reversal")
    keep(home / "said/board.json", board(home))


def board(home: Path) -> Answer:
    """The leaderboard of both runs, as JSON; its page lies in ``board.html``."""
    runs = (newest(home / "runs/panel", label).relative_to(home) for label in ("base", "no-reversal"))
    return told(
        home, "leaderboard", *runs, "--panel", "panel.csv", "--html", "board.html", "--top", 3, "--json", code=1
    )


FRAME_SCORES = ("vmaf", "adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")


def frames(path: Path, *, sources: int = 4, each: int = 8) -> Path:
    """Rows as libvmaf gives them, in the published order of keys; the score is a smooth function of the features."""
    rng, rows = random.Random(3), []
    for source, encoder, cq in (
        (s, e, q) for s in range(sources) for e in ("libx264", "libx265") for q in (19, 25, 31, 37)
    ):
        for frame in range(each):
            loss = (0.3 + 0.2 * source) * math.exp((cq - 31) / 9 + rng.gauss(0, 0.1))
            loss *= 0.8 if encoder == "libx265" else 1.0
            values = [100 / (1 + math.exp(-4.5 + 1.8 * loss)), 1 - 0.075 * loss]
            values += [math.exp(-speed * loss) for speed in (1.05, 0.34, 0.21, 0.14)]
            values = [min(value, 100) * (1 + rng.gauss(0, 0.002)) for value in values]
            scores = zip(FRAME_SCORES, [*values, rng.uniform(3, 9) if frame else 0.0], strict=True)
            head = {"src": f"source{source}", "encoder": encoder, "cq": cq, "enc_bytes": 90_000 // cq}
            row = head | {"enc_time_ms": 1.0, "frame_index": frame} | {key: round(value, 6) for key, value in scores}
            rows.append(row)
    return write_lines(path, rows)


def video(home: Path) -> None:
    """Published files of a run that PROMOTEs, of one that does not and of a dry run; what was exported and flipped."""
    clips(home)
    ran(home, "hasty", code=1)
    told(home, "run", "study.yaml", "--workers", 1, "--set", "fit.epochs=1", code=1)


def clips(home: Path) -> None:
    """A run that PROMOTEs, its export, the flip of the export's registry, and judged reports of somebody else."""
    if not (home / "per_frame_canonical6.jsonl").exists():
        frames(home / "per_frame_canonical6.jsonl")
    part = {"metric": "plcc", "scope": "members"}
    document = {
        "study": "clips",
        "corpus": {"reader": "video_frames", "path": "per_frame_canonical6.jsonl"},
        "backbone": "fr_regressor",
        "fit": {"epochs": 40, "hidden": 16},
        "seeds": [0, 1],
        "baselines": [],
        "variants": [{"id": "hasty", "set": {"fit.epochs": 2}}],
        "gate": {
            "min_seeds": 2,
            "rules": [
                {"id": "mean-plcc", **part, "statistic": "mean", "at_least": 0.9},
                {"id": "plcc-spread", **part, "statistic": "spread", "at_most": 0.05},
                {"id": "every-seed", **part, "statistic": "min", "at_least": 0.9},
            ],
        },
        "bootstrap": {"draws": 100},
    }
    write_json(home / "study.yaml", document)
    run = ran(home)
    told(home, "video", "export", run, "--corpus", "per_frame_canonical6.jsonl", "--out", "tiny")
    cards = sorted((home / "tiny").glob("*_seed*.json"))
    rows = [{"id": c.stem, "kind": "fr", "onnx": f"{c.stem}.onnx", "sha256": "0" * 64, "smoke": True} for c in cards]
    (home / "tiny/registry.json").write_text(json.dumps({"schema_version": 1, "models": rows}, indent=2) + "\n")
    (home / "before.json").write_bytes((home / "tiny/registry.json").read_bytes())
    (verdict,) = (home / run).glob("PROMOTE.json")
    told(home, "registry", "flip", "tiny/registry.json", "--verdict", verdict.relative_to(home))
    reported(home / "reported")
    reported(home / "reported-low", lower=0.06, seeds=3)
    judge_reported(home)


def judge_reported(home: Path) -> None:
    """Verdicts over both folders of somebody's reports: PROMOTE, and HOLD."""
    told(home, "gate", "judge", "reported", "--reported")
    told(home, "gate", "judge", "reported-low", "--reported", "--seeds", "0,1,2", code=1)


def reported(folder: Path, *, lower: float = 0.0, seeds: int = 5) -> None:
    """Somebody's ``loso_seed{N}.json``, written as the existing system writes them."""
    folder.mkdir()
    names = ("BigBuckBunny_25fps", "CrowdRun_25fps", "ElFuente1_30fps", "Tennis_24fps")
    for seed in range(seeds):
        folds = [
            {"held_out": name, "n_train": 1800, "n_val": 600, "plcc": 0.9975 - lower - 1e-4 * number - 2e-4 * seed}
            | {"srocc": 0.99 - 1e-3 * number - 1e-4 * seed, "rmse": 0.8 + 0.1 * number + 0.01 * seed}
            for number, name in enumerate(names)
        ]
        plcc = [fold["plcc"] for fold in folds]
        document = {"seed": seed, "corpus": "runs/per_frame_canonical6.jsonl", "n_folds": len(folds), "folds": folds}
        document |= {f"mean_{name}": statistics.fmean(f[name] for f in folds) for name in ("plcc", "srocc", "rmse")}
        document |= {"std_plcc": statistics.stdev(plcc), "min_plcc": min(plcc), "max_plcc": max(plcc)}
        document |= {"epochs": 200, "batch_size": 32, "lr": 5e-4, "weight_decay": 1e-5, "num_codecs": 14}
        document |= {"encoder_vocab_version": 2, "wall_time_s": 28.4}
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        (folder / f"loso_seed{seed}.json").write_text(text)


LEARNABLE = ["action_macro_f1", "contact_accuracy", "object_micro_f1", "json_validity_rate", "held_out_episode_count"]


def embodied(home: Path, episodes: int = 48) -> None:
    """Episodes, their manifest and index; evaluations of every family, merged shards, a comparison, watched trainings.

    Inputs that are there already (episodes, brought predictions, trainings) are taken as they are.
    """
    from evaluation_kit import write_episode

    for number in range(0 if (home / "store").exists() else episodes):
        write_episode(home / "store", number)
    told(home, "embodied", "select", "store", "--out", "manifest")
    told(home, "index", "build", "manifest", "--out", "index", "--scale", "10/10", "--context-frames", 20)
    contract = json.loads(told(home, "backbone", "show", "qwen3_omni_lora").out)
    write_json(home / "configs/backbones/qwen3_omni_lora.json", contract | {"primary_metrics": LEARNABLE})
    ask = ["eval", "run", "index", "--backbone", "qwen3_omni_lora"]
    told(home, *ask, "--predictor", "nearest", "--out", "nearest")
    told(home, *ask, "--predictor", "majority", "--out", "majority", code=1)
    told(home, *ask, "--predictor", "nearest", "--out", "smoke", "--sample-limit", 5, code=1)
    told(home, *ask, "--predictor", "nearest", "--out", "val", "--split", "val", code=1)
    for shard in range(2):
        told(
            home,
            *ask,
            "--predictor",
            "nearest",
            "--out",
            f"shard{shard}",
            "--sample-offset",
            shard,
            "--sample-stride",
            2,
        )
    told(home, "eval", "merge", "shard0", "shard1", "--out", "merged")
    told(home, "eval", "compare", "nearest", "majority", "--out", "decision")
    brought = ["eval", "score", "nearest/predictions.jsonl", "--backbone", "qwen3_omni_lora", "--index", "index"]
    told(home, *brought, "--out", "brought")
    told(home, "package", "public", "nearest", "--out", "public.tar.gz", "--contract", "qwen3_omni_lora")
    families(home / "families")
    watched(home)


def families(home: Path) -> None:
    """Predictions that somebody brought, of answers, futures and actions, scored without an index."""
    from published_kit import noisy, predictions_of, write_dataset

    if not home.exists():
        home.mkdir()
        dataset = write_dataset(home / "dataset.jsonl")
        write_lines(home / "predictions.jsonl", predictions_of(dataset, noisy(0)))
        write_lines(home / "future_predictions.jsonl", futures())
        write_lines(home / "action_predictions.jsonl", actions())
    told(home, "index", "import", "dataset.jsonl", "--out", "imported")
    for name, backbone in FAMILIES.items():
        words = ["eval", "score", name, "--backbone", backbone, "--train-labels", "dataset.jsonl"]
        told(home, *words, "--out", backbone, code=1)


FAMILIES = {
    "predictions.jsonl": "qwen3_omni_lora",
    "future_predictions.jsonl": "cosmos_world_model",
    "action_predictions.jsonl": "policy_vla_branch",
}


def futures(episodes: int = 6, windows: int = 8, dims: int = 4) -> list[dict[str, Any]]:
    """Queries of walks, each against the futures of all, by a predictor with noise."""
    import numpy as np
    from places import future_rows

    rng = np.random.default_rng(0)
    walk = rng.normal(size=(episodes, windows + 1, dims)).cumsum(axis=1)
    present, future = walk[:, :-1].reshape(-1, dims), walk[:, 1:].reshape(-1, dims)
    keys = [
        {"id": f"e{e}:future:{n}", "episode_id": f"e{e}", "split": "test", "context_record_id": f"e{e}:{n}"}
        | {"future_record_id": f"e{e}:{n + 1}", "labels": {"action": "ab"[n % 2], "transition": "no", "contact": "yes"}}
        for e in range(episodes)
        for n in range(windows)
    ]
    guess = future + rng.normal(size=future.shape)
    return future_rows(guess, future, present, future.mean(axis=0), future.std(axis=0), keys)


def actions() -> list[dict[str, Any]]:
    """Actions of windows, most of them right, with a path of one point."""
    rng, rows = random.Random(1), []
    for number in range(48):
        action = "ab"[number % 2]
        true = {"action": action, "next_action": action, "contact": "yes", "objects": ["cup"]}
        path = [[[round(rng.gauss(0, 1), 4) for _ in range(3)]] for _ in range(4)]
        moved = [[[round(x + 0.01, 4) for x in point] for point in points] for points in path]
        rows.append(
            {"id": f"w{number:02d}", "episode_id": f"e{number // 8}", "split": "test", "true": true}
            | {"pred": true | {"action": "a" if number % 5 == 0 else action}, "true_trajectory": path}
            | {"pred_trajectory": moved, "last_points": path[0], "last_velocity": [[0, 0, 0]]}
        )
    return rows


# The training's last event, what is asked of the watcher, and how the watch ends.
WATCHED: dict[str, tuple[list[dict[str, Any]], list[object], int]] = {
    "judged": ([{"event": "train_step", "global_step": 10, "max_train_steps": 10}, {"event": "complete"}], [], 1),
    "not-judged": ([{"event": "complete"}], ["--skip-full-eval"], 0),
    "failed": ([{"event": "failed"}], [], 5),
    "late": ([{"event": "train_step", "global_step": 1, "max_train_steps": 10}], ["--timeout-hours", 0], 5),
    "unsound": ([{"event": "complete"}], ["gate the checkpoint"], 5),
}


def watched(home: Path) -> None:
    """Trainings that end in each way, and what their watchers wrote."""
    from checkpoint_kit import make_adapter

    for name, (events, _, _) in WATCHED.items():
        training = home / "watched" / name / "training"
        if not training.exists():
            make_adapter(training)
            stamped = [{"time": f"2030-01-01T00:0{minute}:00+00:00"} | event for minute, event in enumerate(events)]
            write_lines(training / "progress.jsonl", stamped)
        watch(home, name, Path("watched", name, "out"))


def watch(home: Path, name: str, out: Path) -> Answer:
    """Watch a training of ``watched``."""
    _, more, code = WATCHED[name]
    words = ["watch", f"watched/{name}/training", "--backbone", "qwen3_omni_lora", "--index", "index", "--json"]
    gate = [] if more == ["gate the checkpoint"] else ["--skip-checkpoint", *more]
    return told(home, *words, "--predictor", "majority", "--out", out, "--poll-seconds", 0, *gate, code=code)


def fresh_tables(home: Path) -> None:
    """A quick regression with a HOLD after it, and a classification."""
    small(home / "numbers")
    keep(home / "numbers/said/check.json", told(home / "numbers", "check", "study.yaml", "--json"))
    keep(home / "numbers/said/plan.json", told(home / "numbers", "gate", "plan", "study.yaml", "--json"))
    served(home / "numbers")
    ran(home / "numbers", "useless", code=1)
    labels = home / "labels"
    changes = {
        "backbone": "sklearn",
        "fit": {"estimator": "sklearn.naive_bayes.GaussianNB"},
        "baselines": [],
        "variants": [],
        "gate": {"rules": [{"id": "balanced", "metric": "balanced_accuracy", "over": "pooled", "at_least": 0.6}]},
    }
    small(labels, name="labels", **changes)
    table(labels / "table.csv", task="classification", groups=6, seed=1)
    ran(labels)


# Families that are built again by the code as it is now, quick ones, to compare what is written today.
FRESH: dict[str, Callable[[Path], None]] = {
    "tables": fresh_tables,
    "kit": kit,
    "market": market,
    "video": clips,
    "embodied": embodied,
}

# Of an archive, what its other files follow from: a folder with these alone is filled by the same recipe.
INPUTS = {
    "embodied": ("store", "families/*.jsonl", "watched/*/training"),
    "market": ("panel.csv",),
    "video": ("per_frame_canonical6.jsonl",),
}


def without_plots(patch: Any) -> None:
    """Let figures be empty: no document depends on them."""
    from heldout.report import svg

    patch.setattr(svg, "_drawn", lambda _: "<svg ></svg>")
