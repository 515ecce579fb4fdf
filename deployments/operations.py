"""The operations' composition root: the application that works on pictures, so that runners need not."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.steps import OperationStep
from serve.serving.fair_queue import FairQueue
from serve.serving.serve_config import OPERATIONS_DEPLOYMENT, OPERATIONS_QUEUE
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry import logs
from serve.workflow.execution.local_operations import LocalOperations


class OperationsArgs(BaseModel):
    """How many operations one replica works on at the same time, each in a thread."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_concurrency: int


class OperationsReplica:
    """One of them. It keeps nothing between two calls."""

    async def __init__(self, args: OperationsArgs) -> None:  # type: ignore[misc]  # Ray awaits a constructor
        settings = Settings()
        logs.configure(settings.log)
        clock = SystemClock()
        self._records = Records(settings.storage.url())
        assets = Assets(self._records, open_object_store(settings), clock, Uuid7Ids())
        # Whatever else blocks, reading and writing files among it, must find a thread while all places are taken.
        self._threads = ThreadPoolExecutor(2 * args.max_concurrency + 2, "operation")
        asyncio.get_running_loop().set_default_executor(self._threads)
        places = FairQueue(args.max_concurrency, OPERATIONS_QUEUE, clock)
        self._operations = LocalOperations(assets, places, settings.images.max_pixels)

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """See `serve.domain.steps.Operations`. Ray cancels it with the call."""
        return await self._operations.perform(step)

    async def __del__(self) -> Any:
        """Ray awaits this when it takes the replica away."""
        await self._records.close()


def build(args: OperationsArgs) -> ray_serve.Application:
    """The operations' application."""
    return ray_serve.deployment(name=OPERATIONS_DEPLOYMENT)(OperationsReplica).bind(args)
