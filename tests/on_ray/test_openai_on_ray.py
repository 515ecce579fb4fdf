"""The official client against the real model behind the whole platform."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes.platform import TestPlatform, a_second, wait_for
from openai import OpenAI

CHAT, EMBEDDING = "smollm2-135m-instruct", "minilm-l6-v2"
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client(real_platform: TestPlatform) -> OpenAI:
    return OpenAI(base_url=f"{real_platform.url}/v1", api_key=real_platform.key, timeout=180, max_retries=0)


@pytest.fixture(scope="module")
def tokenizer(weights_available: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(weights_available)


def test_up_prints_a_url_a_key_and_a_curl_line_that_works_when_pasted(real_platform: TestPlatform) -> None:
    assert f"Slipway is ready at {real_platform.url}" in real_platform.output
    curl = "curl" + real_platform.output.partition("\ncurl")[2]
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=120, check=True)
    assert "Paris" in answer.stdout


def test_a_chat_is_answered_and_its_usage_is_the_tokenizers_own_count(client: OpenAI, tokenizer: Any) -> None:
    answer = client.chat.completions.create(model=CHAT, messages=QUESTION, temperature=0, max_tokens=40)
    text = answer.choices[0].message.content
    assert text is not None
    assert "Paris" in text
    assert answer._request_id
    assert answer.usage is not None
    prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert answer.usage.prompt_tokens == len(prompt)
    end = 1  # the end-of-turn token is generated, and not shown
    assert answer.usage.completion_tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"]) + end


def test_a_stream_says_the_same_and_ends_with_its_usage(client: OpenAI) -> None:
    options: dict[str, Any] = {"model": CHAT, "messages": QUESTION, "temperature": 0, "max_tokens": 40}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    last = chunks[-1].usage
    assert last is not None
    assert whole.usage is not None
    assert (last.prompt_tokens, last.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


def test_a_completion_goes_on_with_the_text(client: OpenAI) -> None:
    answer = client.completions.create(model=CHAT, prompt="The capital of France is", temperature=0, max_tokens=4)
    assert "Paris" in answer.choices[0].text


def test_a_json_schema_answer_parses(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "Describe Paris as JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
        max_tokens=200,
        temperature=0,
    )
    parsed = json.loads(answer.choices[0].message.content or "")
    assert isinstance(parsed["city"], str)
    assert isinstance(parsed["people"], int)


def test_a_required_tool_is_called_with_arguments_that_parse(client: OpenAI) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": parameters}}],
        tool_choice="required",
        max_tokens=100,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "weather"
    assert isinstance(json.loads(calls[0].function.arguments)["city"], str)
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_model_at_zero_starts_when_it_is_called(client: OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDING, input=["a boat", "a ship", "an equation"])
    boat, ship, equation = (item.embedding for item in answer.data)
    assert len(boat) == 384

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(boat, ship) > likeness(boat, equation) + 0.2
    assert answer.usage.prompt_tokens == 4 + 4 + 4


@pytest.mark.parametrize(
    ("kind", "change", "param"),
    [
        pytest.param(openai.NotFoundError, {"model": "nobody"}, "model", id="unknown model"),
        pytest.param(openai.BadRequestError, {"n": 2**31}, "n", id="n of two billion"),
        pytest.param(openai.BadRequestError, {"max_tokens": 10**6}, "max_tokens", id="more than the context"),
        pytest.param(openai.BadRequestError, {"messages": []}, "messages", id="no messages"),
        pytest.param(openai.BadRequestError, {"extra_body": {"chat_template": "x"}}, "chat_template", id="a template"),
    ],
)
def test_errors_have_their_classes_codes_and_fields(
    client: OpenAI, kind: type[openai.APIStatusError], change: dict[str, Any], param: str
) -> None:
    with pytest.raises(kind) as refused:
        client.chat.completions.create(**({"model": CHAT, "messages": QUESTION} | change))
    assert refused.value.param == param
    assert refused.value.code
    assert refused.value.request_id


def test_a_prompt_over_the_context_is_refused_before_it_costs_anything(client: OpenAI) -> None:
    long: list[Any] = [{"role": "user", "content": "word " * 50_000}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=CHAT, messages=long)
    assert refused.value.code == "context_length_exceeded"


def test_a_wrong_key_is_an_authentication_error(real_platform: TestPlatform) -> None:
    stranger = OpenAI(base_url=f"{real_platform.url}/v1", api_key="slw_nobody", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_client_that_leaves_frees_its_sequence_in_vllm_within_a_second(real_platform: TestPlatform) -> None:
    body = {"model": CHAT, "messages": QUESTION, "max_tokens": 1500, "logit_bias": {"2": -100}, "stream": True}
    with real_platform.client() as client:

        def running() -> float:
            return float(client.get(f"/v1/admin/models/{CHAT}/counters").json()["running"])

        with client.stream("POST", "/v1/chat/completions", json=body) as stream:
            lines = stream.iter_lines()
            for _ in range(8):
                next(lines)
            assert running() == 1
            at_most = a_second(running)
        wait_for(lambda: running() == 0, at_most, "the sequence is freed")


def test_the_same_call_is_a_durable_run(real_platform: TestPlatform) -> None:
    body = {"input": {"messages": QUESTION, "temperature": 0, "max_tokens": 40}}
    headers = {"Prefer": "wait=60", "Idempotency-Key": "capital"}
    with real_platform.client() as client:
        first = client.post(f"/v1/models/{CHAT}/runs", json=body, headers=headers)
        again = client.post(f"/v1/models/{CHAT}/runs", json=body, headers=headers)
        other = client.post(f"/v1/models/{CHAT}/runs", json={"input": {"messages": []}}, headers=headers)
    assert first.status_code == 200
    assert "Paris" in first.json()["output"]["text"]
    assert again.json()["id"] == first.json()["id"]
    assert other.status_code in (400, 409)


def test_vllm_dies_in_mid_stream_and_the_next_request_is_answered_by_its_successor(real_platform: TestPlatform) -> None:
    body = {"model": CHAT, "messages": QUESTION, "max_tokens": 1500, "logit_bias": {"2": -100}, "stream": True}
    heard: list[str] = []
    with real_platform.client(timeout=90) as client:
        with client.stream("POST", "/v1/chat/completions", json=body) as stream:
            for line in stream.iter_lines():
                heard.append(line)
                if len(heard) == 10:
                    real_platform.kill(f"ServeReplica:model-{CHAT}:replica")
        errors = [line for line in heard if '"error"' in line]
        assert len(errors) == 1
        answer = client.post("/v1/chat/completions", json={"model": CHAT, "messages": QUESTION}, timeout=240)
        assert answer.status_code == 200


@pytest.mark.long
def test_a_stopped_engine_process_is_found_and_replaced_within_a_minute(real_platform: TestPlatform) -> None:
    (engine,) = real_platform.pids("VLLM::EngineCore")
    os.kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: not real_platform.pids("VLLM::EngineCore") or engine not in engines(real_platform), 60, "replaced")
    with real_platform.client() as client:
        answer = client.post("/v1/chat/completions", json={"model": CHAT, "messages": QUESTION}, timeout=60)
    assert answer.status_code == 200
    assert time.monotonic() - began < 90  # found and replaced within a minute, and started again


def engines(platform: TestPlatform) -> list[int]:
    return platform.pids("VLLM::EngineCore")
