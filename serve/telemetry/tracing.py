"""Traces through OpenTelemetry: one span per hop, and W3C's `traceparent` between them.

    gateway request -> [runner attempt ->] replica call, with events: in the engine (it has left the queue, its
                                           adapters are ready), first events

Off by default, and then nothing of OpenTelemetry is imported and nothing is made. A span carries ids and names, never
what a caller wrote. The context of a trace travels in `CallContext.trace`, and so also with a run's attempt in another
process.
"""

import dataclasses
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from serve.domain.errors import SlipwayError
from serve.domain.generation import ModelCall

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SCOPE = "slipway"
_STOP_SECONDS = 2.0
_EXPORTERS = "opentelemetry.exporter.otlp.proto.http"
"""The logger of those who send: two lines for every batch that is not taken."""

_log = logging.getLogger("slipway.tracing")


class Span(Protocol):
    """One hop. What it is told is kept only if its trace is sampled."""

    @property
    def traceparent(self) -> str | None:
        """What the next hop is a child of."""
        ...

    def event(self, name: str) -> None:
        """Something happened now."""
        ...

    def first(self, name: str) -> None:
        """Something happened now that is worth telling the first time only."""
        ...

    def note(self, **attributes: str | int | float) -> None:
        """Say more of it: ids, names and numbers."""
        ...


class _NoSpan:
    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def event(self, name: str) -> None:
        return None

    def first(self, name: str) -> None:
        return None

    def note(self, **attributes: str | int | float) -> None:
        return None


class _OtelSpan:
    __slots__ = ("_span", "_told", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        self._told: set[str] = set()
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def event(self, name: str) -> None:
        self._span.add_event(name)

    def first(self, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self.event(name)

    def note(self, **attributes: str | int | float) -> None:
        self._span.set_attributes({f"slipway.{name}": value for name, value in attributes.items()})


class Traces:
    """Where the spans of one process go; nowhere without an endpoint, and then a traceparent is passed on as it came.

    `endpoint` is OTLP over HTTP, `sample_ratio` the share of traces begun here that are kept.
    """

    def __init__(self, service: str, endpoint: str = "", sample_ratio: float = 1.0) -> None:
        self._provider = _provider(service, endpoint, sample_ratio) if endpoint else None
        self._tracer = self._provider.get_tracer(_SCOPE) if self._provider is not None else None

    @property
    def is_on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, parent: str | None, **attributes: str | int | float) -> Iterator[Span]:
        """A hop, child of `parent` if that is a valid traceparent; an error that leaves it is its end's status."""
        if self._tracer is None:
            yield _NoSpan(parent)
            return
        from opentelemetry.trace import SpanKind

        made = self._tracer.start_span(name, context=_context(parent), kind=SpanKind.SERVER)
        span = _OtelSpan(made)
        span.note(**attributes)
        try:
            yield span
        except BaseException as error:
            _fail(made, error)
            raise
        finally:
            made.end()

    @contextmanager
    def call_span(self, name: str, model: str, call: ModelCall) -> Iterator[tuple[ModelCall, Span]]:
        """A hop of a model call, and the call that the next hop is given."""
        if self._tracer is None:
            yield call, _NoSpan(call.context.trace)
            return
        context = call.context
        attributes: dict[str, str | int | float] = {"model": model, "usage_id": context.usage_id}
        if context.run_id is not None:
            attributes["run_id"] = context.run_id
        with self.span(name, context.trace, request_id=context.request_id, tenant=context.tenant, **attributes) as span:
            traced = dataclasses.replace(context, trace=span.traceparent)
            yield dataclasses.replace(call, context=traced), span

    def flush(self) -> None:
        """Send what there is."""
        if self._provider is not None:
            self._provider.force_flush()

    def stop(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._provider is not None:
            # The provider would wait for half a minute for a collector that hangs.
            sending = threading.Thread(target=self._provider.shutdown, name="slipway-last-spans", daemon=True)
            sending.start()
            sending.join(_STOP_SECONDS)


def read_traceparent(header: str | None) -> str | None:
    """A `traceparent` header, if it is one; https://www.w3.org/TR/trace-context/."""
    return header if header and _TRACEPARENT.fullmatch(header) else None


def _context(parent: str | None) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Never the context of the thread: another library's span is no parent of ours.
    return TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {}, Context())


def _provider(service: str, endpoint: str, sample_ratio: float) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    # One of our own, never the process's global one: that belongs to Ray, or to whoever embeds us.
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"slipway-{service}"}),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        shutdown_on_exit=False,
    )
    address = endpoint.rstrip("/") + "/v1/traces"
    logging.getLogger(_EXPORTERS).setLevel(logging.CRITICAL)
    exporter: Any = _ToldOnce(OTLPSpanExporter(address, timeout=2), address)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class _ToldOnce:
    """An exporter that says once when its collector goes, and once when it is back. Spans in between are dropped."""

    def __init__(self, exporter: Any, address: str) -> None:
        self._exporter = exporter
        self._address = address
        self._is_away = False

    def export(self, spans: Sequence[Any]) -> Any:
        result = self._exporter.export(spans)
        was_away, self._is_away = self._is_away, result.name != "SUCCESS"
        if self._is_away and not was_away:
            _log.warning("traces are dropped: no collector takes them at %s", self._address)
        elif was_away and not self._is_away:
            _log.info("traces are taken again at %s", self._address)
        return result

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _fail(span: Any, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    if not isinstance(error, Exception):
        span.set_attribute("error.type", "canceled")
        return
    code = error.code if isinstance(error, SlipwayError) else type(error).__name__
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))
