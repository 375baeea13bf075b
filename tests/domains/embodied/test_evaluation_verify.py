"""``heldout verify`` of an evaluation and of its public package: every number made again, every forgery named."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from attack_kit import heldout
from evaluation_kit import make_index
from forging_kit import (
    Change,
    answer,
    as_reported,
    baseline,
    cell,
    counts,
    drop_counts,
    edit,
    first_row,
    forged,
    metric,
    more_counts,
    own_contract,
    promote,
    promote_with_rules,
    promote_without_rules,
    put_rows,
    redigest,
    rows_of,
    swap_labels,
    verdict_of,
    wider,
    words,
)
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import read_json, read_json_lines, sha256_file
from heldout.package.public.publish import package_public
from heldout.package.verify.any import verify_any
from heldout.verify import verify_path

CONTRACT = "qwen3_omni_lora"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that beats what is most common."""
    home = tmp_path_factory.mktemp("evaluated")
    index = make_index(home, episodes=48)
    run(Plan(index, "nearest"), load_registry(index)[CONTRACT], home / "nearest")
    return home / "nearest"


@pytest.fixture(scope="module")
def held(evaluated: Path) -> Path:
    """An evaluation that answers what is most common."""
    out = evaluated.parent / "majority"
    index = evaluated.parent / "index"
    run(Plan(index, "majority"), load_registry(index)[CONTRACT], out)
    return out


@pytest.fixture(scope="module")
def packaged(evaluated: Path, held: Path) -> dict[str, Path]:
    """Unpacked public packages of both."""
    found = {}
    contracts = {name: one.config for name, one in load_registry(evaluated).items()}
    for folder in (evaluated, held):
        found[folder.name] = folder.parent / f"public-{folder.name}"
        package_public(folder, found[folder.name], contract=CONTRACT, contracts=contracts)
    return found


