"""The OpenAPI document is a contract: it changes on purpose, is whole, and says what is sent.

Refresh the snapshot with `python -m serve.gateway.openapi > tests/contract/openapi.json` and look at the difference.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from fakes.gateway import gateway
from fastapi.routing import APIRoute

from serve.gateway.access import PUBLIC_PATHS
from serve.gateway.app import create_app
from serve.gateway.openapi import BODIES

SNAPSHOT = Path(__file__).parent / "openapi.json"
WITHOUT_JSON_BODY = {"createAsset", "cancelRun", "createLoginLink", "createSession", "logOut"}


@cache
def document() -> dict[str, Any]:
    return create_app(None).openapi()


def operations() -> dict[str, dict[str, Any]]:
    """Every operation by its id."""
    found = [operation for path in document()["paths"].values() for operation in path.values()]
    return {operation["operationId"]: operation for operation in found}


def test_the_document_is_the_snapshot():
    assert document() == json.loads(SNAPSHOT.read_text()), "refresh it: see this file's docstring"


def test_every_route_has_a_stable_operation_id_and_a_description():
    routes = [route for route in create_app(None).routes if isinstance(route, APIRoute)]
    assert len(routes) == len(operations())
    for operation_id, operation in operations().items():
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation_id)
        assert operation["description"]


def test_every_body_has_a_schema():
    writing = {
        operation["operationId"]
        for path in document()["paths"].values()
        for method, operation in path.items()
        if method in ("post", "put", "patch")
    }
    assert writing - WITHOUT_JSON_BODY == set(BODIES)
    assert all("requestBody" in operations()[operation_id] for operation_id in BODIES)


def test_every_reference_leads_somewhere():
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    assert {ref for ref in re.findall(r'"#/components/schemas/([^"]+)"', text)} <= set(schemas)


def test_every_operation_may_answer_with_the_envelope_and_says_whether_it_needs_a_key():
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            schema = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}
            assert (operation["security"] == []) == (path in PUBLIC_PATHS)
            assert "422" not in operation["responses"]


def test_a_chat_takes_the_models_fields_and_openais():
    chat = document()["components"]["schemas"]["ChatCompletionRequest"]
    assert {"messages", "model", "stream", "stream_options", "max_completion_tokens", "temperature"} <= set(
        chat["properties"]
    )
    assert chat["additionalProperties"] is False
    assert set(chat["required"]) == {"messages", "model"}


async def test_it_is_served(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client("") as client:
        assert (await client.get("/openapi.json")).json() == json.loads(SNAPSHOT.read_text())
