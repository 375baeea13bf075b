"""A registry as a handle: it opens, reads and publishes. What changes it are the functions of the other modules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Self

from heldout.errors import InputError
from heldout.registry import lookup
from heldout.registry.chain import Event
from heldout.registry.database import Database, parse_url
from heldout.registry.freeze import Window, active_window
from heldout.registry.journal import read_rows
from heldout.registry.serving import Serving, pointer_document
from heldout.registry.version import Version

DEFAULT_PLACE = "registry"


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Registry:
    """Versions, one champion a slot, and the history of how it came about.

    Example:
        >>> from heldout.registry import Registry, add, promote
        >>> with Registry("registry", create=True) as registry:  # doctest: +SKIP
        ...     version = add(registry, Path("runs/demo/base-20261121-0f3a9c1e"))
        ...     promote(registry, version.id)
    """

    def __init__(
        self,
        place: str | Path = DEFAULT_PLACE,
        *,
        create: bool = False,
        serving: Path | None = None,
        freeze: Path | None = None,
        clock: Callable[[], dt.datetime] = _utc_now,
    ) -> None:
        """Open a registry.

        Args:
            place: A folder (SQLite in it), ``sqlite:///FILE`` or ``postgresql://...``.
            create: Make it if it is not there.
            serving: Folder of the pointers; that of SQLite's file by default, ``registry`` for PostgreSQL.
            freeze: File of freeze windows; ``freeze.yaml`` in the folder of the pointers by default.
            clock: What time it is, with time zone.

        Raises:
            InputError: If there is no registry and none is to be made.
        """
        self.database = Database(parse_url(place))
        self.serving = Serving(serving or self.database.folder or Path(DEFAULT_PLACE))
        self._freeze = freeze
        self.now = clock
        if create:
            self.database.create()
        elif not self.database.exists():
            raise InputError("there is no registry", where=self.database.name, hint="`heldout registry add` makes one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def versions(self) -> list[Version]:
        """All versions, by id."""
        with self.database.reading() as connection:
            return lookup.read_versions(connection)

    def version(self, name: str) -> Version:
        """One version, by its id or by the hash at the end of it.

        Raises:
            InputError: If there is none, or more than one.
        """
        with self.database.reading() as connection:
            return lookup.find_version(connection, name)

    def champion(self, slot: str) -> Version | None:
        """The version that serves in a slot, if any."""
        with self.database.reading() as connection:
            pointer = lookup.pointer_of(connection, slot)
            return lookup.read_version(connection, pointer.version) if pointer else None

    def history(self, *, slot: str | None = None, version: str | None = None) -> list[Event]:
        """Events, oldest first. ``heldout.registry.verify`` says whether they hold."""
        with self.database.reading() as connection:
            wanted = lookup.find_version(connection, version).id if version else None
            events = [lookup.parse_event(row) for row in read_rows(connection)]
        return [
            event
            for event in events
            if slot in (None, event.body.get("slot"))
            and (wanted is None or wanted in (event.body["version"], event.body.get("previous")))
        ]

    def publish(self, slot: str) -> bool:
        """Let ``champion.json`` of a slot say what the database says; True if it had to be written."""
        with self.serving.lock():
            with self.database.reading() as connection:
                pointer = lookup.pointer_of(connection, slot)
                if pointer is None:
                    return False
                document = pointer_document(connection, slot, pointer)
            return self.serving.write(slot, document)

    def window(self) -> Window | None:
        """The freeze window that holds now, if any.

        Raises:
            RefusedError: If the freeze file cannot be understood.
        """
        path = self._freeze or self.serving.root / "freeze.yaml"
        return active_window(path, self.now(), must_exist=self._freeze is not None)
