"""vLLM with a real model, on whatever this machine has."""

import asyncio
import json
import math
from contextlib import aclosing
from typing import Any

import pytest
from fakes.effort import effort

from deployments.engines.engine import Engine
from serve.catalog.builtin import builtin_documents
from serve.domain.chat import ChatInput
from serve.domain.errors import InvalidRequest, SlipwayError
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, Completed, EventBatch, ModelCall
from serve.domain.task import Task
from serve.metering.prices.ceiling import ceiling

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # torch and vLLM warn of their own deprecations while they are imported.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

CAPITAL = "What is the capital of France?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "$defs": {"unit": {"enum": ["celsius", "fahrenheit"]}},
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 40}, "unit": {"$ref": "#/$defs/unit"}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def chat(text: str = CAPITAL, stream: bool = True, tenant: str = "acme", **inputs: Any) -> ModelCall:
    asked = {"messages": [{"role": "user", "content": text}], "temperature": 0.0, "max_tokens": 16, **inputs}
    return ModelCall(Task.CHAT, asked, CallContext("r", tenant, "p", "k"), stream=stream)


def completion(prompt: Any, **inputs: Any) -> ModelCall:
    asked = {"prompt": prompt, "temperature": 0.0, "max_tokens": 6, **inputs}
    return ModelCall(Task.COMPLETION, asked, CallContext("r", "acme", "p", "k"))


async def batches_of(engine: Engine, call: ModelCall) -> list[EventBatch]:
    return [batch async for batch in engine.stream(call) if batch]


async def answer_to(engine: Engine, call: ModelCall) -> Answer:
    answer = Answer()
    for batch in await batches_of(engine, call):
        answer.add(batch)
    return answer


async def text_of(engine: Engine, call: ModelCall) -> str:
    return (await answer_to(engine, call)).choices[0].text


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def tokenizer(engine: Any) -> Any:
    return engine._llm.get_tokenizer()


async def test_the_capital_of_france_is_paris(vllm_engine):
    answer = await answer_to(vllm_engine, chat())
    assert "Paris" in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"


async def test_streamed_and_unary_answers_are_equal(vllm_engine):
    streamed, unary = [await batches_of(vllm_engine, chat(stream=stream)) for stream in (True, False)]
    assert len(unary) == 1 < len(streamed)
    answers = [Answer(), Answer()]
    for answer, batches in zip(answers, (streamed, unary), strict=True):
        for batch in batches:
            answer.add(batch)
    assert answers[0].choices == answers[1].choices
    assert answers[0].usage is not None
    assert answers[1].usage is not None
    assert answers[0].usage.completion_tokens == answers[1].usage.completion_tokens


async def test_usage_is_what_the_tokenizer_counts(vllm_engine):
    answer = await answer_to(vllm_engine, chat(max_tokens=7))
    prompt = tokenizer(vllm_engine).apply_chat_template(
        [{"role": "user", "content": CAPITAL}], tokenize=False, add_generation_prompt=True
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tokenizer(vllm_engine).encode(prompt, add_special_tokens=False))
    assert answer.usage.completion_tokens == len(tokenizer(vllm_engine).encode(answer.choices[0].text))


async def test_timing_has_the_phases(vllm_engine):
    completed = (await batches_of(vllm_engine, chat()))[-1][-1]
    assert isinstance(completed, Completed)
    assert set(completed.timing) == {"queued", "prefill", "decode"}
    assert all(0 <= seconds < 30 for seconds in completed.timing.values())


async def test_a_seed_repeats_and_another_does_not(vllm_engine):
    texts = [
        await text_of(vllm_engine, chat("Tell me a story", temperature=1.0, seed=seed, max_tokens=12))
        for seed in (5, 5, 6)
    ]
    assert texts[0] == texts[1] != texts[2]


async def test_choices_differ_and_the_prompt_counts_once(vllm_engine):
    one = await answer_to(vllm_engine, chat("Tell me a story"))
    three = await answer_to(vllm_engine, chat("Tell me a story", n=3, temperature=1.0, seed=1, max_tokens=8))
    assert len({choice.text for choice in three.choices.values()}) == 3
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 24


async def test_greedy_choices_are_the_greedy_answer(vllm_engine):
    answer = await answer_to(vllm_engine, chat(n=2))
    assert answer.choices[0].text == answer.choices[1].text == await text_of(vllm_engine, chat())


async def test_a_stop_string_ends_the_answer_and_is_not_in_it(vllm_engine):
    answer = await answer_to(vllm_engine, chat(stop=[" France"]))
    assert answer.choices[0].text == (await text_of(vllm_engine, chat())).partition(" France")[0]
    assert answer.choices[0].finish_reason == "stop"


async def test_a_limit_of_tokens_ends_the_answer(vllm_engine):
    answer = await answer_to(vllm_engine, chat(max_tokens=2))
    assert answer.choices[0].finish_reason == "length"


