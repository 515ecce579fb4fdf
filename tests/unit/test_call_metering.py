"""A replica's calls on their way into the books: what ran is counted, to the token, however the call ended."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.books import KeptBooks
from fakes.engines import ScriptedEngine

from deployments.call_metering import CallMetering
from deployments.engines.echo import EchoEngine
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import DeadlineExceeded, EngineFailed, InvalidRequest
from serve.domain.generation import AdapterUse, CallContext, Completed, EventBatch, Metered, ModelCall, TextDelta
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.task import Task
from serve.domain.usage import (
    ENGINE_FAILED,
    REFUSED,
    HoldId,
    PriceId,
    Quantities,
    Tally,
    UsageId,
    UsageStatus,
    UsageSubject,
)
from serve.metering.journal.wire import subject_from_plain
from serve.metering.process import ProcessMetering
from serve.metering.subjects import said_of
from serve.serving.in_memory import InMemoryModels
from serve.settings import MeteringSettings

NUM_ABORTED = 10_000
COUNTERS = {
    "prompt_tokens": "prompt_tokens_total",
    "completion_tokens": "generation_tokens_total",
    "images": "images_total",
    "steps": "steps_total",
    "pixel_steps": "pixel_steps_total",
}


class Bench:
    """Engines in this process, their calls metered as a replica meters them."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.books = KeptBooks()
        self.ended: list[tuple[UsageStatus, Quantities]] = []
        made = MeteringSettings(**{"sync_ms": 1000, "ship_seconds": 0.05, **settings})
        self.metering = ProcessMetering(
            made, folder, "bench-1", SystemClock(), Uuid7Ids(), self.books, model="m", usage=True, witness=False
        )
        self.calls = CallMetering("m", self.metering.meter, lambda call, *told: self.ended.append(told[:2]))

    @property
    def total(self) -> Quantities:
        """Of all events."""
        return sum([event.quantities for event in self.books.events.values()], Quantities())

    def models(self, engine: Any) -> InMemoryModels:
        return InMemoryModels({"m": engine}, meters={"m": self.calls})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What was said in it is in the books after."""
        await self.metering.start()
        yield
        await self.metering.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def echo(**spec: Any) -> EchoEngine:
    return EchoEngine(EchoSpec.model_validate({"kind": "echo", **spec}))


def asked(number: int = 1, task: Task = Task.CHAT, stream: bool = True, **inputs: Any) -> ModelCall:
    context = CallContext(RequestId(f"r{number}"), TenantName("acme"), ProjectName("p"), KeyId("k"))
    if task is Task.CHAT:
        inputs = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4000, **inputs}
    return ModelCall(task, inputs, context, stream=stream)


def painted(number: int = 1, **inputs: Any) -> ModelCall:
    size = {"width": 64, "height": 64, "prompt": "a circle", "seed": 1, "steps": 20}
    return asked(number, Task.TEXT_TO_IMAGE, **(size | inputs))


async def abandon(stream: AsyncGenerator[Any, None], num_batches: int) -> None:
    """Read so many batches, and go."""
    async with aclosing(stream) as batches:
        for _ in range(num_batches):
            await anext(batches)


async def test_ten_thousand_aborted_streams_add_up_to_the_engines_own_counters(bench: Bench) -> None:
    dice, engine = random.Random(3), echo()
    models = bench.models(engine)

    async def some(numbers: range) -> None:
        for number in numbers:
            call = asked(number, n=dice.choice((1, 1, 2)), max_tokens=dice.choice((1500, 4000)))
            await abandon(models.call("m", call), dice.randrange(3))

    async with bench.running():
        await asyncio.gather(*[some(range(first, NUM_ABORTED, 20)) for first in range(20)])
    counters, total = engine.counters(), bench.total
    assert {unit: getattr(total, unit) for unit in COUNTERS} == {u: counters[name] for u, name in COUNTERS.items()}
    assert counters["aborted"] == len([1 for event in bench.books.events.values() if event.quantities != Quantities()])
    assert {event.status for event in bench.books.events.values()} == {UsageStatus.CANCELED}
    assert total.completion_tokens > 1_000_000
    assert [usage for _, usage in bench.ended] == [e.quantities for e in bench.books.events.values()]


async def test_pictures_that_nobody_waits_for_count_the_steps_that_they_made(bench: Bench) -> None:
    engine = echo(step_ms=0)
    models = bench.models(engine)
    async with bench.running():
        for number in range(1, 20):
            await abandon(models.call("m", painted(number, num_images=2)), number)
    counters, total = engine.counters(), bench.total
    assert {unit: getattr(total, unit) for unit in COUNTERS} == {u: counters[name] for u, name in COUNTERS.items()}
    assert total.steps == 2 * sum(range(1, 20)), "a batch is a step of both images"


async def test_a_whole_answer_says_what_the_books_say(bench: Bench) -> None:
    async with bench.running():
        events = [event async for batch in bench.models(echo()).call("m", asked(max_tokens=9)) for event in batch]
    (event,) = bench.books.events.values()
    assert isinstance(events[-1], Completed)
    assert events[-1].usage == event.quantities == Quantities(prompt_tokens=3, completion_tokens=9)
    assert (event.status, event.billable, event.id) == (UsageStatus.SUCCEEDED, True, "r1:1")


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_written_down_is_told_on_the_way(tmp_path: Path, stream: bool) -> None:
    bench = Bench(tmp_path, checkpoint_tokens=100)
    told: list[Quantities] = []
    async with bench.running(), aclosing(bench.models(echo(token_ms=1)).call("m", asked(stream=stream))) as batches:
        async for batch in batches:
            told += [event.usage for event in batch if isinstance(event, Metered)]
            if len(told) == (3 if stream else 1):
                break
    numbers = [usage.completion_tokens for usage in told]
    assert numbers == sorted(numbers)
    assert numbers[0] >= (97 if stream else 500), "alone it goes out after a second"
    assert bench.total.completion_tokens >= numbers[-1]


FAILURES: list[tuple[str, Sequence[Any], tuple[UsageStatus, bool, str | None]]] = [
    ("refused", [InvalidRequest("no")], (UsageStatus.FAILED, False, REFUSED)),
    ("broken", [[TextDelta("a")], RuntimeError("bug")], (UsageStatus.FAILED, False, ENGINE_FAILED)),
    ("dead", [EngineFailed("dead")], (UsageStatus.FAILED, False, ENGINE_FAILED)),
    ("overdue", [[TextDelta("a")], DeadlineExceeded("late")], (UsageStatus.CANCELED, True, None)),
    ("half", [[TextDelta("a")]], (UsageStatus.FAILED, False, ENGINE_FAILED)),
]


@pytest.mark.parametrize(("script", "expected"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
async def test_how_it_ended_decides_who_pays(
    bench: Bench, script: Sequence[Any], expected: tuple[UsageStatus, bool, str | None]
) -> None:
    async with bench.running():
        with suppress(Exception):
            async for _ in bench.models(ScriptedEngine(*script)).call("m", asked()):
                pass
    (event,) = bench.books.events.values()
    assert (event.status, event.billable, event.reason) == expected


async def test_work_that_outlives_its_reader_is_counted_when_it_is_done(bench: Bench) -> None:
    kept: list[Tally] = []

    async def working(tally: Tally) -> AsyncGenerator[EventBatch, None]:
        tally.keep_open()
        kept.append(tally)
        tally.steps += 1
        yield [TextDelta("a")]

    async with bench.running():
        await abandon(bench.calls.metered(asked(), working), 1)
        kept[0].steps += 1
        await asyncio.to_thread(kept[0].settle)
    (event,) = bench.books.events.values()
    assert event.quantities.steps == 2


REFUSALS: list[tuple[str, ModelCall, str]] = [
    ("chat", asked(), "messages"),
    ("completion", asked(task=Task.COMPLETION, prompt=["one two", "three"]), "prompt"),
    ("embedding", asked(task=Task.EMBEDDING, input=["one two", "three"]), "input"),
    ("picture", painted(prompt="one two three"), "prompt"),
]


@pytest.mark.parametrize(("call", "param"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
async def test_a_prompt_over_its_reservation_is_refused_and_counts_nothing(call: ModelCall, param: str) -> None:
    engine, tally = echo(), Tally()
    call = replace(call, context=replace(call.context, max_prompt_tokens=2))
    with pytest.raises(InvalidRequest) as refused:
        await anext(engine.stream(call, (), tally))
    assert (refused.value.code, refused.value.param) == ("prompt_over_reservation", param)
    assert tally.quantities() == Quantities()
    assert engine.counters()["prompt_tokens_total"] == 0
    call = replace(call, context=replace(call.context, max_prompt_tokens=3))
    await abandon(engine.stream(call, (), tally), 1)
    assert tally.prompt_tokens == 3


def test_what_an_opening_record_says_is_whose_call_it_is() -> None:
    context = CallContext(
        *(RequestId("r"), TenantName("acme"), ProjectName("p"), KeyId("k"), 3, RunId("run"), "node", 1),
        **{
            "submission": 2,
            "workflow": "w@1",
            "tags": (("team", "red"),),
            "admitted_ms": 7,
            "price": PriceId("sha256:a"),
        },
        **{"hold": HoldId("lease"), "reserved_nano": 9},
    )
    call = ModelCall(Task.CHAT, {}, context, (AdapterUse("acme/a@sha256:1", 0.5),))
    assert subject_from_plain(orjson.loads(said_of("m", call))) == UsageSubject(
        id=UsageId("r/node:3.2"),
        request_id=RequestId("r"),
        tenant=TenantName("acme"),
        project=ProjectName("p"),
        key_id=KeyId("k"),
        model="m",
        task="chat",
        admitted_ms=7,
        adapters=("acme/a@sha256:1",),
        run_id=RunId("run"),
        workflow="w@1",
        node="node",
        tags=(("team", "red"),),
        price=PriceId("sha256:a"),
        hold=HoldId("lease"),
        reserved_nano=9,
    )


async def test_a_strict_answer_ends_when_it_is_on_the_disk(tmp_path: Path) -> None:
    bench, synced = Bench(tmp_path, durability="strict"), asyncio.Event()
    strict = CallMetering("m", bench.metering.meter, lambda *_: None, synced.wait)
    begin: Callable[[Tally], Any] = lambda tally: echo().stream(asked(max_tokens=1), (), tally)  # noqa: E731 - one argument of many
    async with bench.running(), aclosing(strict.metered(asked(), begin)) as stream:
        assert isinstance((await anext(stream))[0], TextDelta)
        last = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.02)
        assert not last.done()
        synced.set()
        assert isinstance((await last)[-1], Completed)
