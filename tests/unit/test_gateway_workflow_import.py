"""Graphs from elsewhere over HTTP: sent as JSON or as a file, answered as a workflow that is not kept."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.comfyui import comfy_graph
from fakes.gateway import Gateway
from fakes.images import PAINTER, Studio, studio
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serve.auth.access import Scope

PATH = "/v1/workflows/import"


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with studio(tmp_path) as it:
        drawn: Studio = it
        yield drawn.made


@pytest.fixture
async def client(made: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with made.client() as http:
        yield http


def picture(graph: Any) -> bytes:
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def small() -> dict[str, Any]:
    """A graph that the painter of these tests can run, under a name of its own."""
    graph = comfy_graph("text_to_image")
    graph["4"]["inputs"]["ckpt_name"] = "mine.safetensors"
    graph["5"]["inputs"] |= {"width": 64, "height": 64}
    return graph


async def test_a_graph_is_answered_as_a_workflow_that_validates_and_is_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"graph": small(), "models": {"mine.safetensors": PAINTER}})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["problems"], found["warnings"]) == ([], [])
    assert found["spec"]["nodes"]["ksampler_3"]["type"] == f"model:{PAINTER}"
    checked = (await client.post("/v1/workflows/validate", json=found["spec"])).json()
    assert (checked["is_valid"], checked["problems"]) == (True, [])
    assert (await client.get("/v1/workflows")).json()["data"] == []
    saved = await client.put("/v1/workflows/castle/draft", json=found["spec"])
    assert (saved.status_code, saved.json()["problems"]) == (201, [])


async def test_a_picture_is_a_file_of_a_form(client: httpx.AsyncClient) -> None:
    files = {"file": ("castle.png", picture(small()), "image/png")}
    answer = await client.post(PATH, files=files, data={"models": json.dumps({"mine": PAINTER})})
    assert answer.status_code == 200, answer.text
    assert answer.json()["problems"] == []
    without = (await client.post(PATH, files=files)).json()
    assert [problem["code"] for problem in without["problems"]] == ["unknown_model"]
    assert "mine.safetensors" in without["problems"][0]["message"]


async def test_what_has_no_equivalent_is_a_problem_of_its_node(client: httpx.AsyncClient) -> None:
    answer = (await client.post(PATH, json={"graph": comfy_graph("upscale_with_model")})).json()
    told = {problem["node"] for problem in answer["problems"] if problem["code"] == "unsupported_node"}
    assert told == {"upscalemodelloader_10", "imageupscalewithmodel_11"}
    assert answer["spec"]["nodes"]["imageupscalewithmodel_11"]["original"]["class_type"] == "ImageUpscaleWithModel"


REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"json": {"graph": {}}}, 400, "invalid_graph", None),
    ({"json": {}}, 400, "missing_field", "graph"),
    ({"json": {"graph": {}, "models": 5}}, 400, "invalid_type", "models"),
    ({"json": {"graph": {}, "more": 5}}, 400, "unknown_field", "more"),
    ({"content": b"{"}, 400, "invalid_json", None),
    ({"files": {"other": b"x"}}, 400, "missing_field", "file"),
    ({"files": {"file": b"x"}}, 400, "invalid_json", None),
    ({"files": {"file": b"x"}, "data": {"models": "{"}}, 400, "invalid_json", None),
    ({"files": {"file": b"x"}, "data": {"models": "[]"}}, 400, "invalid_type", "models"),
    ({"content": b" " * (5 * 2**20)}, 413, "payload_too_large", None),
    ({"files": {"file": b" " * (5 * 2**20)}}, 413, "too_large", None),
]


async def test_what_is_no_graph_is_refused(client: httpx.AsyncClient) -> None:
    for asked, status, code, param in REFUSED:
        answer = await client.post(PATH, **asked)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error


async def test_a_key_that_only_reads_may_ask(made: Gateway) -> None:
    statuses = []
    for scope in (Scope.READ, Scope.INFERENCE):
        _, token = await made.services.keys.create(
            tenant="default", project="default", title="one", scopes=frozenset({scope}), parent=None
        )
        async with made.client(token) as client:
            statuses.append((await client.post(PATH, json={"graph": small()})).status_code)
    assert statuses == [200, 403]


async def test_a_workflow_of_ours_is_read_from_yaml(client: httpx.AsyncClient) -> None:
    spec = "spec:\n  title: Mine\n  nodes:\n    words: {type: 'op:text.template', inputs: {template: hello}}\n"
    text = f"# mine\napiVersion: slipway.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: mine}}\n{spec}"
    answer = await client.post(PATH, files={"file": ("mine.yaml", text.encode(), "application/yaml")})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["spec"]["title"], set(answer.json()["spec"]["nodes"])) == ("Mine", {"words"})


@pytest.mark.parametrize(
    "text",
    [
        "kind: Workflow\nspec: {}\n---\nkind: Workflow\nspec: {}\n",
        "kind: &a [*a]\n",
        "kind: !!python/object:os.system {}\n",
        "kind: [\n",
    ],
    ids=["two", "endless", "tagged", "broken"],
)
async def test_yaml_that_is_no_workflow_is_refused(client: httpx.AsyncClient, text: str) -> None:
    answer = await client.post(PATH, files={"file": ("mine.yaml", text.encode(), "application/yaml")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_document")
