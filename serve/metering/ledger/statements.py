"""SQL in the words of the two drivers, for the ledger's wide rows: composing a statement with thousands of values by
SQLAlchemy costs more than running it."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection

Values = tuple[Any, ...]


async def insert_rows(connection: AsyncConnection, table: Table, rows: list[Values], conflict: str = "") -> None:
    """Insert `rows`, each in the order of the table's columns; `conflict` is an ON CONFLICT clause."""
    if rows:
        columns = table.columns.keys()
        marks = ", ".join(_marks(connection, len(columns)))
        await connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks}) {conflict}", rows
        )


async def add_rows(connection: AsyncConnection, table: Table, rows: list[Values]) -> None:
    """Insert rows that are known to be new, as fast as the database takes them: PostgreSQL by COPY."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        await insert_rows(connection, table, rows)
        return
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None, "a connection in a transaction has a driver's"
    try:
        await driver.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())
    except Exception as error:
        if driver.is_closed():
            raise ConnectionError("the database closed the connection") from error
        raise


async def rows_among(
    connection: AsyncConnection, table: Table, columns: Sequence[str], values: Collection[str], by: Sequence[str]
) -> Sequence[Row[Any]]:
    """`columns` of the rows in which one of the columns `by` is among `values`."""
    if not values:
        return []
    is_sqlite = connection.dialect.name == "sqlite"
    one = "IN (SELECT value FROM json_each(?))" if is_sqlite else "= ANY($1::varchar[])"
    found = " UNION ".join(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {column} {one}" for column in by)
    given = json.dumps(list(values)) if is_sqlite else list(values)
    return (await connection.exec_driver_sql(found, (given,) * (len(by) if is_sqlite else 1))).all()


def _marks(connection: AsyncConnection, num: int) -> list[str]:
    return ["?"] * num if connection.dialect.name == "sqlite" else [f"${index}" for index in range(1, num + 1)]
