"""Typed documents: every file that is written, its name and its shape. JSON Schemas and the reference follow."""

from __future__ import annotations

from typing import Any

from heldout.documents.base import Document, Part
from heldout.documents.ledger import LookRecord, RegistrationRecord, RulesDocument
from heldout.documents.metrics import MetricsDocument
from heldout.documents.run import (
    CodeDocument,
    CorpusDocument,
    ManifestDocument,
    ModelDocument,
    RunDocument,
    SplitDocument,
    UnitDocument,
)
from heldout.documents.verdict import Verdict

DOCUMENTS: dict[str, type[Document]] = {
    each.SCHEMA: each
    for each in (
        Verdict,
        MetricsDocument,
        RunDocument,
        ManifestDocument,
        UnitDocument,
        CodeDocument,
        ModelDocument,
        CorpusDocument,
        SplitDocument,
        LookRecord,
        RegistrationRecord,
        RulesDocument,
    )
}

__all__ = ["DOCUMENTS", "Document", "Part", "Verdict", "json_schema", "model_of"]


def model_of(document: Any) -> type[Document] | None:
    """The model of a document, by its key ``schema``; None where there is none."""
    schema = document.get("schema") if isinstance(document, dict) else None
    return DOCUMENTS.get(str(schema).partition("/")[0])


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of document.

    Args:
        name: Such as ``heldout.verdict``.
    """
    model = DOCUMENTS[name]
    found = model.model_json_schema(by_alias=True)
    return found | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name}
