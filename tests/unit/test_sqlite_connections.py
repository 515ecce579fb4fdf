"""SQLite's connections: each is a thread, and none outlives its records."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from serve.storage.records import Records


async def read(records: Records) -> None:
    async with records.read() as connection:
        await connection.execute(text("SELECT 1"))


async def write(records: Records) -> None:
    async with records.write() as connection:
        await connection.execute(text("SELECT 1"))


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name}


@pytest.mark.parametrize("steps", range(0, 40, 3), ids=lambda steps: f"after-{steps}-steps")
def test_tasks_that_are_canceled_again_and_again_leave_no_connection_behind(tmp_path: Path, steps: int) -> None:
    before = threads()

    async def scenario() -> None:
        records = Records(f"sqlite+aiosqlite:///{tmp_path}/records.db")
        await records.migrate()
        tasks = [asyncio.create_task(work(records)) for work in (read, write, read, write)]
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        for _ in range(3):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        await records.close()

    asyncio.run(scenario())

    assert threads() == before


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    before = threads()
    records = Records(f"sqlite+aiosqlite:///{tmp_path}/records.db")
    await read(records)

    await records.close()
    await records.close()
    await read(records)
    await records.close()

    assert threads() == before
