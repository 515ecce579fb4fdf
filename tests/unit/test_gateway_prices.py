"""Prices over HTTP: set, shown, checked; and the cost in every answer."""

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, model_document
from fakes.images import PAINTER, studio

from serve.domain.documents import Prices
from serve.domain.names import TenantName
from serve.domain.usage import Quantities
from serve.metering.prices.prices import cost_of

HELLO = [{"role": "user", "content": "one two three"}]
PRICES = {"prompt": "1", "completion": "2"}
COST = {"nano_usd": 9000, "usd": "0.000009"}
"""Three words in, three words out."""


async def set_prices(client: httpx.AsyncClient, model: str, prices: dict[str, Any], **params: str) -> dict[str, Any]:
    answer = await client.put(f"/v1/admin/prices/{model}", json=prices, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def chunks_of(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def test_every_kind_of_answer_says_what_it_cost(tmp_path: Path) -> None:
    chat = {"model": CHAT, "messages": HELLO}
    async with gateway(tmp_path) as made, made.client() as client:
        for model in (CHAT, EMBEDDER):
            await set_prices(client, model, PRICES)
        whole = await client.post("/v1/chat/completions", json=chat)
        streamed = await client.post(
            "/v1/chat/completions", json=chat | {"stream": True, "stream_options": {"include_usage": True}}
        )
        completed = await client.post("/v1/completions", json={"model": CHAT, "prompt": "one two three"})
        embedded = await client.post("/v1/embeddings", json={"model": EMBEDDER, "input": "one two three"})
    assert whole.json()["usage"]["cost"] == COST
    assert whole.headers["x-slipway-cost-nano-usd"] == "9000"
    assert chunks_of(streamed.text)[-1]["usage"]["cost"] == COST
    # The echo engine goes on for max_tokens, which completions have 16 of.
    assert completed.json()["usage"]["cost"]["nano_usd"] == 3 * 1000 + 16 * 2000
    assert embedded.json()["usage"]["cost"] == {"nano_usd": 3000, "usd": "0.000003"}
    assert embedded.headers["x-slipway-cost-nano-usd"] == "3000"


async def test_what_is_unpriced_costs_null_and_what_is_free_costs_zero(tmp_path: Path) -> None:
    chat = {"model": CHAT, "messages": HELLO}
    async with gateway(tmp_path) as made, made.client() as client:
        unpriced = await client.post("/v1/chat/completions", json=chat)
        await set_prices(client, CHAT, {"prompt": "0"})
        free = await client.post("/v1/chat/completions", json=chat)
    assert unpriced.json()["usage"]["cost"] is None
    assert "x-slipway-cost-nano-usd" not in unpriced.headers
    assert (free.json()["usage"]["cost"]["usd"], free.headers["x-slipway-cost-nano-usd"]) == ("0", "0")


async def test_pictures_and_their_runs_say_what_they_cost(tmp_path: Path) -> None:
    async with studio(tmp_path) as made, made.made.client() as client:
        await set_prices(client, PAINTER, {"megapixelStep": "0.1"})
        body = {"model": PAINTER, "prompt": "a cat", "n": 2}
        whole = await client.post("/v1/images/generations", json=body)
        streamed = await client.post("/v1/images/generations", json=body | {"stream": True})
        run = (await client.get("/v1/runs", params={"limit": 1})).json()["data"][0]
        events = (await client.get(run["urls"]["events"])).text
    nano = 2 * 64 * 64 * 4 * 100
    cost = {"nano_usd": nano, "usd": "0.0032768"}
    assert whole.json()["usage"]["cost"] == cost
    assert whole.headers["x-slipway-cost-nano-usd"] == str(nano)
    finished = [told for told in chunks_of(streamed.text) if told["type"].endswith("completed")]
    assert [told["usage"]["cost"] for told in finished] == [{"nano_usd": 0, "usd": "0"}, cost]
    assert run["cost"] == cost
    assert chunks_of(events)[-1]["cost"] == cost


async def test_prices_are_listed_with_their_history_and_on_the_card(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        first = await set_prices(client, CHAT, PRICES)
        again = await set_prices(client, CHAT, PRICES)
        later = await set_prices(client, CHAT, {"prompt": "5", "effectiveFrom": "2999-01-01T00:00:00Z"})
        listed = (await client.get("/v1/prices")).json()["data"]
        history = (await client.get(f"/v1/prices/{CHAT}")).json()["data"]
        cards = (await client.get("/v1/catalog")).json()["data"]
        unknown = await client.get("/v1/prices/nobody")
    assert again == first
    assert listed == [{"model": CHAT, "price": first}, {"model": EMBEDDER, "price": None}]
    assert history == [later, first]
    assert (first["prices"], first["tenant"], later["effective_at"]) == (PRICES, None, "2999-01-01T00:00:00.000Z")
    assert {card["name"]: card["prices"] for card in cards} == {CHAT: PRICES, EMBEDDER: None}
    assert unknown.status_code == 404


async def test_a_tenants_own_prices_are_its_own_business(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as admin, made.client(made.other_key) as other:
        common = await set_prices(admin, CHAT, PRICES)
        own = await set_prices(admin, CHAT, {"prompt": "10"}, tenant="other")
        await made.services.tenants.create("third")
        thirds = await set_prices(admin, CHAT, {"prompt": "7"}, tenant="third")
        seen = (await other.get(f"/v1/prices/{CHAT}")).json()["data"]
        checked = [
            await other.post("/v1/prices/check", json={"model": CHAT, "quantities": {}, "price": version})
            for version in (own["id"], thirds["id"], "sha256:0")
        ]
        paid = (await other.post("/v1/chat/completions", json={"model": CHAT, "messages": HELLO})).json()
        refused = await other.put(f"/v1/admin/prices/{CHAT}", json={})
        nobody = await admin.put(f"/v1/admin/prices/{CHAT}", json={}, params={"tenant": "nobody"})
    assert [price["id"] for price in seen] == [own["id"], common["id"]]
    assert [answer.status_code for answer in checked] == [200, 404, 404]
    assert checked[1].json()["error"]["code"] == checked[2].json()["error"]["code"] == "price_not_found"
    assert paid["usage"]["cost"]["nano_usd"] == 30_000
    assert (refused.status_code, nobody.status_code) == (403, 404)


async def test_a_charge_is_explained_line_by_line(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        old = await set_prices(client, CHAT, {"prompt": "0.0005", "adapterPercent": "50"})
        await set_prices(client, CHAT, PRICES)
        body = {"model": CHAT, "quantities": {"prompt_tokens": 3}, "adapters": ["ink"], "price": old["id"]}
        bill = (await client.post("/v1/prices/check", json=body)).json()
        now = (await client.post("/v1/prices/check", json={**body, "price": None})).json()
        before = {**body, "price": None, "at": "2001-01-01T00:00:00Z"}
        unpriced = (await client.post("/v1/prices/check", json=before)).json()
        negative = await client.post("/v1/prices/check", json={**body, "quantities": {"prompt_tokens": -1}})
    assert [(line["what"], line["quantity"], line["nano_usd"]) for line in bill["lines"]] == [
        ("prompt_tokens", 3, 2),
        ("adapter default/ink", 2, 1),
    ]
    assert bill["lines"][0]["note"].endswith("$0.000000002, rounded from 1.5 nano-dollars")
    assert (bill["cost"]["nano_usd"], bill["price"]["id"]) == (3, old["id"])
    assert now["cost"]["nano_usd"] == 3000
    assert (unpriced["price"], unpriced["lines"], unpriced["cost"]) == (None, [], None)
    assert (negative.status_code, negative.json()["error"]["param"]) == (400, "quantities.prompt_tokens")


async def test_a_plan_says_the_most_that_a_run_can_cost_and_runs_nothing(tmp_path: Path) -> None:
    body = {"input": {"messages": HELLO, "max_tokens": 10, "n": 2}}
    async with gateway(tmp_path) as made, made.client() as client:
        version = await set_prices(client, CHAT, PRICES)
        plan = (await client.post(f"/v1/models/{CHAT}/plan", json=body)).json()
        wrong = await client.post(f"/v1/models/{CHAT}/plan", json={"input": {"messages": []}})
        unpriced = (await client.post(f"/v1/models/{EMBEDDER}/plan", json={"input": {"input": "a"}})).json()
        runs = (await client.get("/v1/runs")).json()["data"]
        answer = await client.post("/v1/chat/completions", json={"model": CHAT, **body["input"]})
    most = Quantities(**plan["quantities_at_most"])
    assert most.completion_tokens == 20
    assert plan["cost_at_most"]["nano_usd"] == most.prompt_tokens * 1000 + 20 * 2000
    assert (plan["price"]["id"], plan["task"], plan["estimated_seconds"]) == (version["id"], "chat", None)
    assert answer.json()["usage"]["cost"]["nano_usd"] <= plan["cost_at_most"]["nano_usd"]
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "input.messages")
    assert unpriced["cost_at_most"] is None
    assert "has no price" in unpriced["notes"][0]
    assert (runs, made.nudged) == ([], [])


async def test_applying_a_model_makes_a_version_of_its_prices(tmp_path: Path) -> None:
    document = model_document("priced", ["chat"], prices={"completion": "3"})
    async with gateway(tmp_path) as made, made.client() as client:
        for _ in range(2):
            await client.put("/v1/admin/documents/Model/priced", json=document.model_dump(mode="json", by_alias=True))
        history = (await client.get("/v1/prices/priced")).json()["data"]
        wrong = document.model_dump(mode="json", by_alias=True)
        wrong["spec"]["prices"]["completion"] = "three"
        refused = await client.put("/v1/admin/documents/Model/priced", json=wrong)
    assert [price["prices"] for price in history] == [{"completion": "3"}]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "spec.prices.completion")


@pytest.mark.parametrize("prices", [PRICES, {**PRICES, "adapterPercent": "10", "request": "0.001"}])
async def test_what_an_answer_shows_is_what_the_ledger_will_book(tmp_path: Path, prices: dict[str, str]) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        await set_prices(client, CHAT, prices)
        usage = (await client.post("/v1/chat/completions", json={"model": CHAT, "messages": HELLO})).json()["usage"]
        version = await current(made)
    used = Quantities(prompt_tokens=usage["prompt_tokens"], completion_tokens=usage["completion_tokens"])
    assert usage["cost"]["nano_usd"] == cost_of(used, version)
    assert version.prices == Prices.model_validate(prices)


async def current(made: Gateway) -> Any:
    version = await made.services.prices.current(CHAT, TenantName("default"))
    assert version is not None
    return version
