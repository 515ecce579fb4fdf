"""The steps of workflows' runs in the tables, and the money that hangs on them, on SQLite and on PostgreSQL."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakes.budgets import ACME, DEFAULT, KEY, add_budget, add_tenant, book, held_and_spent, posting
from fakes.clock import CountingIds, ManualClock
from fakes.ledger import event, unbilled
from fakes.runs import SETTINGS, kinds, made
from fakes.workflow_runs import workflow_run
from sqlalchemy import func, select, update

from serve.domain.errors import NotFound
from serve.domain.names import RequestId, RunId, TenantName
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.domain.steps import Step, StepStatus
from serve.domain.usage import Basis, HoldId, UsageEvent, UsageId, UsageStatus
from serve.metering.budgets.budgets import Budgets
from serve.metering.budgets.sweeping import HoldSweep
from serve.metering.budgets.wallets import Wallets
from serve.metering.ledger.run_costs import NOTHING, EndedRun, charges
from serve.runs import lifecycle, steps
from serve.runs.claims import Claims, Write
from serve.runs.rows import Line
from serve.runs.store import RunStore
from serve.settings import MeteringSettings
from serve.storage.records import Records
from serve.storage.tables import runs
from serve.storage.workflow_tables import run_steps

USD = 10**9
GRACE_MS = 60_000
RUN_ID = RunId("run-1")
RUNNING = Step("gen", StepStatus.RUNNING, "model:echo", tries=1, started_ms=5)
DONE = replace(
    RUNNING,
    status=StepStatus.SUCCEEDED,
    key="k" * 64,
    outputs={"image": {"asset": {"id": "a1"}}, "numbers": [1, 2.5]},
    finished_ms=9,
    usage={"images": 1},
    cost_nano=7,
)


@pytest.fixture
def store(database: Records, clock: ManualClock) -> RunStore:
    return RunStore(database, clock, SETTINGS)


@pytest.fixture
def claims(store: RunStore) -> Claims:
    return Claims(store.records, store.clock, SETTINGS, "first")


async def taken(store: RunStore, claims: Claims) -> Run:
    await made(store, **workflow_run())
    (run,) = await claims.take(1)
    return run


def written(run: Run, *told: Step) -> Write:
    return Write(run, [Line(RunEventKind.LOG, {})], steps=told)


async def test_a_step_is_stored_as_it_was_told_last(store: RunStore, claims: Claims) -> None:
    run = await taken(store, claims)
    (run_after,) = await claims.write([written(run, RUNNING, Step("a", StepStatus.QUEUED, "op:constant"))])
    assert run_after is not None
    await claims.write([written(run_after, DONE, replace(DONE, label="z"), DONE)])
    found = await store.steps(ACME, run.id)
    assert [step.label for step in found] == ["a", "gen", "z"]
    assert found[1] == DONE
    assert [step.label for step in await store.steps(ACME, run.id, after="a", limit=1)] == ["gen"]


async def test_steps_belong_to_their_tenant(store: RunStore, claims: Claims) -> None:
    run = await taken(store, claims)
    assert await store.steps(ACME, run.id) == []
    with pytest.raises(NotFound, match="There is no run"):
        await store.steps(TenantName("other"), run.id)


async def test_a_claim_that_is_over_writes_no_step(store: RunStore, claims: Claims, clock: ManualClock) -> None:
    before = await taken(store, claims)
    clock.advance(11)
    await claims.maintain()
    (after,) = await Claims(store.records, clock, SETTINGS, "second").take(1)
    assert await claims.write([written(before, DONE)]) == [None]
    end = lifecycle.performed(None)
    assert await claims.write([Write(before, [], end, None, (DONE,))]) == [None]
    assert await store.steps(ACME, after.id) == []


async def test_the_end_of_a_run_ends_what_was_under_way(store: RunStore, claims: Claims, clock: ManualClock) -> None:
    run = await taken(store, claims)
    await claims.write([written(run, replace(RUNNING, label="lost"), DONE)])
    await store.request_cancel(ACME, run.id)
    clock.advance(11)
    await claims.maintain()
    assert (await store.get(ACME, run.id)).status == RunStatus.CANCELED
    assert [step.status for step in await store.steps(ACME, run.id)] == ["succeeded", "canceled"]
    assert (await store.steps(ACME, run.id))[1].finished_ms == clock.now_ms()


async def test_a_deleted_run_takes_its_steps_along(store: RunStore, claims: Claims) -> None:
    run = await taken(store, claims)
    await claims.write([Write(run, [], lifecycle.performed(None), None, (DONE,))])
    await store.delete(ACME, run.id)
    async with store.records.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(run_steps)) == 0


async def test_ends_of_steps_are_told_however_much_was_said_before(store: RunStore, claims: Claims) -> None:
    run = await taken(store, claims)
    chatter = [Line(RunEventKind.OUTPUT, {"step": "gen", "text": "a"})] * (SETTINGS.max_events + 10)
    (run_after,) = await claims.write([Write(run, chatter)])
    assert run_after is not None
    begun, ended = [Line(RunEventKind.STEP, {"label": "gen", "status": one}) for one in ("running", "succeeded")]
    await claims.write([Write(run_after, [begun, ended])])
    told = await kinds(store, run.id)
    assert (len(told), told.count(RunEventKind.STEP)) == (SETTINGS.max_events + 1, 1)


async def test_four_thousand_steps_are_written_at_once(store: RunStore, claims: Claims) -> None:
    run = await taken(store, claims)
    many = [replace(DONE, label=f"s.{number}") for number in range(4000)]
    await claims.write([written(run, *many)])
    await claims.write([written(run, *many)])
    async with store.records.read() as connection:
        assert len(await steps.load(connection, run.id)) == 4000


def call(label: str, number: int, cost: int | None = 5, **changes: object) -> tuple[UsageEvent, int | None]:
    """A try of a step of the run `q`, and its cost."""
    made_event = event(**changes)
    names = {"id": UsageId(f"q/{label}:{number}"), "request_id": RequestId("q"), "node": label}
    return replace(made_event, subject=replace(made_event.subject, **names)), cost


def lost(made_call: tuple[UsageEvent, int | None]) -> tuple[UsageEvent, int | None]:
    return unbilled(made_call[0]), 0


CANCELED_STEP = Step("b", StepStatus.CANCELED, "model:echo", tries=1)
PAID_STEP = Step("a", StepStatus.SUCCEEDED, "model:echo", tries=1, cost_nano=5)
STOPPED = UsageStatus.CANCELED


@pytest.mark.parametrize(
    ("rows", "calls", "expected"),
    [
        pytest.param([], [], 0, id="nothing was called"),
        pytest.param([PAID_STEP], [], None, id="a stored step is not booked"),
        pytest.param([PAID_STEP], [call("a", 1)], 5, id="it is"),
        pytest.param([PAID_STEP], [call("a", 1), call("a", 65)], None, id="the platform will take one of two back"),
        pytest.param([PAID_STEP], [lost(call("a", 1)), call("a", 65)], 5, id="it has"),
        pytest.param([PAID_STEP, CANCELED_STEP], [call("a", 1)], None, id="a canceled step is not booked"),
        pytest.param([CANCELED_STEP], [call("b", 65, 2, status=STOPPED)], 2, id="a canceled step is"),
        pytest.param([CANCELED_STEP], [call("b", 1, 2, status=STOPPED)], None, id="under a claim that was lost"),
        pytest.param([CANCELED_STEP], [call("b", 65, basis=Basis.WITNESS)], None, id="its replica has not spoken"),
        pytest.param([CANCELED_STEP], [lost(call("b", 65))], None, id="the replica of a canceled one was lost"),
        pytest.param([CANCELED_STEP], [call("b", 65), call("b", 66)], None, id="a try before it may be taken back"),
        pytest.param([PAID_STEP], [call("a", 1), call("x", 65)], None, id="a call without a row may be taken back"),
        pytest.param([PAID_STEP], [call("a", 1), lost(call("x", 65))], 5, id="it was"),
        pytest.param([replace(PAID_STEP, status=StepStatus.CACHED)], [], 0, id="what was kept costs nothing"),
        pytest.param([Step("op", StepStatus.CANCELED, "op:blur", tries=1)], [], 0, id="operations cost nothing"),
    ],
)
async def test_what_a_workflow_s_run_costs_is_told_when_nothing_can_change_it(
    database: Records,
    clock: ManualClock,
    rows: Sequence[Step],
    calls: Sequence[tuple[UsageEvent, int | None]],
    expected: int | None,
) -> None:
    async with database.write() as connection:
        await steps.save(connection, RUN_ID, rows)
    await book(database, *(posting(one, cost or 0) for one, cost in calls))
    ended = EndedRun(RequestId("q"), 2, clock.now_ms(), True, RUN_ID, 2)
    soon = await charges(database, [ended], clock.now_ms(), GRACE_MS)
    assert (soon[ended.request_id].cost_nano if soon else None) == expected
    late = await charges(database, [ended], clock.now_ms() + 11 * GRACE_MS, GRACE_MS)
    assert late[ended.request_id].cost_nano == sum(cost or 0 for _, cost in calls)


async def test_a_run_that_never_began_cost_nothing(database: Records, clock: ManualClock) -> None:
    ended = EndedRun(RequestId("q"), 0, clock.now_ms(), True, RUN_ID, 0)
    assert await charges(database, [ended], clock.now_ms(), GRACE_MS) == {RequestId("q"): NOTHING}


async def test_the_hold_of_a_workflow_s_run_stays_until_all_of_its_calls_can_be_booked(
    database: Records, clock: ManualClock, ids: CountingIds, store: RunStore
) -> None:
    await add_tenant(database)
    await add_budget(Budgets(database, clock, ids), 4 * USD)
    wallets = Wallets(database, clock, ids, MeteringSettings(), "gateway")
    sweep = HoldSweep(database, clock, GRACE_MS / 1000)
    run = await made(store, **workflow_run())
    hold = await wallets.hold_for_run(ACME, DEFAULT, KEY, run.id, 4 * USD)
    assert hold is not None
    await sweep.sweep()
    clock.advance(100)
    async with database.write() as connection:
        ended = {"finished_ms": clock.now_ms(), "attempt": 1, "status": "succeeded"}
        await connection.execute(update(runs).where(runs.c.id == run.id).values(ended))
    await book(database, posting(of_run(run, hold, "a"), USD))
    assert await sweep.sweep() == 0
    assert await held_and_spent(database) == (3 * USD, USD)
    await book(database, posting(of_run(run, hold, "b"), USD))
    assert await held_and_spent(database) == (2 * USD, 2 * USD)
    clock.advance(2 * GRACE_MS / 1000)
    assert await sweep.sweep() == 1
    assert await held_and_spent(database) == (0, 2 * USD)


def of_run(run: Run, hold: HoldId, label: str) -> UsageEvent:
    made_event = event()
    names = {"id": UsageId(f"{run.request_id}/{label}:1"), "request_id": run.request_id, "hold": hold, "node": label}
    return replace(made_event, subject=replace(made_event.subject, **names))


SCHEMA = {"zebra": {"type": "string"}, "b": {"y": 1, "x": 2}, "apple": {"type": "integer"}}


def written_order(value: object) -> str:
    return json.dumps(value)


async def test_the_keys_of_what_a_run_is_given_and_puts_out_keep_their_order(store: RunStore, claims: Claims) -> None:
    await made(store, **workflow_run(inputs={"schema": SCHEMA, "a": 1}))
    (run,) = await claims.take(1)
    assert written_order(run.inputs) == written_order({"schema": SCHEMA, "a": 1})
    assert written_order((await store.get(ACME, run.id)).inputs) == written_order(run.inputs)
    await claims.write([written(run, replace(DONE, outputs={"value": SCHEMA, "json": [SCHEMA]}))])
    (step,) = await store.steps(ACME, run.id)
    assert written_order(step.outputs) == written_order({"value": SCHEMA, "json": [SCHEMA]})
