"""Lines of keys: which keys' budgets and limits bind a key beside what was set for itself.

Two ways lead from a key to another that its holder has: making one, and rotating one. A rotated key is of the family of
the key that it replaces, and a family is bound as one key. What is made is bound by the families of its maker's line,
however long the chain. A line never changes once the key is there.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Select, func, insert, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import PermissionDenied
from serve.storage.metering_tables import key_makers
from serve.storage.tables import keys

MAX_MAKERS = 32
"""Families that a key comes from, beside its own: each is a limit that every call of it is counted against."""
_BATCH = 500


async def lines_of(connection: AsyncConnection, key_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The families that bind each key, its own among them. What is no key's id is a family of its own."""
    found = {key_id: {key_id} for key_id in key_ids}
    wanted = sorted(found)
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        rotated = select(keys.c.id, keys.c.family).where(keys.c.id.in_(part) & keys.c.family.is_not(None))
        for row in await connection.execute(rotated):
            found[row.id] = {row.family}
        for row in await connection.execute(select(key_makers).where(key_makers.c.key_id.in_(part))):
            found[row.key_id].add(row.maker)
    return {key_id: frozenset(line) for key_id, line in found.items()}


async def makers_of(connection: AsyncConnection, key_id: str) -> Sequence[tuple[str, dict[str, int] | None]]:
    """The families that a key comes from, with the limits of each, in the order of their ids."""
    query = select(key_makers.c.maker, keys.c.limits).join(keys, keys.c.id == key_makers.c.maker)
    rows = await connection.execute(query.where(key_makers.c.key_id == key_id).order_by(key_makers.c.maker))
    return [(row.maker, row.limits) for row in rows]


async def family_of(connection: AsyncConnection, key_id: str) -> str:
    """The first of the keys that this one replaced in turn; itself, where it replaced none."""
    return str(await connection.scalar(select(keys.c.family).where(keys.c.id == key_id)) or key_id)


def bound_by(family: str) -> Select[tuple[str]]:
    """The ids of all keys that the family's budgets and limits bind."""
    of_family = select(keys.c.id).where(func.coalesce(keys.c.family, keys.c.id) == family)
    made = select(key_makers.c.key_id).where(key_makers.c.maker == family)
    return select(union(of_family, made).subquery().c[0])


async def write_line(connection: AsyncConnection, key_id: str, family: str, line: Collection[str]) -> None:
    """Bind a new key by `line`, beside its own family. Raises PermissionDenied: the chain is too long."""
    makers = sorted(set(line) - {family})
    if len(makers) > MAX_MAKERS:
        raise PermissionDenied(
            f"This key would come from more than {MAX_MAKERS} others, each of which binds it. Make it with a key that "
            "is nearer to the first one."
        )
    if makers:
        await connection.execute(insert(key_makers), [{"key_id": key_id, "maker": maker} for maker in makers])
