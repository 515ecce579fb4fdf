"""What holds however two runners' steps, silences and quarrels fall together."""

import asyncio

import pytest
from fakes.clock import ManualClock
from fakes.databases import new_sqlite
from fakes.runs import SETTINGS, made
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from serve.domain.errors import Overloaded, ReplicaLost
from serve.domain.names import TenantName
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.runs import lifecycle
from serve.runs.claims import Claims, Write
from serve.runs.lifecycle import TERMINAL_EVENTS, Decision
from serve.runs.rows import Line, Result
from serve.runs.store import RunStore
from serve.storage.records import Records
from serve.storage.tables import run_events, runs

ACME = TenantName("acme")
ACTS = ("take", "usurp", "say", "complete", "lose", "refuse", "hand back", "heartbeat", "maintain", "wait", "cancel")
steps = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ACTS)), min_size=6, max_size=30)


class World:
    """One run and two runners that each believe what they last knew."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.clock = ManualClock()
        self.store = RunStore(records, self.clock, SETTINGS)
        self.claims = [Claims(records, self.clock, SETTINGS, f"r{n}") for n in range(2)]
        self.held: list[Run | None] = [None, None]

    async def act(self, who: int, what: str, run_id: str) -> None:
        claims, held = self.claims[who], self.held[who]
        match what:
            case "take":
                self.held[who] = next(iter(await claims.take(1)), held)
            case "usurp":
                self.clock.advance(SETTINGS.lease_seconds)
                await claims.maintain()
                self.held[who] = next(iter(await claims.take(1)), held)
            case "maintain":
                await claims.maintain()
            case "wait":
                self.clock.advance(SETTINGS.lease_seconds * 0.6)
            case "cancel":
                await self.store.request_cancel(ACME, run_id)
            case "heartbeat" if held:
                await claims.heartbeat([held])
            case "say" if held:
                (after,) = await claims.write([Write(held, [Line(RunEventKind.OUTPUT, {"fence": held.fence})])])
                self.held[who] = after or held
            case _ if held:
                await claims.write([Write(held, [], self.decide(held, what), Result({"fence": held.fence}, {}))])

    def decide(self, held: Run, what: str) -> Decision:
        now_ms = self.clock.now_ms()
        match what:
            case "complete":
                return lifecycle.completed()
            case "hand back":
                return lifecycle.handed_back()
            case "lose":
                return lifecycle.raised(held, ReplicaLost("x"), admitted=True, now_ms=now_ms, jitter=0)
            case _:
                return lifecycle.raised(held, Overloaded("x"), admitted=False, now_ms=now_ms, jitter=0)

    async def finish(self, run: Run) -> Run:
        for _ in range(50):
            self.clock.advance(SETTINGS.lease_seconds * 4)
            await self.claims[0].maintain()
            for taken in await self.claims[0].take(1):
                await self.claims[0].write(
                    [Write(taken, [], lifecycle.completed(), Result({"fence": taken.fence}, {}))]
                )
            found = await self.store.get(ACME, run.id)
            if found.status.is_terminal:
                return found
        raise AssertionError("the run never ended")


async def live(url: str, script: list[tuple[int, str]]) -> None:
    records = Records(url)
    async with records.write() as connection:
        await connection.execute(delete(run_events))
        await connection.execute(delete(runs))
    world = World(records)
    run = await made(world.store)
    for who, what in script:
        await world.act(who, what, run.id)
    ended = await world.finish(run)
    events = await world.store.events(run.id)
    await records.close()

    assert [event.seq for event in events] == list(range(1, ended.num_events + 1))
    assert [event.kind for event in events if event.kind in TERMINAL_EVENTS] == [ended.status]
    assert events[-1].kind in TERMINAL_EVENTS
    assert sum(event.kind == RunEventKind.STARTED for event in events) == ended.fence
    fence = 0
    for event in events:
        fence += event.kind == RunEventKind.STARTED
        assert event.data.get("fence", fence) == fence
    if ended.status == RunStatus.SUCCEEDED:
        assert ended.outputs == {"fence": ended.fence}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_sqlite(tmp_path_factory.mktemp("laws") / "a.db")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@example(script=[(0, "take"), (1, "usurp"), (0, "say"), (1, "say")])
@example(script=[(0, "take"), (1, "usurp"), (0, "complete"), (1, "complete")])
@example(script=[(0, "take"), (0, "complete"), (0, "complete"), (0, "say")])
@given(script=steps)
def test_a_run_ends_exactly_once_and_only_its_holder_is_heard(url: str, script: list[tuple[int, str]]) -> None:
    asyncio.run(live(url, script))
