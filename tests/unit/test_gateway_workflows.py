"""Workflows over HTTP: written, checked, published, named and compared; what is wrong is told with its place."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.gateway import CHAT, Gateway, gateway, model_document, settings_in

from serve.auth.access import Scope
from serve.domain.documents import API_VERSION
from serve.domain.names import TenantName
from serve.gateway.workflows.checking import check
from serve.gateway.workflows.known import Knowledge

GREET: dict[str, Any] = {
    "title": "Greeting",
    "interface": {
        "inputs": [{"name": "who", "type": "text", "description": "Whom to greet."}],
        "outputs": [{"name": "said", "from": ["greet", "text"], "primary": True}],
    },
    "nodes": {
        "greet": {"type": "op:text.template", "inputs": {"template": "Hello {name}", "value_name": {"$input": "who"}}}
    },
}


def nesting(named: str) -> dict[str, Any]:
    return {
        "interface": {"outputs": [{"name": "out", "from": ["sub", "said"]}]},
        "nodes": {"sub": {"type": f"workflow:{named}", "inputs": {"who": "Ada"}}},
    }


def document(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


@pytest.fixture
async def client(made: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with made.client() as http:
        yield http


async def save(client: httpx.AsyncClient, spec: Any, name: str = "greet", revision: str = "*") -> httpx.Response:
    return await client.put(f"/v1/workflows/{name}/draft", json=spec, headers={"if-match": revision})


async def publish(client: httpx.AsyncClient, spec: Any, name: str = "greet", *aliases: str) -> int:
    assert (await save(client, spec, name)).is_success
    answer = await client.post(f"/v1/workflows/{name}/versions", json={"aliases": aliases})
    assert answer.is_success, answer.text
    return int(answer.json()["version"])


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_a_workflow_is_written_published_and_named(client: httpx.AsyncClient) -> None:
    begun = await client.put("/v1/workflows/greet/draft", json=GREET)
    assert (begun.status_code, begun.json()["problems"]) == (201, [])
    assert begun.headers["etag"] == f'"{begun.json()["revision"]}"'
    first = await client.post("/v1/workflows/greet/versions", json={"note": "the first", "aliases": ["prod"]})
    assert first.status_code == 201
    shown = first.json()
    assert (shown["version"], shown["address"], shown["aliases"], shown["note"]) == (
        1,
        "greet@1",
        ["prod"],
        "the first",
    )
    again = await client.post("/v1/workflows/greet/versions", json={})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    for which in ("1", "prod", "latest"):
        found = (await client.get(f"/v1/workflows/greet/versions/{which}")).json()
        assert found["workflow"]["nodes"] == GREET["nodes"]
        assert found["inputs"]["properties"]["who"]["description"] == "Whom to greet."
        assert (found["inputs"]["required"], found["outputs"]["required"], found["problems"]) == (["who"], ["said"], [])
    listed = (await client.get("/v1/workflows", params={"q": "greeting"})).json()["data"]
    assert [(one["name"], one["latest"], one["aliases"]) for one in listed] == [("greet", 1, {"prod": 1})]


async def test_a_draft_is_kept_with_all_that_is_wrong_with_it(client: httpx.AsyncClient) -> None:
    wrong = {
        "interface": {
            "inputs": [{"name": "unused", "type": "text"}],
            "outputs": [{"name": "o", "from": ["gone", "text"]}],
        },
        "nodes": {"a": {"type": "model:nobodys"}, "b": {"type": "op:nothing"}, "c": {"type": "workflow:never@1"}},
    }
    saved = await client.put("/v1/workflows/wrong/draft", json=wrong)
    assert saved.status_code == 201
    problems = saved.json()["problems"]
    codes = {(one["node"], one["code"]) for one in problems}
    assert {("a", "unknown_model"), ("b", "unknown_operation"), ("c", "unknown_workflow")} <= codes
    assert (None, "unknown_node") in codes
    assert {one["severity"] for one in problems if one["code"] == "unused_input"} <= {"warning"}
    found = (await client.get("/v1/workflows/wrong/draft")).json()
    assert (found["workflow"]["nodes"], found["problems"], found["is_published"]) == (wrong["nodes"], problems, False)
    refused = await client.post("/v1/workflows/wrong/versions", json={})
    assert (refused.status_code, error_of(refused)["code"]) == (422, "invalid_workflow")
    assert len(error_of(refused)["problems"]) >= 4
    assert error_of(refused)["problems"][0]["severity"] == "error"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"format": "workflow/v2"}, (None, "format", "invalid_value")),
        ({"nodes": {"Not A Name": {"type": "op:x"}}}, (None, "nodes.Not A Name", "invalid_value")),
        ({"nodes": {"a": {"type": "op:x", "colour": 1}}}, ("a", "colour", "unknown_field")),
        ({"nodes": {"a": {"type": "op:x", "policy": {"retries": 99}}}}, ("a", "policy.retries", "out_of_range")),
        (
            {"interface": {"inputs": [{"name": "x", "type": "picture"}]}},
            (None, "interface.inputs.0.type", "invalid_value"),
        ),
        ({"nodes": {f"n{index}": {"type": "op:x"} for index in range(501)}}, (None, "nodes", "invalid_value")),
        ({"layout": {"nodes": {"a": {"x": "left"}}}}, (None, "layout.nodes.a.x", "invalid_type")),
    ],
    ids=["format", "node name", "node field", "policy", "type", "nodes", "layout"],
)
async def test_what_is_no_workflow_is_refused_with_its_place(
    client: httpx.AsyncClient, body: dict[str, Any], place: tuple[Any, ...]
) -> None:
    for answer in (
        await client.put("/v1/workflows/greet/draft", json=body),
        await client.put("/v1/admin/documents/Workflow/greet", json=document("greet", body)),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (422, "invalid_workflow"), answer.text
        problem = error_of(answer)["problems"][0]
        assert (problem["node"], problem["field"], problem["code"]) == place
    checked = (await client.post("/v1/workflows/validate", json=body)).json()
    assert (checked["is_valid"], len(checked["problems"])) == (False, 1)
    assert (await client.get("/v1/workflows")).json()["data"] == []


async def test_a_body_with_everything_wrong_is_told_all_of_it_at_once(client: httpx.AsyncClient) -> None:
    body = {"nodes": {"a": {"type": "x"}, "b": {"type": "op:y", "maxItems": 0}}, "zz": 1}
    problems = error_of(await client.put("/v1/workflows/w/draft", json=body))["problems"]
    places = {(one["node"], one["field"]) for one in problems}
    assert places == {("a", "type"), ("b", "maxItems"), (None, "zz")}


async def test_a_million_nodes_and_deep_nesting_cost_a_refusal(client: httpx.AsyncClient) -> None:
    many = b'{"nodes":{' + b",".join(b'"n%d":{}' % index for index in range(200_000)) + b"}}"
    answer = await client.put("/v1/workflows/w/draft", content=many)
    assert answer.status_code == 422
    assert "200000" in error_of(answer)["message"]
    too_long = await client.put("/v1/workflows/w/draft", content=b" " * (5 * 2**20))
    assert (too_long.status_code, error_of(too_long)["code"]) == (413, "payload_too_large")
    deep = json.dumps({"nodes": {"a": {"type": "op:x", "inputs": {"v": 1}}}}).replace("1", "[" * 200 + "]" * 200)
    assert (await client.put("/v1/workflows/w/draft", content=deep)).status_code == 400
    nul = await client.put("/v1/workflows/w/draft", json={"title": "a\0b"})
    assert (nul.status_code, error_of(nul)["param"]) == (400, "title")
    assert (await client.get("/v1/workflows")).json()["data"] == []


async def test_a_save_names_the_state_that_it_changes(client: httpx.AsyncClient) -> None:
    first = (await client.put("/v1/workflows/greet/draft", json=GREET, headers={"if-none-match": "*"})).headers["etag"]
    second = (await save(client, GREET | {"title": "by Ada"}, revision=first)).headers["etag"]
    for headers in ({"if-match": first}, {}, {"if-none-match": "*"}):
        refused = await client.put("/v1/workflows/greet/draft", json=GREET | {"title": "by Eve"}, headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "revision_mismatch")
        assert second.strip('"') in error_of(refused)["message"]
    repeated = await save(client, GREET | {"title": "by Ada"}, revision=first)
    assert (repeated.status_code, repeated.headers["etag"]) == (200, second)
    assert (await client.get("/v1/workflows/greet/draft")).json()["title"] == "by Ada"
    gone = await save(client, GREET, name="not-there", revision=first)
    assert (gone.status_code, error_of(gone)["code"]) == (404, "workflow_not_found")


@pytest.mark.parametrize(
    "headers",
    [
        [("if-match", '"a", "b"')],
        [("if-match", "")],
        [("if-none-match", '"a"')],
        [("if-match", "a"), ("if-match", "b")],
    ],
    ids=["two", "empty", "a revision that is not there", "twice"],
)
async def test_headers_that_say_several_things_are_refused(
    client: httpx.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    refused = await client.put("/v1/workflows/greet/draft", json=GREET, headers=httpx.Headers(headers))
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_header")


async def test_publishing_a_revision_publishes_that_or_nothing(client: httpx.AsyncClient) -> None:
    seen = (await client.put("/v1/workflows/greet/draft", json=GREET)).headers["etag"]
    await save(client, GREET | {"title": "since then"}, revision=seen)
    refused = await client.post("/v1/workflows/greet/versions", json={}, headers={"if-match": seen})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "revision_mismatch")
    assert (await client.get("/v1/workflows/greet/versions")).json()["data"] == []


async def test_autosaving_and_publishing_at_once_publishes_states_that_were_saved(client: httpx.AsyncClient) -> None:
    await save(client, GREET)

    async def write() -> None:
        for number in range(8):
            assert (await save(client, GREET | {"title": f"state {number}"})).is_success

    published = [client.post("/v1/workflows/greet/versions", json={}) for _ in range(4)]
    _, *answers = await asyncio.gather(write(), *published)
    for answer in answers:
        assert answer.is_success or error_of(answer)["code"] == "revision_mismatch"
    listed = (await client.get("/v1/workflows/greet/versions")).json()["data"]
    titles = [
        (await client.get(one_path)).json()["workflow"]["title"]
        for one_path in (f"/v1/workflows/greet/versions/{one['version']}" for one in listed)
    ]
    assert set(titles) <= {GREET["title"], *(f"state {number}" for number in range(8))}
    assert [one["version"] for one in listed] == list(range(len(listed), 0, -1))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_a_version_is_changed_by_no_method(client: httpx.AsyncClient, method: str) -> None:
    await publish(client, GREET)
    before = (await client.get("/v1/workflows/greet/versions/1")).json()
    body = before["workflow"] | {"title": "forged"}
    answers = [
        await client.request(method, f"/v1/workflows/greet/versions/{which}", json=body) for which in ("1", "latest")
    ]
    assert {answer.status_code for answer in answers} == {405}
    assert (await client.get("/v1/workflows/greet/versions/1")).json() == before


async def test_a_published_document_with_other_words_is_another_version(client: httpx.AsyncClient) -> None:
    kept = (await publish(client, GREET), (await client.get("/v1/workflows/greet/document")).json())
    edited = kept[1] | {"spec": kept[1]["spec"] | {"title": "edited"}}
    applied = await client.put("/v1/admin/documents/Workflow/greet", json=edited)
    assert applied.json()["result"] == "configured"
    first = (await client.get("/v1/workflows/greet/document", params={"version": "1"})).json()
    assert (kept[0], first) == (1, kept[1])
    assert (await client.get("/v1/workflows/greet/versions/latest")).json()["workflow"]["title"] == "edited"


async def test_aliases_in_what_is_published_are_pinned(client: httpx.AsyncClient) -> None:
    await publish(client, GREET, "greet", "prod")
    draft = await save(client, nesting("greet@prod"), "outer")
    assert draft.json()["problems"] == []
    await publish(client, nesting("greet@prod"), "outer")
    await publish(client, GREET | {"title": "newer"}, "greet", "prod")
    version = (await client.get("/v1/workflows/outer/versions/1")).json()
    assert version["workflow"]["nodes"]["sub"]["type"] == "workflow:greet@1"
    drafted = (await client.get("/v1/workflows/outer/draft")).json()
    assert (drafted["workflow"]["nodes"]["sub"]["type"], drafted["is_published"]) == ("workflow:greet@prod", True)
    again = await client.post("/v1/workflows/outer/versions", json={})
    assert (again.status_code, again.json()["version"]) == (201, 2)
    for path in ("/v1/workflows/greet", "/v1/workflows/greet/versions/1"):
        refused = await client.delete(path)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "workflow_in_use")
        assert "outer@1" in error_of(refused)["message"]


async def test_workflows_that_would_call_each_other_never_come_to_it(client: httpx.AsyncClient) -> None:
    await publish(client, GREET, "a")
    await publish(client, nesting("a@1"), "b")

    def around(named: str) -> dict[str, Any]:
        output = "out" if named.startswith("b@") else "said"
        return {
            "interface": {"outputs": [{"name": "said", "from": ["sub", output]}]},
            "nodes": {"sub": {"type": f"workflow:{named}"}},
        }

    assert await publish(client, around("b@latest"), "a") == 2
    inside = (await client.get("/v1/workflows/a/versions/2")).json()["workflow"]["nodes"]["sub"]["type"]
    assert inside == "workflow:b@1"
    named, depth = "a@2", 0
    while not (answer := await save(client, around(named), f"deep{depth}")).json()["problems"]:
        assert await publish(client, around(named), f"deep{depth}") == 1
        named, depth = f"deep{depth}@1", depth + 1
        assert depth < 9
    assert {one["code"] for one in answer.json()["problems"]} == {"too_deep"}


async def test_an_alias_is_set_moved_rolled_back_and_forgotten(client: httpx.AsyncClient) -> None:
    for title in ("one", "two"):
        await publish(client, GREET | {"title": title})
    path = "/v1/workflows/greet/aliases/prod"
    assert (await client.get(path)).status_code == 404
    for version in (1, 2):
        assert (await client.put(path, json={"version": version})).json()["version"] == version
    back = (await client.post(f"{path}/rollback", json={"current": 2})).json()
    assert (back["version"], back["previous"]) == (1, 2)
    refused = await client.post(f"{path}/rollback", json={"current": 2})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "alias_moved")
    unknown = await client.put(path, json={"version": 3})
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "version_not_found")
    for word in ("latest", "draft", "7"):
        refused = await client.put(f"/v1/workflows/greet/aliases/{word}", json={"version": 1})
        assert (refused.status_code, error_of(refused)["param"]) == (400, "alias")
    assert [one["alias"] for one in (await client.get("/v1/workflows/greet/aliases")).json()["data"]] == ["prod"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get("/v1/workflows/greet/versions/prod")).status_code == 404


async def test_a_workflow_that_is_deleted_is_gone_with_all_its_names(client: httpx.AsyncClient) -> None:
    await publish(client, GREET, "greet", "prod")
    assert (await client.delete("/v1/workflows/greet")).status_code == 204
    for path in ("", "/draft", "/versions", "/versions/1", "/versions/prod", "/aliases", "/document"):
        answer = await client.get(f"/v1/workflows/greet{path}")
        assert (answer.status_code, error_of(answer)["code"]) == (404, "workflow_not_found")
    assert await publish(client, GREET) == 2


async def test_names_that_cannot_be_are_refused(client: httpx.AsyncClient) -> None:
    for name in ("validate", "import", "Not-a-name", "a@b", "x" * 41):
        answer = await client.put(f"/v1/workflows/{name}/draft", json=GREET)
        assert (answer.status_code, error_of(answer)["param"]) == (400, "name"), name
    for which in ("draft", "A", "0"):
        assert (await client.get(f"/v1/workflows/greet/versions/{which}")).status_code == 400


async def test_the_difference_of_two_states_is_told(client: httpx.AsyncClient) -> None:
    await publish(client, GREET)
    nodes = {"greet": GREET["nodes"]["greet"] | {"inputs": {"template": "Bye {name}", "value_name": {"$input": "who"}}}}
    await save(client, GREET | {"nodes": nodes, "layout": {"nodes": {"greet": {"x": 9}}}})
    diff = (await client.get("/v1/workflows/greet/diff")).json()
    assert (diff["from"], diff["to"], diff["is_same"]) == ("latest", "draft", False)
    changed = [one for one in diff["differences"] if one["node"] == "greet" and "template" in (one["field"] or "")]
    assert [(one["before"], one["after"]) for one in changed] == [("Hello {name}", "Bye {name}")]
    same = (await client.get("/v1/workflows/greet/diff", params={"from": "1", "to": "latest"})).json()
    assert (same["is_same"], same["differences"]) == (True, [])
    for which in ("nobody", "7"):
        answer = await client.get("/v1/workflows/greet/diff", params={"from": which})
        assert (answer.status_code, error_of(answer)["code"]) == (404, "version_not_found")


async def test_a_document_goes_out_and_comes_back_unchanged(made: Gateway, client: httpx.AsyncClient) -> None:
    await publish(client, GREET | {"layout": {"nodes": {"greet": {"x": 1, "y": 2}}}})
    kept = (await client.get("/v1/workflows/greet/document")).json()
    path = "/v1/admin/documents/Workflow/greet"
    assert (await client.put(path, json=kept)).json()["result"] == "unchanged"
    async with made.client(made.other_key) as stranger:
        assert (await stranger.put(path, json=kept)).json()["result"] == "created"
        assert (await stranger.get("/v1/workflows/greet/document")).json() == kept
        shown = (await stranger.get(path)).json()
        assert (shown["document"], shown["generation"], shown["managed_by"]) == (kept, 1, "api")
        listed = (await stranger.get("/v1/admin/documents", params={"kind": "Workflow"})).json()["data"]
        assert listed == [shown]
        assert (await stranger.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 200


async def test_what_the_cluster_manages_is_not_written_here(client: httpx.AsyncClient) -> None:
    path, cluster = "/v1/admin/documents/Workflow/greet", {"x-slipway-managed-by": "kubernetes"}
    assert (await client.put(path, json=document("greet", GREET), headers=cluster)).json()["result"] == "created"
    changed = GREET | {"title": "changed here"}
    for answer in (
        await save(client, changed),
        await client.put(path, json=document("greet", changed)),
        await client.delete("/v1/workflows/greet"),
        await client.delete(path),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (409, "managed_elsewhere")
    assert (await client.delete(path, headers=cluster)).status_code == 204


async def test_an_administrator_applies_for_a_tenant_and_nobody_else_does(made: Gateway) -> None:
    path = "/v1/admin/documents/Workflow/greet"
    async with made.client() as admin, made.client(made.other_key) as other:
        applied = await admin.put(path, json=document("greet", GREET), params={"tenant": "other"})
        assert applied.json()["result"] == "created"
        assert (await other.get("/v1/workflows/greet")).json()["latest"] == 1
        refused = await other.put(path, json=document("greet", GREET), params={"tenant": "default"})
        assert refused.status_code == 403
        named = await other.put(path, json=document("another", GREET))
        assert (named.status_code, error_of(named)["param"]) == (400, "metadata.name")


async def test_a_key_that_only_reads_writes_nothing(made: Gateway, client: httpx.AsyncClient) -> None:
    await publish(client, GREET)
    _, token = await made.services.keys.create(
        tenant="default", project="default", title="reads", scopes=frozenset({Scope.READ}), parent=None
    )
    async with made.client(token) as reader:
        assert (await reader.get("/v1/workflows/greet/draft")).status_code == 200
        assert (await reader.post("/v1/workflows/validate", json=GREET)).json()["is_valid"] is True
        for answer in (
            await save(reader, GREET | {"title": "x"}),
            await reader.post("/v1/workflows/greet/versions", json={}),
            await reader.put("/v1/workflows/greet/aliases/prod", json={"version": 1}),
            await reader.put("/v1/admin/documents/Workflow/greet", json=document("greet", GREET)),
            await reader.delete("/v1/workflows/greet"),
        ):
            assert answer.status_code == 403


async def test_a_check_says_what_a_workflow_would_be_called_with(client: httpx.AsyncClient) -> None:
    checked = (await client.post("/v1/workflows/validate", json=GREET)).json()
    assert (checked["is_valid"], checked["problems"], checked["num_steps"]) == (True, [], 1)
    assert list(checked["inputs"]["properties"]) == ["who"]
    assert list(checked["outputs"]["properties"]) == ["said"]
    moved = GREET | {"layout": {"nodes": {"greet": {"x": 500}}}, "title": "Another title"}
    assert (await client.post("/v1/workflows/validate", json=moved)).json()["digest"] == checked["digest"]
    assert (await client.get("/v1/workflows")).json()["data"] == []


async def test_the_palette_has_models_operations_and_ones_own_workflows(
    made: Gateway, client: httpx.AsyncClient
) -> None:
    await publish(client, GREET)
    await save(client, GREET, "never-published")
    types = {one["type"]: one for one in (await client.get("/v1/node-types")).json()["data"]}
    assert {f"model:{CHAT}", "op:text.template", "op:image.resize", "task:chat", "workflow:greet@1"} <= types.keys()
    own = types["workflow:greet@1"]
    assert [(port["name"], port["type"]) for port in own["inputs"] + own["outputs"]] == [
        ("who", "text"),
        ("said", "text"),
    ]
    found = (await client.get("/v1/node-types", params={"q": "greeting"})).json()["data"]
    assert [one["type"] for one in found] == ["workflow:greet@1"]
    async with made.client(made.other_key) as stranger:
        theirs = (await stranger.get("/v1/node-types")).json()["data"]
        assert not [one["type"] for one in theirs if one["type"].startswith("workflow:")]


async def test_a_key_for_some_models_sees_those_in_the_palette(made: Gateway) -> None:
    _, token = await made.services.keys.create(
        tenant="default",
        project="default",
        title="few",
        scopes=frozenset({Scope.READ}),
        parent=None,
        models=["echo-embed"],
    )
    async with made.client(token) as few:
        types = [one["type"] for one in (await few.get("/v1/node-types")).json()["data"]]
    assert [one for one in types if one.startswith("model:")] == ["model:echo-embed"]
    assert "task:chat" not in types


async def test_the_schema_of_documents_is_served(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/v1/schemas/workflow")).json()
    assert schema["title"] == "workflow/v1"
    assert {"nodes", "interface", "layout", "provenance"} <= schema["properties"].keys()


async def test_a_model_that_changes_is_another_model_to_workflows(made: Gateway) -> None:
    services = made.services
    before = await services.knowledge.models()
    assert await services.knowledge.models() == before
    await services.catalog.apply(model_document(CHAT, ["chat"], card={"title": "other words"}), "api")
    after = await services.knowledge.models()
    assert after[CHAT].digest != before[CHAT].digest
    await services.catalog.record_weights(CHAT, "sha256:" + "1" * 64)
    assert (await services.knowledge.models())[CHAT].digest != after[CHAT].digest
    assert after["echo-embed"] is before["echo-embed"]


async def test_runs_that_were_let_in_still_know_versions_that_were_deleted(
    made: Gateway, client: httpx.AsyncClient
) -> None:
    await publish(client, GREET)
    tenant, services = TenantName("default"), made.services
    version = await services.workflows.versions.get(tenant, "greet", 1)
    await publish(client, nesting("greet@1"), "outer")
    outer = (await services.workflows.draft(tenant, "outer")).spec
    await client.delete("/v1/workflows/outer")
    await client.delete("/v1/workflows/greet")
    runner = Knowledge(services.catalog, services.workflows, with_deleted=True)
    found = (await runner.known(tenant, outer)).workflows["greet@1"]
    assert found.spec == await services.workflows.versions.spec(version)
    assert (await services.knowledge.known(tenant, outer)).workflows == {}
    assert [one["code"] for one in (await check(services, tenant, outer)).problems] == ["unknown_workflow"]


async def test_a_tenant_has_a_limit_of_workflows(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, workflows={"max_per_tenant": 1})
    async with gateway(tmp_path, settings=settings) as made, made.client() as client:
        await save(client, GREET)
        refused = await save(client, GREET, "two")
    assert (refused.status_code, error_of(refused)["code"]) == (409, "too_many_workflows")
