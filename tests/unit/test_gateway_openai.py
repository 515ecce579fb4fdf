"""OpenAI's shapes: chunks, answers, logprobs, tools, embeddings, models."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.engines import ScriptedEngine
from fakes.gateway import CHAT, EMBEDDER, gateway, model_document

from serve.domain.generation import (
    Completed,
    Finished,
    Progress,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Vector,
)
from serve.domain.usage import Quantities

USER = [{"role": "user", "content": "one two three"}]
USAGE = Completed(Quantities(prompt_tokens=5, cached_prompt_tokens=2, completion_tokens=3))


def events_of(response: httpx.Response) -> list[Any]:
    """The JSON of every `data:` line; `[DONE]` stays text."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_unary_chat_is_the_fold_of_its_events(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", json={"model": CHAT, "messages": USER})
    answer = response.json()
    assert response.status_code == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == CHAT
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "one two three", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 3,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 0},
        "cost": None,
    }


async def test_the_model_is_told_whether_the_answer_streams(tmp_path: Path):
    engine = ScriptedEngine([TextDelta("a"), Finished("stop"), USAGE])
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        for stream in (False, True):
            await client.post("/v1/chat/completions", json={"model": "scripted", "messages": USER, "stream": stream})
    assert [call.stream for call in engine.calls] == [False, True]


async def test_a_call_carries_who_asked_and_every_default(tmp_path: Path):
    engine = ScriptedEngine([TextDelta("a"), Finished("stop"), USAGE])
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        response = await client.post(
            "/v1/chat/completions",
            json={"model": "scripted", "messages": USER, "max_completion_tokens": 7, "user": "u", "top_p": None},
        )
    (call,) = engine.calls
    assert call.context.request_id == response.headers["x-request-id"]
    assert (call.context.tenant, call.context.project) == ("default", "default")
    assert call.inputs["messages"] == USER
    assert (call.inputs["max_tokens"], call.inputs["temperature"], call.inputs["top_p"]) == (7, 1.0, 1.0)
    assert not {"model", "user", "stream", "max_completion_tokens"} & set(call.inputs)


async def test_a_stream_begins_with_the_role_and_ends_with_done(tmp_path: Path):
    engine = ScriptedEngine([Progress(1, 2)], [TextDelta("a"), TextDelta("b")], [Finished("length"), USAGE])
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        response = await client.post(
            "/v1/chat/completions", json={"model": "scripted", "messages": USER, "stream": True}
        )
    *chunks, done = events_of(response)
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "a"},
        {"content": "b"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "length"]


async def test_include_usage_adds_one_chunk_without_choices(tmp_path: Path):
    engine = ScriptedEngine([TextDelta("a"), Finished("stop"), USAGE])
    body = {"model": "scripted", "messages": USER, "stream": True, "stream_options": {"include_usage": True}}
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        *chunks, last, _ = events_of(await client.post("/v1/chat/completions", json=body))
    assert [chunk["usage"] for chunk in chunks] == [None, None, None]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 8
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


async def test_each_choice_has_its_own_role_chunk_and_finish(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        body = {"model": CHAT, "messages": USER, "n": 2}
        whole = (await client.post("/v1/chat/completions", json=body)).json()
        *chunks, _ = events_of(await client.post("/v1/chat/completions", json=body | {"stream": True}))
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    roles = [c["choices"][0]["index"] for c in chunks if "role" in c["choices"][0]["delta"]]
    finishes = [c["choices"][0]["index"] for c in chunks if c["choices"][0]["finish_reason"]]
    assert (roles, finishes) == ([0, 1], [0, 1])


async def test_tool_calls_stream_as_id_and_name_first_and_arguments_after(tmp_path: Path):
    parts = [
        ToolCallDelta(0, 0, "call_1", "f", '{"a"'),
        ToolCallDelta(0, 0, "", "", ":1}"),
        Finished("tool_calls"),
        USAGE,
    ]
    body = {"model": "scripted", "messages": USER, "tools": [{"type": "function", "function": {"name": "f"}}]}
    async with gateway(tmp_path, {"scripted": ScriptedEngine(parts)}) as made, made.client() as client:
        whole = (await client.post("/v1/chat/completions", json=body)).json()
        *chunks, _ = events_of(await client.post("/v1/chat/completions", json=body | {"stream": True}))
    (choice,) = whole["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]
    assert choice["finish_reason"] == "tool_calls"
    assert [chunk["choices"][0]["delta"].get("tool_calls") for chunk in chunks] == [
        None,
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
        None,
    ]


async def test_chat_logprobs_have_bytes_and_alternatives(tmp_path: Path):
    token = TokenLogprob("é", -0.5, (("é", -0.5), ("e", -1.0)))
    engine = ScriptedEngine([TextDelta("é", 0, (token,)), Finished("stop"), USAGE])
    body = {"model": "scripted", "messages": USER, "logprobs": True, "top_logprobs": 2}
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        whole = (await client.post("/v1/chat/completions", json=body)).json()
        chunks = events_of(await client.post("/v1/chat/completions", json=body | {"stream": True}))
    expected = {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                    {"token": "e", "logprob": -1.0, "bytes": [101]},
                ],
            }
        ],
        "refusal": None,
    }
    assert whole["choices"][0]["logprobs"] == expected
    assert chunks[1]["choices"][0]["logprobs"] == expected


