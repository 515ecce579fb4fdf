"""Runs as their owners see them: made, read, listed, canceled, forgotten.

Everything here asks for the tenant, and another tenant's run answers exactly as one that never was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import Conflict, InvalidRequest, NotFound, Overloaded
from serve.domain.names import RunId, TenantName
from serve.domain.ports import Clock
from serve.domain.run import DeliveryStatus, NewRun, Run, RunEvent, RunEventKind, RunKind, RunStatus
from serve.domain.steps import Step
from serve.runs import lifecycle
from serve.runs import steps as step_rows
from serve.runs.rows import RUN_COLUMNS, WEBHOOK_EVENTS, Line, append, to_run, transition
from serve.settings import RunsSettings
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import run_events, runs, webhook_deliveries

MAX_PAGE = 200
_DEPTH_TRUSTED_SECONDS = 1.0
"""How long a counted queue depth is trusted: counting 100,000 rows takes milliseconds, too many for every request."""
_MAX_DEPTHS = 10_000


class RunAssets(Protocol):
    """The blobs that runs made."""

    async def delete_for_runs(self, run_ids: Sequence[str]) -> object:
        """Remove every asset of these runs; it is no error to ask twice."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook's log. Times are Unix milliseconds."""

    id: str
    event: str
    url: str
    status: DeliveryStatus
    attempt: int
    next_ms: int
    response_status: int | None
    error: str | None
    created_ms: int
    delivered_ms: int | None