ATTACKS: dict[str, tuple[str, Change, str, str, str]] = {
    "a metric": ("nearest", metric, "metrics", "metrics.json: accuracy", r"stated 0\.99; .* give 0\.\d+"),
    "a baseline": ("nearest", baseline, "metrics", "metrics.json: evidence/accuracy/baselines/majority/value",
                   r"stated 0\.01; .* give 0\.\d+"),
    "the level of an interval": ("nearest", wider, "metrics", "metrics.json: evidence/accuracy/interval/level",
                                 "stated 0.5; .* give 0.95"),
    "a prediction": ("nearest", lambda run: first_row(run, raw_prediction="{}"), "rows", "predictions.jsonl: ",
                     "pred_json is .*; the row's own text and truth give {}"),
    "a prediction and its row": ("nearest", answer, "metrics", "metrics.json: accuracy", r"stated 0\.\d+; .* give"),
    "a label": ("nearest", lambda run: first_row(run, true_label="wave"), "rows", "predictions.jsonl: ",
                "correct is 1|true_label is 'wave', true_json says"),
    "a label and its row": ("nearest", swap_labels, "metrics", "metrics.json: accuracy", r"stated 0\.\d+; .* give"),
    "a verdict": ("majority", promote, "verdict", "PROMOTE.json: verdict", "the rules say HOLD"),
    "a verdict and its rules": ("majority", promote_with_rules, "rules", "PROMOTE.json: rule beats_trivial:",
                                "outcome: stated 'PASS'; judged again it is 'FAIL'"),
    "a verdict, some rules left out": ("majority", promote_without_rules, "rules", "PROMOTE.json: rule ", "id: stated"),
    "where predictions came from": ("nearest", as_reported, "files", "HOLD.json: evidence",
                                    "the evidence is 'reported'"),
    "a contract": ("majority", own_contract, "rules", "judged.contract_sha256", "another contract"),
    "a dropped window": ("nearest", lambda run: put_rows(run, rows_of(run)[1:]), "rows", "predictions.jsonl",
                         r"the window '.*' is missing; predictions\.csv has it"),
    "a window twice": ("nearest", lambda run: put_rows(run, [*rows_of(run), rows_of(run)[0]]), "rows",
                       "predictions.jsonl: ", "stands twice"),
    "train counts": ("nearest", counts, "metrics", "metrics.json: ", "stated .*; the rows and train counts give"),
    "train counts that do not add up": ("nearest", more_counts, "train", "train_labels.json: action",
                                        r"the counts give \d+ windows, stated \d+"),
    "a cell of a table": ("nearest", cell, "tables", "confusion_matrix.csv: line", "stated '7'; the rows give '0'"),
    "the words of the report": ("majority", words, "reports", "RUN_REPORT.md: verdict", "not the one that metrics"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("where", ["package", "folder"])
@pytest.mark.parametrize("case", ATTACKS)
def test_a_forgery_with_every_digest_made_again_is_found_and_named(
    case: str, where: str, packaged: dict[str, Path], evaluated: Path, tmp_path: Path
) -> None:
    """Whoever edits numbers and mends the digests above them would pass for verified."""
    name, change, link, place, what = ATTACKS[case]
    source = packaged[name] if where == "package" else evaluated.parent / name
    found = forged(source, tmp_path, change)
    assert found.broken is not None
    assert (link, place) == (found.broken.id, str(found.broken.where)[: len(place)])
    with pytest.raises(TamperedError, match=what):
        found.raise_if_broken()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_the_metrics_is_found_and_named(seed: int, evaluated: Path, tmp_path: Path) -> None:
    """Some corner of the metrics would follow from nothing: an interval, a count, a table of one field."""
    leaves = sorted(numbers(read_json(evaluated / "metrics.json")))
    place = random.Random(seed).choice(leaves)

    def change(metrics: Any) -> None:
        *way, last = place
        for key in way:
            metrics = metrics[key]
        metrics[last] += 1

    found = forged(evaluated, tmp_path, lambda run: edit(run / "metrics.json", change))
    assert found.broken is not None
    assert ("metrics", f"metrics.json: {'/'.join(place)}") == (found.broken.id, found.broken.where)


def numbers(value: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where the numbers of a document stand."""
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in numbers(item, (*place, key))]
    return [place] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize(
    "key",
    [
        "id",
        "target",
        "split",
        "episode_id",
        "center_window",
        "true_label",
        "raw_prediction",
        "true_json",
        "pred_json",
        "predicted_label",
        "correct",
        "true_label_seen_in_train",
    ],
)
def test_any_field_of_a_row_is_found_though_the_verdict_names_the_rows(
    key: str, evaluated: Path, tmp_path: Path
) -> None:
    """A field that nothing follows from could say anything."""
    value = rows_of(evaluated)[0][key]
    changed = {"action": "x", "start_frame": 7, "end_frame": 8}
    other: Any = f"{value}x" if isinstance(value, str) else value | changed if isinstance(value, dict) else 1 - value
    assert not forged(evaluated, tmp_path, lambda run: first_row(run, **{key: other})).holds


@pytest.mark.slow
def test_whatever_is_changed_is_found_by_its_digest(evaluated: Path, tmp_path: Path) -> None:
    """A careless edit would need a recomputation to be found, or would not be found where nothing is recomputed."""
    record = read_json(evaluated / "evaluation.json")["outputs"]
    for name in (*record, "evaluation.json"):
        copy = tmp_path / name
        shutil.copytree(evaluated, copy)
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data.replace(b"0", b"1", 1) if b"0" in data else data + b" ")
        assert not verify_path(copy).holds, name


@pytest.mark.slow
def test_an_honest_evaluation_holds_and_says_what_was_recomputed(evaluated: Path, packaged: dict[str, Path]) -> None:
    """An honest package would be refused, or it would not be known what its numbers rest on."""
    for path in (evaluated, evaluated / "metrics.json", packaged["nearest"], packaged["majority"]):
        found = verify_any(path)
        assert found.holds, found.broken
        states = {one.name: one.state for one in found.metrics}
        names = {"accuracy", "action_macro_f1", "next_action_accuracy", "object_micro_f1", "smoke", "num_samples"}
        assert {"recomputed"} == {states[name] for name in names}
        attested = [name for name, state in states.items() if state == "attested"]
        assert (["train_labels_sha256"] if path in packaged.values() else []) == attested
        named = "Only attested: train_labels_sha256 (the window index is not here)"
        assert (path in packaged.values()) == (named in found.left_open)
        wanted = {"rows", "train", "identity", "metrics", "rules", "tables", "reports", "verdict", "files"}
        assert wanted == {link.id for link in found.links if link.state == "OK"} & wanted
    assert ("HOLD", sha256_file(evaluated / "HOLD.json")) == (
        verify_path(evaluated).verdict,
        verify_path(evaluated / "HOLD.json").verdict_sha256,
    )


@pytest.mark.slow
def test_the_command_says_it_in_text_and_as_json(packaged: dict[str, Path], evaluated: Path, tmp_path: Path) -> None:
    """A reader would take an attested number for a recomputed one."""
    shutil.copytree(evaluated, tmp_path / "moved")
    for path in (packaged["nearest"], tmp_path / "moved"):
        told = CliRunner().invoke(build(), ["verify", str(path)])
        assert 0 == told.exit_code, told.output
        assert "recomputed with their baselines and intervals; 1 only attested: train_labels_sha256" in told.output
        document = json.loads(CliRunner().invoke(build(), ["verify", str(path), "--json"]).output)
        states = {one["name"]: (one["state"], one["why"]) for one in document["metrics"]}
        assert ("recomputed", None) == states["accuracy"]
        assert ("attested", "the window index is not here") == states["train_labels_sha256"]
        assert all(set(link) == {"id", "title", "state", "what", "where"} for link in document["links"])


def test_without_train_counts_every_metric_is_only_attested(
    packaged: dict[str, Path], evaluated: Path, tmp_path: Path
) -> None:
    """Taking one file away would turn recomputed numbers into believed ones, silently."""
    found = forged(packaged["nearest"], tmp_path, drop_counts)
    assert found.holds
    assert {"attested"} == {one.state for one in found.metrics}
    assert "train_labels.json is not published" in found.left_open
    with pytest.raises(TamperedError, match="the file is missing"):
        forged(evaluated, tmp_path, drop_counts).raise_if_broken()


def test_metrics_of_an_unknown_schema_are_never_silently_believed(packaged: dict[str, Path], tmp_path: Path) -> None:
    """Another schema would switch the recomputation off, and the word VERIFIED would stay."""
    schema = lambda name: lambda run: edit(run / "metrics.json", lambda metrics: metrics | {"schema": name})  # noqa: E731
    found = forged(packaged["nearest"], tmp_path / "a", schema("somebody.metrics/1"))
    assert {"attested"} == {one.state for one in found.metrics}
    assert "no installed plug-in recomputes metrics of the schema 'somebody.metrics/1'" in found.left_open
    newer = forged(packaged["nearest"], tmp_path / "b", schema("heldout.embodied-metrics/9"))
    assert "metrics.json: schema" == (newer.broken and newer.broken.where)


def test_a_package_of_another_kind_is_refused(packaged: dict[str, Path], tmp_path: Path) -> None:
    """A word in the package's manifest would choose which links are looked at."""
    for kind in ("run", "report"):
        copy = tmp_path / kind
        shutil.copytree(packaged["nearest"], copy)
        edit(copy / "public.json", lambda d, kind=kind: d | {"of": d["of"] | {"kind": kind}})
        assert not verify_any(copy).holds


@pytest.mark.parametrize("word", ["reach", "s0"])
def test_metrics_hold_after_private_words_were_taken_out(word: str, evaluated: Path, tmp_path: Path) -> None:
    """A label or an episode that names a person could not be published at all, or not be verified."""
    contracts = {name: one.config for name, one in load_registry(evaluated).items()}
    whole = {"reach": "reach", "s0": read_json_lines(evaluated / "predictions.jsonl")[0]["episode_id"]}[word]
    package_public(evaluated, tmp_path / "public", contract=CONTRACT, contracts=contracts, hide=[whole])
    found = verify_any(tmp_path / "public")
    assert found.holds, found.broken
    assert "recomputed" == next(one.state for one in found.metrics if one.name == "accuracy")
    published = b"".join(path.read_bytes() for path in (tmp_path / "public").rglob("*") if path.is_file())
    assert whole.encode() not in published


SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("train_labels.json", {"token": SECRET}, "HO-P030"),
        ("evaluation.json", {"password": SECRET}, "HO-P030"),
        ("contract.json", {"layer.weight": [0.5] * 5000}, "HO-P020"),
        ("train_labels.json", {"values": [0.5] * 5000}, "HO-P026"),
    ],
)
def test_what_is_carried_for_verification_is_judged_like_all_else(
    name: str, change: dict[str, Any], code: str, evaluated: Path, tmp_path: Path
) -> None:
    """A secret or weights would leave in the files that only serve to verify."""
    contracts = {name: one.config for name, one in load_registry(evaluated).items()}
    folder = tmp_path / "evaluation"
    shutil.copytree(evaluated, folder)
    edit(folder / name, lambda document: document | change)
    with pytest.raises(RefusedError) as caught:
        package_public(folder, tmp_path / "public", contract=CONTRACT, contracts=contracts)
    assert code in f"{caught.value.code} {caught.value}"
    assert not (tmp_path / "public").exists()


def test_an_evaluation_that_was_changed_is_not_published(evaluated: Path, tmp_path: Path) -> None:
    """A forged number would get a clean package of its own."""
    contracts = {name: one.config for name, one in load_registry(evaluated).items()}
    folder = tmp_path / "evaluation"
    shutil.copytree(evaluated, folder)
    metric(folder)
    redigest(folder)
    with pytest.raises(TamperedError, match=r"stated 0\.99"):
        package_public(folder, tmp_path / "public", contract=CONTRACT, contracts=contracts)
    assert not (tmp_path / "public").exists()


def test_an_evaluation_takes_no_options_of_a_run_and_needs_a_verdict(
    evaluated: Path, packaged: dict[str, Path], tmp_path: Path
) -> None:
    """A corpus or a key that nobody looks at would seem to have been checked."""
    for options in ({"corpus": "x.csv"}, {"key": "me.pub"}, {"refit_too": True}):
        with pytest.raises(InputError, match="belong to a run"):
            verify_path(evaluated, **options)
    with pytest.raises(InputError, match="the inside of a public package"):
        verify_any(packaged["nearest"] / "run")
    shutil.copytree(evaluated, tmp_path / "unjudged")
    (tmp_path / "unjudged/HOLD.json").unlink()
    with pytest.raises(InputError, match="has no verdict"):
        verify_path(tmp_path / "unjudged")


@pytest.mark.slow
def test_the_gate_verifies_evaluations_and_packages_of_them(
    evaluated: Path, held: Path, packaged: dict[str, Path], tmp_path: Path
) -> None:
    """A pipeline that asks `heldout gate DIR --junit` would stop working, or believe what was edited."""
    for folder in (evaluated, held):
        verdict = verdict_of(folder).stem
        code, junit = 0 if verdict == "PROMOTE" else 1, tmp_path / "junit.xml"
        package = packaged[folder.name]
        for place in (folder, folder / f"{verdict}.json", package, package / "run"):
            answer = heldout("gate", place, "--json", "--junit", junit)
            assert (code, verdict) == (answer.code, json.loads(answer.out)["verdict"]), place
            assert "<testsuite" in junit.read_text()
    for source in (held, packaged[held.name]):
        copy = tmp_path / source.name
        shutil.copytree(source, copy)
        promote(copy if source == held else copy / "run")
        answer = heldout("gate", copy)
        assert (3, "") == (answer.code, answer.out)
