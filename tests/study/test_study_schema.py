"""The published JSON Schema: editors must accept what runs, and mark what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heldout.corpus.table import TableOptions
from heldout.run.begin.choices import Asked
from heldout.run.begin.starter import write_starter
from heldout.study import load_study, load_yaml
from heldout.study.schema import study_schema

# The embodied study is of families of backbones, and held to a model of its own; that of a plug-in needs it installed.
STUDIES = (Path(__file__).parents[2] / "examples").glob("*/study.yaml")
EXAMPLES = sorted(path for path in STUDIES if path.parent.name not in ("embodied", "plugin"))
STUDY: dict[str, Any] = {
    "study": "tiny",
    "corpus": {"path": "rows.csv", "group": "site", "target": "y"},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.svm.SVR"},
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(validator: jsonschema.Draft202012Validator, document: Any) -> list[str]:
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]


def test_there_are_examples_to_hold_the_schema_against() -> None:
    """The next test would pass over an empty folder."""
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_fits_the_schema_and_loads(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    """The first file that a newcomer opens would be underlined in red, or not run."""
    assert [] == complaints(validator, load_yaml(path).value)
    file = load_study(path)
    for variant in file.spec.variants:
        assert file.variant(variant.id) != file.spec


def test_the_starter_fits_the_schema_and_loads(tmp_path: Path, validator: jsonschema.Draft202012Validator) -> None:
    """`heldout init` would write a file that `heldout run` refuses."""
    rows = "\n".join(f"{number % 4},{number * 7 % 11},{number / 3},{'ab'[number % 2]}" for number in range(40))
    (tmp_path / "rows.csv").write_text("site no,x-1,y,kind\n" + rows + "\n")
    write_starter(tmp_path / "rows.csv", tmp_path / "study.yaml", Asked("site no", "y"))
    document = load_yaml(tmp_path / "study.yaml").value
    assert [] == complaints(validator, document)
    assert ["x-1", "kind"] == document["corpus"]["features"]
    assert "rows" == load_study(tmp_path / "study.yaml").spec.study


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({}, None),
        ({"corpus": STUDY["corpus"] | {"reader": "table"}}, None),
        ({"seeds": [3, 4], "split": {"kind": "group-k-fold", "folds": 3}}, None),
        ({"variants": [{"id": "v", "set": {"fit.scale": False}}]}, None),
        ({"spilt": {}}, "spilt"),
        ({"seeds": [-1]}, "seeds/0"),
        ({"seeds": []}, "seeds"),
        ({"study": "A B"}, "study"),
        ({"split": {"kind": "random"}}, "split/kind"),
        ({"fit": {"estimtor": "x"}}, "estimtor"),
        ({"fit": {}}, "estimator"),
        ({"corpus": {"path": "rows.csv", "group": "site"}}, "corpus"),
        ({"corpus": STUDY["corpus"] | {"grp": 1}}, "corpus"),
        ({"corpus": STUDY["corpus"] | {"reader": "video_frames"}}, "corpus"),
        ({"gate": {"rules": [{"metric": "plcc", "at_least": 0}]}}, "gate/rules/0"),
        ({"gate": {"min_groups": 1}}, "gate/min_groups"),
        ({"variants": [{"id": "v", "set": {}}]}, "variants/0/set"),
    ],
)
def test_the_schema_marks_what_the_loader_would_refuse(
    validator: jsonschema.Draft202012Validator, change: dict[str, Any], at: str | None
) -> None:
    """An editor would accept a misspelt key, and the error would come only at run time."""
    found = complaints(validator, STUDY | change)
    assert (at is None) == (found == [])
    assert at is None or any(at in complaint for complaint in found)


def test_every_option_of_a_table_is_in_the_schema() -> None:
    """An option would exist that no editor knows."""
    blocks = study_schema()["properties"]["corpus"]["oneOf"]
    table = next(block for block in blocks if block["properties"]["reader"] == {"const": "table"})
    assert {*TableOptions.model_fields, "reader"} == set(table["properties"])
