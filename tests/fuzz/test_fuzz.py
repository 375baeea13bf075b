"""Every kind of document that a stranger can send, mutated: no traceback, no exit 1, and nothing changes unseen."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from attack_kit import rows_of_groups, table_desk
from filelock import FileLock
from fuzz_kit import BYTES, MUTATIONS, Hunt, SeenError, hunt, mutated
from public_kit import evaluation

from heldout.corpus.table import TableOptions, TableReader
from heldout.domains.video.published.judge import judge_reported
from heldout.errors import HeldoutError
from heldout.evidence import dumps, loads
from heldout.evidence.secrets import without_passwords
from heldout.ledger.trials import read_ledger
from heldout.package.archive.read import read_members
from heldout.package.archive.write import write_archive
from heldout.package.public.audit import audit_package
from heldout.package.verify.any import verify_any
from heldout.registry.database import Database, parse_url
from heldout.run.resolve import read_lock, resolve
from heldout.study import load_study

pytest.importorskip("sklearn")
Try = Callable[[random.Random], None]
TARGETS: dict[str, Callable[[Path], Try]] = {}


def target(name: str) -> Callable[[Callable[[Path], Try]], Callable[[Path], Try]]:
    """Register what makes a target in an empty folder."""

    def keep(make: Callable[[Path], Try]) -> Callable[[Path], Try]:
        TARGETS[name] = make
        return make

    return keep


@target("study")
def _study(folder: Path) -> Try:
    desk = table_desk(folder)
    honest = desk.path.read_bytes(), _AS_YAML

    def one(rng: random.Random) -> None:
        desk.path.write_bytes(mutated(rng, rng.choice(honest)))
        resolve(load_study(desk.path))

    return one


_AS_YAML = b"""study: attacked
corpus: {reader: table, path: table.csv, group: site, target: "y", task: regression}
split:
  kind: leave-one-group-out
backbone: sklearn
fit:
  estimator: sklearn.linear_model.LinearRegression
  params: {fit_intercept: true}
seeds: [0]
baselines: []
gate:
  rules:
    - {id: good, metric: pearson, over: pooled, at_least: 0.7}
variants:
  - id: scaled
    description: |
      Without scaling
    set: {fit.scale: false}
