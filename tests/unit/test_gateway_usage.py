"""Usage over HTTP: sums, events, exports, the audit; and whose is whose."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.clock import ManualClock
from fakes.gateway import Gateway, gateway, settings_in
from fakes.ledger import ADMITTED_MS, batch, event, priced

from serve.auth.access import Scope
from serve.domain.documents import Prices
from serve.domain.moments import at, rfc3339
from serve.domain.usage import PLATFORM_RETRY, Quantities
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.rollups import HOUR_MS
from serve.settings import MeteringSettings

DAY_MS = 24 * HOUR_MS
SPAN = {"from": rfc3339(at(ADMITTED_MS - DAY_MS)), "to": rfc3339(at(ADMITTED_MS + 70 * DAY_MS))}
OTHERS = "other"


@pytest.fixture
async def made(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Gateway]:
    """A gateway whose ledger has a priced month of two projects, and another tenant's event."""
    settings = settings_in(tmp_path, metering=MeteringSettings(tag_keys="team"))
    async with gateway(tmp_path, settings=settings) as found:
        services = found.services
        price = (await services.prices.apply("echo", Prices(prompt="1", completion="2"), "test")).id
        ledger = Ledger(services.records, clock, settings.metering, services.prices)
        mine = [
            event(1, tenant="default", tags=(("team", "red"),)),
            event(2, tenant="default", project="lab", admitted_ms=ADMITTED_MS + HOUR_MS),
            event(3, tenant="default", model="poet", adapters=("default/ode@sha256:1",), workflow="w@1", node="n"),
            event(4, tenant="default", admitted_ms=ADMITTED_MS + 40 * DAY_MS, tags=(("team", "blue"),)),
        ]
        unpriced = replace(event(5, tenant="default"), quantities=Quantities(images=2))
        lost = replace(event(6, tenant="default"), billable=False, reason=PLATFORM_RETRY)
        await ledger.book(batch(*priced(mine, price), unpriced, *priced([lost, event(7, tenant=OTHERS)], price)))
        yield found


async def asked(made: Gateway, path: str, key: str | None = None, **params: Any) -> httpx.Response:
    async with made.client(key) as client:
        return await client.get(path, params=SPAN | params)


async def rows(made: Gateway, key: str | None = None, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await asked(made, "/v1/usage", key, **params)).json()["data"]
    return found


async def test_the_sum_tells_what_is_due_and_what_has_no_price(made: Gateway) -> None:
    (row,) = await rows(made)
    assert row["quantities"] == {"prompt_tokens": 500, "completion_tokens": 50, "images": 2}
    assert row["cost"]["due"] == {"nano_usd": 480_000, "usd": "0.00048"}
    assert (row["attempts"], row["unbilled"], row["unpriced"], row["period"]) == (6, 1, 1, None)


GROUPS = {
    "tenant": {"default": 6},
    "project": {"default": 5, "lab": 1},
    "key": {"k1": 6},
    "model": {"echo": 5, "poet": 1},
    "adapter": {"": 5, "default/ode": 1},
    "workflow": {"": 5, "w@1": 1},
    "node": {"": 5, "n": 1},
    "tag:team": {"": 4, "red": 1, "blue": 1},
}
PERIODS = {
    "hour": {"2026-01-01T00:00:00.000Z": 4, "2026-01-01T01:00:00.000Z": 1, "2026-02-10T00:00:00.000Z": 1},
    "day": {"2026-01-01T00:00:00.000Z": 5, "2026-02-10T00:00:00.000Z": 1},
    "month": {"2026-01-01T00:00:00.000Z": 5, "2026-02-01T00:00:00.000Z": 1},
}


async def test_usage_is_grouped_by_everything_that_is_known_of_a_call(made: Gateway) -> None:
    found = {name: await rows(made, group_by=name) for name in GROUPS}
    assert {name: {row["group"][name]: row["attempts"] for row in each} for name, each in found.items()} == GROUPS


async def test_usage_is_told_by_period(made: Gateway) -> None:
    found = {name: await rows(made, granularity=name) for name in PERIODS}
    assert {name: {row["period"]: row["attempts"] for row in each} for name, each in found.items()} == PERIODS


async def test_usage_is_filtered_and_paged(made: Gateway) -> None:
    assert [row["attempts"] for row in await rows(made, model="poet")] == [1]
    assert [row["attempts"] for row in await rows(made, project="lab")] == [1]
    assert [row["attempts"] for row in await rows(made, tag="team=red")] == [1]
    first = (await asked(made, "/v1/usage", group_by="model", limit=1)).json()
    assert (first["data"][0]["group"], first["has_more"]) == ({"model": "echo"}, True)
    assert [row["group"] for row in await rows(made, group_by="model", after=1)] == [{"model": "poet"}]


