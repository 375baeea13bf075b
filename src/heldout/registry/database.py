"""Where a registry lives: a folder with SQLite in it, or a PostgreSQL server. Writers take turns on both.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut. A writer holds the
write lock from its first statement. On PostgreSQL a writer locks the one row of ``head`` for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from heldout.errors import HeldoutError, InputError, PrerequisiteError, StaleError
from heldout.evidence.secrets import without_passwords
from heldout.registry import tables
from heldout.registry.chain import GENESIS
from heldout.registry.version import FILE

_PATIENCE_S = 30
_LOCK = select(tables.head).with_for_update()
_CREATING = 0x68656C64  # any number, the same for everyone who creates a registry


class Database:
    """One database. Safe for threads; a forked child opens its own."""

    def __init__(self, url: URL) -> None:
        """Make an engine for the URL; nothing is opened yet."""
        self.name = (
            url.database or "" if _is_sqlite(url) else without_passwords(url.render_as_string(hide_password=True))
        )
        self._url = url
        try:
            engine = _engine(url)
        except (ArgumentError, ValueError):  # a port in the query that is no number
            raise InputError("this is no database URL", where="--registry", hint=_URL_HINT) from None
        reading = {} if _is_sqlite(url) else {"isolation_level": "REPEATABLE READ"}
        self._reader = engine.execution_options(**reading)
        self._writer = engine.execution_options(heldout_writer=True)

    @property
    def folder(self) -> Path | None:
        """The folder that SQLite's file lies in; None for a server."""
        return Path(self.name).parent if _is_sqlite(self._url) else None

    def exists(self) -> bool:
        """Whether there is a registry in it."""
        if _is_sqlite(self._url) and not Path(self.name).is_file():
            return False
        with self._translated(), self._reader.connect() as connection:
            return inspect(connection).has_table(tables.head.name)

    def create(self) -> None:
        """Make the tables where there are none; any number of processes may do so at once."""
        with self._only_creator(), self._translated(), self._writer.begin() as connection:
            if not _is_sqlite(self._url):
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATING})
            tables.metadata.create_all(connection)
            if connection.execute(select(tables.head)).first() is None:
                connection.execute(tables.head.insert().values(id=1, seq=0, sha256=GENESIS))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot: what is read inside belongs together."""
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """The only writer until the block ends; an exception inside changes nothing.

        Raises:
            StaleError: If another writer did not finish in time.
        """
        with self._translated(), self._writer.begin() as connection:
            if not _is_sqlite(self._url):
                connection.execute(_LOCK)
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()

    @contextlib.contextmanager
    def _only_creator(self) -> Iterator[None]:
        """Switching SQLite to WAL needs the file for oneself, and waits for nobody."""
        if not _is_sqlite(self._url):
            yield
            return
        path = Path(self.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the folder: {error.strerror}", where=str(path.parent), hint="choose another --registry"
            ) from None
        with FileLock(path.with_suffix(".lock")):
            yield

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._error(error) from error

    def _error(self, error: DatabaseError) -> HeldoutError:
        lines = str(error.orig or error).strip().splitlines()
        said = without_passwords(lines[0]) if lines else type(error).__name__
        if isinstance(error, OperationalError) and ("locked" in said or "lock timeout" in said):
            return StaleError("another writer holds the registry", where=self.name, hint="run the command again")
        if isinstance(error, OperationalError):
            return PrerequisiteError(
                f"the registry's database does not answer: {said}", where=self.name, hint="check the place and rights"
            )
        return InputError(
            f"the database refused: {said}", where=self.name, hint="check that this is a registry and undamaged"
        )


def parse_url(place: str | Path) -> URL:
    """The URL of a folder (SQLite inside it), of a SQLite file, or of a PostgreSQL database.

    Raises:
        InputError: If it is neither.
        PrerequisiteError: If PostgreSQL's driver is missing.
    """
    if _not_utf8(str(place)):
        raise InputError("this is no place for a registry", where="--registry", hint=_URL_HINT)
    if "://" not in str(place):
        return URL.create("sqlite+pysqlite", database=str(Path(place) / FILE))
    try:
        url = make_url(str(place))
    except (ArgumentError, ValueError):  # a port that is no number
        raise InputError("this is no database URL", where="--registry", hint=_URL_HINT) from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        _need_psycopg()
        return url.set(drivername="postgresql+psycopg")
    raise InputError(f"a registry cannot live in {backend!r}", where="--registry", hint=_URL_HINT)


_URL_HINT = "give a folder, sqlite:///FILE, or postgresql://USER@HOST/DATABASE"


def _not_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise PrerequisiteError(
            "PostgreSQL needs psycopg", where="--registry", hint="pip install 'heldout[postgres]'"
        ) from None


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL) -> Engine:
    if not _is_sqlite(url):
        settings = f"-c lock_timeout={_PATIENCE_S * 1000}"
        return create_engine(url, pool_pre_ping=True, connect_args={"options": settings, "connect_timeout": 10})
    engine = create_engine(url, connect_args={"timeout": _PATIENCE_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    """A writer locks at once: a reader that turns writer in mid-transaction could only fail."""
    writer = connection.get_execution_options().get("heldout_writer")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")
