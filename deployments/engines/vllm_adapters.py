"""The mixtures of adapters that vLLM has loaded: each under a name of its own, counted while calls use it.

vLLM reads a LoRA in its engine's loop, so a mixture is told to it (`add_lora`) as soon as it is written and before any
sequence needs it: a directory that cannot be loaded then fails its own call, and not the engine's step.
"""

import asyncio
import itertools
import logging
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.engines.engine import AppliedAdapter
from deployments.engines.own_folder import OwnFolder
from deployments.engines.slots import Slots
from deployments.engines.vllm_adapter_files import (
    LanguageAdapter,
    Part,
    check_mixture,
    effective,
    mixture_key,
    write_mixture,
)
from deployments.engines.vllm_requests import engine_errors
from serve.domain.errors import EngineFailed, SlipwayError, Unprocessable

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Mixture:
    """One mixture. `loading` ends when vLLM has it; it is shared by all calls that wait for it."""

    request: Any
    folder: Path
    loading: "asyncio.Task[None]"
    num_users: int = 0


class LoadedMixtures:
    """Loads mixtures when calls come with them, and unloads those idle for longest when there are too many."""

    def __init__(self, llm: Any, max_rank: int) -> None:
        """Blocks for a moment. `llm` is an AsyncLLM with LoRA; `max_rank` is of all adapters of one call together."""
        config = llm.vllm_config.lora_config
        self._llm = llm
        self._max_rank = max_rank
        # vLLM would make what finds no slot wait too, and let busy mixtures overtake it for ever.
        self._slots = Slots(config.max_loras)
        # What vLLM keeps in host memory is what is kept here, so that it need not read a directory again in a step.
        self._capacity: int = config.max_cpu_loras
        self._own = OwnFolder("slipway-mixtures-")
        self._root = self._own.path
        self._mixtures: dict[str, _Mixture] = {}
        # vLLM's warm-up takes the first numbers for its own.
        self._numbers = itertools.count(self._capacity + 1)
        self._num_hits = self._num_loads = self._num_evicted = 0
        self._load_seconds = 0.0

    @asynccontextmanager
    async def hold(self, adapters: Sequence[AppliedAdapter]) -> AsyncIterator[Any]:
        """vLLM's LoRARequest for `adapters`, loaded for as long as it is held; None when they add nothing.

        Raises:
            Unprocessable: `adapter_rank`: together they are of too high a rank;
                `adapter_kind_not_supported`: they change modules that vLLM cannot adapt.
            EngineFailed.
        """
        key = mixture_key([(adapter.id, adapter.scale) for adapter in adapters])
        if not key:
            yield None
            return
        async with self._slots.hold(key):
            mixture = self._mixtures.get(key)
            if mixture is None:
                mixture = self._begin(key, adapters)
            else:
                self._num_hits += 1
            mixture.num_users += 1
            try:
                await _loaded(mixture)
                yield mixture.request
            finally:
                mixture.num_users -= 1
                self._touch(key, mixture)

    def counters(self) -> Mapping[str, float]:
        """Of mixtures: kept now, asked for and there already, loaded, unloaded; seconds of writing and loading; calls
        that wait for a slot."""
        return {
            "mixtures_loaded": len(self._mixtures),
            "mixture_hits_total": self._num_hits,
            "mixture_loads_total": self._num_loads,
            "mixture_load_seconds_total": self._load_seconds,
            "mixtures_evicted_total": self._num_evicted,
            "mixtures_waiting": self._slots.num_waiting,
        }

    async def close(self) -> None:
        """Remove all directories; the engine is about to end."""
        loads = [mixture.loading for mixture in self._mixtures.values()]
        self._mixtures = {}
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        await asyncio.to_thread(self._own.remove)

    def _begin(self, key: str, adapters: Sequence[AppliedAdapter]) -> _Mixture:
        from vllm.lora.request import LoRARequest

        parts = _parts(adapters)
        check_mixture(parts, self._max_rank)
        number = next(self._numbers)
        folder = self._root / str(number)
        request = LoRARequest(lora_name=key, lora_int_id=number, lora_path=str(folder))
        loading = asyncio.create_task(self._load(key, request, folder, parts))
        # Its callers may have left: then nobody else asks how it ended.
        loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        mixture = self._mixtures[key] = _Mixture(request, folder, loading)
        return mixture

    async def _load(self, key: str, request: Any, folder: Path, parts: Sequence[Part]) -> None:
        began = time.monotonic()
        try:
            await self._make_room()
            await asyncio.to_thread(write_mixture, folder, parts, self._llm.model_config.dtype)
            await self._add(request)
        except BaseException:
            self._mixtures.pop(key, None)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        self._num_loads += 1
        self._load_seconds += time.monotonic() - began

    async def _add(self, request: Any) -> None:
        with engine_errors():
            try:
                await self._llm.add_lora(request)
            except (SlipwayError, asyncio.CancelledError):
                raise
            except Exception as error:
                if self._llm.errored:
                    raise
                logger.warning("vLLM refused %s: %s", request.lora_name, error)
                raise Unprocessable(
                    f"The engine cannot apply {request.lora_name}: it has modules that this model does not adapt.",
                    "adapter_kind_not_supported",
                    "adapters",
                ) from error

    async def _make_room(self) -> None:
        """Unload what has been idle for longest; what is in use stays, however much there is."""
        while len(self._mixtures) > self._capacity:
            idle = (key for key, held in self._mixtures.items() if not held.num_users and held.loading.done())
            key = next(idle, None)
            if key is None:
                return
            mixture = self._mixtures.pop(key)
            self._num_evicted += 1
            with engine_errors():
                await self._llm.remove_lora(mixture.request.lora_int_id)
            await asyncio.to_thread(shutil.rmtree, mixture.folder, ignore_errors=True)

    def _touch(self, key: str, mixture: _Mixture) -> None:
        """It was used last, unless it is gone already: its load failed."""
        if self._mixtures.get(key) is mixture:
            self._mixtures[key] = self._mixtures.pop(key)


async def _loaded(mixture: _Mixture) -> None:
    """Wait for it. The load goes on when this caller leaves: others may wait for it too."""
    try:
        await asyncio.shield(mixture.loading)
    except asyncio.CancelledError:
        if mixture.loading.cancelled():
            raise EngineFailed("The engine is closing.") from None
        raise


def _parts(adapters: Sequence[AppliedAdapter]) -> list[Part]:
    by_id: dict[str, Mapping[str, Any]] = {}
    for adapter in adapters:
        if not isinstance(adapter.prepared, LanguageAdapter) or not adapter.prepared.modules:
            raise EngineFailed(f"The adapter {adapter.id} was not prepared by this engine, or is closed.")
        by_id[adapter.id] = adapter.prepared.modules
    uses = effective([(adapter.id, adapter.scale) for adapter in adapters])
    return [Part(adapter_id, scale, by_id[adapter_id]) for adapter_id, scale in uses]
