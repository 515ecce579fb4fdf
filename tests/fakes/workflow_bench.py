"""Runners of workflows on a database, and models that know who paid."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fakes.models import Script, ScriptedModels, completed
from fakes.runs import SETTINGS, Outputs
from fakes.workflow_runs import PRICE
from sqlalchemy import update

from serve.clock import SystemClock
from serve.domain.errors import ReplicaLost
from serve.domain.generation import EventBatch, ModelCall, TextDelta, Verdict
from serve.domain.names import TenantName
from serve.domain.ports import Models
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.domain.serving import ModelStatus
from serve.domain.steps import Step, WorkflowExecution
from serve.domain.usage import Quantities
from serve.runs.events import wait
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

ACME = TenantName("acme")


def label_of(call: ModelCall) -> str:
    """The step that a call is of."""
    return str(call.context.step)


async def costs(run: Run) -> Callable[[Quantities], int | None]:
    """A nano-dollar for every token of a run at PRICE."""
    return lambda used: used.prompt_tokens + used.completion_tokens if run.price == PRICE else None


class Bench:
    """A store, and runners of workflows on it."""

    def __init__(self, records: Records, settings: RunsSettings = SETTINGS) -> None:
        self.settings = settings
        self.store = RunStore(records, SystemClock(), settings)
        self.outputs = Outputs()
        self.watched: list[Step] = []

    def runner(self, execution: WorkflowExecution | None, models: Models, owner: str = "r1") -> Runner:
        return Runner(
            self.store,
            models,
            SystemClock(),
            owner=owner,
            settings=self.settings,
            max_concurrency=4,
            outputs=self.outputs,
            costs=costs,
            workflows=execution,
            watch=self.watched.append,
        )

    @asynccontextmanager
    async def running(
        self, execution: WorkflowExecution | None, script: Script, owner: str = "r1"
    ) -> AsyncIterator[ScriptedModels]:
        models = ScriptedModels(script)
        runner = self.runner(execution, models, owner)
        await runner.start()
        try:
            yield models
        finally:
            await runner.stop()

    async def ended(self, run: Run, seconds: float = 60.0) -> Run:
        found = await wait(self.store, run.tenant, run.id, seconds)
        assert found.status.is_terminal, found.status
        return found

    async def steps(self, run: Run) -> dict[str, Step]:
        return {step.label: step for step in await self.store.steps(ACME, run.id)}

    async def told(self, run: Run, kind: RunEventKind) -> list[dict[str, object]]:
        return [event.data for event in await self.store.events(run.id, limit=20_000) if event.kind == kind]

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.005)

    async def is_stored(self, run: Run, label: str) -> bool:
        return (found := (await self.steps(run)).get(label)) is not None and found.status.is_done


async def steal(records: Records, run: Run) -> None:
    """As if its runner had been silent for a lease: it is queued again, under another fence."""
    lost = {"status": RunStatus.QUEUED, "fence": runs.c.fence + 1, "lease_owner": None, "lease_expires_ms": None}
    async with records.write() as connection:
        mine = (runs.c.id == run.id, runs.c.status == RunStatus.RUNNING)
        await connection.execute(update(runs).where(*mine).values(lost))


def said_to(inputs: Mapping[str, Any]) -> str:
    """What they answer to these inputs."""
    message = inputs["messages"][-1]
    return f"{message['content'] if isinstance(message, dict) else message}+"


class Tills:
    """Models of whose calls it is known who paid: `charged` are the usage ids of answers that were delivered whole.

    They take a while by chance, and lose a replica now and then; what they say depends on what they are asked alone.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.charged: list[str] = []
        self.begun: list[str] = []

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        assert verdict is not None
        self.begun.append(call.context.usage_id)
        is_whole = False
        try:
            await asyncio.sleep(self.chance.uniform(0, 0.05))
            if self.chance.random() < 0.1:
                raise ReplicaLost("gone")
            is_whole = True
            yield [TextDelta(said_to(call.inputs)), *completed()]
        finally:
            if is_whole and not verdict.platform_retry:
                self.charged.append(call.context.usage_id)

    async def counters(self, model: str) -> Mapping[str, float]:
        return {}

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return {}
