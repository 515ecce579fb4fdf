"""Kept results as rows, by tenant and Merkle key.

The assets of a result are those of the run that made it: kept results take no room beside it, and whoever deletes the
run deletes them. A run that takes a result over gets rows of its own for its assets, which share the content; so what
it shows stays when the first run goes.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, select, update

from serve.domain.media import Asset
from serve.domain.names import RunId, TenantName
from serve.domain.ports import Clock
from serve.domain.storable import storable
from serve.domain.written import asset_ids_in, with_assets
from serve.settings import WorkflowsSettings
from serve.storage.records import Records, insert_new
from serve.storage.tables import assets, runs
from serve.storage.workflow_tables import workflow_results
from serve.workflow.results.results import Kept

_log = logging.getLogger(__name__)
_BATCH = 500
_DAY_MS = 86_400_000
_TOUCH_MS = 60_000
"""How old the last use of a result may be told: not every hit is worth a write."""
_HAS_RUN = exists().where(runs.c.id == workflow_results.c.run_id)


class TakesOver(Protocol):
    """Gives a run rows of its own for assets that are there already."""

    async def taken_over(
        self, tenant: TenantName, project: str, asset_ids: Collection[str], run_id: RunId
    ) -> Mapping[str, Asset]:
        """The new assets by the ids that were given; those that are gone are left out."""
        ...


class StoredResults:
    """`serve.workflow.results.results.Results` over the database."""

    def __init__(self, records: Records, blobs: TakesOver, clock: Clock, settings: WorkflowsSettings) -> None:
        self._records = records
        self._blobs = blobs
        self._clock = clock
        self._settings = settings

    async def known(self, tenant: TenantName, keys: Collection[str]) -> frozenset[str]:
        """See `Results`."""
        return frozenset(row.key for row in await self._whole(tenant, keys))

    async def take(self, tenant: TenantName, project: str, keys: Collection[str], run_id: RunId) -> Mapping[str, Kept]:
        """See `Results`."""
        rows = await self._whole(tenant, keys)
        wanted = {asset_id for row in rows if row.run_id != run_id for asset_id in row.assets}
        taken = await self._blobs.taken_over(tenant, project, wanted, run_id) if wanted else {}
        found = {}
        for row in rows:
            if row.run_id == run_id:
                found[row.key] = Kept(row.key, row.outputs, row.run_id, row.label)
            elif taken.keys() >= set(row.assets):
                found[row.key] = Kept(row.key, with_assets(row.outputs, taken), RunId(row.run_id), row.label)
        await self._touch(tenant, [row for row in rows if row.key in found])
        return found

    async def keep(self, tenant: TenantName, results: Sequence[Kept]) -> None:
        """See `Results`."""
        if not results or not self._settings.cache_max_bytes:
            return
        try:
            async with self._records.write() as connection:
                await insert_new(connection, workflow_results, [self._row(tenant, kept) for kept in results])
        except Exception:
            _log.warning("%d results of run %s are not kept", len(results), results[0].run_id, exc_info=True)

    def _row(self, tenant: TenantName, kept: Kept) -> dict[str, Any]:
        found = asset_ids_in(kept.outputs)
        outputs, num_bytes = storable(dict(kept.outputs))
        now_ms = self._clock.now_ms()
        return {
            "tenant": tenant,
            "key": kept.key,
            "outputs": outputs,
            "assets": sorted(found),
            "num_bytes": num_bytes + sum(found.values()),
            "run_id": kept.run_id,
            "label": kept.label,
            "created_ms": now_ms,
            "used_ms": now_ms,
        }

    async def _whole(self, tenant: TenantName, keys: Collection[str]) -> list[Row[Any]]:
        """The results whose run and whose assets are there still."""
        if not keys or not self._settings.cache_max_bytes:
            return []
        since_ms = self._clock.now_ms() - self._kept_ms
        found: list[Row[Any]] = []
        async with self._records.read() as connection:
            for some in _batches(sorted(keys)):
                mine = and_(workflow_results.c.tenant == tenant, workflow_results.c.key.in_(some))
                # Age is not asked of the database: SQLite would read all of the tenant's results by the index of it.
                rows = await connection.execute(select(workflow_results).where(mine, _HAS_RUN))
                found += [row for row in rows if row.used_ms >= since_ms]
            named = sorted({asset_id for row in found for asset_id in row.assets})
            there: set[str] = set()
            for some in _batches(named):
                visible = assets.c.id.in_(some) & (assets.c.tenant == tenant) & assets.c.deleting_ms.is_(None)
                there.update(await connection.scalars(select(assets.c.id).where(visible)))
        return [row for row in found if there.issuperset(row.assets)]

    @property
    def _kept_ms(self) -> int:
        return round(self._settings.cache_days * _DAY_MS)

    async def _touch(self, tenant: TenantName, rows: Iterable[Row[Any]]) -> None:
        now_ms = self._clock.now_ms()
        stale = [row.key for row in rows if row.used_ms < now_ms - _TOUCH_MS]
        if stale:
            mine = (workflow_results.c.tenant == tenant) & workflow_results.c.key.in_(stale)
            async with self._records.write() as connection:
                await connection.execute(update(workflow_results).where(mine).values(used_ms=now_ms))

    async def sweep(self) -> int:
        """Remove what is too old, whose run is gone, or what is too much for its tenant; how many rows."""
        is_old = workflow_results.c.used_ms < self._clock.now_ms() - self._kept_ms
        num_removed = await self._remove(is_old | ~_HAS_RUN)
        for tenant, num_bytes in await self._over_their_share():
            num_removed += await self._shrink(tenant, num_bytes - self._settings.cache_max_bytes)
        return num_removed

    async def _over_their_share(self) -> list[tuple[str, int]]:
        total = func.sum(workflow_results.c.num_bytes)
        query = select(workflow_results.c.tenant, total).group_by(workflow_results.c.tenant)
        async with self._records.read() as connection:
            rows = await connection.execute(query.having(total > self._settings.cache_max_bytes))
            return [(tenant, int(num_bytes)) for tenant, num_bytes in rows]

    async def _shrink(self, tenant: str, num_bytes: int) -> int:
        """Remove the least recently used of a tenant until this many bytes are gone."""
        mine = workflow_results.c.tenant == tenant
        query = select(workflow_results.c.key, workflow_results.c.num_bytes).where(mine)
        num_removed = 0
        while num_bytes > 0:
            async with self._records.read() as connection:
                rows = (await connection.execute(query.order_by(workflow_results.c.used_ms).limit(_BATCH))).all()
            doomed = []
            for row in rows:
                if num_bytes > 0:
                    doomed.append(row.key)
                    num_bytes -= row.num_bytes
            removed = await self._remove(mine & workflow_results.c.key.in_(doomed)) if doomed else 0
            num_removed += removed
            if not removed:
                break
        return num_removed

    async def _remove(self, which: ColumnElement[bool]) -> int:
        num_removed = 0
        while True:
            async with self._records.read() as connection:
                keys = (workflow_results.c.tenant, workflow_results.c.key)
                rows = (await connection.execute(select(*keys).where(which).limit(_BATCH))).all()
            for tenant in {row.tenant for row in rows}:
                mine = [row.key for row in rows if row.tenant == tenant]
                is_one = (workflow_results.c.tenant == tenant) & workflow_results.c.key.in_(mine) & which
                async with self._records.write() as connection:
                    num_removed += (await connection.execute(delete(workflow_results).where(is_one))).rowcount
            if len(rows) < _BATCH:
                return num_removed


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """No database takes a list without end."""
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