class RunStore:
    """Runs, by tenant."""

    def __init__(self, records: Records, clock: Clock, settings: RunsSettings, assets: RunAssets | None = None) -> None:
        """`assets` is what `delete` takes a run's blobs from; without it they stay their tenant's."""
        self.records = records
        self.clock = clock
        self.settings = settings
        self._assets = assets
        self._depths: dict[str, tuple[float, int]] = {}

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        """The stored run, and whether it is new: the same Idempotency-Key and request give the first run again.

        Raises:
            Conflict: the key was used for another request (code idempotency_key_reuse).
            Overloaded: the tenant has too many runs waiting.
            InvalidRequest: the inputs hold what no database stores, or the webhook asks for unknown news.
        """
        _check(new)
        if first := await self.replayed(new):
            return first, False
        await self._admit(new.tenant)
        created = Run(**new.model_dump(), created_ms=self.clock.now_ms())
        if await self._insert(created):
            return created.model_copy(update={"num_events": 1}), True
        if first := await self.replayed(new):
            return first, False
        raise Conflict("The run of this Idempotency-Key was deleted just now; send the request again.")

    async def _insert(self, run: Run) -> bool:
        values = run.model_dump(mode="json") | {"not_before_ms": 0, "num_events": 0, "cancel_requested": 0}
        values["task"] = values["task"] or ""
        values["adapters"] = values["adapters"] or None  # so that those that use any are found without reading others
        async with self.records.write() as connection:
            is_new = await insert_if_absent(connection, runs, values, ["tenant", "idempotency_key"])
            if is_new:
                await append(connection, run.id, [Line(RunEventKind.QUEUED, {"attempt": 0})], run.created_ms)
        return is_new

    async def replayed(self, new: NewRun) -> Run | None:
        """The run that has the Idempotency-Key of `new` already. Raises Conflict when it is of another request."""
        if new.idempotency_key is None:
            return None
        mine = (runs.c.tenant == new.tenant, runs.c.idempotency_key == new.idempotency_key)
        first = await self._first(select(*RUN_COLUMNS).where(*mine))
        if first is not None and not _is_same(first, new):
            raise Conflict(
                "This Idempotency-Key belongs to another request. Use a new key for a new request.",
                "idempotency_key_reuse",
                "Idempotency-Key",
            )
        return first

    async def _admit(self, tenant: TenantName) -> None:
        now = self.clock.monotonic()
        counted_at, depth = self._depths.get(tenant, (-_DEPTH_TRUSTED_SECONDS, 0))
        if now - counted_at >= _DEPTH_TRUSTED_SECONDS or depth >= self.settings.max_queued_per_tenant:
            counted_at, depth = now, await self._count_queued(tenant)
        if depth >= self.settings.max_queued_per_tenant:
            raise Overloaded(f"{depth} runs are waiting already. Send more when some are done.", "", None, 10.0)
        if len(self._depths) > _MAX_DEPTHS:
            self._depths.clear()
        self._depths[tenant] = (counted_at, depth + 1)

    async def _count_queued(self, tenant: TenantName) -> int:
        mine = (runs.c.tenant == tenant, runs.c.status == RunStatus.QUEUED)
        async with self.records.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(runs).where(*mine)) or 0)

    async def get(self, tenant: TenantName, run_id: RunId) -> Run:
        """The run. Raises NotFound for an unknown one and for another tenant's alike."""
        run = await self._first(select(*RUN_COLUMNS).where(runs.c.id == run_id, runs.c.tenant == tenant))
        if run is None:
            raise _missing(run_id)
        return run

    async def progress(self, tenant: TenantName, run_id: RunId) -> tuple[RunStatus, int]:
        """(status, number of events): what followers ask often, without the inputs and outputs. Raises NotFound."""
        query = select(runs.c.status, runs.c.num_events).where(runs.c.id == run_id, runs.c.tenant == tenant)
        async with self.records.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise _missing(run_id)
        return RunStatus(row.status), row.num_events

    async def list(
        self,
        tenant: TenantName,
        *,
        status: RunStatus | None = None,
        kind: RunKind | None = None,
        target: str | None = None,
        workflow: str | None = None,
        limit: int = 50,
        after: RunId | None = None,
    ) -> list[Run]:
        """At most `limit` (of 200) runs, newest first; `after` is the id of the last one on the page before. `workflow`
        is `name@version`, or a name for all of its versions."""
        query = select(*RUN_COLUMNS).where(runs.c.tenant == tenant)
        if status is not None:
            query = query.where(runs.c.status == status)
        if target is not None:
            query = query.where(runs.c.target == target)
        if kind is not None:
            query = query.where(runs.c.kind == kind)
        if workflow is not None:
            query = query.where(runs.c.kind == RunKind.WORKFLOW, _is_of_workflow(workflow))
        if after is not None:
            query = query.where(runs.c.id < after)
        query = query.order_by(runs.c.id.desc()).limit(max(1, min(limit, MAX_PAGE)))
        async with self.records.read() as connection:
            return [to_run(row) for row in await connection.execute(query)]

    async def request_cancel(self, tenant: TenantName, run_id: RunId, *, only_with_key: str | None = None) -> Run:
        """Cancel a queued run now and a running one soon; a finished one stays as it is. Raises NotFound.

        With `only_with_key` a run that has another Idempotency-Key by now stays, too: `serve.runs.retries` gives it
        one when a retry takes it over.
        """
        async with self.records.write() as connection:
            run = await self._locked(connection, tenant, run_id)
            if only_with_key not in (None, run.idempotency_key):
                return run
            return await self._cancel(connection, run)

    async def _cancel(self, connection: AsyncConnection, run: Run) -> Run:
        if run.status == RunStatus.RUNNING:
            await connection.execute(update(runs).where(runs.c.id == run.id).values(cancel_requested=1))
            return run.model_copy(update={"cancel_requested": True})
        if run.status.is_terminal:
            return run
        now_ms, max_events = self.clock.now_ms(), self.settings.max_events
        return await transition(connection, run, lifecycle.canceled(), now_ms, max_events=max_events) or run

    async def delete(self, tenant: TenantName, run_id: RunId) -> None:
        """Forget the run, its events, its deliveries and its assets; a queued one is canceled on the way.

        A running one is told to stop, and answers Conflict: it can be deleted when it has ended, since until then
        its runner still writes to it and its usage is not known.

        Raises:
            NotFound, Conflict (code run_not_finished).
        """
        async with self.records.write() as connection:
            run = await self._cancel(connection, await self._locked(connection, tenant, run_id))
        if not run.status.is_terminal:
            raise Conflict("The run is being canceled. Delete it when it has ended.", "run_not_finished")
        if self._assets is not None:
            await self._assets.delete_for_runs([run_id])
        async with self.records.write() as connection:
            await forget(connection, [run_id])

    async def events(self, run_id: RunId, after_seq: int = 0, limit: int = 500) -> Sequence[RunEvent]:
        """At most `limit` events with a seq over `after_seq`, in order. Ask `get` first: this asks for no tenant."""
        columns = (run_events.c.seq, run_events.c.kind, run_events.c.data, run_events.c.created_ms)
        mine = (run_events.c.run_id == run_id, run_events.c.seq > after_seq)
        query = select(*columns).where(*mine).order_by(run_events.c.seq).limit(limit)
        async with self.records.read() as connection:
            return [RunEvent.model_validate(dict(row._mapping)) for row in await connection.execute(query)]

    async def steps(
        self, tenant: TenantName, run_id: RunId, *, after: str = "", limit: int | None = None
    ) -> Sequence[Step]:
        """What is known of a workflow's run's steps, by label; `after` is the last label of the page before. A step
        that was not told of yet is absent. Raises NotFound."""
        await self.progress(tenant, run_id)
        async with self.records.read() as connection:
            return await step_rows.load(connection, run_id, after=after, limit=limit)

    async def deliveries(self, tenant: TenantName, run_id: RunId) -> Sequence[Delivery]:
        """The webhook log of one run, oldest first. Raises NotFound."""
        await self.progress(tenant, run_id)
        columns = [webhook_deliveries.c[name] for name in Delivery.__slots__]
        mine = (webhook_deliveries.c.tenant == tenant, webhook_deliveries.c.run_id == run_id)
        query = select(*columns).where(*mine).order_by(webhook_deliveries.c.created_ms, webhook_deliveries.c.id)
        async with self.records.read() as connection:
            return [Delivery(*row) for row in await connection.execute(query)]

    async def _first(self, query: Select[Any]) -> Run | None:
        async with self.records.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else to_run(row)

    async def _locked(self, connection: AsyncConnection, tenant: TenantName, run_id: RunId) -> Run:
        query = select(*RUN_COLUMNS).where(runs.c.id == run_id, runs.c.tenant == tenant).with_for_update()
        row = (await connection.execute(query)).first()
        if row is None:
            raise _missing(run_id)
        return to_run(row)


