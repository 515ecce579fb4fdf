"""The migrations build exactly the tables, on both databases, whoever comes first."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table, inspect

from serve.storage import records as records_module
from serve.storage.records import Records
from serve.storage.workflow_tables import metadata

MIGRATE = """
import asyncio, sys
from serve.storage.records import Records

async def main():
    records = Records(sys.argv[1])
    await records.migrate()
    await records.close()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'folder to be made' / '50% there.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def empty(url: str) -> AsyncIterator[Records]:
    made = Records(url)
    yield made
    await made.close()


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def names(connection: Connection) -> dict[str, set[str | None]]:
    """Every constraint and index by its name, which `compare_metadata` does not look at."""
    found = inspect(connection)
    return {
        table: {found.get_pk_constraint(table)["name"]}
        | {key["name"] for key in found.get_foreign_keys(table)}
        | {index["name"] for index in found.get_indexes(table)}
        for table in metadata.tables
    }


def declared_names(table: Table, connection: Connection) -> set[str | None]:
    prepare = connection.dialect.identifier_preparer
    keys = {prepare.format_constraint(constraint) for constraint in table.constraints}
    return keys | {prepare.format_index(index) for index in table.indexes}


async def test_the_migrated_schema_is_the_declared_one(empty: Records) -> None:
    await empty.migrate()
    async with empty.read() as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(names) == await connection.run_sync(
            lambda sync: {name: declared_names(table, sync) for name, table in metadata.tables.items()}
        )


async def test_migrating_again_changes_nothing(empty: Records) -> None:
    await empty.migrate()
    await empty.migrate()
    async with empty.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_processes_that_migrate_at_once_all_succeed(url: str, empty: Records) -> None:
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", MIGRATE, url, stderr=-1)
        for _ in range(4)
    ]
    ended = await asyncio.wait_for(asyncio.gather(*(process.communicate() for process in started)), 240)
    assert [(process.returncode, said) for process, (_, said) in zip(started, ended, strict=True)] == [(0, b"")] * 4
    async with empty.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_migration_that_fails_leaves_nothing_behind(empty: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_the_end(connection: Connection) -> None:
        upgrade(connection)
        raise InterruptedError("the power went")

    upgrade = records_module.upgrade
    monkeypatch.setattr(records_module, "upgrade", fail_at_the_end)
    with pytest.raises(InterruptedError):
        await empty.migrate()
    async with empty.read() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
    monkeypatch.undo()
    await empty.migrate()


async def test_a_downgrade_takes_every_table_away(empty: Records) -> None:
    def downgrade(connection: Connection) -> None:
        records_module.command.downgrade(records_module._config(connection), "base")

    await empty.migrate()
    async with empty.write() as connection:
        await connection.run_sync(downgrade)
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["alembic_version"]


def test_a_migrated_file_is_in_wal_mode(tmp_path: Path) -> None:
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"))
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def _migrate(url: str) -> None:
    made = Records(url)
    await made.migrate()
    await made.close()
