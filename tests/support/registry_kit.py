"""Real runs of a small study, and registries to put them in: SQLite always, PostgreSQL where there is a server."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keeper import kept

from heldout.errors import HeldoutError
from heldout.registry import Registry, promote

STUDY = """
study: demo
corpus: {reader: table, path: table.csv, group: site, target: y}
backbone: ridge
fit: {alpha: 1.0}
seeds: [0]
baselines: []
variants:
%s
  - {id: constant, set: {backbone: sklearn, fit: {estimator: sklearn.dummy.DummyRegressor}}}
gate:
  rules: [{id: plcc, metric: plcc, over: pooled, at_least: 0.9}]
"""
GOOD = ("base", *(f"alpha{alpha}" for alpha in range(2, 9)))
Runs = Callable[[str], Path]


def write_study(folder: Path) -> Path:
    """A table whose target is linear, and a study of it; all variants but ``constant`` PROMOTE."""
    rng = random.Random(0)
    lines = ["site,a,b,y"]
    for row in range(90):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        lines.append(f"s{row % 3},{a},{b},{2 * a - b + rng.gauss(0, 0.1)}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    variants = [f"  - {{id: alpha{alpha}, set: {{fit.alpha: {alpha}}}}}" for alpha in range(2, 9)]
    (folder / "study.yaml").write_text(STUDY % "\n".join(variants))
    return folder / "study.yaml"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run directories by name of the variant, made when they are first asked for; ``smoke`` is one by ``--set``.

    They are shared by all tests: copy one before changing it.
    """
    from heldout import Study

    folder = tmp_path_factory.mktemp("study")
    study, made = write_study(folder), dict[str, Path]()

    def run(name: str) -> Path:
        if name not in made:
            sets = ["fit.alpha=9"] if name == "smoke" else []
            variant = "base" if name == "smoke" else name
            made[name] = Study.load(study, sets).run(variant, runs=folder / "runs", workers=1).folder
        return made[name]

    return run


@pytest.fixture
def copied(runs: Runs, tmp_path: Path) -> Runs:
    """Run directories that a test may change, with their corpus where the run's record finds it."""

    def copy(name: str) -> Path:
        source = runs(name)
        target = tmp_path / "runs" / source.name
        if not target.exists():
            shutil.copytree(source, target)
            shutil.copy(source.parents[2] / "table.csv", tmp_path / "table.csv")
        return target

    return copy


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server for tests, as the start of a URL to its databases and the rest of it, joined by ``{}``."""
    given = os.environ.get("HELDOUT_TEST_POSTGRES")
    if given:
        yield given
        return
    pytest.importorskip("psycopg")
    folder = _postgres_programs()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed, and HELDOUT_TEST_POSTGRES names none")
    home = Path(tempfile.mkdtemp(prefix="heldout-pg-"))
    user = "postgres" if os.geteuid() == 0 else ""
    if user:
        shutil.chown(home, user, user)
    data, url = home / "data", f"postgresql://heldout@/{{}}?host={home}"
    _quiet([folder / "initdb", "-D", data, "-U", "heldout", "-A", "trust", "--no-sync", "-E", "UTF8"], user)
    server = [folder / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "max_connections=100"]
    with kept(home, user, server):
        _wait_for(url.format("postgres"), home / "log")
        yield url


def _wait_for(database: str, log: Path) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(database, connect_timeout=10).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise RuntimeError(log.read_text()) from error
            time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new registry can be made: a folder, or the URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "registry")
    import psycopg

    template = request.getfixturevalue("postgres")
    name = f"heldout_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(template.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return str(template.format(name))


@pytest.fixture
def registry(place: str, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry."""
    with Registry(place, create=True, serving=tmp_path / "registry") as opened:
        yield opened


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry in SQLite, for what does not depend on the database."""
    with Registry(tmp_path / "registry", create=True) as opened:
        yield opened


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


def _quiet(command: list[object], user: str) -> None:
    words = [str(word) for word in command]
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL, **who)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")


def contend(place: str, serving: Path, version: str, rounds: int, barrier: Any, results: Any) -> None:
    """One of several processes that promote in the same rounds; puts (round, exit code) for each."""
    with Registry(place, serving=serving) as registry:
        for number in range(rounds):
            champion = registry.champion("demo")
            barrier.wait(60)
            try:
                promote(registry, version, expected=champion.id if champion else None)
                results.put((number, 0))
            except HeldoutError as error:
                results.put((number, error.exit_code))
            barrier.wait(60)


def race(place: str, serving: Path, versions: list[str], rounds: int) -> dict[int, list[int]]:
    """Let one process a version promote in every round; exit codes by round."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(versions)), context.Queue()
    processes = [
        context.Process(target=contend, args=(place, serving, version, rounds, barrier, results))
        for version in versions
    ]
    for process in processes:
        process.start()
    codes: dict[int, list[int]] = {}
    for _ in range(rounds * len(versions)):
        number, code = results.get(timeout=120)
        codes.setdefault(number, []).append(code)
    for process in processes:
        process.join(60)
    return codes


def flip(place: str, serving: Path, versions: list[str]) -> None:
    """Promote one after the other until killed; says so after the first."""
    with Registry(place, serving=serving) as registry:
        for version in itertools.cycle(versions):
            promote(registry, version)
            print("promoted", flush=True)