async def test_log_probabilities_come_with_their_tokens(vllm_engine):
    answer = await answer_to(vllm_engine, chat(max_tokens=5, logprobs=True, top_logprobs=3))
    known = answer.choices[0].logprobs
    assert "".join(entry.token for entry in known) == answer.choices[0].text
    assert all(entry.logprob <= 0 and len(entry.top) == 3 for entry in known)
    assert all(entry.top[0] == (entry.token, entry.logprob) for entry in known)


async def test_a_logit_bias_forces_its_token(vllm_engine):
    (token,) = tokenizer(vllm_engine).encode("!", add_special_tokens=False)
    assert await text_of(vllm_engine, chat(max_tokens=3, logit_bias={str(token): 100.0})) == "!!!"


async def test_choices_of_several_prompts_are_numbered_prompt_by_prompt(vllm_engine):
    answer = await answer_to(vllm_engine, completion(["The sky is", "One two three"], n=2))
    assert answer.choices[0].text == answer.choices[1].text == await text_of(vllm_engine, completion("The sky is"))
    assert answer.choices[2].text == answer.choices[3].text == await text_of(vllm_engine, completion("One two three"))


async def test_token_ids_are_a_prompt_and_an_echo_is_their_text(vllm_engine):
    ids = tokenizer(vllm_engine).encode("The sky is", add_special_tokens=False)
    answer = await answer_to(vllm_engine, completion(ids, echo=True, logprobs=1))
    assert answer.choices[0].text == "The sky is" + await text_of(vllm_engine, completion("The sky is"))
    known = answer.choices[0].logprobs
    assert [entry.token for entry in known[:3]] == ["The", " sky", " is"]
    assert math.isnan(known[0].logprob)
    assert not any(math.isnan(entry.logprob) for entry in known[1:])


async def test_an_answer_satisfies_its_json_schema(vllm_engine):
    text = await text_of(vllm_engine, chat("A person, please", max_tokens=80, response_format=schema_format(PERSON)))
    person = json.loads(text)
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=["required", "named"]
)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "unary"])
async def test_a_call_that_must_be_made_is_made_and_is_valid(vllm_engine, choice, stream):
    asked = chat("Weather in Paris?", stream, tools=[WEATHER], tool_choice=choice, max_tokens=200)
    answer = await answer_to(vllm_engine, asked)
    calls = answer.choices[0].tool_calls
    assert calls
    assert all(call.name == "get_weather" and call.id for call in calls.values())
    assert all(set(json.loads(call.arguments)) == {"city", "unit"} for call in calls.values())
    assert (answer.choices[0].finish_reason, answer.choices[0].text) == ("tool_calls", "")


