"""The adapters of one replica's calls: the card's policy over the cache, pinned names, and what routers are told."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deployments.adapter_cache import AdapterCache, Observer, Ready
from deployments.engines.engine import AppliedAdapter, Engine
from deployments.host_adapters import HostLimits
from serve.catalog.adapters.files import AdapterFiles, open_adapter_files
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.layouts import layout_of
from serve.domain.adapters import AdapterId, parse_id, parse_reference
from serve.domain.documents import AdapterPolicy
from serve.domain.errors import InvalidRequest, SlipwayError, Unprocessable
from serve.domain.generation import ModelCall
from serve.domain.ports import Clock, ObjectStore
from serve.domain.quantities import whole
from serve.settings import Settings
from serve.storage.records import Records

_log = logging.getLogger(__name__)

MAX_TOLD = 256
"""Adapters that a replica tells routers of: what it says goes through Ray's controller every few seconds."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What an installation keeps, as long as its replica lives."""

    records: Records
    objects: ObjectStore


class CallAdapters:
    """See the module."""

    def __init__(self, model: str, cache: AdapterCache, files: AdapterFiles, registry: AdapterRegistry) -> None:
        self._model = model
        self._cache = cache
        self._files = files
        self._registry = registry
        self._is_enabled = False

    async def configure(self, policy: AdapterPolicy) -> None:
        """Keep to the card, and have its pinned adapters ready. One that cannot be had is no reason not to start."""
        self._is_enabled = policy.enabled
        self._cache.limit(limits_of(policy))
        failed = await self._cache.pin(await self._pinned(policy))
        for adapter_id, error in failed.items():
            _log.warning("the pinned adapter %s of %s is not ready: %s", adapter_id, self._model, error)

    async def _pinned(self, policy: AdapterPolicy) -> list[AdapterId]:
        found = []
        for name in policy.pinned if policy.enabled else ():
            reference = parse_reference(name)
            if reference.tenant is None:
                continue
            try:
                stored = await self._registry.get(None, reference.tenant, reference.name, reference.digest)
                found.append(stored.version.id)
            except SlipwayError as error:
                _log.warning("the pinned adapter %s of %s is not there: %s", name, self._model, error)
        return found

    def warm(self, call: ModelCall) -> AbstractAsyncContextManager[Ready | None]:
        """See `AdapterCache.warm`.

        Raises:
            Unprocessable: `adapters_not_enabled`.
            InvalidRequest: `adapter_not_found`.
        """
        if not self._is_enabled:
            raise not_enabled(self._model)
        for use in call.adapters:
            _check_id(use.id)
        return self._cache.warm(call.adapters, call.context.tenant)

    def hold(self, call: ModelCall) -> AbstractAsyncContextManager[tuple[AppliedAdapter, ...]]:
        """See `AdapterCache.hold`."""
        return self._cache.hold(call.adapters)

    async def preload(self, adapter_id: str) -> None:
        """Have it ready for calls that a router expects. What fails here is told to the calls."""
        if not self._is_enabled:
            return
        try:
            _check_id(adapter_id)
            await self._cache.preload(adapter_id)
        except SlipwayError as error:
            _log.warning("the adapter %s of %s could not be loaded beforehand: %s", adapter_id, self._model, error)

    def told(self) -> dict[str, int]:
        """For routers: bytes by digest, of those in use and of those last used."""
        return {parse_id(each).digest: size for each, size in islice(self._cache.resident().items(), MAX_TOLD)}

    def counters(self) -> dict[str, float]:
        """The cache's, and the disk's."""
        return self._cache.counters() | {"adapter_evictions_disk": float(self._files.num_evicted)}

    async def close(self) -> None:
        """The engine is gone: free everything."""
        await self._cache.close()
        self._files.close()


def open_call_adapters(
    model: str, engine: Engine, stores: Stores, settings: Settings, clock: Clock, observer: Observer
) -> CallAdapters:
    """The adapters of a replica; `configure` comes next."""
    registry = AdapterRegistry(stores.records, stores.objects, clock, settings.adapters)
    files = open_adapter_files(settings, registry, stores.objects)
    cache = AdapterCache(files, engine.prepare_adapter, limits_of(AdapterPolicy()), clock, observer)
    return CallAdapters(model, cache, files, registry)


async def record_layout(records: Records, clock: Clock, digest: str, folder: Path) -> None:
    """Write down the sizes of a model's modules, so that a gateway can tell whether an adapter fits. Whatever becomes
    of it: without, a model's replicas refuse what does not fit."""
    try:
        await KnownLayouts(records, clock).record(digest, await asyncio.to_thread(layout_of, folder))
    except Exception as error:
        _log.warning("adapters are compared with %s by its replicas alone: %s", folder.name, error)


def limits_of(policy: AdapterPolicy) -> HostLimits:
    """What a card allows to idle in host memory."""
    return HostLimits(policy.max_host, whole(policy.host_memory))


def not_enabled(model: str) -> Unprocessable:
    """The refusal of a call with adapters where the card allows none."""
    return Unprocessable(
        f"The model {model} takes no adapters: its card would have to say adapters: {{enabled: true}}.",
        "adapters_not_enabled",
        "adapters",
    )


def _check_id(adapter_id: str) -> None:
    try:
        parse_id(adapter_id)
    except ValueError as error:
        raise InvalidRequest(str(error), "adapter_not_found", "adapters") from None
