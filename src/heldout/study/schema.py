"""The JSON Schema of ``study.yaml``, with the blocks of every installed plug-in."""

from __future__ import annotations

from typing import Any

from heldout import plugins
from heldout.errors import HeldoutError
from heldout.study import DEFAULT_SPLITTER, FOREIGN_SPLITTER, StudySpec


def study_schema() -> dict[str, object]:
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
    schema["properties"]["split"] = _split(_blocks("splitters", "Params", definitions))
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


def _split(blocks: dict[str, dict[str, Any]]) -> dict[str, object]:
    """The block of whichever splitter `kind` names; of the default one where it names none."""
    named = blocks.pop(FOREIGN_SPLITTER, None)
    kinds: list[dict[str, Any]] = [{"enum": sorted(blocks)}]
    chosen = [({"const": name}, block) for name, block in blocks.items()]
    if named is not None:
        path = {key: named["properties"]["kind"][key] for key in ("type", "pattern")}
        kinds.append(path)
        chosen.append((path, named))
    cases = []
    for kind, block in chosen:
        block["properties"]["kind"] = kind
        needed = [] if kind == {"const": DEFAULT_SPLITTER} else ["kind"]
        cases.append({"if": {"properties": {"kind": kind}, "required": needed}, "then": block})
    return {"type": "object", "properties": {"kind": {"anyOf": kinds}}, "allOf": cases}


def _blocks(kind: str, attribute: str, definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each plug-in's block; one that cannot be loaded here is left out, since its block is unknown."""
    blocks = {}
    for name in plugins.names(kind):
        try:
            model = getattr(plugins.load(kind, name), attribute)
        except HeldoutError:
            continue
        block: dict[str, Any] = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(block.pop("$defs", {}))
        blocks[name] = block
    return blocks
