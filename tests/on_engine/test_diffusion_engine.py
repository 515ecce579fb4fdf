"""The diffusion engine as replicas use it: events, usage, leaving early, bad luck."""

import asyncio
import io
import threading
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from fakes.diffusion_models import tiny_sd, tiny_sd_inpaint
from PIL import Image

from deployments.engines.diffusion import canvas, memory
from deployments.engines.diffusion.batch import Batch
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.decoding import InlineDecoder
from deployments.engines.diffusion.front import DiffusionEngine
from deployments.engines.diffusion.lanes import MAX_LANES, Lanes
from deployments.engines.diffusion.latents import PreviewMap
from deployments.engines.diffusion.slot import LaneKey
from deployments.engines.engine import Produced
from serve.domain.documents import DiffusionEngine as DiffusionSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import CallContext, Completed, Event, ModelCall, Preview, Progress
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.media.metadata import read_metadata

SPEC = DiffusionSpec(kind="diffusion", max_rows=4)


def call(task: Task = Task.TEXT_TO_IMAGE, stream: bool = True, **inputs: Any) -> ModelCall:
    context = CallContext(RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k"))
    size = {"width": 64, "height": 64} if task is Task.TEXT_TO_IMAGE else {}
    return ModelCall(task, {"prompt": "a red circle", "steps": 4, "seed": 1, **size, **inputs}, context, (), stream)


async def events_of(engine: DiffusionEngine, asked: ModelCall) -> list[Event | Produced]:
    return [event async for batch in engine.stream(asked) for event in batch]


def pixels_of(produced: Produced) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(produced.data)))


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DiffusionEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = DiffusionEngine(SPEC, tiny_sd(tmp_path_factory.mktemp("sd")), "tiny", 0)
    await made.start()
    yield made
    await made.close()
    torch.set_num_threads(threads)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_call_tells_its_progress_its_pictures_and_what_it_used(engine: DiffusionEngine) -> None:
    events = await events_of(engine, call(num_images=2, previews=2))
    produced = [event for event in events if isinstance(event, Produced)]
    assert [(p.index, p.media_type, p.width, p.height) for p in produced] == [
        (0, "image/png", 64, 64),
        (1, "image/png", 64, 64),
    ]
    assert all(pixels_of(p).shape == (64, 64, 3) for p in produced)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    assert (progress[-1].done, progress[-1].total) == (8, 8)
    assert sum(isinstance(event, Preview) for event in events) == 4
    completed = events[-1]
    assert isinstance(completed, Completed)
    assert completed.usage.nonzero() == {
        "prompt_tokens": 3,
        "images": 2,
        "pixels": 2 * 64 * 64,
        "steps": 2 * 4,
        "pixel_steps": 2 * 64 * 64 * 4,
    }
    assert set(completed.timing) == {"wait", "denoise", "decode"}


async def test_without_a_stream_there_is_only_the_result(engine: DiffusionEngine) -> None:
    events = await events_of(engine, call(stream=False, previews=2))
    assert [type(event) for event in events] == [Produced, Completed]


async def test_image_i_of_a_call_is_the_image_of_seed_plus_i(engine: DiffusionEngine) -> None:
    several = [e for e in await events_of(engine, call(num_images=3, seed=7)) if isinstance(e, Produced)]
    alone = [e for e in await events_of(engine, call(seed=9)) if isinstance(e, Produced)]
    third = next(p for p in several if p.index == 2)
    assert np.abs(pixels_of(third).astype(int) - pixels_of(alone[0]).astype(int)).max() <= 1


