"""What every archive is asked: commands whose exit codes and answers stay what they were when it was made.

They are asked in this order, in one copy: some of them write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from recipes import WATCHED, newest

Words = tuple[Path, list[str]]  # the folder to be in, and the command


def of(family: str, home: Path) -> Iterator[Words]:
    """The commands of a family; paths are relative to the folder that they are given in."""
    yield from {
        "tables": _tables,
        "registry": _registry,
        "kit": _kit,
        "market": _market,
        "video": _video,
        "embodied": _embodied,
    }[family](home)


def _runs(home: Path) -> list[Path]:
    """Run directories below ``runs``, relative to the folder, in the order of their names."""
    found = (
        path.parent.relative_to(home) for name in ("PROMOTE", "HOLD") for path in home.glob(f"runs/*/*/{name}.json")
    )
    return sorted(found)


def _verified(home: Path, corpus: str, deep: str = "base") -> Iterator[Words]:
    """Every run is verified; those of a label by the corpus too, which asks their stored models again."""
    for run in _runs(home):
        more = ["--corpus", corpus] if run.name.startswith(f"{deep}-") else []
        yield home, ["verify", str(run), *more, "--json"]
    for run in _runs(home)[:2]:
        yield home, ["gate", "judge", str(run), "--json"]


def _tables(home: Path) -> Iterator[Words]:
    yield from _verified(home / "regression", "table.csv", "none")
    yield from _verified(home / "classification", "table.csv")
    yield home / "regression", ["gate", "plan", "study.yaml", "--variant", "deep", "--json"]


def _registry(home: Path) -> Iterator[Words]:
    yield home, ["check", "study.yaml", "--json"]
    asked = "list --json|verify --json|history --json|verify --json|export again.json"
    yield from ((home, ["registry", *words.split()]) for words in asked.split("|"))
    versions = sorted(version["id"] for version in json.loads((home / "registry.json").read_text())["versions"])
    yield from ((home, ["registry", "show", version]) for version in versions)
    yield home, ["shadow", "list", "--slot", "sites", "--json"]
    yield home, ["registry", "import", "registry.json", "--registry", "copy"]
    yield home, ["registry", "rollback", "sites", "--by", "eve", "--reason", "there is nothing before the first"]
    yield home, ["registry", "promote", str(newest(home / "runs/sites", "alpha2").relative_to(home)), "--slot", "sites"]
    yield home, ["registry", "rollback", "sites", "--by", "eve", "--reason", "complaints again"]
    yield home, ["registry", "list", "--json"]
    yield home, ["registry", "verify", "--json"]


def _kit(home: Path) -> Iterator[Words]:
    base, held = (str(newest(home / "runs/handed", label).relative_to(home)) for label in ("base", "useless"))
    yield home, ["kit", "import", "results.tar.gz", "--against", base, "--into", "imports", "--deep", "--json"]
    yield home, ["kit", "import", "held.tar.gz", "--into", "imports", "--json"]
    yield home, ["verify", held, "--key", "key.pem.pub", "--json"]
    yield home, ["verify", base, "--corpus", "table.csv", "--json"]
    for name in ("results.tar.gz", "held.tar.gz", "public.tar.gz"):
        yield home, ["verify", name, "--json"]
    yield home, ["package", "audit", "public.tar.gz", "--json"]
    yield home, ["gate", "judge", "public.tar.gz", "--json"]
    yield home, ["kit", "verdict", base, "--json"]


def _market(home: Path) -> Iterator[Words]:
    yield from _verified(home, "panel.csv")


def _video(home: Path) -> Iterator[Words]:
    yield from _verified(home, "per_frame_canonical6.jsonl")
    base = str(newest(home / "runs/clips").relative_to(home))
    yield home, ["verify", "tiny", "--run", base, "--corpus", "per_frame_canonical6.jsonl", "--json"]
    yield home, ["registry", "validate", "tiny/registry.json"]
    rows = ["video", "recommend", "tiny", "per_frame_canonical6.jsonl", "--target", "60", "--confidence"]
    yield home, [*rows, "0.8", "--json"]
    yield home, [*rows, "0.95", "--json"]
    yield home, ["registry", "flip", "tiny/registry.json", "--back"]


def _embodied(home: Path) -> Iterator[Words]:
    judged = ["nearest", "majority", "smoke", "val", "merged", "brought", "decision"]
    judged += [f"families/{name}" for name in ("qwen3_omni_lora", "cosmos_world_model", "policy_vla_branch")]
    judged += [f"watched/{name}" for name in ("judged/out/eval", "judged/out/smoke", "not-judged/out/smoke")]
    assert {"judged", "not-judged"} <= WATCHED.keys()
    yield from ((home, ["verify", name, "--json"]) for name in [*judged, "public.tar.gz"])
    yield from ((home, ["gate", "judge", name, "--json"]) for name in ("nearest", "majority", "brought"))
    yield home, ["index", "check", "index", "--json"]
    yield home, ["embodied", "check", "manifest", "--json"]
    yield home, ["package", "audit", "public.tar.gz", "--json"]
    yield home, ["eval", "compare", "nearest", "majority", "--json"]
    yield home, ["eval", "compare", "majority", "nearest", "--json"]
