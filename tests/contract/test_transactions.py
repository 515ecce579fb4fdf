"""What `Records` promises of transactions, on SQLite and on PostgreSQL alike."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.databases import new_sqlite
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from serve.storage.records import Records
from serve.storage.tables import projects, tenants


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    """A migrated database with one counter in it: the tenant `acme`, whose created_ms is 0."""
    if request.param == "sqlite":
        made = Records(new_sqlite(tmp_path / "a.db"))
    else:
        made = Records(request.getfixturevalue("migrated_postgres_url"))
    await add_tenant(made, "acme")
    yield made
    await made.close()


async def add_tenant(database: Records, name: str) -> None:
    async with database.write() as connection:
        await connection.execute(insert(tenants).values(name=name, webhook_secret="", created_ms=0))


async def count(database: Records) -> int:
    async with database.read() as connection:
        return int(
            (await connection.execute(select(tenants.c.created_ms).where(tenants.c.name == "acme"))).scalar_one()
        )


async def num_tenants(database: Records) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(tenants))).scalar_one())


async def increment(database: Records) -> None:
    """Read, think, write: loses updates wherever transactions overlap."""
    is_acme = tenants.c.name == "acme"
    async with database.write() as connection:
        await database.take_turns(connection, "acme")
        value = (await connection.execute(select(tenants.c.created_ms).where(is_acme))).scalar_one()
        await asyncio.sleep(random.random() / 500)
        await connection.execute(update(tenants).where(is_acme).values(created_ms=value + 1))


def num_checked_out(database: Records) -> int:
    return sum(engine.pool.checkedout() for engine in {database._reader, database._writer})


async def test_what_was_written_is_read_by_another_connection(database: Records) -> None:
    await add_tenant(database, "other")
    assert await num_tenants(database) == 2


async def test_nothing_is_seen_before_the_commit(database: Records) -> None:
    async with database.write() as connection:
        await connection.execute(insert(tenants).values(name="other", webhook_secret="", created_ms=0))
        assert await num_tenants(database) == 1
    assert await num_tenants(database) == 2


async def test_an_exception_rolls_every_statement_back(database: Records) -> None:
    with pytest.raises(KeyError):
        await _write(database, "b", "c", fail=KeyError())
    assert await num_tenants(database) == 1
    assert num_checked_out(database) == 0


async def _write(database: Records, *names: str, fail: Exception | None = None) -> None:
    async with database.write() as connection:
        for name in names:
            await connection.execute(insert(tenants).values(name=name, webhook_secret="", created_ms=0))
        if fail:
            raise fail


async def test_a_failed_statement_rolls_the_transaction_back(database: Records) -> None:
    with pytest.raises(IntegrityError):
        await _write(database, "b", "acme")
    assert await num_tenants(database) == 1


async def test_foreign_keys_hold(database: Records) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(insert(projects).values(tenant="nobody", name="a", created_ms=0))


async def test_a_reading_connection_cannot_write(database: Records) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        async with database.read() as connection:
            await connection.execute(insert(tenants).values(name="b", webhook_secret="", created_ms=0))
    await add_tenant(database, "b")


async def test_no_update_of_forty_concurrent_writers_is_lost(database: Records) -> None:
    await asyncio.gather(*(increment(database) for _ in range(40)))
    assert await count(database) == 40


async def test_two_processes_worth_of_writers_lose_nothing(database: Records) -> None:
    second = Records(database.url.render_as_string(hide_password=False))
    await asyncio.gather(*(increment(one) for one in (database, second) for _ in range(15)))
    await second.close()
    assert await count(database) == 30


async def test_readers_do_not_wait_for_a_writer(database: Records) -> None:
    async with database.write() as connection:
        await connection.execute(update(tenants).values(created_ms=7))
        async with asyncio.timeout(60):
            assert await asyncio.gather(*(count(database) for _ in range(50))) == [0] * 50


async def test_a_writer_canceled_in_mid_transaction_leaves_no_lock_and_no_connection(database: Records) -> None:
    written = asyncio.Event()

    async def hang() -> None:
        async with database.write() as connection:
            await connection.execute(update(tenants).values(created_ms=99))
            written.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(hang())
    await written.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    async with asyncio.timeout(60):
        await increment(database)
    assert await count(database) == 1
    assert num_checked_out(database) == 0


async def test_a_writer_canceled_while_it_waits_for_another_leaves_nothing(database: Records) -> None:
    async with database.write() as connection:
        await connection.execute(update(tenants).values(created_ms=5))
        waiting = asyncio.create_task(increment(database))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 60)
    assert await count(database) == 5
    await increment(database)
    assert num_checked_out(database) == 0


async def test_cancellation_at_any_moment_leaves_whole_transactions_and_every_connection(database: Records) -> None:
    chance = random.Random(7)
    for _ in range(15):
        writers = [asyncio.create_task(increment(database)) for _ in range(12)]
        before = await count(database)
        await asyncio.sleep(chance.random() / 50)
        for writer in chance.sample(writers, 8):
            writer.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*writers, return_exceptions=True), 60)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in ended)
        # A task canceled in the very commit may or may not have committed; never half.
        assert before <= await count(database) <= before + 12
    async with asyncio.timeout(60):
        await increment(database)
    assert num_checked_out(database) == 0
