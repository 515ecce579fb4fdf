"""Another tenant's thing answers exactly as an unknown one, on every route there is.

The routes are those of the OpenAPI document: one with an identifier that this file has no example for fails here, so
that a new route cannot be forgotten.
"""

import re
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.adapter_files import MODULE, WIDTH, image_adapter
from fakes.gateway import CHAT, Gateway, gateway, model_document
from fakes.ledger import batch, event

from serve.auth.roles import Role
from serve.auth.users import Identity
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.domain.names import TenantName
from serve.gateway.app import create_app
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets, NewBudget
from serve.metering.ledger.ledger import Ledger
from serve.metering.prices.price_book import PriceBook
from serve.settings import MeteringSettings

WEIGHTS = "sha256:" + "11" * 32
MODEL_NAMES = {"/v1/models/", "/v1/catalog/", "/v1/prices/", "/v1/admin/"}
"""Where a path's name is a model's, which is no tenant's; and what only administrators reach."""
UNKNOWN = {
    "run_id": "00000000-0000-7000-8000-00000000dead",
    "asset_id": "00000000-0000-7000-8000-00000000dead",
    "budget_id": "00000000-0000-7000-8000-00000000dead",
    "grant_id": "00000000-0000-7000-8000-00000000dead",
    "user_id": "00000000-0000-7000-8000-00000000dead",
    "event_id": "00000000-0000-7000-8000-00000000dead:1",
    "key_id": "999999999999",
    "name": "unknown",
    "tenant": "nowhere",
    "version": "7",
    "alias": "unknown",
}
WORKFLOW = {
    "interface": {"outputs": [{"name": "out", "from": ["said", "value"]}]},
    "nodes": {"said": {"type": "op:constant", "inputs": {"type": "text", "value": "a"}}},
}
BODIES: Mapping[str, Any] = {
    "setRole": {"role": "viewer"},
    "updateProject": {"limits": {"requests_per_minute": 1}},
    "updateAdapter": {"title": "mine now"},
    "updateTenantAdapter": {"title": "mine now"},
    "rotateKey": {"grace_seconds": 0},
    "updateBudget": {"title": "mine now"},
    "saveWorkflowDraft": WORKFLOW,
    "setWorkflowAlias": {"version": 1},
}
HEADERS: Mapping[str, dict[str, str]] = {
    "saveWorkflowDraft": {"if-match": '"1-00000000"'},  # without it the caller begins a workflow of its own
}


