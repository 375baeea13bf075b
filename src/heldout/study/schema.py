"""The JSON Schema of ``study.yaml``, with the blocks of every installed plug-in."""

from __future__ import annotations

from typing import Any

from heldout import plugins
from heldout.errors import PrerequisiteError
from heldout.study import StudySpec


def study_schema() -> dict[str, Any]:
    """The schema (draft 2020-12): `corpus` is one of the readers' blocks, `fit` one of the backbones'."""
    schema = StudySpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "heldout study"
    definitions = schema.setdefault("$defs", {})
    readers = _blocks("readers", "Options", definitions)
    for name, block in readers.items():
        block.setdefault("properties", {})["reader"] = {"const": name}
        if name != "table":
            block["required"] = [*block.get("required", []), "reader"]
    backbones = _blocks("backbones", "Params", definitions)
    schema["properties"]["corpus"] = {"oneOf": list(readers.values())}
    schema["properties"]["fit"] = {"type": "object"}
    schema["properties"]["backbone"]["examples"] = sorted(backbones)
    schema["allOf"] = [
        {
            "if": {"properties": {"backbone": {"const": name}}, "required": ["backbone"]},
            "then": {"properties": {"fit": block}},
        }
        for name, block in backbones.items()
    ]
    return schema


def _blocks(kind: str, attribute: str, definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each plug-in's block; one that cannot be imported here is left out, since its block is unknown."""
    blocks = {}
    for name in plugins.names(kind):
        try:
            model = getattr(plugins.load(kind, name), attribute)
        except PrerequisiteError:
            continue
        block: dict[str, Any] = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(block.pop("$defs", {}))
        blocks[name] = block
    return blocks
