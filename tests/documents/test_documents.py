"""Typed documents: all that was ever written fits them, what is written today has no key that they do not know."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from archive_kit import OURS
from asked_kit import desk_at
from attack_kit import heldout
from beside_kit import command_of, shell, view_of

from heldout.documents import DOCUMENTS, json_schema, model_of, names
from heldout.documents.reference import reference
from heldout.evidence import read_chain, read_json
from heldout.testing import small_regression

TESTS = Path(__file__).parents[1]
ARCHIVES = sorted([*TESTS.rglob("golden/*.tar.xz"), *TESTS.rglob("golden/*.tar.gz")])
# What published formats and evaluations say beside the keys of a verdict.
_PUBLISHED = {"adr", "beside", "corpus", "gate", "held_out", "loso_dir", "parent_adr"}


def documents(home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every document below a folder that has a model, with its place."""
    for path in sorted(home.rglob("*.json*")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.suffix == ".jsonl" else None
        for text in [path.read_text(encoding="utf-8", errors="replace")] if lines is None else lines:
            try:
                found = json.loads(text)
            except ValueError:
                continue
            if model_of(found) is not None:
                yield path.relative_to(home).as_posix(), found


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def test_what_was_written_then_fits_the_models(archive: Path, tmp_path: Path) -> None:
    """A type would refuse evidence that was given to somebody years ago."""
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, **OURS)
    seen = 0
    for place, document in documents(tmp_path):
        model = model_of(document)
        assert model is not None
        found = model.model_validate(document)
        assert set() == set(found.unknown()) - _PUBLISHED, place
        assert document == json.loads(found.model_dump_json(by_alias=True, exclude_unset=True)), place
        seen += 1
    assert seen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of today."""
    home = tmp_path_factory.mktemp("today")
    rows = [f"{site},{x},{2 * x + (x * 7 % 3) / 9}" for site in "abcd" for x in range(12)]
    (home / "table.csv").write_text("\n".join(["site,x,y", *rows]) + "\n")
    (home / "study.yaml").write_text(
        "study: today\ncorpus: {path: table.csv, group: site, target: y, task: regression}\nbackbone: sklearn\n"
        "fit: {estimator: sklearn.linear_model.Ridge}\nseeds: [0]\n"
        "gate: {rules: [{id: r2, metric: r2, over: pooled, at_least: 0.5}]}\n"
    )
    assert 0 <= heldout("run", "study.yaml", "--workers", "1", cwd=home).code <= 1
    return home / "runs"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of today that asks a model from elsewhere; and, as a command leaves it, a model with its code."""
    runs = desk_at(tmp_path_factory.mktemp("elsewhere")).run().folder.parents[1]
    backbone = command_of(shell(runs))
    backbone.save(backbone.fit(view_of(small_regression()), 0, runs / "work"), runs)
    return runs


@pytest.mark.slow
def test_what_is_written_today_has_no_key_without_a_type(run: Path, elsewhere: Path) -> None:
    """A document would grow beside its type, and the reference would be wrong."""
    kinds = set()
    for place, document in [*documents(run), *documents(elsewhere)]:
        model = model_of(document)
        assert model is not None
        assert [] == model.model_validate(document).unknown(), place
        kinds.add(model.SCHEMA)
    assert set(DOCUMENTS) == kinds


def test_the_json_schemas_say_the_same(run: Path, elsewhere: Path) -> None:
    """Whoever checks our files in another language would be told that they are broken, or that junk is fine."""
    for place, document in [*documents(run), *documents(elsewhere)]:
        kind = str(document["schema"]).partition("/")[0]
        jsonschema.validate(document, json_schema(kind), cls=jsonschema.Draft202012Validator)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"schema": 7}, json_schema(kind))
        lacking = {key: value for key, value in document.items() if key in ("schema", "prev")}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(lacking, json_schema(kind))
        assert place


def test_the_names_are_those_of_the_files(run: Path, elsewhere: Path) -> None:
    """A constant would name a file that nothing writes."""
    written = {path.name for each in (run, elsewhere) for path in each.rglob("*") if path.is_file()}
    optional = {
        "PREDICTIONS_PARQUET",
        "COSTS_FILE",
        "CHOICE_FILE",
        "STORED_FILE",
        "SIGNATURE_FILE",
        "POINTER_FILE",
        "PROMOTE_FILE",
        "HOLD_FILE",
    }
    constants = {key: value for key, value in vars(names).items() if key.isupper()}
    assert set() == {key for key, value in constants.items() if value not in written} - optional
    (folder,) = (path.parent for path in run.rglob(names.RUN_FILE))
    assert {"HOLD", "PROMOTE"} & {read_json(path)["verdict"] for path in folder.glob("[HP]*.json")}
    assert read_chain(folder.parent / names.LEDGER_FILE)


def test_the_reference_is_current() -> None:
    """A reader would look for a key that is not there any more."""
    page = TESTS.parent / "docs" / "documents.md"
    assert page.read_text(encoding="utf-8") == reference(), "python -m heldout.documents.reference > docs/documents.md"


def test_a_schema_is_printed() -> None:
    """Nobody could check a document without reading our code."""
    listed = heldout("schema")
    assert (0, True) == (listed.code, all(name in listed.out for name in DOCUMENTS))
    told = heldout("schema", "heldout.verdict/1")
    assert (0, "heldout.verdict") == (told.code, json.loads(told.out)["title"])
    refused = heldout("schema", "heldout.verdct")
    assert (2, True) == (refused.code, "heldout.verdict" in refused.err)