@pytest.mark.parametrize(("format", "signature"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF")])
async def test_a_file_says_how_it_was_made_unless_it_must_not(
    engine: DiffusionEngine, format: str, signature: bytes
) -> None:
    (told, _) = (e for e in await events_of(engine, call(stream=False, output_format=format, sampler="ddim", seed=5)))
    assert isinstance(told, Produced)
    assert told.data.startswith(signature)
    first, *others = read_metadata(told.data)["parameters"].splitlines()
    assert first == "a red circle"
    assert others == ["Steps: 4, Sampler: ddim, CFG scale: 7.5, Seed: 5, Size: 64x64, Model: tiny, Version: slipway"]
    silent = (await events_of(engine, call(stream=False, output_format=format, metadata=False)))[0]
    assert isinstance(silent, Produced)
    assert read_metadata(silent.data) == {}


async def test_canceling_one_of_eight_leaves_the_others_as_they_are(engine: DiffusionEngine) -> None:
    calls = [call(seed=seed, steps=12, stream=True) for seed in range(8)]
    expected = [(await events_of(engine, each))[-2] for each in calls]
    before = engine.counters()

    async def left_early(asked: ModelCall) -> None:
        stream = engine.stream(asked)
        await anext(stream)
        await stream.aclose()

    results = await asyncio.gather(left_early(calls[0]), *(events_of(engine, each) for each in calls[1:]))
    for made, wanted in zip(results[1:], expected[1:], strict=True):
        assert made is not None
        produced = next(e for e in made if isinstance(e, Produced))
        assert isinstance(wanted, Produced)
        assert np.abs(pixels_of(produced).astype(int) - pixels_of(wanted).astype(int)).max() <= 1
    after = engine.counters()
    assert after["aborted"] - before["aborted"] == 1
    assert after["finished"] - before["finished"] == 7
    assert after["steps_total"] - before["steps_total"] < 8 * 12
    assert after["running"] == 0


async def stepping(engine: DiffusionEngine) -> None:
    """Wait until it has made another step."""
    before = engine.counters()["steps_total"]
    async with asyncio.timeout(60):
        while engine.counters()["steps_total"] == before:
            await asyncio.sleep(0.001)


async def test_short_work_overtakes_long_work(engine: DiffusionEngine) -> None:
    ended: dict[str, float] = {}

    async def timed(name: str, asked: ModelCall) -> None:
        await events_of(engine, asked)
        ended[name] = time.monotonic()

    long = [timed(f"long{i}", call(steps=60, seed=i)) for i in range(4)]
    tasks = [asyncio.ensure_future(each) for each in long]
    await stepping(engine)
    tasks.append(asyncio.ensure_future(timed("short", call(steps=2))))
    await asyncio.gather(*tasks)
    assert ended["short"] == min(ended.values())


async def test_steps_that_a_sampler_cannot_make_are_refused(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest, match="lcm") as caught:
        await events_of(engine, call(sampler="lcm", steps=120))
    assert caught.value.param == "steps"


async def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    small = DiffusionEngine(SPEC.model_copy(update={"max_pixels": 64 * 64}), tiny_sd(tmp_path), "small", 0)
    await small.start()
    with pytest.raises(InvalidRequest, match="4096"):
        await events_of(small, call(width=72))
    await small.close()


SOURCE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


async def test_inpainting_leaves_what_the_mask_does_not_cover(engine: DiffusionEngine) -> None:
    mask = np.zeros(SOURCE.shape[:2], np.uint8)
    mask[20:60, 30:80] = 255
    events = await events_of(engine, call(Task.IMAGE_TO_IMAGE, image=png(SOURCE), mask=png(mask), strength=1.0))
    (produced,) = (event for event in events if isinstance(event, Produced))
    painted = pixels_of(produced)
    assert painted.shape == SOURCE.shape
    assert (painted[mask == 0] == SOURCE[mask == 0]).all()
    assert (painted[mask == 255] != SOURCE[mask == 255]).mean() > 0.9
    usage = events[-1].usage
    assert usage.input_images == 2
    assert usage.pixels == 70 * 90


async def test_outpainting_keeps_the_picture_in_its_place(engine: DiffusionEngine) -> None:
    events = await events_of(
        engine, call(Task.IMAGE_TO_IMAGE, image=png(SOURCE), strength=1.0, outpaint_left=16, outpaint_bottom=8)
    )
    (produced,) = (event for event in events if isinstance(event, Produced))
    painted = pixels_of(produced)
    assert painted.shape == (78, 106, 3)
    # Sixteen pixels along the new sides belong to the seam.
    assert (painted[:50, 36:] == SOURCE[:50, 20:]).all()


async def test_a_model_with_nine_channels_paints_under_the_mask(tmp_path: Path) -> None:
    engine = DiffusionEngine(SPEC, tiny_sd_inpaint(tmp_path), "inpaint", 0)
    await engine.start()
    mask = np.zeros(SOURCE.shape[:2], np.uint8)
    mask[20:60, 30:80] = 255
    events = await events_of(engine, call(Task.IMAGE_TO_IMAGE, image=png(SOURCE), mask=png(mask), strength=0.9))
    painted = pixels_of(next(event for event in events if isinstance(event, Produced)))
    assert (painted[mask == 0] == SOURCE[mask == 0]).all()
    await engine.close()


async def test_out_of_memory_fails_its_lane_and_nothing_after_it(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Batch.step

    def full(batch: Batch) -> None:
        if batch.num_rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(batch)

    before = engine.counters()["shed_total"]
    with monkeypatch.context() as patched:
        patched.setattr(Batch, "step", full)
        results = await asyncio.gather(
            *(events_of(engine, call(seed=seed, steps=40, width=96)) for seed in range(3)), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, EngineFailed)]
        assert failed
        assert {error.code for error in failed} == {"out_of_memory"}
        # The lane has halved its batches, so what comes now fits.
        again = await asyncio.gather(*(events_of(engine, call(seed=seed, width=96)) for seed in range(3)))
    assert all(isinstance(events[-1], Completed) for events in again)
    assert engine.counters()["shed_total"] == before + 1
    await engine.check_health()


async def test_memory_is_given_back_when_nothing_holds_the_failed_step_any_more(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[weakref.ref[torch.Tensor]] = []
    was_held: list[bool] = []

    def full(batch: Batch) -> None:
        activations = torch.zeros(1)
        steps.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(memory, "release", lambda: was_held.append(steps[-1]() is not None))
        patched.setattr(Batch, "step", full)
        with pytest.raises(EngineFailed):
            await events_of(engine, call(width=104))
        async with asyncio.timeout(60):
            while not was_held:
                await asyncio.sleep(0.01)
    assert was_held == [False]


async def test_an_image_does_without_previews_that_cannot_be_made(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(previews: PreviewMap, latents: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PreviewMap, "render", full)
    events = await events_of(engine, call(previews=2))
    assert isinstance(events[-1], Completed)
    assert not any(isinstance(event, Preview) for event in events)


async def test_a_call_that_leaves_while_its_images_are_begun_begins_no_more_of_them(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_begun, has_left, num_begun, prepare = threading.Event(), threading.Event(), [0], canvas.prepare

    def slow(*given: Any) -> canvas.Canvas:
        num_begun[0] += 1
        is_begun.set()
        has_left.wait(60)
        return prepare(*given)

    with monkeypatch.context() as patched:
        patched.setattr(canvas, "prepare", slow)
        leaving = asyncio.ensure_future(events_of(engine, call(num_images=8)))
        await asyncio.to_thread(is_begun.wait, 5)
        leaving.cancel()
        await asyncio.wait({leaving})
        has_left.set()
        await events_of(engine, call(steps=1))
    assert num_begun[0] == 2


async def test_an_engine_without_its_decoder_is_not_well(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InlineDecoder, "is_alive", False)
    with pytest.raises(EngineFailed, match="ended"):
        await engine.check_health()


async def test_shapes_that_nobody_paints_any_more_are_forgotten() -> None:
    lanes = Lanes(StepTimes({1: 1.0}), LaneKey(8, 8, 77), None)
    for height in range(3 * MAX_LANES):
        lanes.lane(LaneKey(height, 8, 77))
    assert len(lanes._lanes) <= MAX_LANES


async def test_a_broken_step_fails_its_own_images_and_the_engine_goes_on(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(batch: Batch) -> None:
        raise ValueError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "step", broken)
        with pytest.raises(EngineFailed, match="failed on this call"):
            await events_of(engine, call())
    assert isinstance((await events_of(engine, call()))[-1], Completed)


async def test_closing_fails_what_runs(tmp_path: Path) -> None:
    engine = DiffusionEngine(SPEC, tiny_sd(tmp_path), "closing", 0)
    await engine.start()
    running = asyncio.ensure_future(events_of(engine, call(steps=150)))
    await stepping(engine)
    await engine.close()
    with pytest.raises(EngineFailed, match="stopped"):
        await running
    with pytest.raises(EngineFailed, match="ended"):
        await engine.check_health()
