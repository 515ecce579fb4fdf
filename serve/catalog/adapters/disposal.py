"""Deleted adapters: kept while anything may still use them, then removed with their bytes.

A version that was deleted is hidden at once. Its files stay for a grace (calls that a gateway let in before, whose
replicas may yet ask for them) and as long as a queued or running run names it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, delete, literal, select, tuple_
from sqlalchemy.engine import Row

from serve.catalog.adapters.blobs import AdapterBlobs
from serve.domain.adapters import AdapterVersion
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.domain.run import RunStatus
from serve.settings import AdaptersSettings
from serve.storage.records import Records
from serve.storage.tables import adapter_versions, runs

_BATCH = 100
_LIVE = (RunStatus.QUEUED, RunStatus.RUNNING)


class AdapterDisposal:
    """What the runner's sweeper asks for."""

    def __init__(self, records: Records, blobs: AdapterBlobs, clock: Clock, settings: AdaptersSettings) -> None:
        self._records = records
        self._blobs = blobs
        self._clock = clock
        self._grace_ms = round(settings.grace_seconds * 1000)

    async def sweep(self) -> int:
        """Remove what is due, and what uploads left that did not end; how many versions."""
        num_removed, after = 0, ("", "", "")
        while rows := await self._due(after):
            for row in rows:
                num_removed += await self._remove(row)
            after = (rows[-1].tenant, rows[-1].name, rows[-1].digest)
        await self._blobs.sweep()
        return num_removed

    async def _due(self, after: tuple[str, str, str]) -> Sequence[Row[Any, Any, Any]]:
        key = (adapter_versions.c.tenant, adapter_versions.c.name, adapter_versions.c.digest)
        query = select(*key).where(self._is_over(), tuple_(*key) > tuple_(*map(literal, after)))
        async with self._records.read() as connection:
            return [*(await connection.execute(query.order_by(*key).limit(_BATCH))).all()]

    def _is_over(self) -> ColumnElement[bool]:
        return adapter_versions.c.deleted_ms <= self._clock.now_ms() - self._grace_ms

    async def _remove(self, row: Row[Any, Any, Any]) -> int:
        """The row, unless a run needs it or it was added again; and the blobs, unless another name has them."""
        mine = (
            adapter_versions.c.tenant == row.tenant,
            adapter_versions.c.name == row.name,
            adapter_versions.c.digest == row.digest,
        )
        async with self._records.write() as connection:
            await self._blobs.take_turns(connection, row.tenant)
            done = await connection.execute(
                delete(adapter_versions).where(*mine, self._is_over(), ~_is_used(row.tenant, row.name, row.digest))
            )
        if done.rowcount:
            await self._blobs.collect(row.tenant, row.digest)
        return done.rowcount


def _is_used(tenant: str, name: str, digest: str) -> ColumnElement[bool]:
    # Neither a name nor a digest holds a character that LIKE or JSON reads otherwise.
    pattern = f'%"{AdapterVersion(TenantName(tenant), name, digest).id}"%'
    names_it = cast(runs.c.adapters, Text).like(pattern)
    return select(runs.c.id).where(runs.c.status.in_(_LIVE), runs.c.adapters.is_not(None), names_it).exists()