async def test_completions_take_several_prompts_and_echo_them(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        body = {"model": CHAT, "prompt": ["a b", "c"], "max_tokens": 1, "echo": True}
        answer = (await client.post("/v1/completions", json=body)).json()
    assert answer["object"] == "text_completion"
    assert [(c["index"], c["text"], c["finish_reason"]) for c in answer["choices"]] == [
        (0, "a ba", "length"),
        (1, "cc", "length"),
    ]


async def test_completion_logprobs_are_four_lists_and_offsets_go_on_across_chunks(tmp_path: Path):
    first = TokenLogprob("ab", float("nan"))
    second = TokenLogprob("c", -1.0, (("c", -1.0), ("d", -2.0)))
    engine = ScriptedEngine([TextDelta("ab", 0, (first,))], [TextDelta("c", 0, (second,)), Finished("stop"), USAGE])
    body = {"model": "scripted", "prompt": "x", "logprobs": 2}
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        whole = (await client.post("/v1/completions", json=body)).json()
        chunks = events_of(await client.post("/v1/completions", json=body | {"stream": True}))
    assert whole["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [None, -1.0],
        "top_logprobs": [{}, {"c": -1.0, "d": -2.0}],
        "text_offset": [0, 2],
    }
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks[:2]] == [[0], [2]]


async def test_embeddings_in_base64_and_as_numbers_are_the_same_vectors(tmp_path: Path):
    vector = struct.pack("<3f", 0.25, -1.5, 3.0)
    engine = ScriptedEngine([Vector(1, vector), Vector(0, vector), Completed(Quantities(prompt_tokens=4))])
    async with gateway(tmp_path, {EMBEDDER: engine}) as made, made.client() as client:
        body = {"model": EMBEDDER, "input": ["a", "b"]}
        numbers = (await client.post("/v1/embeddings", json=body)).json()
        encoded = (await client.post("/v1/embeddings", json=body | {"encoding_format": "base64"})).json()
    assert [item["index"] for item in numbers["data"]] == [0, 1]
    assert numbers["data"][0]["embedding"] == [0.25, -1.5, 3.0]
    assert base64.b64decode(encoded["data"][0]["embedding"]) == vector
    assert numbers["usage"] == {"prompt_tokens": 4, "total_tokens": 4, "cost": None}


async def test_models_are_listed_and_found(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        listed = (await client.get("/v1/models")).json()
        one = (await client.get(f"/v1/models/{CHAT}")).json()
        missing = await client.get("/v1/models/nope")
    assert [model["id"] for model in listed["data"]] == [CHAT, EMBEDDER]
    assert one == listed["data"][0]
    assert (one["object"], one["owned_by"]) == ("model", "slipway")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_model_that_takes_no_adapters_says_so(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", json={"model": f"{CHAT}:mine", "messages": USER})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "adapters_not_enabled")


@pytest.mark.parametrize(
    ("path", "body", "tasks"),
    [
        ("/v1/embeddings", {"input": "a"}, ["chat"]),
        ("/v1/chat/completions", {"messages": USER}, ["embedding"]),
    ],
    ids=["embedding-of-a-chat-model", "chat-with-an-embedder"],
)
async def test_a_model_is_asked_only_for_its_tasks(tmp_path: Path, path: str, body: dict[str, Any], tasks: list[str]):
    async with gateway(tmp_path) as made, made.client() as client:
        await made.services.catalog.apply(model_document("narrow", tasks), "api")
        response = await client.post(path, json=body | {"model": "narrow"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_task")


async def test_a_cards_own_ranges_and_defaults_hold(tmp_path: Path):
    engine = ScriptedEngine([TextDelta("a"), Finished("stop"), USAGE])
    card = {"title": "narrow", "inputs": {"temperature": {"default": 0.2, "maximum": 0.5}}}
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        await made.services.catalog.apply(model_document("scripted", ["chat"], card=card), "api")
        good = await client.post("/v1/chat/completions", json={"model": "scripted", "messages": USER})
        bad = await client.post("/v1/chat/completions", json={"model": "scripted", "messages": USER, "temperature": 1})
    assert good.status_code == 200
    assert engine.calls[0].inputs["temperature"] == 0.2
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "temperature")