async def forget(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """Remove the rows of these runs."""
    await step_rows.forget(connection, run_ids)
    await connection.execute(delete(run_events).where(run_events.c.run_id.in_(run_ids)))
    await connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.run_id.in_(run_ids)))
    await connection.execute(delete(runs).where(runs.c.id.in_(run_ids)))


def _is_same(first: Run, new: NewRun) -> bool:
    """A workflow's request hash has the address as it was written: what `@prod` means may have changed since."""
    is_same_target = new.kind is RunKind.WORKFLOW or first.target == new.target
    return is_same_target and (first.kind, first.request_hash) == (new.kind, new.request_hash)


def _is_of_workflow(address: str) -> ColumnElement[bool]:
    return runs.c.target == address if "@" in address else runs.c.target.startswith(f"{address}@", autoescape=True)


def _missing(run_id: RunId) -> NotFound:
    return NotFound(f"There is no run {run_id[:64]!r}.", "run_not_found")


def _check(new: NewRun) -> None:
    try:
        text = json.dumps(new.inputs, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise InvalidRequest("The input holds a number or a character that JSON cannot.", "", "input") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidRequest("The input holds a NUL character.", "", "input")
    unknown = set(new.webhook.events if new.webhook else ()) - set(WEBHOOK_EVENTS.values())
    if unknown:
        told = ", ".join(sorted(WEBHOOK_EVENTS.values()))
        raise InvalidRequest(f"A webhook can be told of: {told}.", "", "webhook.events")
