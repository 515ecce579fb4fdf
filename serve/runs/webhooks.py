"""Webhooks go out: signed, retried, logged.

Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks): `webhook-id` is the same in every
attempt, so that a receiver can drop what it has; `webhook-signature` is `v1,` and the base64 HMAC-SHA256 over
`id.timestamp.body`, under the tenant's `whsec_` secret. A 2xx is received; anything else, redirects included, is not.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import InvalidRequest
from serve.domain.ports import Clock
from serve.domain.run import DeliveryStatus
from serve.runs.loops import cancel, detached, forever
from serve.runs.skip_scan import constant, distinct
from serve.settings import WebhookSettings
from serve.storage.records import Records
from serve.storage.tables import tenants, webhook_deliveries

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_BUSY_SECONDS = 0.05
_MAX_IN_FLIGHT = 32
_MAX_IN_FLIGHT_PER_TENANT = 4
"""One tenant's dead receiver holds this many places, and no more, while it times out."""
_FIRST_RETRY_SECONDS = 5.0
_GROWTH = 3.85
"""Nine delays from 5 s, each 3.85 times the last and none over a day, make two days."""
_MAX_RETRY_SECONDS = 86_400.0
_GONE = 410
_PENDING = webhook_deliveries.c.status == constant(DeliveryStatus.PENDING.value)
_SECRET_PREFIX = "whsec_"


class Fetcher(Protocol):
    """The way out. Guarded: what it is given is a stranger's address."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """The answer's status; redirects are not followed.

        Raises:
            InvalidRequest: the address is not allowed.
            TimeoutError, OSError: there was no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery in hand; `attempt` fences it."""

    id: str
    tenant: str
    url: str
    body: str
    attempt: int


def sign(secret: str, delivery_id: str, timestamp_seconds: int, body: bytes) -> str:
    """The `webhook-signature` header. `secret` is `whsec_` and base64."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    signed = b".".join([delivery_id.encode(), str(timestamp_seconds).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def retry_seconds(attempt: int, jitter: float) -> float:
    """How long after failed attempt `attempt` (from 1) the next one comes; `jitter` in [0, 1) moves it by a fifth."""
    return float(min(_MAX_RETRY_SECONDS, _FIRST_RETRY_SECONDS * _GROWTH ** (attempt - 1)) * (0.9 + jitter / 5))


