"""Batches: when they are taken, and how several streams become one."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.engines.coalescing import Pace, breathing, merged


class Stream:
    """Counts up, and knows whether it was closed."""

    def __init__(self, name: str, num_items: int, error_at: int | None = None, pause: float = 0) -> None:
        self.name, self.num_items, self.error_at, self.pause = name, num_items, error_at, pause
        self.closed = False

    async def items(self) -> AsyncGenerator[tuple[str, int], None]:
        try:
            for i in range(self.num_items):
                await asyncio.sleep(self.pause)
                if i == self.error_at:
                    raise ValueError(self.name)
                yield self.name, i
        finally:
            self.closed = True


@pytest.mark.parametrize("num_streams", [1, 2, 7])
async def test_every_item_comes_once_and_in_its_streams_order(num_streams):
    streams = [Stream(str(s), 5 * s) for s in range(num_streams)]
    found = [item async for item in merged([stream.items() for stream in streams])]
    for stream in streams:
        assert [i for name, i in found if name == stream.name] == list(range(stream.num_items))


@pytest.mark.parametrize("num_streams", [1, 3])
async def test_closing_closes_every_stream_and_leaves_no_task(num_streams):
    streams = [Stream(str(s), 1000) for s in range(num_streams)]
    tasks_before = asyncio.all_tasks()
    together = merged([stream.items() for stream in streams])
    for _ in range(num_streams * 2):
        await anext(together)
    await together.aclose()
    assert all(stream.closed for stream in streams)
    assert asyncio.all_tasks() == tasks_before


async def test_a_stream_that_takes_its_time_breathes_and_loses_nothing():
    stream = Stream("a", 3, pause=0.05)
    found = [item async for item in breathing(stream.items(), 0.02)]
    assert [item for item in found if item is not None] == [("a", 0), ("a", 1), ("a", 2)]
    assert found.count(None) >= 3


@pytest.mark.parametrize("num_items", [1, 3])
async def test_closing_what_breathes_closes_its_stream(num_items):
    stream, tasks_before = Stream("a", 1000, pause=0.02), asyncio.all_tasks()
    breaths = breathing(stream.items(), 0.015)
    for _ in range(num_items):
        await anext(breaths)
    await breaths.aclose()
    assert stream.closed
    assert asyncio.all_tasks() == tasks_before


async def test_an_error_while_breathing_is_told():
    with pytest.raises(ValueError, match="a"):
        async for _ in breathing(Stream("a", 9, error_at=2).items(), 1):
            pass


async def test_an_error_in_one_ends_all():
    streams = [Stream("a", 10_000, pause=0.001), Stream("b", 5, error_at=3)]
    with pytest.raises(ValueError, match="b"):
        async for _ in merged([stream.items() for stream in streams]):
            pass
    assert all(stream.closed for stream in streams)


async def test_a_slow_reader_holds_the_streams_back():
    streams = [Stream(str(s), 10_000) for s in range(2)]
    together = merged([stream.items() for stream in streams])
    await anext(together)
    await asyncio.sleep(0.05)
    names = [(await anext(together))[1] for _ in range(6)]
    assert max(names) <= 6
    await together.aclose()


def test_the_first_batch_goes_at_once_and_later_ones_wait_out_the_window():
    now = [100.0]
    pace = Pace(0.004, lambda: now[0])
    assert pace.remaining_seconds() == 0
    pace.sent()
    now[0] += 0.001
    assert pace.remaining_seconds() == pytest.approx(0.003)
    now[0] += 1
    assert pace.remaining_seconds() == 0
