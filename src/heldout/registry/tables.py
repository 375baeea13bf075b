"""The tables. Versions and events are append-only, which the database itself enforces; the rest can be replayed.

===========  ==========================================================================================
versions     what was registered: immutable, found by content
events       who did what, when and why: each holds the sha256 of the one before it
head         the last event's number and sha256; locking this one row makes writers take turns
stages       a projection of the events: stage and place of every version
champions    a projection of the events: the champion of every slot
===========  ==========================================================================================
"""

from __future__ import annotations

from sqlalchemy import DDL, CheckConstraint, Column, ForeignKey, Integer, MetaData, String, Table, Text, event
from sqlalchemy.schema import ExecutableDDLElement

metadata = MetaData()

versions = Table(
    "heldout_versions",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("content", Text, nullable=False),
)

events = Table(
    "heldout_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
)

head = Table(
    "heldout_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
)

stages = Table(
    "heldout_stages",
    metadata,
    Column("version", String(160), ForeignKey(versions.c.id), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("place", Text, nullable=False),
)

champions = Table(
    "heldout_champions",
    metadata,
    Column("slot", String(64), primary_key=True),
    Column("version", String(160), ForeignKey(versions.c.id), nullable=False),
    Column("seq", Integer, nullable=False),
)

_POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION heldout_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'heldout: this table is append-only'; END $$
"""


def _append_only(table: Table) -> None:
    """Let the database refuse to change or remove a row: a slip of code or of a person is an error, not a loss."""
    for verb in ("UPDATE", "DELETE"):
        name = f"{table.name}_no_{verb.lower()}"
        sqlite = (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table.name} "
            "BEGIN SELECT RAISE(ABORT, 'heldout: this table is append-only'); END"
        )
        postgres = (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table.name} FOR EACH ROW EXECUTE FUNCTION heldout_append_only()"
        )
        event.listen(table, "after_create", _only_on("sqlite", sqlite))
        event.listen(table, "after_create", _only_on("postgresql", postgres))


def _only_on(dialect: str, statement: str) -> ExecutableDDLElement:
    return DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]


event.listen(metadata, "before_create", _only_on("postgresql", _POSTGRES_FUNCTION))
_append_only(versions)
_append_only(events)
