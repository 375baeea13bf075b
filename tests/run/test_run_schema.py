"""The JSON Schema of study.yaml accepts what the loader accepts, and marks what it refuses."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heldout import plugins
from heldout.study import load_yaml
from heldout.study.schema import study_schema


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def study(**changes: Any) -> dict[str, Any]:
    base = {
        "study": "small",
        "corpus": {"path": "table.csv", "group": "person", "target": "score"},
        "backbone": "sklearn",
        "fit": {"estimator": "sklearn.linear_model.Ridge"},
        "gate": {"rules": [{"id": "plcc", "metric": "plcc", "at_least": 0.9}]},
    }
    return base | changes


GOOD: dict[str, dict[str, Any]] = {
    "table": {},
    "table by name": {"corpus": {"reader": "table", "path": "t.csv", "group": "g", "target": "t"}},
    "frames": {
        "corpus": {"reader": "video_frames", "path": "f.jsonl"},
        "backbone": "fr_regressor",
        "fit": {"epochs": 5},
    },
    "split": {"split": {"kind": "group-k-fold", "folds": 3}},
}
BAD: dict[str, dict[str, Any]] = {
    "a key of the study": {"sedes": [0]},
    "a key of the reader": {"corpus": {"path": "t.csv", "group": "g", "targte": "t"}},
    "a missing column": {"corpus": {"path": "t.csv", "group": "g"}},
    "a key of the backbone": {"fit": {"estimator": "x.Y", "epochs": 3}},
    "an estimator for the regressor": {
        "corpus": {"reader": "video_frames", "path": "f.jsonl"},
        "backbone": "fr_regressor",
        "fit": {"estimator": "x.Y"},
    },
    "another reader's column": {"corpus": {"reader": "video_frames", "path": "f.jsonl", "group": "g"}},
    "a split of no kind": {"split": {"kind": "random"}},
    "a seed that is none": {"seeds": [-1]},
    "a name with a blank": {"study": "My study"},
}


@pytest.mark.parametrize("case", GOOD)
def test_good_study_passes(validator: jsonschema.Draft202012Validator, case: str) -> None:
    """An editor would mark a good study red."""
    assert [] == [error.message for error in validator.iter_errors(study(**GOOD[case]))]


@pytest.mark.parametrize("case", BAD)
def test_typo_is_marked(validator: jsonschema.Draft202012Validator, case: str) -> None:
    """An editor would say nothing, and the run refuse the study."""
    assert list(validator.iter_errors(study(**BAD[case])))


def test_examples_pass(validator: jsonschema.Draft202012Validator) -> None:
    """A newcomer's first study would be red in the editor."""
    examples = Path(__file__).parents[2] / "examples"
    # The embodied study is of families of backbones, with a model of its own; that of a plug-in needs it installed.
    paths = sorted(path for path in examples.glob("*/study*.yaml") if path.parent.name not in ("embodied", "plugin"))
    assert paths
    for path in paths:
        assert [] == [error.message for error in validator.iter_errors(load_yaml(path).value)], path


def test_schema_is_plain_json(validator: jsonschema.Draft202012Validator) -> None:
    """It could not be shipped beside the package."""
    text = json.dumps(validator.schema, allow_nan=False)
    assert "https://json-schema.org/draft/2020-12/schema" == json.loads(text)["$schema"]


def test_broken_plugin_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that lacks its GPU library would take the schema of all others with it."""
    whole = plugins.entry_points

    def with_a_broken_one(group: str) -> list[EntryPoint]:
        return [*whole(group=group), EntryPoint("broken", "no_such_package_here:Nothing", group)]

    monkeypatch.setattr(plugins, "entry_points", with_a_broken_one)
    known = study_schema()["properties"]["backbone"]["examples"]
    assert "sklearn" in known
    assert "broken" not in known
