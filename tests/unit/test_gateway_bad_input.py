"""Bad input: each is answered at once, with a code, a sentence and the field."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.effort import effort
from fakes.gateway import CHAT, EMBEDDER, gateway

USER = [{"role": "user", "content": "hi"}]
IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": CHAT, "messages": USER} | fields).encode()


DEEP = b'{"model":"echo-chat","messages":' + b"[" * 5000 + b"]" * 5000 + b"}"
DEEP_TOOL = chat(
    tools=[{"type": "function", "function": {"name": "f", "parameters": json.loads('{"a":' * 70 + "1" + "}" * 70)}}]
)

CASES: dict[str, tuple[bytes, int, str, str | None]] = {
    "unknown model": (chat(model="nope"), 404, "model_not_found", "model"),
    "no model": (b'{"messages":[]}', 400, "missing_field", "model"),
    "model of a wrong type": (chat(model=["a"]), 400, "invalid_type", "model"),
    "unknown field": (chat(frobnicate=1), 400, "unknown_field", "frobnicate"),
    "wrong type": (chat(temperature="hot"), 400, "invalid_type", "temperature"),
    "a number as text": (chat(max_tokens="5"), 400, "invalid_type", "max_tokens"),
    "n of 2^31": (chat(n=2**31), 400, "out_of_range", "n"),
    "max_tokens of 2^63": (chat(max_tokens=2**63), 400, "out_of_range", "max_tokens"),
    "a huge integer": (b'{"model":"echo-chat","messages":[],"seed":' + b"9" * 4000 + b"}", 400, "invalid_json", None),
    "temperature NaN": (chat(temperature=float("nan")), 400, "invalid_json", None),
    "temperature Infinity": (chat(temperature=float("inf")), 400, "invalid_json", None),
    "temperature 1e999": (chat(temperature=5).replace(b"5", b"1e999"), 400, "invalid_json", None),
    "temperature -1": (chat(temperature=-1), 400, "out_of_range", "temperature"),
    "temperature 1e308": (chat(temperature=1e308), 400, "out_of_range", "temperature"),
    "empty messages": (chat(messages=[]), 400, "out_of_range", "messages"),
    "no messages": (b'{"model":"echo-chat"}', 400, "missing_field", "messages"),
    "a bad role": (chat(messages=[{"role": "wizard", "content": "x"}]), 400, "invalid_value", "messages.0.role"),
    "a field in a message": (
        chat(messages=[{"role": "user", "content": "x", "cache_salt": "y"}]),
        400,
        "unknown_field",
        "messages.0.cache_salt",
    ),
    "an image to a text model": (
        chat(messages=[*USER, {"role": "user", "content": [{"type": "text", "text": "a"}, *IMAGE]}]),
        400,
        "unsupported_modality",
        "messages.1.content.1",
    ),
    "no JSON": (b"{", 400, "invalid_json", None),
    "nothing": (b"", 400, "invalid_json", None),
    "an array": (b"[]", 400, "invalid_json", None),
    "no UTF-8": (b'{"model":"\xff"}', 400, "invalid_json", None),
    "a lone surrogate": (b'{"model":"\\ud800"}', 400, "invalid_json", None),
    "deep nesting": (DEEP, 400, "invalid_json", None),
    "deep nesting in a schema": (DEEP_TOOL, 400, "invalid_json", None),
    "two names for max_tokens": (
        chat(max_tokens=1, max_completion_tokens=2),
        400,
        "invalid_value",
        "max_completion_tokens",
    ),
    "max_completion_tokens of 0": (chat(max_completion_tokens=0), 400, "out_of_range", "max_completion_tokens"),
    "store": (chat(store=True), 400, "invalid_value", "store"),
    "service_tier": (chat(service_tier="flex"), 400, "invalid_value", "service_tier"),
    "stream_options without stream": (
        chat(stream_options={"include_usage": True}),
        400,
        "invalid_value",
        "stream_options",
    ),
    "a long user": (chat(user="u" * 513), 400, "out_of_range", "user"),
    "too many stops": (chat(stop=["x"] * 9), 400, "out_of_range", "stop"),
    "a tool that is not offered": (chat(tool_choice="required"), 400, "invalid_value", "tool_choice"),
    "a prompt over the context": (
        chat(messages=[{"role": "user", "content": "a " * 5000}]),
        400,
        "context_length_exceeded",
        "messages",
    ),
}

VLLM_FIELDS = [
    "chat_template",
    "chat_template_kwargs",
    "cache_salt",
    "prompt_embeds",
    "guided_json",
    "guided_regex",
    "structured_outputs",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "api_base",
    "user_config",
    "extra_body",
    "priority",
    "__proto__",
]
OPENAI_FIELDS = [
    "audio",
    "function_call",
    "functions",
    "moderation",
    "prediction",
    "reasoning_effort",
    "verbosity",
    "web_search_options",
]


@pytest.mark.parametrize(("body", "status", "code", "param"), CASES.values(), ids=CASES.keys())
async def test_bad_chats_are_refused_by_name(tmp_path: Path, body: bytes, status: int, code: str, param: str | None):
    async with gateway(tmp_path) as made, made.client() as client:
        await client.get("/v1/models")
        with effort() as spent:
            response = await client.post("/v1/chat/completions", content=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error
    assert error["message"]
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")
    assert response.headers["x-request-id"]
    assert spent.seconds < 3


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_every_foreign_field_is_refused_and_good_requests_go_on(tmp_path: Path, stream: bool):
    async with gateway(tmp_path) as made, made.client() as client:
        for name in VLLM_FIELDS:
            response = await client.post("/v1/chat/completions", content=chat(**{name: "x", "stream": stream}))
            error = response.json()["error"]
            assert (response.status_code, error["code"], error["param"]) == (400, "unknown_field", name)
        for _ in range(20):
            assert (await client.post("/v1/chat/completions", content=chat(stream=stream))).status_code == 200


@pytest.mark.parametrize("name", [*OPENAI_FIELDS, "modalities"])
async def test_openais_fields_that_we_lack_are_named_as_unsupported(tmp_path: Path, name: str):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", content=chat(**{name: ["text", "audio"]}))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", name)


async def test_what_openais_clients_send_by_habit_is_taken(tmp_path: Path):
    habits = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "modalities": ["text"],
        "max_tokens": 2,
        "max_completion_tokens": 2,
        "temperature": None,
        "logit_bias": None,
        "stop": None,
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    async with gateway(tmp_path) as made, made.client() as client:
        assert (await client.post("/v1/chat/completions", content=chat(**habits))).status_code == 200


async def test_of_equal_keys_the_last_counts_for_look_up_and_model_alike(tmp_path: Path):
    body = b'{"model":"nope","messages":[{"role":"user","content":"hi"}],"model":"echo-chat"}'
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", content=body)
    assert response.json()["model"] == CHAT


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": [1, -1]}, "input.1"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "truncate_prompt_tokens": 1}, "truncate_prompt_tokens"),
    ],
    ids=["none", "too-many", "negative-token", "no-dimensions", "bad-encoding", "vllm-field"],
)
async def test_bad_embedding_requests_are_refused_by_name(tmp_path: Path, body: dict[str, Any], param: str):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/embeddings", json=body | {"model": EMBEDDER})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(param)


@pytest.mark.parametrize("name", ["best_of", "suffix"])
async def test_completion_fields_that_we_lack_are_named_as_unsupported(tmp_path: Path, name: str):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/completions", json={"model": CHAT, "prompt": "a", name: "2"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_parameter")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(tmp_path: Path):
    num_read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal num_read
        for _ in range(100):
            num_read += 1
            yield b"x" * 2**20

    async with gateway(tmp_path) as made, made.client() as client:
        declared = await client.post(
            "/v1/chat/completions", content=endless(), headers={"content-length": str(100 * 2**20)}
        )
        assert num_read <= 1
        lying = await client.post("/v1/chat/completions", content=endless(), headers={"content-length": "10"})
        chunked = await client.post("/v1/chat/completions", content=endless())
    for response in (declared, lying, chunked):
        assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")
        assert response.headers["connection"] == "close"
    assert num_read < 30


async def test_a_content_length_that_is_no_number_is_refused(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", content=chat(), headers={"content-length": "-1"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_header")