WRONG: list[tuple[dict[str, str], str]] = [
    ({"group_by": "colour"}, "group_by"),
    ({"group_by": "tag:colour"}, "tag"),
    ({"tag": "team"}, "tag"),
    ({"to": SPAN["from"]}, "from"),
    ({"from": "0001-01-02T00:00:00Z", "granularity": "month"}, "from"),
]


async def test_a_wrong_question_names_what_is_wrong(made: Gateway) -> None:
    answers = [await asked(made, "/v1/usage", **params) for params, _ in WRONG]
    found = [(answer.status_code, answer.json()["error"]["param"]) for answer in answers]
    assert found == [(400, param) for _, param in WRONG]


async def test_anothers_usage_is_as_if_there_were_none(made: Gateway) -> None:
    (row,) = await rows(made, made.other_key, group_by="tenant")
    assert (row["group"], row["attempts"]) == ({"tenant": OTHERS}, 1)
    unknown, others = [(await asked(made, f"/v1/usage/events/{id}", made.other_key)) for id in ("r99:1", "r1:1")]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "usage_event_not_found")
    assert {**unknown.json()["error"]} == {**others.json()["error"]}
    assert (await asked(made, "/v1/usage/events", made.other_key, request_id="r1")).json()["data"] == []
    assert (await asked(made, "/v1/usage", made.other_key, tenant="default")).status_code == 403
    assert (await asked(made, "/v1/admin/reconcile", made.other_key)).status_code == 403


async def test_a_key_sees_its_project_and_an_administrator_everybody(made: Gateway) -> None:
    scopes = frozenset({Scope.READ})
    _, key = await made.services.keys.create(
        tenant="default", project="lab", title="reader", scopes=scopes, parent=None
    )
    assert [row["attempts"] for row in await rows(made, key)] == [1]
    assert (await asked(made, "/v1/usage", key, project="default")).status_code == 403
    assert {row["group"]["tenant"] for row in await rows(made, tenant="*", group_by="tenant")} == {"default", OTHERS}


async def test_events_are_listed_newest_first_and_page_by_page(made: Gateway) -> None:
    first = (await asked(made, "/v1/usage/events", limit=2)).json()
    assert ([row["id"] for row in first["data"]], first["has_more"]) == (["r4:1", "r2:1"], True)
    rest = (await asked(made, "/v1/usage/events", after="r2:1")).json()
    assert [row["id"] for row in rest["data"]] == ["r6:1", "r5:1", "r3:1", "r1:1"]
    by_id = {row["id"]: row for row in rest["data"]}
    assert by_id["r5:1"]["cost"] is None
    assert (by_id["r6:1"]["billable"], by_id["r6:1"]["cost"]["due"]["usd"]) == (False, "0")


async def test_exports_hold_every_event_once(made: Gateway) -> None:
    text = (await asked(made, "/v1/usage/events", format="csv")).text
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["id"]: line["due_nano_usd"] for line in lines} == {
        **{f"r{number}:1": "120000" for number in (1, 2, 3, 4)},
        "r5:1": "",
        "r6:1": "0",
    }
    answer = await asked(made, "/v1/usage/events", format="cloudevents", model="poet")
    (told,) = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert (told["specversion"], told["id"], told["subject"]) == ("1.0", "r3:1", "default")
    assert told["data"]["adapters"] == ["default/ode@sha256:1"]


async def test_what_had_no_price_is_charged_afterwards(made: Gateway) -> None:
    price = (await made.services.prices.apply("echo", Prices(image="0.01"), "test")).id
    body = {"model": "echo", "since": SPAN["from"], "until": SPAN["to"], "version": price}
    async with made.client() as client:
        done = [(await client.post("/v1/admin/rerate", json=body)).json() for _ in range(2)]
        refused = await client.post("/v1/admin/rerate", json=body | {"model": "poet"})
    assert [(one["attempts"], one["change"]["usd"]) for one in done] == [(1, "0.02"), (0, "0")]
    assert refused.status_code == 404
    found = (await asked(made, "/v1/usage/events/r5:1")).json()
    assert [one["kind"] for one in found["postings"]] == ["rerating"]


async def test_the_audit_shows_what_does_not_add_up(made: Gateway, clock: ManualClock) -> None:
    whole = (await asked(made, "/v1/admin/reconcile", since=SPAN["from"], all="true")).json()
    assert (whole["adds_up"], [one["adds_up"] for one in whole["data"]]) == (True, [True])
    services = made.services
    ledger = Ledger(services.records, clock, services.settings.metering, services.prices)
    other = replace(event(1, tenant="default"), quantities=Quantities(1))
    await ledger.book(batch(replace(event(9), seq=9), other))
    broken = (await asked(made, "/v1/admin/reconcile", since=SPAN["from"])).json()
    assert {one["kind"] for one in broken["data"][0]["differences"]} == {"gap", "conflict"}
    (conflict,) = (await asked(made, "/v1/admin/conflicts")).json()["data"]
    assert (conflict["id"], conflict["record"]["quantities"]) == ("r1:1", {"prompt_tokens": 1})
