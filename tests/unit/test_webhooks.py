"""Webhooks: signatures, retries, the log."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, made
from sqlalchemy import insert

from serve.domain.errors import InvalidRequest
from serve.domain.names import TenantName
from serve.domain.run import Run, RunEventKind, WebhookTarget
from serve.runs.claims import Claims, Write
from serve.runs.lifecycle import completed
from serve.runs.rows import Result
from serve.runs.store import Delivery, RunStore
from serve.runs.webhooks import WebhookSender, retry_seconds, sign
from serve.settings import WebhookSettings
from serve.storage.records import Records
from serve.storage.tables import tenants

ACME = TenantName("acme")
KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
URL = "https://example.com/hook"
DAYS = 86_400


class Receiver:
    """A Fetcher that answers as told, and keeps what it got."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers) or [204]
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        self.got.append((url, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def store(records: Records, clock: ManualClock) -> RunStore:
    async with records.write() as connection:
        rows = [{"name": name, "webhook_secret": SECRET, "created_ms": 0} for name in ("acme", "other")]
        await connection.execute(insert(tenants), rows)
    return RunStore(records, clock, SETTINGS)


async def finished(store: RunStore, tenant: str = "acme", url: str = URL) -> Run:
    run = await made(store, tenant, webhook=WebhookTarget(url=url))
    claims = Claims(store.records, store.clock, SETTINGS, "r")
    for held in await claims.take(100):
        await claims.write([Write(held, [], completed(), Result({"text": "hi"}, {"completion_tokens": 1}))])
    return run


def sender(store: RunStore, receiver: Receiver, **changes: int) -> WebhookSender:
    return WebhookSender(store.records, store.clock, receiver, WebhookSettings(**changes))


async def send(webhooks: WebhookSender) -> int:
    num_sent = await webhooks.send_due()
    await webhooks.drain()
    return num_sent


async def the_delivery(store: RunStore, run: Run) -> Delivery:
    (found,) = await store.deliveries(run.tenant, run.id)
    return found


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    body = b'{"test": 2432232314}'
    signature = sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_ten_attempts_take_about_two_days() -> None:
    total = sum(retry_seconds(attempt, 0.5) for attempt in range(1, 10))
    assert 1.8 * DAYS < total < 2.2 * DAYS
    assert retry_seconds(3, 0.0) < retry_seconds(3, 0.9)


async def test_an_end_is_told_signed_and_logged(store: RunStore, clock: ManualClock) -> None:
    run, receiver = await finished(store), Receiver(204)
    assert await send(sender(store, receiver)) == 1
    ((url, headers, body),) = receiver.got
    assert url == URL
    told = json.loads(body)
    assert (told["type"], told["timestamp"]) == ("run.succeeded", "2026-01-01T00:00:00.000Z")
    assert told["data"]["id"] == run.id
    assert told["data"]["output"] == {"text": "hi"}
    assert "inputs" not in told["data"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    delivery = await the_delivery(store, run)
    assert (delivery.status, delivery.attempt, delivery.response_status) == ("delivered", 1, 204)
    assert await send(sender(store, receiver)) == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(500, "answered 500", id="an error"),
        pytest.param(302, "answered 302", id="a redirect"),
        pytest.param(TimeoutError(), "no answer in time", id="silence"),
        pytest.param(ConnectionError("10.0.0.1 refused"), "no connection", id="no connection"),
        pytest.param(InvalidRequest("not public", "forbidden_address"), "not public", id="a forbidden address"),
        pytest.param(RuntimeError("password=hunter2"), "internal error", id="a mistake of ours"),
    ],
)
async def test_what_is_not_received_is_sent_again_later_under_the_same_id(
    store: RunStore, clock: ManualClock, answer: int | Exception, error: str
) -> None:
    run, receiver = await finished(store), Receiver(answer, 200)
    webhooks = sender(store, receiver)
    await send(webhooks)
    delivery = await the_delivery(store, run)
    assert (delivery.status, delivery.error) == ("pending", error)
    assert await send(webhooks) == 0
    clock.advance(6)
    await send(webhooks)
    assert (await the_delivery(store, run)).status == "delivered"
    (_, first, body), (_, second, again) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert body == again


async def test_after_the_last_attempt_it_has_failed(store: RunStore, clock: ManualClock) -> None:
    run, receiver = await finished(store), Receiver(500)
    webhooks = sender(store, receiver, max_attempts=3)
    for _ in range(6):
        await send(webhooks)
        clock.advance(DAYS)
    assert len(receiver.got) == 3
    delivery = await the_delivery(store, run)
    assert (delivery.status, delivery.attempt) == ("failed", 3)


async def test_a_receiver_that_is_gone_is_told_nothing_more(store: RunStore) -> None:
    runs = [await finished(store) for _ in range(6)]
    elsewhere = await finished(store, url="https://elsewhere.example.com/")
    receiver = Receiver(410)
    webhooks = sender(store, receiver)
    await send(webhooks)
    assert {(await the_delivery(store, run)).status for run in runs} == {"disabled"}
    assert (await the_delivery(store, elsewhere)).status == "pending"


async def test_several_senders_send_each_once(store: RunStore) -> None:
    runs = [await finished(store) for _ in range(8)]
    receiver = Receiver(204)
    many = [sender(store, receiver) for _ in range(3)]
    assert sum(await asyncio.gather(*(send(webhooks) for webhooks in many))) == 8
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == len(receiver.got) == len(runs)


async def test_a_sender_that_died_delays_its_deliveries_and_loses_none(store: RunStore, clock: ManualClock) -> None:
    run = await finished(store)
    dead = sender(store, Receiver(204))
    await dead._claim()
    receiver = Receiver(204)
    assert await send(sender(store, receiver)) == 0
    clock.advance(2 * WebhookSettings().timeout_seconds)
    await send(sender(store, receiver))
    assert (await the_delivery(store, run)).status == "delivered"


async def test_one_tenants_dead_receiver_does_not_hold_anothers_news(store: RunStore) -> None:
    for _ in range(40):
        await finished(store)
    other = await finished(store, "other", url="https://other.example.com/")
    receiver = Receiver(204)
    await send(sender(store, receiver))
    assert (await the_delivery(store, other)).status == "delivered"


async def test_a_sender_at_work_sends_what_comes(store: RunStore) -> None:
    receiver = Receiver(204)
    webhooks = sender(store, receiver)
    await webhooks.start()
    run = await finished(store)
    async with asyncio.timeout(60):
        while (await the_delivery(store, run)).status != "delivered":
            await asyncio.sleep(0.02)
    await webhooks.stop()


async def test_only_the_news_that_was_asked_for_is_sent(store: RunStore) -> None:
    await made(store, webhook=WebhookTarget(url=URL, events=(RunEventKind.STARTED,)))
    await finished(store)
    receiver = Receiver(204)
    await send(sender(store, receiver))
    assert sorted(json.loads(body)["type"] for _, _, body in receiver.got) == ["run.started", "run.succeeded"]
