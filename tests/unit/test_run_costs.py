"""What a run that did not succeed has cost: nothing is told before it is certain."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.gateway import CHAT, Gateway, gateway
from fakes.ledger import batch, event, unbilled
from fakes.runs import new_run
from fakes.workflow_runs import workflow_run
from sqlalchemy import update

from serve.domain.documents import Prices
from serve.domain.names import RequestId, RunId, TenantName
from serve.domain.run import Run
from serve.domain.steps import Step, StepStatus
from serve.domain.usage import ENGINE_FAILED, Basis, PriceId, Quantities, UsageEvent, UsageId, UsageStatus
from serve.metering.ledger.booking import Booked, Kind, standing
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.run_costs import EndedRun, _is_whole
from serve.runs import steps
from serve.storage.tables import runs


def attempt(number: int, submission: int = 1, **changes: object) -> UsageEvent:
    """One of the attempts of the run `q`."""
    again = f".{submission}" if submission > 1 else ""
    subject = replace(event().subject, id=UsageId(f"q:{number}{again}"), request_id=RequestId("q"))
    return replace(event(**changes), subject=subject)


CANCELED = attempt(2, status=UsageStatus.CANCELED)
FAILED = attempt(1, status=UsageStatus.FAILED, billable=False, reason=ENGINE_FAILED)


@pytest.mark.parametrize(
    ("booked", "expected"),
    [
        pytest.param([], (False, False), id="nothing is booked"),
        pytest.param([CANCELED], (False, False), id="an attempt is missing"),
        pytest.param([unbilled(attempt(1)), CANCELED], (True, True), id="lost, then canceled"),
        pytest.param([FAILED, CANCELED], (True, True), id="failed, then canceled"),
        pytest.param([attempt(1), CANCELED], (False, True), id="the platform may take the first back"),
        pytest.param([FAILED, replace(CANCELED, basis=Basis.WITNESS)], (False, True), id="its replica has not spoken"),
        pytest.param([FAILED, unbilled(attempt(2))], (False, True), id="it was submitted again"),
        pytest.param([FAILED, unbilled(attempt(2)), attempt(2, 2)], (True, True), id="and that has ended"),
    ],
)
def test_a_cost_is_told_when_nothing_can_change_it(booked: Sequence[UsageEvent], expected: tuple[bool, bool]) -> None:
    found = [standing([Booked(one, Kind.ATTEMPT, 0, id=str(one.id))]) for one in booked]
    run = EndedRun(RequestId("q"), 2, 0, is_priced=True)
    assert tuple(_is_whole(run, [one for one in found if one], is_late) for is_late in (False, True)) == expected


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as it:
        await it.services.prices.apply(CHAT, Prices(prompt="1", completion="2"), "test")
        yield it


async def test_a_canceled_run_shows_what_the_ledger_booked_for_it(made: Gateway) -> None:
    services = made.services
    async with made.client() as client:
        body = {"input": {"messages": [{"role": "user", "content": "hi"}]}}
        run = (await client.post(f"/v1/models/{CHAT}/runs", json=body)).json()
        row = await services.runs.get(TenantName("default"), RunId(run["id"]))
        never_ran = (await client.post(f"/v1/runs/{run['id']}/cancel")).json()
        await pretend_it_ran(made, run["id"])
        before = (await client.get(run["urls"]["self"])).json()
        subject = replace(
            event(tenant="default", model=CHAT, price=row.price).subject,
            id=UsageId(f"{row.request_id}:1"),
            request_id=row.request_id,
            run_id=row.id,
        )
        used = replace(event(), subject=subject, status=UsageStatus.CANCELED, quantities=Quantities(5, 0, 7))
        ledger = Ledger(services.records, services.clock, services.settings.metering, services.prices)
        await ledger.book(batch(used))
        after = (await client.get(run["urls"]["self"])).json()
        (listed,) = (await client.get("/v1/runs")).json()["data"]
    assert (never_ran["cost"]["nano_usd"], before["cost"]) == (0, None)
    assert (after["cost"]["usd"], after["usage"]) == ("0.000019", {"prompt_tokens": 5, "completion_tokens": 7})
    assert listed == after


async def pretend_it_ran(made: Gateway, run_id: str) -> None:
    async with made.services.records.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run_id).values(attempt=1))


async def test_a_canceled_workflow_s_run_shows_what_was_booked_for_all_of_its_steps(made: Gateway) -> None:
    services = made.services
    workflow = workflow_run(tenant="default", workflow=None)
    row, _ = await services.runs.create(new_run(**workflow))
    done = Step("a", StepStatus.SUCCEEDED, "model:echo-chat", tries=1, usage={"prompt_tokens": 1}, cost_nano=1000)
    stopped = Step("b", StepStatus.CANCELED, "model:echo-chat", tries=1)
    async with services.records.write() as connection:
        await steps.save(connection, row.id, [done, stopped])
        ended = {"status": "canceled", "finished_ms": services.clock.now_ms(), "attempt": 1, "fence": 1}
        await connection.execute(
            update(runs).where(runs.c.id == row.id).values(ended | {"usage": {"prompt_tokens": 1}})
        )
    price = await services.prices.current(CHAT, "default")
    assert price is not None
    ledger = Ledger(services.records, services.clock, services.settings.metering, services.prices)
    async with made.client() as client:
        await ledger.book(batch(of_step(row, price.id, "a", Quantities(1))))
        before = (await client.get(f"/v1/runs/{row.id}")).json()
        used = replace(of_step(row, price.id, "b", Quantities(2, 0, 3), seq=2), status=UsageStatus.CANCELED)
        await ledger.book(batch(used, cumulative=Quantities(3, 0, 3)))
        after = (await client.get(f"/v1/runs/{row.id}")).json()
    assert (before["cost"], before["usage"]) == (None, {"prompt_tokens": 1})
    assert (after["cost"]["usd"], after["usage"]) == ("0.000009", {"prompt_tokens": 3, "completion_tokens": 3})


def of_step(run: Run, price: PriceId, label: str, used: Quantities, seq: int = 1) -> UsageEvent:
    subject = replace(
        event(tenant="default", model=CHAT, price=price, node=label, workflow=run.target).subject,
        id=UsageId(f"{run.request_id}/{label}:1"),
        request_id=run.request_id,
        run_id=run.id,
    )
    return replace(event(), subject=subject, quantities=used, seq=seq)