async def test_one_call_is_made_where_parallel_ones_are_not_wanted(vllm_engine):
    asked = chat("Weather in all cities?", tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    assert len((await answer_to(vllm_engine, asked)).choices[0].tool_calls) == 1


async def test_a_cached_prefix_is_its_tenants_own(vllm_engine):
    text = "The quick brown fox jumps over the lazy dog. " * 40
    cached = []
    for tenant in ("acme", "acme", "other"):
        answer = await answer_to(vllm_engine, chat(text, tenant=tenant, max_tokens=1))
        assert answer.usage is not None
        cached.append(answer.usage.cached_prompt_tokens)
    assert cached[0] == cached[2] == 0
    assert cached[1] > 0


async def test_the_first_batch_comes_long_before_the_last(vllm_engine):
    before = vllm_engine.counters()["generation_tokens_total"]
    async with aclosing(vllm_engine.stream(chat("Tell me a long story", max_tokens=300))) as stream:
        assert await anext(stream)
        assert vllm_engine.counters()["generation_tokens_total"] - before < 100
        assert [batch async for batch in stream]


async def test_sixteen_streams_finish_together(vllm_engine):
    calls = [chat(f"Count from {i}", max_tokens=12) for i in range(16)]
    answers = await asyncio.gather(*(answer_to(vllm_engine, call) for call in calls))
    assert all(answer.usage is not None for answer in answers)


@pytest.mark.parametrize("num_prompts", [1, 3])
async def test_closing_a_stream_frees_the_engine_at_once(vllm_engine, num_prompts):
    tasks_before = asyncio.all_tasks()
    stream = vllm_engine.stream(completion(["Once upon a time"] * num_prompts, max_tokens=1500, n=2))
    await anext(stream)
    assert vllm_engine.counters()["unfinished_sequences"] > 0
    before = vllm_engine.counters()["generation_tokens_total"]
    await stream.aclose()
    async with asyncio.timeout(60):
        while vllm_engine.counters()["unfinished_sequences"]:
            await asyncio.sleep(0.01)
    assert vllm_engine.counters()["generation_tokens_total"] - before < 300 * num_prompts, "of 3000 for each prompt"
    assert asyncio.all_tasks() == tasks_before
    assert await text_of(vllm_engine, chat())


async def test_cancelling_the_reader_frees_the_engine_too(vllm_engine):
    aborted = vllm_engine.counters()["aborted"]
    reader = asyncio.create_task(batches_of(vllm_engine, chat("Tell me a long story", max_tokens=1500, stream=False)))
    async with asyncio.timeout(60):
        while not vllm_engine.counters()["unfinished_sequences"]:
            await asyncio.sleep(0.01)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert vllm_engine.counters()["unfinished_sequences"] == 0
    assert vllm_engine.counters()["aborted"] == aborted + 1


@pytest.mark.parametrize(
    ("call", "code", "param"),
    [
        pytest.param(chat("word " * 200_000), "context_length_exceeded", "messages", id="a megabyte"),
        pytest.param(chat("word " * 2100), "context_length_exceeded", "messages", id="a little too long"),
        pytest.param(chat(max_tokens=2047), "context_length_exceeded", "messages", id="answer too long"),
        pytest.param(completion(["a", [1] * 3000]), "invalid_type", "prompt.1", id="mixed prompts"),
        pytest.param(completion([[1], [50_000]]), "unknown_token", "prompt.1", id="unknown token"),
        pytest.param(completion(""), "empty_prompt", "prompt", id="empty"),
        pytest.param(chat(logit_bias={"50000": 1.0}), "unknown_token", "logit_bias", id="bias of an unknown token"),
        pytest.param(
            chat(response_format=schema_format({"type": "strange"})),
            "invalid_schema",
            "response_format.json_schema.schema",
            id="schema of no type",
        ),
        pytest.param(
            chat(response_format=schema_format({"type": "string", "pattern": "(a{1,999}){1,999}"})),
            "invalid_schema",
            "response_format.json_schema.schema",
            id="pattern that explodes",
        ),
        pytest.param(
            chat(response_format=schema_format({"$ref": "#"})),
            "invalid_schema",
            "response_format.json_schema.schema",
            id="schema that leads back to itself",
        ),
        pytest.param(
            chat(response_format=schema_format({"type": "integer", "multipleOf": 3})),
            "invalid_schema",
            "response_format.json_schema.schema",
            id="schema that cannot be enforced",
        ),
    ],
)
async def test_what_cannot_be_answered_is_refused_before_the_engine_sees_it(vllm_engine, call, code, param):
    before = vllm_engine.counters()
    with effort() as spent, pytest.raises(InvalidRequest) as refused:
        await batches_of(vllm_engine, call)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert spent.seconds < 3
    for counter in ("prompt_tokens_total", "generation_tokens_total", "finished", "aborted"):
        assert vllm_engine.counters()[counter] == before[counter]
    assert "Paris" in await text_of(vllm_engine, chat())


async def test_a_hundred_new_schemas_leave_neighbours_alone(vllm_engine):
    schemas = [schema_format({"type": "object", "properties": {f"p{i}": {"type": "string"}}}) for i in range(100)]
    storm = asyncio.gather(
        *(answer_to(vllm_engine, chat(response_format=s, max_tokens=2)) for s in schemas), return_exceptions=True
    )
    async with asyncio.timeout(120):
        assert "Paris" in await text_of(vllm_engine, chat())
    assert not [error for error in await storm if isinstance(error, Exception) and not isinstance(error, SlipwayError)]


async def test_counters_agree_with_usage_to_the_token(vllm_engine):
    before = vllm_engine.counters()
    answers = await asyncio.gather(*(answer_to(vllm_engine, chat(max_tokens=n)) for n in (3, 4, 5)))
    await vllm_engine._probe()
    after = vllm_engine.counters()
    usages = [answer.usage for answer in answers if answer.usage is not None]
    for counter, total in (
        ("prompt_tokens_total", sum(usage.prompt_tokens for usage in usages)),
        ("generation_tokens_total", sum(usage.completion_tokens for usage in usages)),
        ("finished", 3),
    ):
        assert after[counter] - before[counter] == total


async def test_a_healthy_engine_says_so(vllm_engine):
    async with asyncio.timeout(60):
        await vllm_engine.check_health()


CONVERSATIONS = [
    pytest.param({"messages": [{"role": "user", "content": "hi"}]}, id="one word"),
    pytest.param({"messages": [{"role": r, "content": ""} for r in ("user", "assistant")] * 10}, id="empty turns"),
    pytest.param({"messages": [{"role": "user", "content": "\U0001d160\u6f22\u0130\ufdfa" * 9}]}, id="unicode"),
    pytest.param({"messages": [{"role": "user", "content": "hi"}], "tools": [WEATHER]}, id="tools"),
    pytest.param({"messages": [{"role": "user", "content": "hi"}], "n": 3, "temperature": 1.0}, id="choices"),
]


@pytest.mark.parametrize("asked", CONVERSATIONS)
async def test_a_chat_consumes_no_more_than_its_ceiling(vllm_engine, asked):
    """Its template has a system message of its own, and words around every turn."""
    (document,) = builtin_documents(["smollm2-135m-instruct"])
    inputs = ChatInput.model_validate(asked | {"max_tokens": 4}).model_dump(mode="json", by_alias=True)
    usage = (await answer_to(vllm_engine, ModelCall(Task.CHAT, inputs, CallContext("r", "acme", "p", "k")))).usage
    assert usage is not None
    assert usage.within(ceiling(Task.CHAT, inputs, document.spec))
