"""Which prices are in force: versions that never change, kept in the database and, for seconds, in memory.

Admission asks for every call. A process knows the versions of a model that are still to come, and so changes over at
their very moment without asking; of one that another process has just made it hears within `fresh_seconds`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, insert, select

from serve.domain.documents import Prices
from serve.domain.errors import StorageUnavailable
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.domain.run import Run
from serve.domain.usage import PriceId, Quantities
from serve.metering.prices.prices import PriceVersion, cost_of, price_id
from serve.storage.metering_tables import price_versions
from serve.storage.records import Records

EVERY_TENANT = TenantName("")


@dataclass(slots=True)
class _Known:
    """The versions of one model, the first in force last. `fresh_until` is monotonic."""

    versions: list[PriceVersion]
    fresh_until: float


class PriceBook:
    """Price versions by model. A tenant's own come before those for every tenant."""

    def __init__(self, records: Records, clock: Clock, fresh_seconds: float = 5.0) -> None:
        """`fresh_seconds` bounds how long another process's new version goes unseen."""
        self._records = records
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._known: dict[str, _Known] = {}
        self._by_id: dict[PriceId, PriceVersion] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def current(self, model: str, tenant: str) -> PriceVersion | None:
        """The version that a call pays which is admitted now; None for a model that is unpriced."""
        return await self.at(model, tenant, self._clock.now_ms())

    async def at(self, model: str, tenant: str, when_ms: int) -> PriceVersion | None:
        """The version that is in force at `when_ms`, as far as is known now."""
        versions = await self._versions(model)
        for owner in (tenant, EVERY_TENANT):
            for version in versions:
                if version.tenant == owner and version.effective_ms <= when_ms:
                    if version.is_empty:
                        break
                    return version
        return None

    async def version(self, id: PriceId) -> PriceVersion | None:
        """The version with this id, which means the same for ever; None if there is none."""
        if found := self._by_id.get(id):
            return found
        async with self._records.read() as connection:
            row = (await connection.execute(select(price_versions).where(price_versions.c.id == id))).one_or_none()
        return None if row is None else self._kept(row)

    async def in_force(self) -> dict[str, PriceId]:
        """By model the version that every tenant pays which has none of its own. Models that are unpriced are not in
        it."""
        table, now_ms = price_versions, self._clock.now_ms()
        wanted = (table.c.tenant == EVERY_TENANT) & (table.c.effective_ms <= now_ms)
        query = select(table.c.model, table.c.id).where(wanted).order_by(*_LAST_FIRST)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).all()
        first = {row.model: PriceId(row.id) for row in reversed(rows)}
        versions = {model: await self.version(id) for model, id in first.items()}
        return {model: version.id for model, version in versions.items() if version and not version.is_empty}

    async def history(self, model: str, tenant: str | None = None) -> Sequence[PriceVersion]:
        """All versions of a model, the one that is in force last first; those of one owner with `tenant`."""
        found = await self._read(model)
        return [version for version in found if tenant is None or version.tenant == tenant]

    async def apply(self, model: str, prices: Prices, by: str, tenant: str = EVERY_TENANT) -> PriceVersion:
        """Make a version of `prices`, in force from `effective_from` on, or from now; unless it is the one that was
        applied last. Prices with nothing in them take the model's prices, or the tenant's own, away.
        """
        async with self._records.write() as connection:
            await self._records.take_turns(connection, f"prices {model} {tenant}")
            owned = (price_versions.c.model == model) & (price_versions.c.tenant == tenant)
            newest = select(price_versions).where(owned).order_by(price_versions.c.created_ms.desc()).limit(1)
            before = (await connection.execute(newest)).one_or_none()
            if before is not None and Prices.model_validate(before.body) == prices:
                return self._kept(before)
            now_ms = self._clock.now_ms()
            # Two of one millisecond would have no order.
            created_ms = max(now_ms, before.created_ms + 1) if before else now_ms
            effective_ms = _effective_ms(prices, now_ms)
            id = price_id(model, tenant, effective_ms, prices, created_ms, by)
            version = PriceVersion(id, model, tenant, effective_ms, prices, created_ms, by)
            await connection.execute(insert(price_versions).values(**_row(version)))
        self.forget(model)
        return self._by_id.setdefault(version.id, version)

    async def run_costs(self, run: Run) -> Callable[[Quantities], int | None]:
        """What quantities cost by the prices that `run` was accepted under, in nano-dollars; None without any."""
        version = None if run.price is None else await self.version(PriceId(run.price))
        adapters = [adapter.id for adapter in run.adapters]
        return lambda quantities: None if version is None else cost_of(quantities, version, adapters)

    def forget(self, model: str) -> None:
        """Read the model's versions anew when they are next asked for."""
        self._known.pop(model, None)

    async def _versions(self, model: str) -> Sequence[PriceVersion]:
        known, now = self._known.get(model), self._clock.monotonic()
        if known is not None and now < known.fresh_until:
            return known.versions
        reading = self._reading.setdefault(model, asyncio.Lock())
        if known is not None and reading.locked():
            return known.versions  # somebody is asking already: nobody else waits
        async with reading:
            return await self._refreshed(model)

    async def _refreshed(self, model: str) -> Sequence[PriceVersion]:
        known, now = self._known.get(model), self._clock.monotonic()
        if known is not None and now < known.fresh_until:
            return known.versions
        try:
            versions = await self._read(model)
        except StorageUnavailable:
            if known is None:
                raise
            versions = known.versions
        self._known[model] = _Known(versions, now + self._fresh_seconds)
        return versions

    async def _read(self, model: str) -> list[PriceVersion]:
        table = price_versions
        ordered = select(table).where(table.c.model == model).order_by(*_LAST_FIRST)
        async with self._records.read() as connection:
            return [self._kept(row) for row in await connection.execute(ordered)]

    def _kept(self, row: Row[tuple[object, ...]]) -> PriceVersion:
        found = self._by_id.get(row.id)
        if found is None:
            found = self._by_id[row.id] = PriceVersion(
                PriceId(row.id),
                row.model,
                row.tenant,
                row.effective_ms,
                Prices.model_validate(row.body),
                row.created_ms,
                row.created_by,
            )
        return found


_LAST_FIRST = (price_versions.c.effective_ms.desc(), price_versions.c.created_ms.desc())
"""Of two with the same moment, the one that was made later."""


def _effective_ms(prices: Prices, now_ms: int) -> int:
    moment = prices.effective_from
    return now_ms if moment is None else round(moment.timestamp() * 1000)


def _row(version: PriceVersion) -> dict[str, object]:
    return {
        "id": version.id,
        "model": version.model,
        "tenant": version.tenant,
        "effective_ms": version.effective_ms,
        "body": version.prices.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "created_ms": version.created_ms,
        "created_by": version.created_by,
    }
