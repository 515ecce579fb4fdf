"""SQLite as `Records` sets it up, and turns between processes."""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.storage.records import Records, SqliteConnection


async def pragma(connection: AsyncConnection, name: str) -> object:
    return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()


async def test_sqlite_survives_a_power_cut_and_waits_for_other_processes(records: Records) -> None:
    async with records.read() as reading, records.write() as writing:
        for connection in (reading, writing):
            assert await pragma(connection, "journal_mode") == "wal"
            assert await pragma(connection, "synchronous") == 2, "2 is FULL"
            assert await pragma(connection, "foreign_keys") == 1
            assert await pragma(connection, "busy_timeout") == 30_000


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SQLite needs a file"):
        Records(url)


async def test_writers_queue_in_order_of_arrival(records: Records) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with records.write():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(write(number) for number in range(30)))
    assert order == list(range(30))


async def test_a_writer_waits_for_another_process(records: Records) -> None:
    other = sqlite3.connect(str(records.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    committing = threading.Event()

    def commit() -> None:
        committing.set()
        other.execute("COMMIT")

    threading.Timer(0.3, commit).start()
    async with records.write():
        assert committing.is_set()
    other.close()


async def test_a_writer_canceled_while_another_process_holds_the_file_leaves_no_lock(records: Records) -> None:
    with contextlib.closing(sqlite3.connect(str(records.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with records.write():
                pass

        waiting = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.sleep(0.1)
        other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 60)
        async with asyncio.timeout(60), records.write():
            pass
        other.execute("BEGIN IMMEDIATE")


async def test_a_connection_that_is_closed_between_a_query_and_its_rows_leaves_no_lock(records: Records) -> None:
    # What remains of a canceled task: SQLite's own close would keep the lock until `unfinished` is collected.
    left = sqlite3.connect(str(records.url.database), isolation_level=None, factory=SqliteConnection)
    left.execute("BEGIN IMMEDIATE")
    unfinished = left.execute("VALUES (1), (2)")
    left.close()
    with contextlib.closing(sqlite3.connect(str(records.url.database), isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    assert unfinished


async def test_closing_gives_back_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    records = Records(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(8):
            await opened.enter_async_context(records.read())
    assert len(set(threading.enumerate()) - before) == 8
    await records.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
