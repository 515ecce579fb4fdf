"""Every step that the diffusion engine made is some call's, whoever waited for it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from fakes.diffusion_models import tiny_sd

from deployments.engines.diffusion.front import DiffusionEngine
from serve.domain.documents import DiffusionEngine as DiffusionSpec
from serve.domain.errors import InvalidRequest
from serve.domain.generation import CallContext, Completed, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import Quantities, Tally
from serve.media import images

NUM_CALLS = 40
COUNTERS = {
    "prompt_tokens": "prompt_tokens_total",
    "images": "images_total",
    "steps": "steps_total",
    "pixel_steps": "pixel_steps_total",
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DiffusionEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tiny_sd(tmp_path_factory.mktemp("sd"))
    made = DiffusionEngine(DiffusionSpec(kind="diffusion", max_rows=8), folder, "tiny", 0)
    await made.start()
    yield made
    await made.close()
    torch.set_num_threads(threads)


def asked(task: Task = Task.TEXT_TO_IMAGE, max_prompt_tokens: int | None = None, **inputs: Any) -> ModelCall:
    context = CallContext(
        RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k"), max_prompt_tokens=max_prompt_tokens
    )
    size = {"width": 64, "height": 64} if task is Task.TEXT_TO_IMAGE else {}
    return ModelCall(task, {"prompt": "a red circle", "steps": 6, "seed": 1, **size, **inputs}, context)


def counted(engine: DiffusionEngine) -> dict[str, float]:
    counters = engine.counters()
    return {unit: counters[name] for unit, name in COUNTERS.items()}


def since(engine: DiffusionEngine, before: dict[str, float]) -> dict[str, float]:
    return {unit: number - before[unit] for unit, number in counted(engine).items()}


async def settled(tally: Tally) -> Quantities:
    """What was counted once nothing more will be."""
    over, post = asyncio.Event(), asyncio.get_running_loop().call_soon_threadsafe
    tally.when_settled(lambda: post(over.set))
    async with asyncio.timeout(120):
        await over.wait()
    return tally.quantities()


async def left_early(engine: DiffusionEngine, call: ModelCall, seconds: float) -> Quantities:
    """The tally of a call whose caller is cancelled after so long, if it runs that long."""
    tally = Tally()

    async def read() -> None:
        async for _ in engine.stream(call, (), tally):
            pass

    reading = asyncio.create_task(read())
    await asyncio.wait({reading}, timeout=seconds)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return await settled(tally)


async def test_calls_left_at_random_steps_add_up_to_the_engines_own_counters(engine: DiffusionEngine) -> None:
    dice, before = random.Random(2), counted(engine)
    calls = [
        asked(steps=dice.randrange(2, 12), num_images=dice.randrange(1, 4), width=dice.choice((64, 128)))
        for _ in range(NUM_CALLS)
    ]
    consumed = await asyncio.gather(*[left_early(engine, call, dice.expovariate(1.5)) for call in calls])
    total = sum(consumed, Quantities())
    assert {unit: getattr(total, unit) for unit in COUNTERS} == since(engine, before)
    whole = [call.inputs["steps"] * call.inputs["num_images"] for call in calls]
    assert any(0 < each.steps < most for each, most in zip(consumed, whole, strict=True)), "some left in the middle"
    assert any(each.steps == most for each, most in zip(consumed, whole, strict=True)), "some stayed"
    assert total.pixels <= total.images * 128 * 64
    assert engine.counters()["running"] == 0


async def test_a_whole_answer_says_what_was_tallied(engine: DiffusionEngine) -> None:
    before, tally = counted(engine), Tally()
    picture = images.encode_preview(np.full((60, 70, 3), 9, np.uint8))
    call = asked(Task.IMAGE_TO_IMAGE, image=picture, outpaint_left=2, strength=0.5, num_images=2)
    events = [event async for batch in engine.stream(call, (), tally) for event in batch]
    completed = events[-1]
    assert isinstance(completed, Completed)
    assert completed.usage == tally.quantities() == await settled(tally)
    assert {unit: getattr(completed.usage, unit) for unit in COUNTERS} == since(engine, before)
    assert (completed.usage.images, completed.usage.pixels) == (2, 2 * 72 * 60), "of the result"
    assert (completed.usage.steps, completed.usage.pixel_steps) == (2 * 3, 2 * 3 * 72 * 64), "of the size worked in"
    assert completed.usage.input_images == 1


async def test_a_prompt_over_its_reservation_is_refused_and_counts_nothing(engine: DiffusionEngine) -> None:
    before, tally = counted(engine), Tally()
    with pytest.raises(InvalidRequest) as refused:
        async for _ in engine.stream(asked(max_prompt_tokens=2), (), tally):
            pass
    assert (refused.value.code, refused.value.param) == ("prompt_over_reservation", "prompt")
    assert await settled(tally) == Quantities()
    assert set(since(engine, before).values()) == {0}


async def test_closing_the_engine_settles_what_ran(tmp_path: Path) -> None:
    made, tally = DiffusionEngine(DiffusionSpec(kind="diffusion"), tiny_sd(tmp_path), "tiny", 0), Tally()
    await made.start()
    stream = made.stream(asked(steps=150), (), tally)
    await anext(stream)
    await made.close()
    await stream.aclose()
    assert (await settled(tally)).steps == made.counters()["steps_total"] > 0