class WebhookSender:
    """Sends what is due, from as many processes as there are."""

    def __init__(self, records: Records, clock: Clock, fetcher: Fetcher, settings: WebhookSettings) -> None:
        self._records = records
        self._clock = clock
        self._fetcher = fetcher
        self._settings = settings
        self._sending: dict[asyncio.Task[None], Job] = {}
        self._is_busy = False
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to send."""
        self._loop = detached(forever("sending webhooks", self.send_due, self._pause))

    async def stop(self) -> None:
        """Finish what is on its way, and send no more."""
        if self._loop is not None:
            await cancel([self._loop])
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._settings.timeout_seconds)

    async def _pause(self) -> bool:
        await asyncio.sleep(_BUSY_SECONDS if self._is_busy else _POLL_SECONDS)
        return True

    async def send_due(self) -> int:
        """Claim what is due, and begin to send it; how many."""
        self._is_busy = False
        jobs = await self._claim()
        self._is_busy = bool(jobs)
        for job, secret in jobs:
            task = asyncio.create_task(self._send(job, secret))
            self._sending[task] = job
            task.add_done_callback(self._sending.pop)
        return len(jobs)

    async def drain(self) -> None:
        """Wait for what is on its way."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _claim(self) -> list[tuple[Job, str]]:
        now_ms = self._clock.now_ms()
        order = (webhook_deliveries.c.tenant, webhook_deliveries.c.next_ms)
        async with self._records.read() as connection:
            waiting = await distinct(connection, order, _PENDING)
            first = select(webhook_deliveries.c.id).where(_due(now_ms, waiting)).order_by(*order).limit(1)
            if not waiting or await connection.scalar(first) is None:
                return []
        claimed: list[tuple[Job, str]] = []
        async with self._records.write() as connection:
            for tenant in waiting:
                room = min(self._room(tenant), _MAX_IN_FLIGHT - len(self._sending) - len(claimed))
                claimed += await self._claim_of(connection, tenant, now_ms, room) if room > 0 else []
        return claimed

    def _room(self, tenant: str) -> int:
        return _MAX_IN_FLIGHT_PER_TENANT - sum(job.tenant == tenant for job in self._sending.values())

    async def _claim_of(
        self, connection: AsyncConnection, tenant: str, now_ms: int, limit: int
    ) -> list[tuple[Job, str]]:
        """A claim is a delivery put off until its attempt must be over: a sender that dies delays it, and no more."""
        table = webhook_deliveries
        secret = await connection.scalar(select(tenants.c.webhook_secret).where(tenants.c.name == tenant))
        query = select(table).where(_due(now_ms, [tenant])).order_by(table.c.next_ms).limit(limit)
        rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
        again_ms = now_ms + round(2000 * self._settings.timeout_seconds)
        for row in rows:
            values = {"attempt": row.attempt + 1, "next_ms": again_ms}
            await connection.execute(update(table).where(table.c.id == row.id).values(values))
        return [(Job(row.id, row.tenant, row.url, row.body, row.attempt + 1), secret or "") for row in rows]

    async def _send(self, job: Job, secret: str) -> None:
        if job.attempt > self._settings.max_attempts:
            await self._log(job, {"status": DeliveryStatus.FAILED, "attempt": job.attempt - 1})
            return
        status, error = await self._post(job, secret)
        try:
            await self._log(job, self._verdict(job, status, error))
            if status == _GONE:
                await self._disable(job)
        except Exception:
            _log.exception("delivery %s could not be logged; it will be sent again", job.id)

    async def _post(self, job: Job, secret: str) -> tuple[int | None, str | None]:
        if not secret:
            return None, "the tenant has no webhook secret"
        body, now_seconds = job.body.encode(), self._clock.now_ms() // 1000
        headers = {
            "content-type": "application/json",
            "user-agent": "Slipway-Webhooks",
            "webhook-id": job.id,
            "webhook-timestamp": str(now_seconds),
            "webhook-signature": sign(secret, job.id, now_seconds, body),
        }
        try:
            status = await self._fetcher.post(job.url, headers, body, self._settings.timeout_seconds)
        except InvalidRequest as error:
            return None, error.message
        except TimeoutError:
            return None, "no answer in time"
        except OSError:
            return None, "no connection"
        except Exception:
            _log.exception("delivery %s failed", job.id)
            return None, "internal error"
        return status, None if 200 <= status < 300 else f"answered {status}"

    def _verdict(self, job: Job, status: int | None, error: str | None) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        outcome: dict[str, Any] = {"response_status": status, "error": error and error[:400]}
        if error is None:
            return outcome | {"status": DeliveryStatus.DELIVERED, "delivered_ms": now_ms}
        if status == _GONE:
            return outcome | {"status": DeliveryStatus.DISABLED}
        if job.attempt >= self._settings.max_attempts:
            return outcome | {"status": DeliveryStatus.FAILED}
        return outcome | {"next_ms": now_ms + round(1000 * retry_seconds(job.attempt, random.random()))}

    async def _log(self, job: Job, outcome: dict[str, Any]) -> None:
        table = webhook_deliveries
        mine = (table.c.id == job.id, table.c.attempt == job.attempt, _PENDING)
        async with self._records.write() as connection:
            await connection.execute(update(table).where(*mine).values(outcome))

    async def _disable(self, job: Job) -> None:
        """410: the receiver is gone for good, and whatever else was meant for it with it."""
        table = webhook_deliveries
        same = (_PENDING, table.c.tenant == job.tenant, table.c.url == job.url)
        async with self._records.write() as connection:
            disabled = {"status": DeliveryStatus.DISABLED, "error": "answered 410 before"}
            await connection.execute(update(table).where(*same).values(disabled))


def _due(now_ms: int, of_tenants: Sequence[str]) -> ColumnElement[bool]:
    table = webhook_deliveries
    return and_(_PENDING, table.c.tenant.in_(of_tenants), table.c.next_ms <= now_ms)
