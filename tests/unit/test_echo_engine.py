"""The echo engine: what it says, counts, refuses, and how it breaks on demand."""

import asyncio
import json
import math
import struct
import time

import pytest
from fakes.effort import effort

from deployments.engines.echo import EchoEngine
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, Completed, EventBatch, ModelCall
from serve.domain.task import Task

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 2}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
        },
    },
}


def engine(**spec: object) -> EchoEngine:
    return EchoEngine(EchoSpec.model_validate({"kind": "echo", **spec}))


def call(task: Task = Task.CHAT, stream: bool = True, text: str = "one two three", **inputs: object) -> ModelCall:
    if task is Task.CHAT:
        inputs = {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}], **inputs}
    return ModelCall(task, inputs, CallContext("r", "t", "p", "k"), stream=stream)


async def batches_of(made: EchoEngine, asked: ModelCall) -> list[EventBatch]:
    return [batch async for batch in made.stream(asked) if batch]


async def answer_to(made: EchoEngine, asked: ModelCall) -> Answer:
    answer = Answer()
    for batch in await batches_of(made, asked):
        answer.add(batch)
    return answer


@pytest.mark.parametrize(
    ("inputs", "text", "reason", "num_tokens"),
    [
        pytest.param({}, "one two three", "stop", 3, id="once"),
        pytest.param({"max_tokens": 5}, "one two three one two", "length", 5, id="cycled"),
        pytest.param({"max_tokens": 2}, "one two", "length", 2, id="cut"),
        pytest.param({"stop": "two"}, "one ", "stop", 2, id="stopped"),
        pytest.param({"stop": ["zz", " th"]}, "one two", "stop", 2, id="first stop that is found"),
    ],
)
async def test_a_chat_answers_with_the_last_users_words(inputs, text, reason, num_tokens):
    answer = await answer_to(engine(), call(**inputs))
    assert answer.choices[0].text == text
    assert answer.choices[0].finish_reason == reason
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, num_tokens)


@pytest.mark.parametrize("token_ms", [0, 0.2])
async def test_streamed_and_unary_answers_are_equal(token_ms):
    streamed = await batches_of(engine(token_ms=token_ms), call(max_tokens=50, n=2, seed=7))
    unary = await batches_of(engine(token_ms=token_ms), call(max_tokens=50, n=2, seed=7, stream=False))
    answers = [Answer(), Answer()]
    for answer, batches in zip(answers, (streamed, unary), strict=True):
        for batch in batches:
            answer.add(batch)
    assert len(unary) == 1
    assert answers[0].choices == answers[1].choices
    assert answers[0].usage == answers[1].usage


async def test_choices_of_several_prompts_are_numbered_prompt_by_prompt():
    answer = await answer_to(engine(), call(Task.COMPLETION, prompt=["a b", "c d"], n=2, max_tokens=2))
    assert [answer.choices[i].text for i in range(4)] == ["a b", "a b", "c d", "c d"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 8)


async def test_an_echoed_prompt_comes_first_and_is_not_counted_as_generated():
    answer = await answer_to(engine(), call(Task.COMPLETION, prompt="a b", max_tokens=1, echo=True))
    assert answer.choices[0].text == "a ba"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 1


async def test_ten_thousand_unpaced_tokens_are_few_batches_and_fast():
    with effort() as spent:
        batches = await batches_of(engine(max_model_len=20_000), call(max_tokens=10_000))
    assert len(batches) < 30
    assert spent.seconds < 1


async def test_a_paced_answer_takes_its_time_token_by_token():
    began_at = time.monotonic()
    batches = await batches_of(engine(prefill_ms=20, token_ms=10), call(max_tokens=5))
    assert time.monotonic() - began_at >= 0.07
    assert len(batches) >= 4


async def test_a_required_tool_call_has_arguments_that_fit_the_schema():
    answer = await answer_to(engine(), call(tools=[WEATHER], tool_choice="required"))
    made = answer.choices[0].tool_calls[0]
    assert (made.name, json.loads(made.arguments)) == ("weather", {"city": "aa", "days": 1})
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_a_json_schema_is_answered_with_its_smallest_instance():
    schema = {"type": "object", "properties": {"x": {"enum": ["a", "b"]}}, "required": ["x"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await answer_to(engine(), call(response_format=wanted))
    assert json.loads(answer.choices[0].text) == {"x": "a"}


async def test_an_embedding_is_the_same_unit_vector_every_time():
    made = engine()
    answers = [await answer_to(made, call(Task.EMBEDDING, input=["a", "b", "a"])) for _ in range(2)]
    assert answers[0].vectors == answers[1].vectors
    assert answers[0].vectors[0] == answers[0].vectors[2] != answers[0].vectors[1]
    assert math.isclose(sum(x * x for x in struct.unpack("<8f", answers[0].vectors[0])), 1, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        pytest.param(call(text="w " * 20), "context_length_exceeded", "messages", id="long prompt"),
        pytest.param(call(max_tokens=30), "context_length_exceeded", "messages", id="long answer"),
        pytest.param(
            call(Task.COMPLETION, prompt=["a", "w " * 20], max_tokens=2),
            "context_length_exceeded",
            "prompt.1",
            id="second prompt",
        ),
        pytest.param(
            call(Task.EMBEDDING, input=["a", "w " * 20]), "context_length_exceeded", "input.1", id="second input"
        ),
        pytest.param(call(Task.EMBEDDING, input="a", dimensions=9), "invalid_request", "dimensions", id="dimensions"),
    ],
)
async def test_what_does_not_fit_is_refused(asked, code, param):
    with pytest.raises(InvalidRequest) as refused:
        await batches_of(engine(max_model_len=16), asked)
    assert (refused.value.code, refused.value.param) == (code, param)


async def test_a_closed_stream_counts_as_aborted_and_a_read_one_as_finished():
    made = engine(token_ms=5)
    stream = made.stream(call(max_tokens=1000))
    await anext(stream)
    assert made.counters()["running"] == 1
    await stream.aclose()
    assert {k: made.counters()[k] for k in ("running", "aborted", "finished")} == {
        "running": 0,
        "aborted": 1,
        "finished": 0,
    }


async def test_a_reader_that_closes_on_completed_has_read_all():
    made = engine()
    stream = made.stream(call())
    async for batch in stream:
        if isinstance(batch[-1], Completed):
            break
    await stream.aclose()
    assert (made.counters()["finished"], made.counters()["aborted"]) == (1, 0)


async def test_counters_agree_with_usage():
    made = engine()
    usages = [(await answer_to(made, call(max_tokens=n))).usage for n in (1, 2, 3)]
    assert made.counters()["generation_tokens_total"] == sum(usage.completion_tokens for usage in usages if usage)
    assert made.counters()["prompt_tokens_total"] == sum(usage.prompt_tokens for usage in usages if usage)


async def test_a_wedged_engine_hangs_and_says_so_when_asked():
    made = engine()
    await made.check_health()
    for text in ("!wedge", "hello"):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer_to(made, call(text=text)), 0.05)
    with pytest.raises(EngineFailed):
        await made.check_health()


async def test_a_crash_is_an_internal_error_and_the_engine_lives_on():
    made = engine()
    with pytest.raises(RuntimeError):
        await answer_to(made, call(text="!crash"))
    assert made.counters()["failed"] == 1
    await made.check_health()
