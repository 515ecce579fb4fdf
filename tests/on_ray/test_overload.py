"""More than there is room for: refused at once, with a time to come back; fair to those who wait."""

import asyncio
import time
from statistics import median

import httpx
import pytest
from fakes.platform import TestPlatform, echo_document

ENGINE = {"maxConcurrency": 4, "tokenMs": 20}
QUEUE = {"maxWaiting": 16, "maxWaitingPerTenant": 12}
MODEL = "busy"


@pytest.fixture(scope="module")
def busy(platform: TestPlatform) -> TestPlatform:
    """The platform with a model that takes four calls of about 0.4 s at a time, and lets sixteen wait."""
    platform.apply(echo_document(MODEL, engine=ENGINE, queue=QUEUE))
    return platform


def client_for(platform: TestPlatform, key: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=2000)
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=120, limits=limits, trust_env=False)


async def call(client: httpx.AsyncClient) -> tuple[httpx.Response, float]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": " ".join(["word"] * 20)}]}
    began = time.monotonic()
    answer = await client.post("/v1/chat/completions", json=body)
    return answer, time.monotonic() - began


async def test_ten_times_the_capacity_is_refused_politely_and_forgotten_at_once(busy: TestPlatform) -> None:
    async with client_for(busy, busy.key) as client:
        alone = median([(await call(client))[1] for _ in range(3)])
        crowd = await asyncio.gather(*(call(client) for _ in range(80)))
        admitted = [seconds for answer, seconds in crowd if answer.status_code == 200]
        refused = [answer for answer, _ in crowd if answer.status_code == 429]
        assert len(admitted) + len(refused) == 80
        assert len(admitted) >= 4
        assert len(refused) >= 20
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.json()["error"]["code"] for answer in refused} == {"queue_full"}
        assert max(admitted) < alone * 16  # five rounds of four, on a busy machine; all of them would be twenty
        answer, seconds = await call(client)
        assert answer.status_code == 200
        assert seconds < alone * 8


async def test_a_crowd_of_one_tenant_does_not_hold_up_another(busy: TestPlatform) -> None:
    other = busy.new_key("patient")
    async with client_for(busy, busy.key) as crowd, client_for(busy, other) as single:
        alone = median([(await call(single))[1] for _ in range(3)])
        stop = asyncio.Event()

        async def press() -> None:
            while not stop.is_set():
                answer, _ = await call(crowd)
                if answer.status_code == 429:
                    await asyncio.sleep(0.2)

        # Some more than there is room for: many more would only make the gateway slow for everybody.
        pressing = [asyncio.create_task(press()) for _ in range(24)]
        await asyncio.sleep(1.5)
        waits = [await call(single) for _ in range(4)]
        stop.set()
        await asyncio.gather(*pressing)
    assert [answer.status_code for answer, _ in waits] == [200] * 4
    assert median(seconds for _, seconds in waits) < alone * 5


@pytest.mark.long
async def test_ten_thousand_queued_runs_of_one_tenant_do_not_hold_up_another(busy: TestPlatform) -> None:
    other = busy.new_key("late")
    body = {"input": {"messages": [{"role": "user", "content": " ".join(["word"] * 20)}]}}
    async with client_for(busy, busy.key) as crowd, client_for(busy, other) as single:
        gate = asyncio.Semaphore(32)

        async def queue_one() -> None:
            async with gate:
                (await crowd.post(f"/v1/models/{MODEL}/runs", json=body)).raise_for_status()

        await asyncio.gather(*(queue_one() for _ in range(10_000)))
        began = time.monotonic()
        answer = await single.post(f"/v1/models/{MODEL}/runs", json=body, headers={"Prefer": "wait=30"})
        assert answer.json()["status"] == "succeeded"
        assert time.monotonic() - began < 8
