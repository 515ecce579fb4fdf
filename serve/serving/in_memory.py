"""`ports.Models` over engines of this very process: for tests, for benchmarks, for a gateway without Ray."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Protocol, cast

from serve.domain.errors import NotFound, Unprocessable
from serve.domain.generation import EventBatch, ModelCall, Verdict
from serve.domain.serving import ModelState, ModelStatus
from serve.domain.usage import Tally

Stream = AsyncGenerator[Sequence[Any], None]
"""Batches of events, and of finished outputs where the call's task has any."""


class SupportsStream(Protocol):
    """What an engine must offer here: batches of events, `Completed` last; closing the stream aborts the work."""

    def stream(self, call: ModelCall, adapters: Sequence[Any] = (), tally: Tally | None = None) -> Stream:
        """The answer to `call`; `adapters` are those of the call, as a replica has made them ready."""
        ...

    def counters(self) -> Mapping[str, float]:
        """What the engine counted."""
        ...


class StoresOutputs(Protocol):
    """What stands between an engine and its callers where calls have assets: reads theirs, stores the engine's."""

    async def with_inputs(self, call: ModelCall) -> ModelCall:
        """The call with the bytes of its pictures."""
        ...

    def stored(self, call: ModelCall, batches: Stream) -> AsyncGenerator[EventBatch, None]:
        """The batches with assets in place of finished outputs."""
        ...


class HoldsAdapters(Protocol):
    """What stands between the registry and an engine where calls have adapters: fetches them, and has them prepared."""

    def hold(self, engine: Any, call: ModelCall) -> AbstractAsyncContextManager[Sequence[Any]]:
        """The call's adapters as `engine` has prepared them, for the length of the `async with`."""
        ...


class MetersCalls(Protocol):
    """What stands between an engine and its callers where usage is written down."""

    def metered(self, call: ModelCall, begin: Callable[[Tally], Stream]) -> AsyncGenerator[EventBatch, None]:
        """The batches of the stream that `begin` makes, which counts in the tally it is given."""
        ...


class InMemoryModels:
    """Engines by model name. They are started and closed by whoever made them."""

    def __init__(
        self,
        engines: Mapping[str, SupportsStream],
        assets: StoresOutputs | None = None,
        adapters: HoldsAdapters | None = None,
        meters: Mapping[str, MetersCalls] | None = None,
    ) -> None:
        """`assets` is needed for engines that are given pictures, or make them; `adapters` for calls that use some.
        Usage of models that have none of `meters` is not written down."""
        self._meters = meters or {}
        self._engines = engines
        self._assets = assets
        self._adapters = adapters

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """Batches of events, `Completed` last. Closing it cancels the work. Raises NotFound at the first batch."""
        engine = self._engine(model)
        async with (
            self._held(engine, call) as applied,
            aclosing(await self._stream(model, engine, call, applied)) as stream,
        ):
            async for batch in stream:
                if batch:
                    yield list(batch)

    def _held(self, engine: SupportsStream, call: ModelCall) -> AbstractAsyncContextManager[Sequence[Any]]:
        if not call.adapters:
            return nullcontext(())
        if self._adapters is None:
            raise Unprocessable("These models take no adapters.", "adapters_not_enabled", "adapters")
        return self._adapters.hold(engine, call)

    async def _stream(self, model: str, engine: SupportsStream, call: ModelCall, applied: Sequence[Any]) -> Stream:
        assets, meter = self._assets, self._meters.get(model)
        given = call if assets is None else await assets.with_inputs(call)

        def begin(tally: Tally) -> Stream:
            batches = engine.stream(given, applied, tally)
            return batches if assets is None else cast("Stream", assets.stored(call, batches))

        return begin(Tally()) if meter is None else cast("Stream", meter.metered(call, begin))

    async def counters(self, model: str) -> Mapping[str, float]:
        """The engine's own. Raises NotFound."""
        return self._engine(model).counters()

    async def statuses(self) -> Mapping[str, ModelStatus]:
        """Every engine is one ready replica: it would not be here otherwise."""
        return {name: ModelStatus(ModelState.READY, 1, 1) for name in self._engines}

    def _engine(self, model: str) -> SupportsStream:
        engine = self._engines.get(model)
        if engine is None:
            raise NotFound(f"There is no model {model[:80]!r}.", "model_not_found", "model")
        return engine
