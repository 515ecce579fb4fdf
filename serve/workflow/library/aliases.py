"""Aliases: words for versions, which are moved on and back. What they point to never changes; they do."""

from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import Conflict, InvalidRequest, NotFound
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_aliases
from serve.workflow.library import library_rows
from serve.workflow.library.addresses import alias_name
from serve.workflow.library.stored_workflows import StoredAlias

MAX_ALIASES = 64
"""Of one workflow."""


class Aliases:
    """The aliases of every workflow, by tenant."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def list(self, tenant: TenantName, name: str) -> list[StoredAlias]:
        """All of a workflow's, by word. Raises NotFound."""
        query = select(workflow_aliases).where(*_of(tenant, name)).order_by(workflow_aliases.c.alias)
        async with self._records.read() as connection:
            await library_rows.get(connection, tenant, name)
            return [library_rows.alias_of(row) for row in await connection.execute(query)]

    async def get(self, tenant: TenantName, name: str, alias: str) -> StoredAlias:
        """Raises NotFound: `workflow_not_found`, `alias_not_found`."""
        async with self._records.read() as connection:
            await library_rows.get(connection, tenant, name)
            return library_rows.alias_of(await _row(connection, tenant, name, alias))

    async def set(self, tenant: TenantName, name: str, alias: str, version: int, by: str) -> StoredAlias:
        """Have a word mean a version; what it meant is remembered. Meaning it already, it stays as it is.

        Raises:
            NotFound. InvalidRequest: the word means something else for ever. Conflict: `too_many_aliases`.
        """
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            await library_rows.get(connection, tenant, name)
            await point(connection, tenant, name, alias, version, by, self._clock.now_ms())
            return library_rows.alias_of(await _row(connection, tenant, name, alias))

    async def rollback(
        self, tenant: TenantName, name: str, alias: str, by: str, current: int | None = None
    ) -> StoredAlias:
        """Have a word mean what it meant before; again, and it means the later one. `current` says which version the
        caller has seen it mean: of two who roll back at the same time, the second is told.

        Raises:
            NotFound. Conflict: `alias_moved`, `nothing_before`.
        """
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            await library_rows.get(connection, tenant, name)
            row = await _row(connection, tenant, name, alias)
            if current is not None and row.version != current:
                raise Conflict(
                    f"{name}@{alias} is version {row.version}, not {current}: somebody has moved it.",
                    "alias_moved",
                    "current",
                )
            if row.previous is None:
                raise Conflict(
                    f"{name}@{alias} meant no version before that is still there. PUT one in its place.",
                    "nothing_before",
                    "alias",
                )
            await point(connection, tenant, name, alias, row.previous, by, self._clock.now_ms())
            return library_rows.alias_of(await _row(connection, tenant, name, alias))

    async def delete(self, tenant: TenantName, name: str, alias: str) -> None:
        """Forget a word. Raises NotFound."""
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            await library_rows.get(connection, tenant, name)
            await _row(connection, tenant, name, alias)
            await connection.execute(
                delete(workflow_aliases).where(*_of(tenant, name), workflow_aliases.c.alias == alias)
            )


async def point(
    connection: AsyncConnection, tenant: TenantName, name: str, alias: str, version: int, by: str, now_ms: int
) -> None:
    """Have a word mean a version, within a transaction that has its turn. Raises as `Aliases.set`."""
    try:
        alias_name(alias)
    except ValueError as error:
        raise InvalidRequest(str(error), "invalid_value", "alias") from None
    await library_rows.version_row(connection, tenant, name, version)
    mine = (*_of(tenant, name), workflow_aliases.c.alias == alias)
    row = (await connection.execute(select(workflow_aliases).where(*mine))).first()
    values = {"version": version, "updated_ms": now_ms, "updated_by": by}
    if row is None:
        await _check_number(connection, tenant, name)
        named = {"tenant": tenant, "name": name, "alias": alias, "previous": None}
        await connection.execute(insert(workflow_aliases).values(named | values))
    elif row.version != version:
        await connection.execute(update(workflow_aliases).where(*mine).values(values | {"previous": row.version}))


async def _check_number(connection: AsyncConnection, tenant: TenantName, name: str) -> None:
    num = await connection.scalar(select(func.count()).select_from(workflow_aliases).where(*_of(tenant, name)))
    if num is not None and num >= MAX_ALIASES:
        raise Conflict(f"{name} has {num} aliases, which is the limit. Delete some.", "too_many_aliases", "alias")


async def _row(connection: AsyncConnection, tenant: TenantName, name: str, alias: str) -> Row[Any]:
    query = select(workflow_aliases).where(*_of(tenant, name), workflow_aliases.c.alias == alias)
    row = (await connection.execute(query)).first()
    if row is None:
        told = f"The workflow {name[:80]!r} has no alias {alias[:80]!r}."
        raise NotFound(f"{told} GET /v1/workflows/{name[:80]}/aliases lists them.", "alias_not_found", "alias")
    return row


def _of(tenant: TenantName, name: str) -> tuple[ColumnElement[bool], ...]:
    return workflow_aliases.c.tenant == tenant, workflow_aliases.c.name == name
