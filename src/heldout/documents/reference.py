"""The reference page of the documents, written from their models."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from heldout.documents import DOCUMENTS, json_schema


def reference() -> str:
    """The page ``docs/documents.md``."""
    parts = [_HEAD]
    for name, model in DOCUMENTS.items():
        schema = json_schema(name)
        parts += [f"\n## `{name}`\n", f"{_first(model.__doc__)} File: `{model.WHERE}`.\n", *_table(schema)]
        shown = _reached(schema)
        for block, definition in schema.get("$defs", {}).items():
            if block in shown:
                parts += [f"\n### {block}\n", f"{_first(definition.get('description'))}\n", *_table(definition)]
    return "\n".join(parts) + "\n"


_HEAD = """# Documents

Every JSON document of a run has a key `schema`, such as `heldout.verdict/1`. This page is written from the typed models
in `heldout.documents`; `heldout schema NAME` prints the JSON Schema of one. Keys that are not listed may stand beside
these: a newer version or a published format says more. Digests are sha256 in hexadecimal; times are UTC with offset.
"""


def _first(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ")


def _reached(schema: Mapping[str, Any]) -> set[str]:
    """Names of the blocks that a document leads to."""
    found: set[str] = set()
    waiting = [dict(schema.get("properties", {}))]
    while waiting:
        for key, value in waiting.pop().items():
            if key == "$ref":
                name = str(value).rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    waiting.append(schema["$defs"][name].get("properties", {}))
            elif isinstance(value, dict):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [each for each in value if isinstance(each, dict)]
    return found


def _table(schema: Mapping[str, Any]) -> list[str]:
    rows = ["| key | type | meaning |", "|---|---|---|"]
    required = set(schema.get("required", ()))
    for name, block in schema.get("properties", {}).items():
        optional = "" if name in required else " (may be missing)"
        rows.append(f"| `{name}` | {_type(block)} | {block.get('description', '')}{optional} |")
    return rows


def _type(block: Mapping[str, Any]) -> str:
    """The type of a key, in words."""
    if "$ref" in block:
        return str(block["$ref"]).rpartition("/")[2]
    if "anyOf" in block:
        return " or ".join(dict.fromkeys(_type(each) for each in block["anyOf"]))
    if "const" in block:
        return f"`{block['const']}`"
    if "enum" in block:
        return " or ".join(f"`{each}`" for each in block["enum"])
    if block.get("type") == "array":
        return f"list of {_type(block.get('items', {}))}"
    if block.get("type") == "object" and isinstance(block.get("additionalProperties"), dict):
        return f"object of {_type(block['additionalProperties'])}"
    if block.get("pattern") == "^[0-9a-f]{64}$":
        return "digest"
    if str(block.get("pattern", "")).startswith("^\\d{4}-"):
        return "time"
    return str(block.get("type", "anything"))


if __name__ == "__main__":
    sys.stdout.write(reference())
