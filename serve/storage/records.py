"""The database: SQLAlchemy Core over SQLite or PostgreSQL, migrated at start under a lock.

SQLite runs in WAL mode with synchronous=FULL: what was committed survives a power cut. It has one writer at a time,
so a process has one writing connection, and its writers queue for that in memory, in order, instead of polling the
file's lock; other processes' writers are waited for by SQLite's busy handler. Writers begin IMMEDIATE, so that a
transaction which reads and then writes cannot fail half-way for want of the lock.
"""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from serve.domain.errors import StorageUnavailable
from serve.storage.sqlite_connections import SqliteConnections

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x511B_3A11
"""PostgreSQL advisory lock id: any constant that nothing else in the database uses."""
_BUSY_TIMEOUT_MS = 30_000
_INSERT: dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}
_NUM_SQLITE_READERS = 8
"""Each is a thread; reads in WAL mode wait for nobody, and take well under a millisecond."""


class SqliteConnection(sqlite3.Connection):
    """Ends its transaction when it is closed.

    SQLite's own close leaves that to the last unfinished statement. A task that is canceled between a SELECT and its
    rows has such a one, and every writer would wait for the garbage collector.
    """

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


class Records:
    """Transactions over the installation's database."""

    def __init__(self, url: str) -> None:
        """`url` names an async driver: sqlite+aiosqlite:///file or postgresql+asyncpg://...

        Raises:
            ValueError: for SQLite in memory, which connections and processes could not share.
        """
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._sqlite = SqliteConnections()
        if self.is_sqlite:
            self._reader, self._writer = self._create_sqlite_engines()
        else:
            self._writer = create_async_engine(self.url, pool_size=10, max_overflow=20, pool_pre_ping=True)
            self._reader = self._writer.execution_options(postgresql_readonly=True)

    def _create_sqlite_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        if self.url.database in (None, "", ":memory:"):
            raise ValueError("SQLite needs a file: sqlite+aiosqlite:///path/to/slipway.db")
        Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
        connect = {"factory": SqliteConnection, "async_creator_fn": self._sqlite.open}
        options = {"max_overflow": 0, "connect_args": connect}
        reader = create_async_engine(self.url, pool_size=_NUM_SQLITE_READERS, **options)
        event.listen(reader.sync_engine, "connect", _configure_sqlite)
        event.listen(reader.sync_engine, "connect", _refuse_writes)
        writer = create_async_engine(self.url, pool_size=1, pool_timeout=_BUSY_TIMEOUT_MS / 1000, **options)
        event.listen(writer.sync_engine, "connect", _configure_sqlite)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        return reader, writer

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection, None]:
        """A connection for statements that change nothing; one that would is refused by the database."""
        with _unavailability():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection, None]:
        """A transaction: committed at the end, rolled back on any exception. Keep it short, and never nest it."""
        with _unavailability():
            async with self._writer.begin() as connection:
                yield connection

    async def take_turns(self, connection: AsyncConnection, subject: str) -> None:
        """Until `connection`'s transaction ends, let no other transaction past this line with the same `subject`.

        SQLite has one writer anyway.
        """
        if not self.is_sqlite:
            lock = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big", signed=True)
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock})

    async def migrate(self) -> None:
        """Bring the schema to this version, wholly or not at all. Processes that start together take turns."""
        if self.is_sqlite:
            await asyncio.to_thread(self._migrate_sqlite)
            return
        async with self._writer.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
            await connection.run_sync(upgrade)

    def _migrate_sqlite(self) -> None:
        # The file lock, beside SQLite's own, because SQLite answers "locked" at once when two connections
        # turn a new file to WAL mode.
        with FileLock(f"{self.url.database}.migrate.lock"):
            engine = create_engine(self.url.set(drivername="sqlite"))
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_immediate)
            try:
                with engine.begin() as connection:
                    upgrade(connection)
            finally:
                engine.dispose()

    async def ping(self) -> None:
        """Return if the database answers; raise what its driver raises if it does not."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give back every connection."""
        await self._reader.dispose()
        await self._writer.dispose()
        await self._sqlite.close()


@contextmanager
def _unavailability() -> Generator[None, None, None]:
    """A database that is away, or lets go of us, is no fault of the request: it is answered as such."""
    try:
        yield
    except (ConnectionError, PoolTimeout) as error:
        raise StorageUnavailable("The database does not answer. Retry shortly.", "database_unavailable") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StorageUnavailable("The database does not answer. Retry shortly.", "database_unavailable") from error


async def insert_if_absent(
    connection: AsyncConnection, table: Table, row: Mapping[str, Any], unique: Sequence[str] | None = None
) -> bool:
    """Insert `row` unless its primary key, or else the `unique` columns, are there; True if it was inserted.

    On PostgreSQL it waits for a transaction that is inserting the same, so two that start together agree.
    """
    insert = _INSERT[connection.dialect.name](table).values(dict(row))
    return (await connection.execute(insert.on_conflict_do_nothing(index_elements=unique))).rowcount == 1


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of `rows` whose primary key is not there yet, in one statement."""
    insert = _INSERT[connection.dialect.name](table).on_conflict_do_nothing()
    await connection.execute(insert, [dict(row) for row in rows])


def upgrade(connection: Connection) -> None:
    """Run the migrations that `connection`'s database lacks, inside its transaction."""
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # With its own transactions off, the driver neither begins before an INSERT nor leaves DDL outside.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _refuse_writes(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
