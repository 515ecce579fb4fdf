"""A runner dies without a word; another takes over what it had. On SQLite and on PostgreSQL."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from fakes.models import ScriptedModels, says
from fakes.runs import Outputs, kinds, made, num_endings

from serve.clock import SystemClock
from serve.domain.names import RunId
from serve.domain.run import RunEventKind
from serve.runs.events import wait
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records

TESTS = Path(__file__).parents[1]


async def half_said(store: RunStore, run_id: RunId) -> None:
    while RunEventKind.OUTPUT not in await kinds(store, run_id):
        await asyncio.sleep(0.05)


async def test_a_killed_runners_runs_are_finished_by_another_once_each(database: Records, database_url: str) -> None:
    settings = RunsSettings(lease_seconds=1, poll_seconds=0.05)
    store = RunStore(database, SystemClock(), settings)
    running = [await made(store) for _ in range(2)]
    queued = await made(store)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fakes.runner_process", database_url),
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    try:
        async with asyncio.timeout(120):
            for run in running:
                await half_said(store, run.id)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()

    models = ScriptedModels(lambda call: says("whole"))
    runner = Runner(store, models, SystemClock(), owner="heir", settings=settings, max_concurrency=4, outputs=Outputs())
    await runner.start()
    for run in (*running, queued):
        ended = await wait(store, run.tenant, run.id, 60)
        assert ended.outputs is not None
        assert ended.outputs["text"] == "whole"
        assert await num_endings(database, run.id) == 1
    await runner.stop()
    assert sorted(call.context.attempt for call in models.calls) == [1, 2, 2]
    assert await kinds(store, running[0].id) == [
        *("queued", "started", "output"),
        *("queued", "started", "output", "succeeded"),
    ]
