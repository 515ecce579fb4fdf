"""Sentence embeddings with a real encoder."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deployments.engines.embeddings import TransformersEngine
from serve.domain.documents import TransformersEngine as TransformersSpec
from serve.domain.errors import InvalidRequest
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, ModelCall
from serve.domain.task import Task
from serve.domain.usage import Tally

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(minilm: Path) -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(TransformersSpec(kind="transformers", max_model_len=64), minilm)
    await made.start()
    yield made
    await made.close()


def call(given: object, task: Task = Task.EMBEDDING, **inputs: object) -> ModelCall:
    return ModelCall(task, {"input": given, **inputs}, CallContext("r", "t", "p", "k"))


async def answer_to(made: TransformersEngine, asked: ModelCall) -> Answer:
    answer = Answer()
    async for batch in made.stream(asked):
        answer.add(batch)
    return answer


def vector(raw: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def likeness(a: bytes, b: bytes) -> float:
    return sum(x * y for x, y in zip(vector(a), vector(b), strict=True))


async def test_like_sentences_are_near_and_unlike_ones_far(engine):
    sentences = ["A cat sits on the mat.", "A kitten is lying on a rug.", "The stock market fell sharply today."]
    found = (await answer_to(engine, call(sentences))).vectors
    assert likeness(found[0], found[1]) > 0.5 > likeness(found[0], found[2]) + 0.2
    assert all(math.isclose(likeness(v, v), 1, rel_tol=1e-5) for v in found.values())


async def test_company_in_a_batch_does_not_change_a_vector(engine):
    alone = (await answer_to(engine, call("hello there"))).vectors[0]
    crowd = [call(["hello there", "word " * (n + 1)]) for n in range(20)]
    answers = await asyncio.gather(*(answer_to(engine, asked) for asked in crowd))
    assert all(likeness(alone, answer.vectors[0]) > 1 - 1e-5 for answer in answers)


async def test_concurrent_calls_share_passes_and_tokens_are_exact(engine):
    before = engine.counters()
    answers = await asyncio.gather(*(answer_to(engine, call("hello there")) for _ in range(40)))
    after = engine.counters()
    assert after["passes_total"] - before["passes_total"] < 10
    # [CLS] hello there [SEP]
    assert [answer.usage.prompt_tokens for answer in answers if answer.usage] == [4] * 40
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] == 160


async def test_fewer_dimensions_are_the_first_ones_at_unit_length(engine):
    whole = vector((await answer_to(engine, call("hello"))).vectors[0])
    short = vector((await answer_to(engine, call("hello", dimensions=16))).vectors[0])
    norm = math.sqrt(sum(x * x for x in whole[:16]))
    assert short == pytest.approx([x / norm for x in whole[:16]], rel=1e-5)


async def test_token_ids_are_taken_as_they_are(engine):
    text, ids = [(await answer_to(engine, call(given))).vectors[0] for given in ("hello there", [101, 7592, 2045, 102])]
    assert likeness(text, ids) > 1 - 1e-5


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        pytest.param(call("word " * 100), "context_length_exceeded", "input", id="too long"),
        pytest.param(call(["a", "word " * 100]), "context_length_exceeded", "input.1", id="one too long"),
        pytest.param(call("a" * 1_000_000), "context_length_exceeded", "input", id="a megabyte"),
        pytest.param(call([[5], [99_999]]), "unknown_token", "input.1", id="unknown token"),
        pytest.param(call("a", dimensions=385), "invalid_request", "dimensions", id="too many dimensions"),
        pytest.param(call("a", Task.CHAT), "unsupported_task", None, id="another task"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(engine, asked, code, param):
    with pytest.raises(InvalidRequest) as refused:
        await answer_to(engine, asked)
    assert (refused.value.code, refused.value.param) == (code, param)


async def test_a_cancelled_call_leaves_the_queue(engine):
    big = [asyncio.create_task(answer_to(engine, call(["word " * 60] * 400))) for _ in range(3)]
    await asyncio.sleep(0.05)
    passes = engine.counters()["passes_total"]
    for task in big:
        task.cancel()
    await asyncio.gather(*big, return_exceptions=True)
    await answer_to(engine, call("hello"))
    assert engine.counters()["waiting_inputs"] == 0
    assert engine.counters()["passes_total"] - passes <= 3
    await engine.check_health()


async def test_what_was_computed_for_calls_that_left_is_theirs(engine):
    before = engine.counters()["prompt_tokens_total"]
    tallies = [Tally() for _ in range(24)]
    settled = [asyncio.Event() for _ in tallies]

    async def read(tally: Tally, number: int) -> None:
        async for _ in engine.stream(call(["word " * (1 + number % 40)] * (1 + number * 3)), (), tally):
            pass

    reading = [asyncio.create_task(read(tally, number)) for number, tally in enumerate(tallies)]
    for number, task in enumerate(reading):
        await asyncio.sleep(0.01 * (number % 3))
        if number % 4:
            task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    for tally, event in zip(tallies, settled, strict=True):
        tally.when_settled(event.set)
    async with asyncio.timeout(120):
        await asyncio.gather(*[event.wait() for event in settled])
    counted = engine.counters()["prompt_tokens_total"] - before
    assert sum(tally.prompt_tokens for tally in tallies) == counted > 0
