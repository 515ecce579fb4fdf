"""The distinct values of an indexed column, by hopping from one to the next (a loose index scan).

`SELECT DISTINCT` reads every row of the range; this reads one row per value. See
https://wiki.postgresql.org/wiki/Loose_indexscan.
"""

from sqlalchemy import Column, ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def distinct(connection: AsyncConnection, column: Column[str], within: ColumnElement[bool]) -> list[str]:
    """Values of `column` among the rows `within`, ascending. An index must hold what `within` fixes, then `column`."""
    first = select(column).where(within).order_by(column).limit(1).scalar_subquery()
    hops = select(first.label("value")).cte("hops", recursive=True)
    following = select(column).where(within, column > hops.c.value).order_by(column).limit(1)
    step = select(following.correlate(hops).scalar_subquery()).where(hops.c.value.is_not(None))
    hops = hops.union_all(step)
    found = await connection.execute(select(hops.c.value).where(hops.c.value.is_not(None)))
    return [value for (value,) in found]
