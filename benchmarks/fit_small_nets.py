"""How fast do many small networks train? The plain PyTorch loop, the same without its DataLoader, and both engines.

One run measures all of them in turn, several times, so that a busy machine is busy for each; ratios are taken within a
turn. The loop is measured on some epochs and extrapolated to the whole job; the engines also run the job whole.

    python benchmarks/fit_small_nets.py --rows 5640 --epochs 200
    python benchmarks/fit_small_nets.py --quick
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _corpus import Fold, corpus, folds
from _published import plain_steps

from heldout.engine import default_workers
from heldout.evidence import write_json
from heldout.fit import MLPConfig, TrainJob, predict, train

SCHEMA = "heldout.benchmark/1"
RECIPE = MLPConfig((20, 64, 64, 1), dropout=0.1, weight_decay=1e-5)


def main() -> None:
    """Measure, print, write."""
    options = _options()
    config = replace(RECIPE, epochs=options.epochs)
    made = folds(corpus(options.rows), options.seeds)
    jobs = [job for fold in made for job in fold.jobs]
    steps = sum(-(-len(job.y) // config.batch_size) for job in jobs) * config.epochs
    print(f"{len(jobs)} models, {options.rows} rows, {config.epochs} epochs: {steps:,} model-steps")
    turns = _turns(config, jobs, options)
    figures = _summary(turns, config, steps)
    if not options.quick:
        figures["whole_job"] = _whole(config, jobs, options, figures["us_per_model_step"], steps)
    figures["agreement"] = _agreement(replace(config, epochs=options.agree_epochs), made)
    _print(figures)
    machine = {"processor": _processor(), "cores": default_workers(), "system": platform.platform()}
    packages = {name: version(name) for name in ("numpy", "torch", "numba")}
    write_json(
        options.out,
        {"schema": SCHEMA, "benchmark": "fit_small_nets", "machine": machine, "packages": packages}
        | {"rows": options.rows, "epochs": options.epochs, "models": len(jobs), **figures},
    )
    print(f"written to {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5640, choices=(5640, 33840))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--agree-epochs", type=int, default=5, help="epochs of the comparison of held-out correlations")
    parser.add_argument("--quick", action="store_true", help="short turns, no whole job; for a look")
    parser.add_argument("--out", type=Path, help="default: results/fit_small_nets-<rows>.json beside this script")
    options = parser.parse_args()
    options.out = options.out or Path(__file__).parent / "results" / f"fit_small_nets-{options.rows}.json"
    if options.quick:
        options.turns, options.agree_epochs = 3, 2
    return options


def _turns(config: MLPConfig, jobs: list[TrainJob], options: argparse.Namespace) -> list[dict[str, float]]:
    """Microseconds a model-step of each contender and GFLOP/s of a matrix product, measured in turn."""
    loop_steps = 200 if options.quick else 600
    short = max(
        1, round((20_000 if options.quick else 200_000) / (len(jobs) * -(-len(jobs[0].y) // config.batch_size)))
    )
    brief, cores = replace(config, epochs=short), default_workers()
    contenders: dict[str, Callable[[], float]] = {
        "loop": lambda: _loop_us(config, jobs[0], loop_steps, data_loader=True),
        "loop without DataLoader": lambda: _loop_us(config, jobs[0], loop_steps, data_loader=False),
        "stacked": lambda: _engine_us(brief, jobs, "stacked", 1),
        "cached, 1 core": lambda: _engine_us(brief, jobs, "cached", 1),
        f"cached, {cores} cores": lambda: _engine_us(brief, jobs, "cached", cores),
        "gemm": _gemm_gflops,
    }
    for measure in contenders.values():  # compile, and fill caches
        measure()
    return [{name: measure() for name, measure in contenders.items()} for _ in range(options.turns)]


def _loop_us(config: MLPConfig, job: TrainJob, steps: int, *, data_loader: bool) -> float:
    timed = plain_steps(config, job, data_loader=data_loader, max_steps=steps)
    return 1e6 * timed.wall / timed.steps


def _engine_us(config: MLPConfig, jobs: list[TrainJob], engine: Any, workers: int) -> float:
    steps = sum(-(-len(job.y) // config.batch_size) for job in jobs) * config.epochs
    return 1e6 * _seconds(config, jobs, engine, workers) / steps


def _seconds(config: MLPConfig, jobs: list[TrainJob], engine: Any, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for _ in train(config, jobs, Path(folder), engine=engine, workers=workers):
            pass
        return time.perf_counter() - started


def _gemm_gflops() -> float:
    """Float32 matrix product on one core: the best of two sizes and of numpy's and PyTorch's library."""
    import torch

    torch.set_num_threads(1)
    best = 0.0
    for size in (512, 1024):
        a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        t = torch.from_numpy(a)
        for product in (lambda a=a: a @ a, lambda t=t: t @ t):
            for _ in range(4):
                started = time.perf_counter()
                product()
                best = max(best, 2e-9 * size**3 / (time.perf_counter() - started))
    return best


def _flop_of_a_step(config: MLPConfig) -> int:
    """Matrix products of one full batch: forward, by weights, and by inputs of all layers but the first."""
    sizes = [inputs * outputs for inputs, outputs in config.layer_shapes()]
    return 2 * config.batch_size * (3 * sum(sizes) - sizes[0])


def _summary(turns: list[dict[str, float]], config: MLPConfig, steps: int) -> dict[str, Any]:
    names = [name for name in turns[0] if name != "gemm"]
    ratios = {
        f"{name} over {peer}": _spread([turn[peer] / turn[name] for turn in turns])
        for peer in ("loop", "loop without DataLoader")
        for name in names
        if not name.startswith("loop")
    }
    flop = _flop_of_a_step(config)
    return {
        "us_per_model_step": {name: _spread([turn[name] for turn in turns]) for name in names},
        "ratio": ratios,
        "gemm_gflops_one_core": _spread([turn["gemm"] for turn in turns]),
        "share_of_gemm_peak_one_core": {
            name: _spread([flop / turn[name] / 1e3 / turn["gemm"] for turn in turns])
            for name in ("loop", "stacked", "cached, 1 core")
        },
        "model_steps": steps,
        "turns": len(turns),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _whole(
    config: MLPConfig, jobs: list[TrainJob], options: argparse.Namespace, us: dict[str, Any], steps: int
) -> dict[str, Any]:
    """The whole job by the engines; the loop's time is extrapolated from its steps in this run."""
    peers = {name: us[name]["median"] * steps / 1e6 for name in ("loop", "loop without DataLoader")}
    ours = {"cached": _seconds(config, jobs, "cached", default_workers())}
    if options.rows == 5640:
        ours["stacked"] = _seconds(config, jobs, "stacked", 1)
    return {
        "seconds": ours,
        "seconds_extrapolated": peers,
        "ratio": {f"{name} over {peer}": peers[peer] / ours[name] for name in ours for peer in peers},
    }


