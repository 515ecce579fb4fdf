"""Admission: limits, prices, budgets and tags, decided before a model is asked for anything."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.asgi import Exchange
from fakes.engines import ScriptedEngine
from fakes.gateway import Gateway, gateway, settings_in
from sqlalchemy import select, update

from serve.auth.access import DEFAULT_SCOPES
from serve.auth.limits import Limits
from serve.domain.documents import Prices
from serve.domain.errors import Overloaded
from serve.domain.generation import Completed, EventBatch, Finished, ModelCall, TextDelta, Verdict
from serve.domain.names import RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.gateway.admission import Admission
from serve.gateway.app import create_app
from serve.gateway.exchange import Exchange as Known
from serve.gateway.exchange import attach
from serve.gateway.rate_headers import duration
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets, NewBudget
from serve.metering.rates.limits import Limit
from serve.settings import MeteringSettings
from serve.storage.metering_tables import holds
from serve.storage.tables import runs

USED = Quantities(prompt_tokens=3, completion_tokens=2)
ANSWER = ([TextDelta("a")], [Finished("stop"), Completed(USED)])
CHAT: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
CHATS, RUNS = "/v1/chat/completions", "/v1/models/scripted/runs"
RUN = {"input": {"messages": CHAT["messages"], "max_tokens": 10}}
PRICES = Prices(prompt="1", completion="10")
COST_NANO = 3 * 1000 + 2 * 10_000


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(*ANSWER)


@pytest.fixture
async def made(tmp_path: Path, engine: ScriptedEngine) -> AsyncIterator[Gateway]:
    settings = settings_in(tmp_path, metering=MeteringSettings(tag_keys="team,feature"))
    async with gateway(tmp_path, {"scripted": engine}, settings) as running:
        yield running


async def key_with(made: Gateway, limits: Limits, **options: Any) -> str:
    """A key of tenant and project `default`."""
    wanted = {"tenant": "default", "project": "default", "title": "t", "scopes": DEFAULT_SCOPES} | options
    _, token = await made.services.keys.create(limits=limits, parent=None, **wanted)
    return token


async def budget(made: Gateway, nano: int) -> None:
    services = made.services
    new = NewBudget(TenantName("default"), Period.DAY, nano, None)
    await Budgets(services.records, services.clock, services.ids).create(new)


async def rows(made: Gateway, query: Any) -> Sequence[Any]:
    async with made.services.records.read() as connection:
        return (await connection.execute(query)).all()


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


async def test_the_call_after_the_last_one_of_a_minute_is_refused_before_a_model_hears_of_it(
    made: Gateway, engine: ScriptedEngine
):
    async with made.client(await key_with(made, Limits(requests_per_minute=2))) as client:
        answers = [await client.post(CHATS, json=CHAT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert code_of(refused) == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "2 requests a minute of this key" in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "true"
    assert 60 <= int(refused.headers["retry-after"]) <= 66
    assert abs(int(refused.headers["retry-after-ms"]) / 1000 - int(refused.headers["retry-after"])) < 1
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-reset-requests"].startswith("1m")
    assert len(engine.calls) == 2
    assert b'reason="rate_limit_exceeded"' in made.services.metrics.render()


async def test_without_limits_there_are_no_headers_about_limits(made: Gateway):
    async with made.client() as client:
        answer = await client.post(CHATS, json=CHAT)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_tokens_are_taken_by_the_ceiling_and_what_was_not_needed_is_given_back(made: Gateway, stream: bool):
    async with made.client(await key_with(made, Limits(tokens_per_minute=1000))) as client:
        first = await client.post(CHATS, json=CHAT | {"stream": stream})
        second = await client.post(CHATS, json=CHAT)
    taken = 1000 - int(first.headers["x-ratelimit-remaining-tokens"])
    assert taken > USED.prompt_tokens + USED.completion_tokens
    assert int(second.headers["x-ratelimit-remaining-tokens"]) == 1000 - taken - 5


async def test_a_call_that_can_never_fit_a_limit_is_the_callers_mistake(made: Gateway, engine: ScriptedEngine):
    async with made.client(await key_with(made, Limits(tokens_per_minute=500))) as client:
        answer = await client.post(CHATS, json=CHAT | {"max_tokens": 1000})
    assert (answer.status_code, code_of(answer)) == (400, "request_over_limit")
    assert "500 tokens a minute of this key" in answer.json()["error"]["message"]
    assert engine.calls == []


async def test_a_limit_of_nothing_closes_the_door_for_good(made: Gateway):
    async with made.client(await key_with(made, Limits(requests_per_minute=0))) as client:
        answer = await client.post(CHATS, json=CHAT)
    assert (answer.status_code, code_of(answer)) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


async def test_the_tenants_limit_holds_for_all_of_its_keys_together(made: Gateway):
    await made.services.tenants.change("default", limits=Limits(requests_per_minute=3))
    keys = [await key_with(made, Limits(requests_per_minute=2)) for _ in range(2)]
    statuses = []
    for key in (keys[0], keys[0], keys[0], keys[1], keys[1]):
        async with made.client(key) as client:
            statuses.append((await client.post(CHATS, json=CHAT)).status_code)
    assert statuses == [200, 200, 429, 200, 429]


async def test_a_keys_limit_holds_for_it_and_all_that_comes_from_it_together(made: Gateway):
    keys = made.services.keys
    token = await key_with(made, Limits(requests_per_minute=3), scopes=[*DEFAULT_SCOPES, "keys"])
    first = await keys.authenticate(token)
    _, after = await keys.rotate("default", first.key_id, 60, first)
    wanted = {"tenant": "default", "project": "default", "title": "t", "scopes": DEFAULT_SCOPES}
    _, child = await keys.create(parent=first, limits=Limits(requests_per_minute=2), **wanted)
    answers = []
    for key in (child, child, child, after, token, after):
        async with made.client(key) as client:
            answers.append(await client.post(CHATS, json=CHAT))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 429, 429]
    assert "2 requests a minute of this key" in answers[2].json()["error"]["message"]
    async with made.client((await keys.create(parent=first, **wanted))[1]) as client:
        message = (await client.post(CHATS, json=CHAT)).json()["error"]["message"]
    assert f"3 requests a minute of the key {first.key_id}, which this one comes from, is reached" in message


@pytest.mark.parametrize(
    ("ended", "used"),
    [
        ({"status": "succeeded", "attempt": 1, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, 5),
        ({"status": "canceled", "attempt": 0}, 0),
        ({"status": "canceled", "attempt": 1, "usage": {"completion_tokens": 1}}, None),
        ({"status": "failed", "attempt": 1}, None),
    ],
    ids=["whole", "before-it-began", "in-the-middle", "failed"],
)
async def test_a_run_gives_back_the_tokens_that_it_did_not_need_when_it_ends(
    made: Gateway, ended: dict[str, Any], used: int | None
):
    key = await key_with(made, Limits(tokens_per_minute=1000))
    async with made.client(key) as client:
        await client.post(RUNS, json=RUN)
        await made.services.run_limits.turn()
        taken = 1000 - await _tokens_left(made, key)
        async with made.services.records.write() as connection:
            await connection.execute(update(runs).values(finished_ms=1, **ended))
        await made.services.run_limits.turn()
        assert 1000 - await _tokens_left(made, key) == (taken if used is None else used)
    assert taken > 5


async def _tokens_left(made: Gateway, key: str) -> int:
    caller = await made.services.keys.authenticate(key)
    limit = Limit(f"key:{caller.key_id}", "tokens", 1000, "this key")
    return made.services.rates.standings([limit])[0].remaining


async def test_a_request_that_is_wrong_counts_against_no_limit(made: Gateway):
    async with made.client(await key_with(made, Limits(requests_per_minute=1))) as client:
        wrong = await client.post(CHATS, json=CHAT | {"max_tokens": "ten"})
        right = await client.post(CHATS, json=CHAT)
    assert (wrong.status_code, right.status_code) == (400, 200)


async def test_a_key_that_lists_its_models_calls_no_other(made: Gateway, engine: ScriptedEngine):
    async with made.client(await key_with(made, Limits(), models=["echo-chat"])) as client:
        answer = await client.post(CHATS, json=CHAT)
    assert answer.status_code == 403
    assert engine.calls == []


async def test_declared_tags_travel_with_the_call(made: Gateway, engine: ScriptedEngine):
    async with made.client() as client:
        await client.post(CHATS, json=CHAT, headers={"x-slipway-tags": "team=search, feature=ask me"})
    assert engine.calls[0].context.tags == (("feature", "ask me"), ("team", "search"))


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ("tean=search", "undeclared_tag"),
        ("team=search,team=chat", "invalid_tag"),
        ("team", "invalid_tag"),
        ("team=", "invalid_tag"),
        ("team=" + "x" * 65, "invalid_tag"),
        ("team=\u00e9".encode().decode("latin-1"), "invalid_tag"),
        ("team=x," * 200, "invalid_tag"),
    ],
)
async def test_tags_that_nobody_declared_or_can_read_are_refused(
    made: Gateway, engine: ScriptedEngine, tags: str, code: str
):
    async with made.client() as client:
        answer = await client.post(CHATS, json=CHAT, headers=[("x-slipway-tags", tags.encode("latin-1"))])
    assert (answer.status_code, code_of(answer)) == (400, code)
    if code == "undeclared_tag":
        assert "feature, team" in answer.json()["error"]["message"]
    assert engine.calls == []


async def test_a_call_carries_its_price_and_what_it_may_cost(made: Gateway, engine: ScriptedEngine):
    version = await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    async with made.client() as client:
        await client.post(CHATS, json=CHAT)
    context = engine.calls[0].context
    assert context.price == version.id
    assert context.hold is not None
    assert context.reserved_nano > COST_NANO
    assert context.max_prompt_tokens is not None
    assert context.max_prompt_tokens * 1000 + 10 * 10_000 == context.reserved_nano


async def test_without_a_budget_nothing_is_reserved(made: Gateway, engine: ScriptedEngine):
    await made.services.prices.apply("scripted", PRICES, "test")
    async with made.client() as client:
        await client.post(CHATS, json=CHAT)
    context = engine.calls[0].context
    assert (context.hold, context.reserved_nano, context.max_prompt_tokens) == (None, 0, None)
    assert context.price is not None


@pytest.mark.parametrize("path", [CHATS, RUNS])
async def test_an_exhausted_budget_refuses_before_anything_is_queued(made: Gateway, engine: ScriptedEngine, path: str):
    await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, COST_NANO)
    async with made.client(await key_with(made, Limits(requests_per_minute=5))) as client:
        answers = [await client.post(path, json=CHAT if path == CHATS else RUN) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {429}
    assert {code_of(answer) for answer in answers} == {"insufficient_quota"}
    assert answers[0].json()["error"]["type"] == "insufficient_quota"
    assert answers[0].headers["x-should-retry"] == "false"
    assert engine.calls == []
    assert made.nudged == []
    assert await rows(made, select(runs.c.id)) == []


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    ("script", "cost"),
    [
        (ANSWER, COST_NANO),
        ((Overloaded("full"),), 0),
        (([TextDelta("a")], RuntimeError("broken")), None),
        (([TextDelta("a")],), None),
    ],
    ids=["whole", "refused", "broken", "cut"],
)
async def test_a_call_settles_what_it_cost_however_it_ends(
    tmp_path: Path, script: tuple[Any, ...], cost: int | None, stream: bool
):
    engine = ScriptedEngine(*script)
    async with gateway(tmp_path, {"scripted": engine}) as made:
        await made.services.prices.apply("scripted", PRICES, "test")
        await budget(made, 10**9)
        async with made.client() as client:
            await client.post(CHATS, json=CHAT | {"stream": stream})
        (lease,) = [one.lease for one in made.services.wallets._allowances()]
        assert lease is not None
        assert (lease.in_flight, lease.num_in_flight) == (0, 0)
        reserved = engine.calls[0].context.reserved_nano
        assert sum(lease.ended.values()) == (reserved if cost is None else cost)
        assert bool(lease.unknown) == (cost is None)


class LosingModels:
    """Models whose first replica was lost with the call; the second has no room."""

    async def call(self, model: str, call: ModelCall, verdict: Verdict) -> AsyncIterator[EventBatch]:
        verdict.was_resent = True
        raise Overloaded("full")
        yield


async def test_a_call_that_a_lost_replica_may_have_worked_for_counts_until_the_ledger_has_heard_of_it(made: Gateway):
    await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    app = create_app(replace(made.services, models=LosingModels()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://slipway") as client:
        answer = await client.post(CHATS, json=CHAT, headers={"authorization": f"Bearer {made.key}"})
    assert answer.status_code == 429
    (lease,) = [one.lease for one in made.services.wallets._allowances()]
    assert lease is not None
    assert (lease.num_in_flight, len(lease.unknown)) == (0, 1)


async def test_a_call_that_no_model_was_asked_for_counts_as_never_asked_for(made: Gateway):
    await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    caller = await made.services.keys.authenticate(await key_with(made, Limits(requests_per_minute=1)))
    exchange = Known(RequestId("r"), 0.0, caller=caller)
    scope: dict[str, Any] = {"headers": []}
    attach(scope, exchange)
    card = await made.services.catalog.card("scripted")
    inputs = {"messages": CHAT["messages"], "max_tokens": 10}
    for _ in range(3):
        await Admission(made.services).admit(scope, card, Task.CHAT, inputs, [])
        assert exchange.admitted is not None
        exchange.admitted.close()
    (lease,) = [one.lease for one in made.services.wallets._allowances()]
    assert lease is not None
    assert (lease.in_flight, lease.ended) == (0, {})


async def test_a_client_that_leaves_holds_nothing_in_flight(tmp_path: Path):
    engine = ScriptedEngine([TextDelta("a")], 30.0)
    async with gateway(tmp_path, {"scripted": engine}) as made:
        await made.services.prices.apply("scripted", PRICES, "test")
        await budget(made, 10**9)
        body = json.dumps(CHAT | {"stream": True}).encode()
        exchange = Exchange(made.app, CHATS, body, {"authorization": f"Bearer {made.key}"})
        task = exchange.start()
        await exchange.has_answered.wait()
        exchange.leave()
        await task
        (lease,) = [one.lease for one in made.services.wallets._allowances()]
        assert lease is not None
        assert (lease.num_in_flight, len(lease.unknown)) == (0, 1)


async def test_a_run_keeps_its_price_its_hold_and_its_tags_until_it_is_booked(made: Gateway):
    version = await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    async with made.client() as client:
        answer = await client.post(RUNS, json=RUN, headers={"x-slipway-tags": "team=search"})
    assert answer.status_code == 202
    (run,) = await rows(made, select(runs))
    assert (run.price, run.tags) == (version.id, {"team": "search"})
    (hold,) = await rows(made, select(holds))
    assert (run.hold, run.reserved_nano) == (hold.id, hold.remaining_nano)
    assert (hold.kind, hold.run_id) == ("run", run.id)


async def test_a_request_that_joins_a_run_holds_nothing_and_counts_against_no_limit(made: Gateway):
    await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    headers = {"idempotency-key": "once"}
    async with made.client(await key_with(made, Limits(requests_per_minute=1))) as client:
        answers = [await client.post(RUNS, json=RUN, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await rows(made, select(holds))) == 1


async def test_a_run_whose_row_is_refused_holds_nothing(made: Gateway):
    await made.services.prices.apply("scripted", PRICES, "test")
    await budget(made, 10**9)
    made.services.runs.settings = made.services.runs.settings.model_copy(update={"max_queued_per_tenant": 1})
    async with made.client(await key_with(made, Limits(requests_per_minute=2))) as client:
        statuses = [(await client.post(RUNS, json=RUN)).status_code for _ in range(4)]
    assert statuses == [202, 429, 429, 429]
    remaining = [hold.remaining_nano for hold in await rows(made, select(holds)) if hold.remaining_nano]
    assert len(remaining) == 1
    async with made.client(await key_with(made, Limits(requests_per_minute=2))) as client:
        assert code_of(await client.post(RUNS, json=RUN)) == "overloaded"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (59.9994, "59.999s"), (360, "6m0s"), (3725.25, "1h2m5.25s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str):
    assert duration(seconds) == text
