"""The official `openai` client over a socket: its calls, its types, its exceptions."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fakes.engines import ScriptedEngine
from fakes.gateway import CHAT, EMBEDDER
from fakes.http_server import Served, served
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from serve.domain import errors
from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
ENGINES = {
    "full": ScriptedEngine(errors.Overloaded("The queue is full.", "", None, 0.001)),
    "broken": ScriptedEngine(RuntimeError("secret")),
    "loading": ScriptedEngine(errors.ModelUnavailable("It is loading.")),
    "cut": ScriptedEngine([TextDelta("a")], errors.ReplicaLost("secret")),
    "slow": ScriptedEngine([TextDelta("a")], 30.0, [Finished("stop"), Completed(Quantities())]),
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("platform"), ENGINES) as made:
        yield made


@pytest.fixture
def client(platform: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{platform.url}/v1", api_key=platform.made.key, max_retries=0, timeout=120) as made:
        yield made


def test_a_chat_answers_and_tells_its_request_id(client: openai.OpenAI):
    answer = client.chat.completions.create(model=CHAT, messages=MESSAGES)
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
    assert answer._request_id


def test_a_streamed_chat_brings_its_usage_last(client: openai.OpenAI):
    stream = client.chat.completions.create(
        model=CHAT, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, max_completion_tokens=5
    )
    *chunks, last = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three one two"
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 8


def test_the_clients_own_fold_of_a_stream_is_the_answer(client: openai.OpenAI):
    with client.chat.completions.stream(model=CHAT, messages=MESSAGES) as stream:
        folded = stream.get_final_completion()
    assert folded.choices[0].message.content == "one two three"


def test_a_forced_tool_is_called_with_arguments_that_parse(client: openai.OpenAI):
    answer = client.chat.completions.create(model=CHAT, messages=MESSAGES, tools=TOOLS, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_streamed_tool_call_is_the_same_one(client: openai.OpenAI):
    with client.chat.completions.stream(model=CHAT, messages=MESSAGES, tools=TOOLS, tool_choice="required") as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city"}


def test_a_json_schema_answer_parses(client: openai.OpenAI):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    answer = client.chat.completions.create(
        model=CHAT,
        messages=MESSAGES,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["a"], int)


def test_logprobs_come_as_the_clients_types(client: openai.OpenAI):
    answer = client.chat.completions.create(model=CHAT, messages=MESSAGES, logprobs=True, top_logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert [token.token for token in logprobs.content or ()] == ["one", " two", " three"]


def test_completions_of_several_prompts(client: openai.OpenAI):
    answer = client.completions.create(model=CHAT, prompt=["a b", "c"], max_tokens=2, n=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "a b"),
        (1, "a b"),
        (2, "c c"),
        (3, "c c"),
    ]


def test_a_streamed_completion(client: openai.OpenAI):
    chunks = list(client.completions.create(model=CHAT, prompt="a b", max_tokens=4, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a b a b"


def test_embeddings_which_the_client_asks_in_base64(client: openai.OpenAI):
    implicit = client.embeddings.create(model=EMBEDDER, input=["a", "b"])
    explicit = client.embeddings.create(model=EMBEDDER, input=["a", "b"], encoding_format="float")
    assert [len(item.embedding) for item in implicit.data] == [8, 8]
    assert [struct.pack("<8f", *item.embedding) for item in implicit.data] == [
        struct.pack("<8f", *item.embedding) for item in explicit.data
    ]
    assert implicit.usage.prompt_tokens == 2


def test_models_are_listed_and_retrieved(client: openai.OpenAI):
    assert CHAT in [model.id for model in client.models.list()]
    assert client.models.retrieve(CHAT).owned_by == "slipway"


ERRORS: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "nope"}, openai.NotFoundError, "model_not_found"),
    ({"temperature": 9}, openai.BadRequestError, "out_of_range"),
    ({"extra_body": {"chat_template": "x"}}, openai.BadRequestError, "unknown_field"),
    ({"functions": [{"name": "f"}]}, openai.BadRequestError, "unsupported_parameter"),
    ({"model": "full"}, openai.RateLimitError, "overloaded"),
    ({"model": "broken"}, openai.InternalServerError, "internal_error"),
    ({"model": "loading"}, openai.InternalServerError, "model_unavailable"),
]


@pytest.mark.parametrize(("fields", "kind", "code"), ERRORS, ids=[code for *_, code in ERRORS])
def test_errors_are_the_clients_classes(
    client: openai.OpenAI, fields: dict[str, Any], kind: type[openai.APIStatusError], code: str
):
    request: dict[str, Any] = {"model": CHAT, "messages": MESSAGES} | fields
    with pytest.raises(kind) as raised:
        client.chat.completions.create(**request)
    assert raised.value.code == code
    assert raised.value.request_id
    assert "secret" not in str(raised.value)


def test_a_bad_key_is_an_authentication_error(platform: Served):
    client = openai.OpenAI(base_url=f"{platform.url}/v1", api_key="slw_wrong", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError) as raised:
        client.models.list()
    assert raised.value.code == "invalid_api_key"


def test_a_key_without_the_scope_is_a_permission_error(platform: Served):
    headers = {"authorization": f"Bearer {platform.made.key}"}
    body = {"title": "reader", "scopes": ["read"]}
    key = httpx.post(f"{platform.url}/v1/keys", json=body, headers=headers).json()["key"]
    client = openai.OpenAI(base_url=f"{platform.url}/v1", api_key=key, max_retries=0)
    with client, pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model=CHAT, messages=MESSAGES)


def test_the_client_retries_what_can_succeed_and_nothing_else(platform: Served):
    with openai.OpenAI(base_url=f"{platform.url}/v1", api_key=platform.made.key, max_retries=2) as client:
        for model, num_attempts in (("full", 3), ("broken", 1)):
            before = len(ENGINES[model].calls)
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(model=model, messages=MESSAGES)
            assert len(ENGINES[model].calls) - before == num_attempts


def test_a_failure_in_mid_stream_raises_api_error(client: openai.OpenAI):
    stream = client.chat.completions.create(model="cut", messages=MESSAGES, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "a"]
    with pytest.raises(openai.APIError) as raised:
        next(stream)
    assert raised.value.code == "replica_lost"
    assert "secret" not in str(raised.value)


def test_a_client_that_closes_its_stream_frees_the_engine(client: openai.OpenAI):
    stream = client.chat.completions.create(model="slow", messages=MESSAGES, stream=True)
    next(iter(stream))
    before = ENGINES["slow"].num_closed
    stream.close()
    until = time.monotonic() + 60
    while ENGINES["slow"].num_closed == before and time.monotonic() < until:
        time.sleep(0.01)
    assert ENGINES["slow"].num_closed == before + 1


def test_a_body_of_100_mb_is_refused_at_once(platform: Served):
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {platform.made.key}\r\nContent-Length: {100 * 2**20}\r\n\r\n"
    )
    # Hardly anything of it is ever sent: whoever waited for more would answer nothing.
    with socket.create_connection(("127.0.0.1", platform.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"payload_too_large"' in answer
    assert b"connection: close" in answer.lower()


def test_a_client_that_sends_too_much_still_reads_why(client: openai.OpenAI):
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "x" * (9 * 2**20)}])
    assert (raised.value.status_code, raised.value.code) == (413, "payload_too_large")


def test_good_requests_go_on_while_bad_ones_come(client: openai.OpenAI, platform: Served, tmp_path: Path):
    headers = {"authorization": f"Bearer {platform.made.key}"}
    for body in (b"{", b"[" * 100_000, b'{"model":"\xff"}', b'{"n":' + b"9" * 100_000 + b"}"):
        bad = httpx.post(f"{platform.url}/v1/chat/completions", content=body, headers=headers)
        assert bad.status_code == 400
        assert client.chat.completions.create(model=CHAT, messages=MESSAGES).choices
