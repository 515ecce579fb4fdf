"""The stored pictures of calls: read before the engine sees the call, written as the engine produces them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from deployments.engines.engine import Produced
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.generation import Artifact, CallContext, Event, EventBatch, ModelCall
from serve.domain.images import ASSET_SCHEME, IMAGE_FIELDS
from serve.domain.media import Asset
from serve.domain.modality import Modality
from serve.domain.names import AssetId
from serve.domain.task import TASKS, Task
from serve.storage.assets import Assets

_log = logging.getLogger(__name__)

STORING_TASKS = frozenset(task for task in Task if {Modality.IMAGE} & TASKS[task].outputs)
"""The tasks whose calls have assets at either end. Those of other tasks take no detour."""


class CallAssets:
    """The assets of one replica's calls."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._undoing: set[asyncio.Task[None]] = set()

    async def with_inputs(self, call: ModelCall) -> ModelCall:
        """`call` with the bytes of its pictures in place of their addresses.

        Raises:
            InvalidRequest: `asset_not_found`: the asset was deleted after the call was accepted.
        """
        read: dict[str, Any] = {}
        for name in IMAGE_FIELDS.get(call.task, ()):
            if (source := call.inputs.get(name)) is not None:
                read[name] = await self._read(call.context, name, source)
        return replace(call, inputs={**call.inputs, **read}) if read else call

    async def _read(self, context: CallContext, name: str, source: Any) -> bytes:
        if not isinstance(source, str) or not source.startswith(ASSET_SCHEME):
            raise InvalidRequest(f"{name} must be asset:<id> by the time it reaches a model", "invalid_value", name)
        try:
            asset = await self._assets.get(context.tenant, AssetId(source.removeprefix(ASSET_SCHEME)))
            async with aclosing(self._assets.content(asset)) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except NotFound:
            raise InvalidRequest(f"{name}: the asset is there no longer", "asset_not_found", name) from None

    async def stored(
        self, call: ModelCall, batches: AsyncGenerator[Sequence[Event | Produced], None]
    ) -> AsyncGenerator[EventBatch, None]:
        """`batches` with an Artifact in the place of everything Produced. Closing it closes them.

        What was announced belongs to the call's run, and goes with it, or earlier where another attempt replaces it
        (`serve.runs.execution`). What was stored and not announced when the call ends, in whatever way, is taken back:
        nobody will have heard of it, and its run may be gone by the time it is whole.
        """
        async with aclosing(batches) as stream:
            async for batch in stream:
                yield await self._told(call.context, batch)

    async def _told(self, context: CallContext, batch: Sequence[Event | Produced]) -> EventBatch:
        """The whole batch stored, or nothing of it."""
        storing: list[asyncio.Task[Asset]] = []
        told: list[Event] = []
        try:
            for event in batch:
                if isinstance(event, Produced):
                    storing.append(asyncio.create_task(self._add(context, event)))
                    told.append(Artifact(event.name, await asyncio.shield(storing[-1]), event.index))
                else:
                    told.append(event)
        except BaseException:
            undoing = asyncio.create_task(self._undo(context, storing))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise
        return told

    async def _add(self, context: CallContext, produced: Produced) -> Asset:
        return await self._assets.add(
            tenant=context.tenant,
            project=context.project,
            run_id=context.run_id,
            data=produced.data,
            media_type=produced.media_type,
            name=produced.name,
            width=produced.width,
            height=produced.height,
            seconds=produced.seconds,
        )

    async def _undo(self, context: CallContext, storing: "Sequence[asyncio.Task[Asset]]") -> None:
        for adding in storing:
            try:
                await self._assets.delete(context.tenant, (await adding).id)
            except NotFound:
                continue  # its run, or another attempt at it, was quicker
            except Exception:
                _log.warning("an asset of the closed call %s may stay", context.request_id, exc_info=True)

    async def close(self) -> None:
        """Finish what is being taken back."""
        await asyncio.gather(*self._undoing)
