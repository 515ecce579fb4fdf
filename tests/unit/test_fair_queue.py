"""The queue in front of an engine: fair among tenants, bounded, and honest about the wait."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress

import pytest
from fakes.clock import ManualClock
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.documents import Queue
from serve.domain.errors import DeadlineExceeded, Overloaded
from serve.domain.names import TenantName
from serve.serving.fair_queue import FairQueue

A, B = TenantName("a"), TenantName("b")
ROOMY = Queue(max_waiting=100_000, max_waiting_per_tenant=100_000, max_wait_seconds=86_400)


def make(capacity: int = 1, limits: Queue = ROOMY) -> FairQueue:
    return FairQueue(capacity, limits, ManualClock())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_free_engine_admits_at_once() -> None:
    queue = make()
    async with queue.place(A, 10) as waited:
        assert waited == 0
        assert queue.num_running == 1
    assert queue.num_running == 0


async def test_a_second_tenant_waits_for_one_call_and_not_for_ten_thousand() -> None:
    clock, order = ManualClock(), []
    queue = FairQueue(1, ROOMY, clock)

    async def work(tenant: TenantName) -> None:
        async with queue.place(tenant, 10):
            order.append(tenant)
            clock.advance(0.010)
            await asyncio.sleep(0)

    crowd = [asyncio.create_task(work(A)) for _ in range(10_000)]
    await settle()
    late = asyncio.create_task(work(B))
    await late
    assert order.index(B) <= 8  # those that ran while the test let the loop turn
    assert queue.num_waiting > 9_900
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert (queue.num_running, queue.num_waiting) == (0, 0)


async def test_idle_time_earns_no_credit() -> None:
    clock, order = ManualClock(), []
    queue = FairQueue(1, ROOMY, clock)

    async def work(tenant: TenantName) -> None:
        async with queue.place(tenant, 100):
            order.append(tenant)
            clock.advance(0.1)
            await asyncio.sleep(0)

    for _ in range(50):
        await work(B)
    order.clear()
    async with queue.place(TenantName("c"), 100):
        tasks = [asyncio.create_task(work(tenant)) for tenant in [A] * 20 + [B] * 20]
        await settle()
    await asyncio.gather(*tasks)
    assert abs(order[:10].count(A) - order[:10].count(B)) <= 2


async def test_a_tenant_of_long_calls_gets_as_many_milliseconds_not_as_many_calls() -> None:
    clock = ManualClock()
    queue, served = FairQueue(1, ROOMY, clock), Counter[str]()

    async def work(tenant: TenantName, cost_ms: float) -> None:
        async with queue.place(tenant, cost_ms):
            served[tenant] += 1
            clock.advance(cost_ms / 1000)
            await asyncio.sleep(0)

    async with queue.place(TenantName("c"), 1):
        tasks = [asyncio.create_task(work(A, 100)) for _ in range(50)]
        tasks += [asyncio.create_task(work(B, 10)) for _ in range(500)]
        await settle()
    while served[A] < 20:
        await asyncio.sleep(0)
    assert 150 <= served[B] <= 250
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("limits", "waiting", "word"),
    [
        pytest.param(Queue(max_waiting=2), 2, "wait for this model", id="everybody's limit"),
        pytest.param(Queue(max_waiting_per_tenant=2), 2, "You have 2", id="a tenant's limit"),
        pytest.param(Queue(max_wait_seconds=5), 1, "about 10 seconds", id="a wait that is too long"),
    ],
)
async def test_beyond_its_bounds_the_queue_refuses_and_says_when_to_come_back(
    limits: Queue, waiting: int, word: str
) -> None:
    queue = make(1, limits)

    async def hold() -> None:
        async with queue.place(A, 10_000):
            await asyncio.Event().wait()

    held = [asyncio.create_task(hold()) for _ in range(1 + waiting)]
    await settle()
    with pytest.raises(Overloaded, match=word) as refused:
        async with queue.place(A, 10_000):
            pytest.fail("there was no room")
    assert refused.value.retry_after_seconds is not None
    assert refused.value.retry_after_seconds >= 0.5
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_priority_orders_within_a_tenant() -> None:
    queue, order = make(), []

    async def work(priority: int) -> None:
        async with queue.place(A, 1, priority):
            order.append(priority)

    async with queue.place(A, 1):
        tasks = [asyncio.create_task(work(priority)) for priority in (0, -5, 10, 0)]
        await settle()
    await asyncio.gather(*tasks)
    assert order == [10, 0, 0, -5]


async def test_a_deadline_that_passes_in_the_queue_ends_the_wait() -> None:
    clock = ManualClock()
    queue = FairQueue(1, ROOMY, clock)
    async with queue.place(A, 1):
        with pytest.raises(DeadlineExceeded):
            async with queue.place(A, 1, deadline_at=clock.now_ms() / 1000 + 0.01):
                pytest.fail("it was never its turn")
        assert queue.num_waiting == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), capacity=st.integers(1, 5), calls=st.integers(1, 60))
def test_whatever_is_canceled_places_are_never_lost_nor_given_twice(seed: int, capacity: int, calls: int) -> None:
    asyncio.run(_storm(random.Random(seed), capacity, calls))


async def _storm(chance: random.Random, capacity: int, calls: int) -> None:
    queue, running, most = make(capacity), 0, 0

    async def work(tenant: TenantName) -> None:
        nonlocal running, most
        async with queue.place(tenant, chance.uniform(1, 100)):
            running += 1
            most = max(most, running)
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                running -= 1

    tasks = [asyncio.create_task(work(TenantName(chance.choice("abc")))) for _ in range(calls)]
    for task in tasks:
        if chance.random() < 0.4:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
    async with AsyncExitStack():
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
    assert most <= capacity
    assert (queue.num_running, queue.num_waiting) == (0, 0)
    assert queue.backlog_seconds == pytest.approx(0, abs=1e-9)


async def test_tenants_that_come_and_go_under_steady_load_are_forgotten() -> None:
    clock = ManualClock()
    queue = FairQueue(2, ROOMY, clock)
    async with queue.place(A, 10):
        for number in range(1000):
            async with queue.place(TenantName(f"guest-{number}"), 1):
                clock.advance(0.001)
    async with queue.place(A, 10), queue.place(B, 10):
        assert len(queue._accounts) < 200


async def test_a_call_that_is_not_ready_keeps_its_turn_and_takes_no_place() -> None:
    queue, order, is_here, may_end = make(), list[str](), asyncio.Event(), asyncio.Event()

    async def call(name: str, ready: asyncio.Event | None = None, end: asyncio.Event | None = None) -> None:
        async with queue.place(A, 10, ready=ready.wait if ready else None):
            order.append(name)
            if end:
                await end.wait()

    calls = [asyncio.create_task(call("cold", is_here))]
    await settle()
    assert (queue.num_running, queue.num_waiting) == (0, 1)
    calls.append(asyncio.create_task(call("goes before it", end=may_end)))
    await settle()
    calls += [asyncio.create_task(call(name)) for name in ("later", "last")]
    await settle()
    is_here.set()
    await settle()
    may_end.set()
    await asyncio.gather(*calls)
    assert order == ["goes before it", "cold", "later", "last"]
    assert (queue.num_running, queue.num_waiting, queue.backlog_seconds) == (0, 0, 0)


async def test_a_call_that_gives_up_before_it_is_ready_leaves_nothing() -> None:
    queue, clock = make(), ManualClock()
    gone = asyncio.create_task(queue.place(A, 10, ready=asyncio.Event().wait).__aenter__())
    await settle()
    gone.cancel()
    await asyncio.wait([gone])
    with pytest.raises(DeadlineExceeded):
        await queue.place(B, 10, 0, clock.now_ms() / 1000 + 0.01, asyncio.Event().wait).__aenter__()
    assert (queue.num_running, queue.num_waiting, queue.backlog_seconds) == (0, 0, 0)
    async with queue.place(A, 10) as waited:
        assert waited == 0


async def test_a_free_place_needs_no_room_to_wait_in() -> None:
    queue, is_here = make(limits=Queue(max_waiting=0)), asyncio.Event()
    is_here.set()
    async with queue.place(A, 10, ready=is_here.wait):
        assert queue.num_running == 1


async def test_a_free_place_is_not_refused_for_those_who_are_not_ready() -> None:
    queue = make(limits=Queue(max_waiting=1, max_waiting_per_tenant=1, max_wait_seconds=1))
    cold = asyncio.create_task(queue.place(A, 100_000, ready=asyncio.Event().wait).__aenter__())
    await settle()
    async with queue.place(A, 10) as waited:
        assert waited == 0
        with pytest.raises(Overloaded):
            await queue.place(A, 10).__aenter__()
    with pytest.raises(Overloaded):
        await queue.place(A, 10, ready=asyncio.Event().wait).__aenter__()
    cold.cancel()
    await asyncio.wait([cold])


async def test_a_tenant_that_was_not_ready_has_earned_no_credit() -> None:
    clock, order, is_here = ManualClock(), list[TenantName](), asyncio.Event()
    queue = FairQueue(1, ROOMY, clock)

    async def call(tenant: TenantName, ready: asyncio.Event | None = None) -> None:
        async with queue.place(tenant, 1000, ready=ready.wait if ready else None):
            order.append(tenant)
            clock.advance(1)
            await asyncio.sleep(0)

    cold = [asyncio.create_task(call(A, is_here)) for _ in range(6)]
    await settle()
    for _ in range(20):
        await call(B)
    async with queue.place(B, 1000):
        is_here.set()
        late = [asyncio.create_task(call(B)) for _ in range(3)]
        await settle()
        order.clear()
    await asyncio.gather(*cold, *late)
    assert Counter(order[:6])[B] >= 2