bootstrap: {draws: 100}
"""


def _table(suffix: str) -> Callable[[Path], Try]:
    def make(folder: Path) -> Try:
        path = folder / f"table{suffix}"
        frame = rows_of_groups(rows=20, groups=3)
        write = {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}
        write[suffix](path)
        honest = path.read_bytes()
        options = TableOptions(path=path, group="site", target="y", task="regression")

        def one(rng: random.Random) -> None:
            path.write_bytes(mutated(rng, honest, BYTES if suffix == ".parquet" else MUTATIONS))
            TableReader(options).read()

        return one

    return make


for _suffix in (".csv", ".jsonl", ".parquet"):
    target(f"table {_suffix}")(_table(_suffix))


def _tiny_run(folder: Path) -> Path:
    desk = table_desk(folder, rows=24, groups=3)
    desk.run()
    return desk.newest


def _verified(path: Path) -> None:
    """Verify; raise what is broken."""
    verify_any(path).raise_if_broken()


class Change(NamedTuple):
    """A file as it was and as it lies there now."""

    path: Path
    honest: bytes
    changed: bytes


@contextlib.contextmanager
def one_mutated(rng: random.Random, files: Sequence[Path]) -> Iterator[Change]:
    """Mutate one of some files for as long as the block lasts."""
    path = rng.choice(files)
    honest = path.read_bytes()
    changed = mutated(rng, honest)
    path.write_bytes(changed)
    try:
        yield Change(path, honest, changed)
    finally:
        path.write_bytes(honest)


@target("run folder")
def _run(folder: Path) -> Try:
    run = _tiny_run(folder)
    files = sorted(each for each in run.rglob("*") if each.is_file() and each.name != ".lock")

    def one(rng: random.Random) -> None:
        with one_mutated(rng, files) as (path, honest, changed):
            _verified(run)
        if changed != honest and path.name != "progress.jsonl":
            raise SeenError(f"{path.relative_to(run)} changed, and verify says nothing")

    return one


@target("ledger")
def _ledgers(folder: Path) -> Try:
    run = _tiny_run(folder)
    study = run.parent
    files = sorted(study.glob("*.jsonl"))

    def one(rng: random.Random) -> None:
        with one_mutated(rng, files) as (path, honest, changed):
            read_ledger(study)
            _verified(run)
        if loads_all(changed)[: len(loads_all(honest))] != loads_all(honest):
            raise SeenError(f"{path.name} says something else, and verify says nothing")

    return one


def loads_all(data: bytes) -> list[Any]:
    """Every whole line of a stream."""
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


@target("lock")
def _lock(folder: Path) -> Try:
    run = _tiny_run(folder)
    path = run / "study.lock.yaml"
    honest = path.read_bytes()

    def one(rng: random.Random) -> None:
        changed = mutated(rng, honest)
        path.write_bytes(changed)
        read_lock(path)
        _verified(run)
        if changed != honest:
            raise SeenError("the lock changed, and verify says nothing")

    return one


def _archive(suffix: str) -> Callable[[Path], Try]:
    def make(folder: Path) -> Try:
        path = folder / f"p{suffix}"
        files: dict[str, Path | bytes] = {**evaluation(), "run.sh": b"#!/bin/sh\n", "é" * 60: b"long"}
        write_archive(path, files, top="package")
        honest, members = path.read_bytes(), read_members(path)

        def one(rng: random.Random) -> None:
            path.write_bytes(mutated(rng, honest, BYTES))
            audit_package(path)
            if read_members(path) != members:
                raise SeenError("the archive holds other files, and nothing says so")

        return one

    return make


for _suffix in (".tar.gz", ".tar.zst"):
    target(f"archive {_suffix}")(_archive(_suffix))


@target("archive .tar")
def _tar(folder: Path) -> Try:
    """Its members, mutated before they are packed: what a checksum of gzip would hide from the walker."""
    import gzip

    path = folder / "p.tar.gz"
    write_archive(path, {"a.json": b"{}", "b/c.csv": b"a,b\n1,2\n", "x" * 150: b"long"}, top="package")
    honest, members = gzip.decompress(path.read_bytes()), read_members(path)

    def one(rng: random.Random) -> None:
        changed = mutated(rng, honest, BYTES)
        path.write_bytes(gzip.compress(changed, 9, mtime=0))
        audit_package(path)
        found = read_members(path)
        if changed != honest and found == members:
            raise SeenError("a byte of the container is free to change")

    return one


@target("archive .zip")
def _zip(folder: Path) -> Try:
    path = folder / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in evaluation().items():
            archive.writestr(name, data)
    honest = path.read_bytes()
    clean = {each.code for each in audit_package(path).findings}

    def one(rng: random.Random) -> None:
        changed = mutated(rng, honest, BYTES)
        path.write_bytes(changed)
        found = {each.code for each in audit_package(path).findings}
        if found != clean:
            raise HeldoutError("found", where="the ZIP", hint="none")

    return one


@target("kit or bundle folder")
def _package(folder: Path) -> Try:
    """A folder that says that it is a package, with one file of it mutated."""
    home = folder / "package"
    for name, data in evaluation().items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    document = {"schema": "heldout.package/1", "files": {}}
    (home / "heldout-package.json").write_bytes(dumps(document))
    files = sorted(each for each in home.rglob("*") if each.is_file())

    def one(rng: random.Random) -> None:
        with one_mutated(rng, files):
            audit_package(home)

    return one


@target("reported files")
def _reported(folder: Path) -> Try:
    for seed in range(5):
        folds = [
            {"held_out": f"s{n}", "n_train": 400, "n_val": 50, "plcc": 0.99 + n / 1e3, "srocc": 0.98, "rmse": 1.0}
            for n in range(9)
        ]
        document = {
            "seed": seed,
            "corpus": "rows.jsonl",
            "n_folds": 9,
            "folds": folds,
            "epochs": 200,
            "mean_plcc": 0.994,
        }
        (folder / f"loso_seed{seed}.json").write_text(json.dumps(document, indent=2))
    files = sorted(folder.glob("*.json"))

    def one(rng: random.Random) -> None:
        path = rng.choice(files)
        honest = path.read_bytes()
        path.write_bytes(mutated(rng, honest))
        try:
            dumps(judge_reported(folder))
        finally:
            path.write_bytes(honest)

    return one


@target("documents")
def _documents(folder: Path) -> Try:
    honest = dumps({"a": [1, -2.5, {"b": None, "é": "text\\n"}], "schema": "x/1", "z": {"k": [True, False]}})

    def one(rng: random.Random) -> None:
        value = loads(mutated(rng, honest), where="document.json")
        if loads(dumps(value), where="again") != value:
            raise SeenError("it reads back as something else")

    return one


@target("addresses")
def _addresses(folder: Path) -> Try:
    urls = (
        b"postgresql://user:s3cret@host:5432/db?sslmode=require",
        b"postgresql://user@host/db?password=s3cret&sslpassword=s3cret",
        b"sqlite:///registry/registry.sqlite",
        b"postgresql+psycopg://u:s3cret@[::1]:5432/db",
    )

    def one(rng: random.Random) -> None:
        text = mutated(rng, rng.choice(urls), BYTES).decode("utf-8", "surrogateescape")
        without_passwords(text)
        refused: HeldoutError | None = None
        try:
            shown = Database(parse_url(text)).name
        except HeldoutError as error:
            shown, refused = str(error), error
        if "://" in text and (":s3cret@" in shown or "password=s3cret" in shown):
            raise SeenError(f"the password is shown: {shown}")
        if refused is not None:
            raise refused

    return one


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_is_a_traceback_or_goes_unseen(name: str, count: int, tmp_path: Path, record: Path | None) -> None:
    """Whoever sends a file would crash a verifier, or change what he sends unseen."""
    one = TARGETS[name](tmp_path)
    first = sorted(TARGETS).index(name) * 1_000_000
    found = hunt(one, range(first, first + count))
    if record is not None:
        _keep(record, name, found)
    assert [] == found.faults[:5]
    shutil.rmtree(tmp_path, ignore_errors=True)


def _keep(page: Path, name: str, found: Hunt) -> None:
    """Write the row of a target into the table of the page; hunts in several processes take turns."""
    row = f"| {name} | {found.count:,} | {found.same:,} | {found.refused:,} | {len(found.faults)} |"
    with FileLock(Path(tempfile.gettempdir()) / "heldout-fuzz-record.lock"):
        lines = page.read_text().splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith("|---"))
        end = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
        rows = [line for line in lines[first + 1 : end] if not line.startswith(f"| {name} |")]
        lines[first + 1 : end] = sorted([*rows, row])
        page.write_text("\n".join(lines) + "\n")


def test_the_page_has_a_row_without_faults_for_every_target() -> None:
    """The documentation would speak of hunts that nobody made."""
    page = (Path(__file__).parents[2] / "docs" / "fuzzing.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"][2:]
    assert sorted(TARGETS) == sorted(row[0] for row in rows)
    assert {"0"} == {row[-1] for row in rows}