@cache
def routes() -> list[tuple[str, str, str]]:
    """(operation, method, path) of every route with an identifier in it that may be a tenant's."""
    paths = create_app(None).openapi()["paths"]
    return [
        (operation["operationId"], method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "{" in path and not path.startswith(tuple(MODEL_NAMES))
    ]


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


async def things(made: Gateway) -> dict[str, str]:
    """One of everything, of the tenant `default`: identifier by the name of its parameter."""
    services = made.services
    await services.catalog.apply(
        model_document(
            "images",
            ["text_to_image"],
            family="text_to_image",
            card={"title": "images", "baseArchitecture": "sd15"},
            adapters={"enabled": True},
            weights={"uri": "hf://models/images", "digest": WEIGHTS},
        ),
        "api",
    )
    await KnownLayouts(services.records, services.clock).record(WEIGHTS, {MODULE: (WIDTH, WIDTH)})
    async with made.client() as client:
        asset = await client.post("/v1/assets?name=a.txt", content=b"a", headers={"content-type": "text/plain"})
        sent = [("file", ("a.safetensors", image_adapter()))]
        adapter = await client.post("/v1/adapters", data={"name": "stripes"}, files=sent)
        key = await client.post("/v1/keys", json={"title": "theirs", "scopes": ["read"]})
        project = await client.post("/v1/projects", json={"name": "stripes"})
        draft = await client.put("/v1/workflows/stripes/draft", json=WORKFLOW)
        version = await client.post("/v1/workflows/stripes/versions", json={"aliases": ["theirs"]})
        run = await client.post("/v1/workflows/stripes/runs", json={"input": {}})
    for answer in (run, asset, adapter, key, project, draft, version):
        assert answer.is_success, answer.text
    ledger = Ledger(services.records, services.clock, MeteringSettings(), PriceBook(services.records, services.clock))
    booked = event(1, tenant="default")
    await ledger.book(batch(booked))
    budgets = Budgets(services.records, services.clock, services.ids)
    budget = await budgets.create(NewBudget(TenantName("default"), Period.MONTH, 10**12, None, title="theirs"))
    return {
        "run_id": run.json()["id"],
        "asset_id": asset.json()["id"],
        "key_id": key.json()["id"],
        "user_id": await person(made, "default", "ada"),
        "event_id": booked.id,
        "budget_id": budget.budget.id,
        "name": "stripes",
        "tenant": "default",
        "version": "1",
        "alias": "theirs",
    }


async def person(made: Gateway, tenant: str, subject: str) -> str:
    """An owner of `tenant`, by hand."""
    async with made.services.records.write() as connection:
        user = await made.services.people.users.logged_in(connection, Identity("https://id.example", subject))
    admin = await made.services.keys.authenticate(made.key)
    await made.services.people.members.set_role(tenant, user.id, Role.OWNER, admin)
    return user.id


async def owner_of_other(made: Gateway) -> dict[str, str]:
    """The headers of a person who owns the tenant `other`: every scope there but admin's."""
    people, user_id = made.services.people, await person(made, "other", "eve")
    user, _ = await people.users.get(user_id)
    async with made.services.records.write() as connection:
        token = await people.sessions.start(connection, user)
    session = await people.sessions.find(token)
    assert session is not None
    return {"cookie": f"slipway={token}", "x-csrf-token": session.csrf}


def filled(path: str, values: Mapping[str, str]) -> str:
    """The path with identifiers in it."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"{path}: give an example of this identifier in `things` and `UNKNOWN`"
    return path


async def told(client: httpx.AsyncClient, route: tuple[str, str, str], ids: Mapping[str, str]) -> tuple[int, str]:
    """Status and body, without the identifiers that the caller wrote and the moments in links."""
    operation, method, path = route
    answer = await client.request(
        method, filled(path, ids), json=BODIES.get(operation, {}), headers=HEADERS.get(operation)
    )
    text = re.sub(r'\?[^"]*"', '"', answer.text)
    for name, value in ids.items():
        if f"{{{name}}}" in path:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", name, text)
    return answer.status_code, text


async def test_another_tenants_thing_answers_exactly_as_an_unknown_one(made: Gateway) -> None:
    theirs = await things(made)
    clients = {
        "a key": made.client(made.other_key),
        "a person": httpx.AsyncClient(
            transport=httpx.ASGITransport(made.app), base_url="http://slipway", headers=await owner_of_other(made)
        ),
    }
    for who, client in clients.items():
        async with client:
            for route in routes():
                foreign, unknown = await told(client, route, theirs), await told(client, route, UNKNOWN)
                assert foreign == unknown, (who, route)
                assert foreign[0] in (403, 404), (who, route, foreign)


async def test_everything_is_still_there_and_as_it_was_for_its_owner(made: Gateway) -> None:
    theirs = await things(made)
    async with made.client(made.other_key) as stranger, made.client() as owner:
        reads = [route for route in routes() if route[1] == "GET" and not route[2].endswith("/events")]
        before = [await told(owner, route, theirs) for route in reads]
        for route in routes():
            await told(stranger, route, theirs)
        assert [await told(owner, route, theirs) for route in reads] == before
        assert {status for status, _ in before} == {200}, list(zip(reads, before, strict=True))


async def test_no_list_shows_another_tenants_things(made: Gateway) -> None:
    theirs = await things(made)
    common = ("tenant", "name", "version")
    secrets = {value for name, value in theirs.items() if name not in common} | {"stripes", "theirs"}
    paths = create_app(None).openapi()["paths"]
    lists = [
        path for path, methods in paths.items() if "get" in methods and "{" not in path and path.startswith("/v1/")
    ]
    assert len(lists) > 8
    async with made.client(made.other_key) as stranger:
        for path in lists:
            text = (await stranger.get(path)).text
            assert not [secret for secret in secrets if secret in text], path


async def test_no_page_begins_after_another_tenants_thing_but_as_after_an_unknown_one(made: Gateway) -> None:
    theirs = await things(made)
    pages = {"/v1/usage/events": "event_id", "/v1/runs": "run_id", "/v1/assets": "asset_id"}
    async with made.client(made.other_key) as stranger, made.client() as owner:
        for path, name in pages.items():
            answers = [await stranger.get(path, params={"after": ids[name]}) for ids in (theirs, UNKNOWN)]
            assert len({(answer.status_code, answer.text) for answer in answers}) == 1, path
            assert (await owner.get(path, params={"after": theirs[name]})).status_code == 200


async def test_naming_another_tenant_is_for_administrators(made: Gateway) -> None:
    paths = create_app(None).openapi()["paths"]
    naming = [
        (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if any(
            parameter["name"] == "tenant" and parameter["in"] == "query"
            for parameter in operation.get("parameters", [])
        )
    ]
    assert len(naming) > 6
    async with made.client(made.other_key) as stranger:
        for method, path in naming:
            for tenant in ("default", "nowhere"):
                answer = await stranger.request(
                    method, filled(path, UNKNOWN | {"model": CHAT}), params={"tenant": tenant}, json={}
                )
                assert answer.status_code in (400, 403), (method, path, answer.text)


@pytest.mark.parametrize("kind", ["Adapter", "Workflow"])
async def test_documents_of_another_tenant_answer_as_unknown_ones(made: Gateway, kind: str) -> None:
    theirs = await things(made)
    async with made.client(made.other_key) as stranger:
        for method in ("GET", "DELETE"):
            route = (f"{method} {kind}", method, f"/v1/admin/documents/{kind}/{{name}}")
            foreign, unknown = await told(stranger, route, theirs), await told(stranger, route, UNKNOWN)
            assert foreign == unknown
            assert foreign[0] == 404
