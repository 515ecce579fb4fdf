"""Ours: the engine's loop behind the replica's own cache of adapters, as calls meet them, without the network."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.adapter_calls import AdapterCall
from benchmarks.adapter_shelf import Shelf
from benchmarks.picture_calls import Pixels
from deployments.adapter_cache import AdapterCache
from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.arena import Arena
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.mixtures import Floorplan, Mixer, Mixture
from deployments.engines.diffusion.predictors import EagerPredictor
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted
from deployments.engines.diffusion.ticket import Ticket
from deployments.engines.engine import AdapterFolder, AppliedAdapter
from deployments.host_adapters import HostLimits
from serve.catalog.adapters.files import AdapterFiles, AdapterTier
from serve.catalog.layouts import Layout, layout_of
from serve.catalog.weight_store import WeightStore
from serve.clock import SystemClock
from serve.domain.documents import AdapterPolicy
from serve.domain.generation import AdapterUse
from serve.domain.quantities import whole

POLICY: Final = AdapterPolicy(enabled=True)
"""What a card says that says no more: the defaults are what is measured."""
_DISK_BYTES: Final = 8 * 2**30
_PATIENCE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Model:
    """One model, loaded for one system alone: what one does to its networks no other sees."""

    bundle: Bundle
    folder: Path
    lanes: Lanes


@dataclass(slots=True)
class Made:
    """A picture, and when its first step began: seconds after the call was handed over."""

    pixels: Pixels
    first_step_seconds: float


class StepBatches:
    """See the module. `shelf` None: a server without adapters, nothing of whose networks is wrapped."""

    def __init__(self, model: Model, shelf: Shelf | None, disk: Path) -> None:
        self._bundle, self._shelf = model.bundle, shelf
        self._arena = None
        if shelf is not None:
            self._arena = Arena(self._bundle.unet, Floorplan(self._bundle.unet), POLICY.max_resident)
        self._layout: Layout = layout_of(model.folder)
        self._loop = StepLoop(self._bundle, EagerPredictor(self._bundle), model.lanes, arena=self._arena)
        self._events = asyncio.Runner()
        self._disk = disk
        self._files: AdapterFiles | None = None
        self._cache: AdapterCache | None = None
        self.forget()

    def paint(self, calls: Sequence[AdapterCall]) -> list[Pixels]:
        """All calls handed over at once."""
        return [made.pixels for made in self._events.run(self._all(calls))]

    def first_step_seconds(self, call: AdapterCall) -> float:
        """Of a call that has the machine to itself."""
        [made] = self._events.run(self._all([call]))
        return made.first_step_seconds

    def preload(self) -> None:
        """Have every adapter in host memory, as far as the card keeps them there."""
        self._events.run(self._preload())

    async def _preload(self) -> None:
        if self._cache is not None and self._shelf is not None:
            for stored in self._shelf.stored:
                await self._cache.preload(stored.id)

    def forget(self) -> None:
        """All that memory holds of adapters, on the host and on the device; files on the disk stay. Only while idle."""
        if self._arena is None or self._shelf is None:
            return
        self.forget_device()
        if self._cache is not None:
            self._events.run(self._cache.close())
        self._files = self._files or AdapterFiles(
            WeightStore(self._disk, _DISK_BYTES), self._shelf, self._shelf.objects
        )
        limits = HostLimits(POLICY.max_host, whole(POLICY.host_memory))
        self._cache = AdapterCache(self._files, self._prepare, limits, SystemClock(), _Unwatched())

    def forget_device(self) -> None:
        """What the arena holds, and what was packed for it. Only while idle."""
        if self._arena is not None:
            self._arena.forget(())
            self._mixer = Mixer(self._arena.floorplan, POLICY.max_rank, self._bundle.dtype)

    def counters(self) -> dict[str, float]:
        """The cache's and the arena's."""
        found = {} if self._cache is None else self._cache.counters()
        return found if self._arena is None else found | self._arena.counters()

    async def _all(self, calls: Sequence[AdapterCall]) -> list[Made]:
        return list(await asyncio.gather(*(self._one(call) for call in calls)))

    async def _one(self, call: AdapterCall) -> Made:
        began = time.monotonic()
        if self._cache is None or self._shelf is None or call.adapter is None:
            return await self._painted(call, None, began)
        async with self._cache.hold([AdapterUse(self._shelf.stored[call.adapter].id)]) as applied:
            mixture = await asyncio.to_thread(self._mixed, applied)
            return await self._painted(call, mixture, began)

    def _mixed(self, applied: Sequence[AppliedAdapter]) -> Mixture | None:
        pairs = [(each.prepared, each.scale) for each in applied if isinstance(each.prepared, ImageAdapter)]
        return self._mixer.mix(pairs)

    async def _prepare(self, folder: AdapterFolder) -> ImageAdapter:
        return await asyncio.to_thread(read_image_adapter, folder, self._layout, self._bundle.dtype)

    async def _painted(self, call: AdapterCall, mixture: Mixture | None, began: float) -> Made:
        post, done = asyncio.get_running_loop().call_soon_threadsafe, asyncio.Future[Pixels]()

        def tell(outcomes: list[Outcome]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, Failed):
                    post(done.set_exception, outcome.error)
                elif isinstance(outcome, Painted):
                    post(done.set_result, outcome.pixels)

        ticket = self._loop.submit(_request(call, self._bundle.native_size, mixture), tell)
        pixels = await asyncio.wait_for(done, _PATIENCE_SECONDS)
        return Made(pixels, _first_step_at(ticket) - began)

    def close(self) -> None:
        """End its threads."""
        if self._cache is not None:
            self._events.run(self._cache.close())
        if self._files is not None:
            self._files.close()
        self._events.close()
        self._loop.close()


class _Unwatched:
    """An observer of the cache: the cache's own counters are enough here."""

    def adapter_requested(self, tier: AdapterTier) -> None:
        """See Observer."""

    def adapter_loaded(self, tier: AdapterTier, seconds: float) -> None:
        """See Observer."""

    def adapter_evicted(self, tier: AdapterTier) -> None:
        """See Observer."""


def _request(call: AdapterCall, side: int, mixture: Mixture | None) -> ImageRequest:
    return ImageRequest(
        call.prompt,
        side,
        side,
        call.steps,
        seed=call.seed,
        guidance_scale=call.guidance_scale,
        mixture=mixture,
    )


def _first_step_at(ticket: Ticket) -> float:
    at: Any = ticket.slots[0].timing.first_step_at
    return float(at)
