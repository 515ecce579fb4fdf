"""Runs as their owners see them, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Sequence

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, kinds, made, new_run
from sqlalchemy import update

from serve.domain.errors import Conflict, InvalidRequest, NotFound, Overloaded
from serve.domain.names import RunId, TenantName
from serve.domain.run import RunEventKind, RunStatus, WebhookTarget, WorkflowTerms
from serve.runs.claims import Claims, Write
from serve.runs.lifecycle import completed
from serve.runs.rows import Result
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

ACME, OTHER = TenantName("acme"), TenantName("other")


class RecordedAssets:
    """Remembers which runs' blobs were removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.removed += run_ids


@pytest.fixture
def assets() -> RecordedAssets:
    return RecordedAssets()


@pytest.fixture
def store(database: Records, clock: ManualClock, assets: RecordedAssets) -> RunStore:
    return RunStore(database, clock, SETTINGS, assets)


async def claim(store: RunStore, owner: str = "r1") -> Claims:
    claims = Claims(store.records, store.clock, store.settings, owner)
    await claims.take(100)
    return claims


async def test_a_run_is_stored_whole(store: RunStore) -> None:
    new = new_run(webhook=WebhookTarget(url="https://example.com/hook"), deadline_ms=5, priority=3)
    run, is_new = await store.create(new)
    assert is_new
    assert await store.get(ACME, new.id) == run
    assert new.model_dump().items() <= run.model_dump().items()
    assert await kinds(store, new.id) == [RunEventKind.QUEUED]


async def test_a_run_that_a_newer_version_wrote_keeps_nobody_from_the_others(store: RunStore) -> None:
    newer, other = await made(store), await made(store)
    terms = WorkflowTerms(digest="d" * 64).model_dump() | {"of_the_next_version": True}
    async with store.records.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == newer.id).values(workflow=terms))
    assert (await store.get(ACME, newer.id)).workflow == WorkflowTerms(digest="d" * 64)
    claims = Claims(store.records, store.clock, store.settings, "r1")
    assert {one.id for one in await claims.take(100)} == {newer.id, other.id}


async def test_another_tenants_run_is_an_unknown_one(store: RunStore) -> None:
    run = await made(store)
    mistakes = []
    for tenant, run_id in ((OTHER, run.id), (OTHER, RunId(run.id[:-1] + "x"))):
        for ask in (store.get, store.request_cancel, store.delete, store.deliveries):
            with pytest.raises(NotFound) as caught:
                await ask(tenant, run_id)
            mistakes.append(str(caught.value).replace(run_id, "ID"))
    assert len(set(mistakes)) == 1
    assert await store.list(OTHER) == []
    assert (await store.get(ACME, run.id)).status == RunStatus.QUEUED


async def test_the_same_key_and_request_give_the_first_run(store: RunStore) -> None:
    first = await made(store, idempotency_key="k")
    again, is_new = await store.create(new_run(idempotency_key="k"))
    assert (again, is_new) == (first, False)


@pytest.mark.parametrize("changes", [{"request_hash": "1" * 64}, {"target": "another"}], ids=["body", "model"])
async def test_the_same_key_for_another_request_is_a_conflict(store: RunStore, changes: dict[str, str]) -> None:
    await made(store, idempotency_key="k")
    with pytest.raises(Conflict) as caught:
        await store.create(new_run(idempotency_key="k", **changes))
    assert caught.value.code == "idempotency_key_reuse"


async def test_keys_of_tenants_are_their_own(store: RunStore) -> None:
    await made(store, idempotency_key="k")
    _, is_new = await store.create(new_run("other", idempotency_key="k"))
    assert is_new


