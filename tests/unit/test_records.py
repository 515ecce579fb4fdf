"""The database: transactions, locks, pragmas."""

from serve.storage.records import Records


async def test_x(records: Records, clock, ids) -> None:
    async with records.write() as c:
        await c.exec_driver_sql("select 1")
