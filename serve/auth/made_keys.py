"""The keys that somebody made, the keys that these made, and so on: what goes with whoever made them.

A key in such a line is known to its maker, however many keys lie between, and would keep for them what was taken away.
"""

from collections.abc import Callable

from sqlalchemy import CTE, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import Scope
from serve.domain.names import KeyId
from serve.storage.tables import keys

_BATCH = 500


async def end_made_keys(
    connection: AsyncConnection,
    maker: KeyId,
    now_ms: int,
    keeps: Callable[[str], frozenset[Scope]] = lambda tenant: frozenset(),
    tenant: str | None = None,
) -> list[KeyId]:
    """End the live keys in the line of `maker`, a key or what stands for a person; the ids of those that ended.

    A key of a tenant stays where `keeps` of that tenant has all its scopes. `tenant` None is every tenant.
    """
    line = _line(maker)
    query = select(keys.c.id, keys.c.tenant, keys.c.scopes).join(line, line.c.id == keys.c.id)
    query = query.where(keys.c.revoked_ms.is_(None))
    rows = await connection.execute(query if tenant is None else query.where(keys.c.tenant == tenant))
    ending = [KeyId(row.id) for row in rows if not {Scope(scope) for scope in row.scopes} <= keeps(row.tenant)]
    for start in range(0, len(ending), _BATCH):
        of_batch = keys.c.id.in_(ending[start : start + _BATCH])
        await connection.execute(update(keys).where(of_batch).values(revoked_ms=now_ms))
    return ending


def _line(maker: KeyId) -> CTE:
    first = select(keys.c.id).where(keys.c.made_by == maker).cte("line", recursive=True)
    return first.union(select(keys.c.id).join(first, keys.c.made_by == first.c.id))
