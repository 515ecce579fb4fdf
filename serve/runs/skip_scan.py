"""The distinct values of an indexed column, by hopping from one to the next (a loose index scan).

`SELECT DISTINCT` reads every row of the range; this reads one row per value. See
https://wiki.postgresql.org/wiki/Loose_indexscan.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection


def hops(column: Column[str], within: ColumnElement[bool]) -> Select[Any]:
    """The query: from the first value to the next greater one, until there is none."""
    first = select(column).where(within).order_by(column).limit(1).scalar_subquery()
    seen = select(first.label("value")).cte("seen", recursive=True)
    following = select(column).where(within, column > seen.c.value).order_by(column).limit(1)
    step = select(following.correlate(seen).scalar_subquery()).where(seen.c.value.is_not(None))
    seen = seen.union_all(step)
    return select(seen.c.value).where(seen.c.value.is_not(None))


async def distinct(connection: AsyncConnection, column: Column[str], within: ColumnElement[bool]) -> list[str]:
    """Values of `column` among the rows `within`, ascending. An index must hold what `within` fixes, then `column`."""
    return list(await connection.scalars(hops(column, within)))
