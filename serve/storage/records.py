"""The database: one engine over SQLite or PostgreSQL, migrated at start under a lock.

SQLite runs in WAL mode with synchronous=FULL: what was committed survives a power cut. Writers begin IMMEDIATE, so
that a transaction which reads and then writes cannot fail half-way for want of the lock.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x511B_3A11
"""PostgreSQL advisory lock id: any constant that nothing else in the database uses."""
_BUSY_TIMEOUT_MS = 30_000


class Records:
    """Transactions over the installation's database."""

    def __init__(self, url: str) -> None:
        """`url` names an async driver: sqlite+aiosqlite:///file or postgresql+asyncpg://..."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = self._create_engine()

    def _create_engine(self) -> AsyncEngine:
        if not self.is_sqlite:
            return create_async_engine(self.url, pool_size=10, max_overflow=20, pool_pre_ping=True)
        if self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(self.url)
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        return engine

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection, None]:
        """A connection for statements that change nothing."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection, None]:
        """A transaction: committed at the end, rolled back on any exception."""
        async with self._engine.connect() as connection:
            if self.is_sqlite:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                await connection.commit()
            except BaseException:
                await asyncio.shield(connection.rollback())
                raise

    async def migrate(self) -> None:
        """Bring the schema to this version. Processes that start together take turns."""
        if self.is_sqlite and self.url.database:
            await asyncio.to_thread(self._migrate_sqlite)
            return
        async with self._engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
            await connection.run_sync(upgrade)

    def _migrate_sqlite(self) -> None:
        with FileLock(f"{self.url.database}.migrate.lock"):
            engine = create_engine(self.url.set(drivername="sqlite"))
            with engine.begin() as connection:
                upgrade(connection)
            engine.dispose()

    async def close(self) -> None:
        """Give back every connection."""
        await self._engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run the migrations that `connection`'s database lacks."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.close()
