"""Following a run from any process: its events as they are written, and its end.

The table is asked, since the writer may be anywhere: every 30 ms while there is news, and ever less often, down to
every 500 ms, while there is none.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from serve.domain.errors import NotFound
from serve.domain.names import RunId, TenantName
from serve.domain.run import Run, RunEvent
from serve.runs.lifecycle import TERMINAL_EVENTS
from serve.runs.store import RunStore

_BUSY_SECONDS = 0.03
_IDLE_SECONDS = 0.5
_SLOWING = 1.5
"""Each fruitless question waits this much longer than the one before."""
_PATIENCE = 0.05
"""`wait` asks again after this share of the time waited so far: an end is seen at most 5 % late."""


async def follow_together(
    store: RunStore, tenant: TenantName, run_id: RunId, after_seq: int = 0
) -> AsyncGenerator[Sequence[RunEvent], None]:
    """Events with a seq over `after_seq`, as they come, those together that were found together; ends after the
    terminal one, or when the run is deleted.

    Raises:
        NotFound: before the first event, when there is no such run of this tenant.
    """
    pause = _BUSY_SECONDS
    status, num_events = await store.progress(tenant, run_id)
    while True:
        events = await store.events(run_id, after_seq) if num_events > after_seq else ()
        if events:
            yield events
            after_seq = events[-1].seq
            if events[-1].kind in TERMINAL_EVENTS:
                return
        elif status.is_terminal:
            return
        pause = _BUSY_SECONDS if events else min(_IDLE_SECONDS, pause * _SLOWING)
        await asyncio.sleep(pause)
        try:
            status, num_events = await store.progress(tenant, run_id)
        except NotFound:
            return


async def follow(
    store: RunStore, tenant: TenantName, run_id: RunId, after_seq: int = 0
) -> AsyncGenerator[RunEvent, None]:
    """The same, one by one."""
    async with aclosing(follow_together(store, tenant, run_id, after_seq)) as together:
        async for some in together:
            for event in some:
                yield event


async def wait(store: RunStore, tenant: TenantName, run_id: RunId, seconds: float) -> Run:
    """The run when it has ended, or as it is after `seconds`. Raises NotFound."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not (await store.progress(tenant, run_id))[0].is_terminal:
        waited = loop.time() - began
        if waited >= seconds:
            break
        pause = min(_IDLE_SECONDS, max(_BUSY_SECONDS, _PATIENCE * waited))
        await asyncio.sleep(min(pause, seconds - waited))
    return await store.get(tenant, run_id)
