"""Every token that vLLM computed is some call's, delivered or not."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from serve.domain.errors import InvalidRequest
from serve.domain.generation import CallContext, Completed, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import Quantities, Tally

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # torch and vLLM warn of their own deprecations while they are imported.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

NUM_ABORTED = 200
NUM_AT_ONCE = 24
TENANTS = ("acme", "globex", "initech")
COUNTERS = {"prompt_tokens": "prompt_tokens_total", "completion_tokens": "generation_tokens_total"}


def asked(task: Task, stream: bool = True, tenant: str = "acme", **inputs: Any) -> ModelCall:
    context = CallContext(RequestId("r"), TenantName(tenant), ProjectName("p"), KeyId("k"))
    return ModelCall(task, {"temperature": 1.0, "max_tokens": 40, **inputs}, context, stream=stream)


def chat(text: str, **inputs: Any) -> ModelCall:
    return asked(Task.CHAT, messages=[{"role": "user", "content": text}], **inputs)


def some_call(dice: random.Random) -> ModelCall:
    """A chat or a completion, of one choice or more, of one prompt or more, of a short one or a long one."""
    words = " ".join(f"word{dice.randrange(9)}" for _ in range(dice.choice((3, 30, 300))))
    given: dict[str, Any] = {"stream": dice.random() < 0.7, "n": dice.choice((1, 1, 1, 3))}
    given["tenant"] = dice.choice(TENANTS)
    if dice.random() < 0.6:
        return chat(words, **given)
    return asked(Task.COMPLETION, prompt=[words, words[: len(words) // 2], "once upon a time"], **given)


async def closed_early(engine: Any, call: ModelCall, dice: random.Random) -> Quantities:
    """What a call consumed whose reader takes some batches and goes."""
    tally = Tally()
    stream = engine.stream(call, (), tally)
    for _ in range(dice.randrange(1, 14)):
        if any(isinstance(event, Completed) for event in await anext(stream)):
            break
    await stream.aclose()
    return tally.quantities()


async def cancelled_early(engine: Any, call: ModelCall, dice: random.Random) -> Quantities:
    """The same of a reader that is cancelled wherever it waits: before the first token, in prefill, anywhere."""
    tally = Tally()

    async def read() -> None:
        async for _ in engine.stream(call, (), tally):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(dice.choice((0, 0.001, 0.01, 0.05, 0.2)) * dice.random())
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return tally.quantities()


async def counted(engine: Any) -> dict[str, float]:
    """The engine's counters, once it does nothing."""
    async with asyncio.timeout(120):
        while engine.counters()["unfinished_sequences"]:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    counters = engine.counters()
    return {unit: counters[name] for unit, name in COUNTERS.items()}


async def test_two_hundred_aborted_calls_add_up_to_the_engines_own_counters(vllm_engine: Any) -> None:
    dice, before = random.Random(5), await counted(vllm_engine)
    room = asyncio.Semaphore(NUM_AT_ONCE)

    async def one(number: int) -> Quantities:
        async with room:
            how = closed_early if number % 2 else cancelled_early
            return await how(vllm_engine, some_call(dice), dice)

    consumed = await asyncio.gather(*[one(number) for number in range(NUM_ABORTED)])
    total, after = sum(consumed, Quantities()), await counted(vllm_engine)
    assert {unit: after[unit] - before[unit] for unit in COUNTERS} == {u: getattr(total, u) for u in COUNTERS}
    assert vllm_engine.counters()["running"] == 0
    assert sum(each.completion_tokens == 0 for each in consumed) >= 10, "some left before the first token"
    assert sum(each == Quantities() for each in consumed) >= 1, "some before their prompt was read"
    assert total.completion_tokens > 500
    assert 0 < total.cached_prompt_tokens < total.prompt_tokens


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 3])
async def test_a_whole_answer_says_what_was_tallied(vllm_engine: Any, stream: bool, n: int) -> None:
    before, tally = await counted(vllm_engine), Tally()
    call = chat(f"Tell me a story of {n} {stream}", stream=stream, n=n, max_tokens=9, seed=2)
    events = [event async for batch in vllm_engine.stream(call, (), tally) for event in batch]
    completed, after = events[-1], await counted(vllm_engine)
    assert isinstance(completed, Completed)
    assert completed.usage == tally.quantities()
    assert after["completion_tokens"] - before["completion_tokens"] == completed.usage.completion_tokens
    assert after["prompt_tokens"] - before["prompt_tokens"] == completed.usage.prompt_tokens, "once for all choices"


async def test_a_prompt_that_was_read_before_is_cached_and_choices_share_no_more_than_the_first_found(
    vllm_engine: Any,
) -> None:
    text = " ".join(f"unheard{i}" for i in range(200))
    found = []
    for _ in range(2):
        tally = Tally()
        async for _ in vllm_engine.stream(chat(text, n=3, max_tokens=2, tenant="hooli"), (), tally):
            pass
        found.append(tally.quantities())
    first, second = found
    assert first.prompt_tokens == second.prompt_tokens
    assert first.cached_prompt_tokens < 100, "the first choice's reading is what is paid for"
    assert second.cached_prompt_tokens > 0.8 * second.prompt_tokens, "whole blocks"


async def test_a_prompt_over_its_reservation_is_refused_and_counts_nothing(vllm_engine: Any) -> None:
    before, tally = await counted(vllm_engine), Tally()
    call = chat("one two three four five")
    call = replace(call, context=replace(call.context, max_prompt_tokens=5))
    with pytest.raises(InvalidRequest) as refused:
        await anext(vllm_engine.stream(call, (), tally))
    assert (refused.value.code, refused.value.param) == ("prompt_over_reservation", "messages")
    assert tally.quantities() == Quantities()
    assert await counted(vllm_engine) == before


async def test_health_checks_are_nobodys_usage(vllm_engine: Any) -> None:
    before = await counted(vllm_engine)
    await vllm_engine._probe_once()
    assert await counted(vllm_engine) == before