async def test_of_many_at_once_with_one_key_one_is_made(store: RunStore) -> None:
    answers = await asyncio.gather(*(store.create(new_run(idempotency_key="k")) for _ in range(12)))
    assert len({run.id for run, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1


async def test_a_tenant_has_so_many_waiting_and_no_more(database: Records, clock: ManualClock) -> None:
    store = RunStore(database, clock, RunsSettings(max_queued_per_tenant=3))
    made_runs = [await made(store, idempotency_key=f"k{n}") for n in range(3)]
    with pytest.raises(Overloaded) as caught:
        await made(store)
    assert caught.value.retry_after_seconds
    await made(store, "other")
    replayed, is_new = await store.create(new_run(idempotency_key="k0"))
    assert (replayed.id, is_new) == (made_runs[0].id, False)
    await store.request_cancel(ACME, made_runs[1].id)
    await made(store)


@pytest.mark.parametrize(
    "inputs",
    [{"prompt": "a\x00b"}, {"prompt": "\ud800"}, {"temperature": float("nan")}, {"a\x00": 1}],
    ids=["NUL", "half a surrogate", "NaN", "NUL in a name"],
)
async def test_inputs_that_some_database_would_choke_on_are_refused(store: RunStore, inputs: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await made(store, inputs=inputs)
    assert caught.value.param == "input"


async def test_backslashes_and_every_other_character_come_back(store: RunStore) -> None:
    inputs = {"prompt": "\\u0000 \\\\u0000 \x01 \x1f é 漢 😀"}
    run = await made(store, inputs=inputs)
    assert (await store.get(ACME, run.id)).inputs == inputs


async def test_webhooks_are_told_of_stages_and_not_of_every_word(store: RunStore) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await made(store, webhook=WebhookTarget(url="https://example.com", events=(RunEventKind.OUTPUT,)))
    assert caught.value.param == "webhook.events"


async def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repeat(store: RunStore) -> None:
    ids = [(await made(store)).id for _ in range(7)]
    seen: list[RunId] = []
    while page := await store.list(ACME, limit=3, after=seen[-1] if seen else None):
        seen += [run.id for run in page]
    assert seen == sorted(ids, reverse=True)


async def test_lists_filter_by_status_and_target(store: RunStore) -> None:
    first, second = await made(store), await made(store, target="another")
    await store.request_cancel(ACME, first.id)
    assert [run.id for run in await store.list(ACME, status=RunStatus.CANCELED)] == [first.id]
    assert [run.id for run in await store.list(ACME, target="another")] == [second.id]


async def test_a_queued_run_is_canceled_at_once_and_once(store: RunStore) -> None:
    run = await made(store)
    assert (await store.request_cancel(ACME, run.id)).status == RunStatus.CANCELED
    assert (await store.request_cancel(ACME, run.id)).status == RunStatus.CANCELED
    assert await kinds(store, run.id) == [RunEventKind.QUEUED, RunEventKind.CANCELED]


async def test_a_running_run_is_marked_for_its_runner(store: RunStore) -> None:
    run = await made(store)
    claims = await claim(store)
    asked = await store.request_cancel(ACME, run.id)
    assert (asked.status, asked.cancel_requested) == (RunStatus.RUNNING, True)
    held = await store.get(ACME, run.id)
    assert (await claims.news([held])).canceled == {run.id}


async def test_a_queued_run_is_deleted_with_all_it_left(store: RunStore, assets: RecordedAssets) -> None:
    run = await made(store)
    await store.delete(ACME, run.id)
    with pytest.raises(NotFound):
        await store.get(ACME, run.id)
    assert await store.events(run.id) == []
    assert assets.removed == [run.id]


async def test_deleting_a_running_run_cancels_it_and_works_when_it_has_ended(store: RunStore) -> None:
    run = await made(store)
    claims = await claim(store)
    with pytest.raises(Conflict) as caught:
        await store.delete(ACME, run.id)
    assert caught.value.code == "run_not_finished"
    held = await store.get(ACME, run.id)
    assert held.cancel_requested
    await claims.write([Write(held, [], completed(), Result({"text": "hi"}, {}))])
    await store.delete(ACME, run.id)


async def test_an_end_and_its_delivery_are_written_together(store: RunStore) -> None:
    events = (RunEventKind.STARTED, RunEventKind.SUCCEEDED)
    run = await made(store, webhook=WebhookTarget(url="https://example.com/hook", events=events))
    claims = await claim(store)
    held = await store.get(ACME, run.id)
    await claims.write([Write(held, [], completed(), Result({"text": "hi"}, {"completion_tokens": 1}))])
    deliveries = await store.deliveries(ACME, run.id)
    assert sorted(delivery.event for delivery in deliveries) == ["started", "succeeded"]
    assert {delivery.status for delivery in deliveries} == {"pending"}
    finished = await store.get(ACME, run.id)
    assert finished.usage == {"completion_tokens": 1}
    assert finished.outputs == {"text": "hi"}
    assert await kinds(store, run.id) == ["queued", "started", "succeeded"]
