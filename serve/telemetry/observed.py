"""`ports.Models`, watched: for a caller that does not watch its calls itself."""

from collections.abc import AsyncGenerator, Callable, Mapping

from serve.domain.generation import EventBatch, ModelCall, Verdict
from serve.domain.ports import Models
from serve.domain.serving import ModelStatus
from serve.telemetry.metrics import Metrics
from serve.telemetry.tracing import Traces


class ObservedModels:
    """`models`, whose calls are counted in `metrics`, and are spans named `name` of `traces`."""

    def __init__(self, models: Models, metrics: Metrics, now: Callable[[], float], traces: Traces, name: str) -> None:
        """`now` gives monotonic seconds."""
        self._models = models
        self._metrics = metrics
        self._now = now
        self._traces = traces
        self._name = name

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """See `ports.Models`."""
        context = call.context
        with (
            self._traces.call_span(self._name, model, call) as (call, _span),
            self._metrics.call(context.tenant, model, self._now) as watch,
        ):
            stream = self._models.call(model, call, verdict)
            try:
                async for batch in stream:
                    watch.saw(batch)
                    yield batch
            except GeneratorExit:
                # Who has read the last word may leave without asking for more: that is no cancellation.
                if not watch.is_whole:
                    raise
            finally:
                await stream.aclose()

    async def counters(self, model: str) -> Mapping[str, float]:
        """See `ports.Models`."""
        return await self._models.counters(model)

    async def statuses(self) -> Mapping[str, ModelStatus]:
        """See `ports.Models`."""
        return await self._models.statuses()
