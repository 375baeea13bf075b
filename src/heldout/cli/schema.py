"""``heldout schema``: the JSON Schema of every kind of document that heldout writes."""

from __future__ import annotations

from typing import Annotated

import typer

from heldout.cli.printing import print_json


def schema(
    name: Annotated[str | None, typer.Argument(help="Kind of document; without it, list them.")] = None,
) -> None:
    """Print the JSON Schema of a kind of document, or list the kinds."""
    from heldout.documents import DOCUMENTS, json_schema
    from heldout.errors import InputError, near_miss

    if name is None:
        for kind, model in DOCUMENTS.items():
            typer.echo(f"{kind:18}  {model.WHERE}")
        return
    kind = name.partition("/")[0]
    if kind not in DOCUMENTS:
        raise InputError(f"there is no document {name!r}", where="NAME", hint=near_miss(kind, DOCUMENTS, "kinds"))
    print_json(json_schema(kind))