def _agreement(config: MLPConfig, made: list[Fold]) -> dict[str, Any]:
    """Held-out correlation of loop and engines: per-seed means over folds by Welch's t, and the largest fold gap."""
    from scipy.stats import ttest_ind

    with tempfile.TemporaryDirectory() as folder:
        jobs = [job for fold in made for job in fold.jobs]
        engines = {name: dict(train(config, jobs, Path(folder) / name, engine=name)) for name in ("cached", "stacked")}
    engines["loop"] = {job.name: plain_steps(config, job).weights for job in jobs}
    plcc = {
        name: np.array([[np.corrcoef(predict(w[j.name], f.X), f.y)[0, 1] for j in f.jobs] for f in made])
        for name, w in engines.items()
    }
    result: dict[str, Any] = {"epochs": config.epochs, "mean_plcc": {}, "std_over_seeds": {}}
    for name, values in plcc.items():
        result["mean_plcc"][name] = float(values.mean())
        result["std_over_seeds"][name] = float(values.mean(0).std(ddof=1))
    for name in ("cached", "stacked"):
        welch = ttest_ind(plcc[name].mean(0), plcc["loop"].mean(0), equal_var=False)
        by_fold = [ttest_ind(a, b, equal_var=False).pvalue for a, b in zip(plcc[name], plcc["loop"], strict=True)]
        result[name] = {
            "p_of_seed_means": float(welch.pvalue),
            "smallest_p_of_a_fold": float(min(by_fold)),
            "bonferroni_bound": 0.05 / len(made),
        }
    return result


def _print(figures: dict[str, Any]) -> None:
    print("\nmicroseconds a model-step: median (low .. high)")
    for name, each in figures["us_per_model_step"].items():
        print(f"  {name:26} {each['median']:9.2f}  ({each['low']:.2f} .. {each['high']:.2f})")
    print("times faster, within a turn")
    for name, each in figures["ratio"].items():
        print(f"  {name:46} {each['median']:7.1f}  ({each['low']:.1f} .. {each['high']:.1f})")
    gemm = figures["gemm_gflops_one_core"]
    print(f"float32 matrix product, one core: {gemm['median']:.0f} GFLOP/s ({gemm['low']:.0f} .. {gemm['high']:.0f})")
    for name, each in figures["share_of_gemm_peak_one_core"].items():
        print(f"  {name:26} reaches {each['median']:.3f} of it")
    if "whole_job" in figures:
        whole = figures["whole_job"]
        for name, seconds in whole["seconds"].items():
            print(f"whole job, {name}: {seconds:.1f} s (run whole)")
        for name, seconds in whole["seconds_extrapolated"].items():
            print(f"whole job, {name}: {seconds:.0f} s (extrapolated from its steps in this run)")
        for name, ratio in whole["ratio"].items():
            print(f"  {name:46} {ratio:7.1f}")
    agreement = figures["agreement"]
    for name, mean in agreement["mean_plcc"].items():
        spread = agreement["std_over_seeds"][name]
        print(f"held-out PLCC after {agreement['epochs']} epochs, {name}: {mean:.4f} +- {spread:.4f}")
    for name in ("cached", "stacked"):
        each = agreement[name]
        print(
            f"  {name} against loop: p of seed means {each['p_of_seed_means']:.3f}, smallest p of a fold "
            f"{each['smallest_p_of_a_fold']:.4f} (bound {each['bonferroni_bound']:.4f})"
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
