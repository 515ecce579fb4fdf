"""What is ready together goes together: messages cost, events hardly do.

vLLM's collector already joins the outputs that a slow reader has not taken yet. So coalescing is a matter of when to
take: `Pace` says how long to wait, and several prompts of one call are merged by `merged`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

BREATH_SECONDS = 1.0
"""How often work that has nothing to tell says that it goes on."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """One of the merged streams is over; with an error, all of them."""

    error: Exception | None


class Pace:
    """Spaces the batches of one stream, so that tokens arriving faster than `window_seconds` share a message.

    The first batch never waits. A consumer that needs longer than the window for a batch never waits either: what
    came in meanwhile is there already.
    """

    def __init__(self, window_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._window_seconds = window_seconds
        self._monotonic = monotonic
        self._sent_at: float | None = None

    def sent(self) -> None:
        """A batch is about to be handed over."""
        self._sent_at = self._monotonic()

    def remaining_seconds(self) -> float:
        """How long to wait before taking what is ready next."""
        if self._sent_at is None:
            return 0.0
        return max(0.0, self._sent_at + self._window_seconds - self._monotonic())

    async def wait(self) -> None:
        """Wait that long, and give way to others in any case: a consumer that never waits starves the loop."""
        await asyncio.sleep(self.remaining_seconds())


async def merged(streams: Sequence[AsyncGenerator[Item, None]]) -> AsyncGenerator[Item, None]:
    """The items of all `streams` as they come. Closing it, or an error in one, closes all of them first."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as only:
            async for alone in only:
                yield alone
        return
    ready: asyncio.Queue[Item | _Ended] = asyncio.Queue(maxsize=len(streams))
    pumps = [asyncio.create_task(_pump(stream, ready)) for stream in streams]
    try:
        num_open = len(streams)
        while num_open:
            item = await ready.get()
            if not isinstance(item, _Ended):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                num_open -= 1
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def breathing(stream: AsyncGenerator[Item, None], seconds: float) -> AsyncGenerator[Item | None, None]:
    """The items of `stream`, and None whenever none has come for `seconds`. Closing it closes `stream`."""
    following: asyncio.Task[Item] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(stream))
            if not (await asyncio.wait({following}, timeout=seconds))[0]:
                yield None
                continue
            ended, following = following, None
            try:
                item = ended.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()


async def _pump(stream: AsyncGenerator[Item, None], ready: "asyncio.Queue[Item | _Ended]") -> None:
    try:
        async with aclosing(stream) as items:
            async for item in items:
                await ready.put(item)
    except Exception as error:
        await ready.put(_Ended(error))
    else:
        await ready.put(_Ended(None))
