"""The distinct values of an indexed column, by hopping from one to the next (a loose index scan).

`SELECT DISTINCT` reads every row of the range; this reads one row per value. See
https://wiki.postgresql.org/wiki/Loose_indexscan.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection


def constant(value: str | int) -> ColumnElement[Any]:
    """A value in the statement's text: PostgreSQL then knows how rare it is, also in a plan that it keeps."""
    return literal(value, literal_execute=True)


def hops(order: Sequence[Column[Any]], within: ColumnElement[bool]) -> Select[Any]:
    """The query: from the first value of `order[0]` to the next greater one, until there is none.

    An index must hold the columns that `within` fixes, then `order`: all of it, so that no other index gives the same
    order. PostgreSQL would take one that does, and filter its way through every row of the past.
    """
    column = order[0]
    first = select(column).where(within).order_by(*order).limit(1).scalar_subquery()
    seen = select(first.label("value")).cte("seen", recursive=True)
    following = select(column).where(within, column > seen.c.value).order_by(*order).limit(1)
    step = select(following.correlate(seen).scalar_subquery()).where(seen.c.value.is_not(None))
    seen = seen.union_all(step)
    return select(seen.c.value).where(seen.c.value.is_not(None))


async def distinct(
    connection: AsyncConnection, order: Sequence[Column[Any]], within: ColumnElement[bool]
) -> Sequence[str]:
    """Values of `order[0]` among the rows `within`, ascending."""
    return (await connection.scalars(hops(order, within))).all()
