"""Traces: one span per hop, a tree per request, and nothing where they are off."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakes.gateway import CHAT, gateway, settings_in
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serve.domain.errors import Overloaded
from serve.domain.generation import CallContext, Completed, ModelCall, TextDelta
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.settings import TracingSettings
from serve.telemetry.metrics import Metrics
from serve.telemetry.observed import ObservedModels
from serve.telemetry.tracing import Traces, read_traceparent

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = THEIRS[:-1] + "0"
BODY = {"model": CHAT, "messages": [{"role": "user", "content": "my secret words"}]}


class Collector(ThreadingHTTPServer):
    """OTLP over HTTP, kept."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.raw: list[bytes] = []
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> dict[str, Any]:
        """By name: (service, span)."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.raw]
        return {
            span.name: (resource.resource.attributes[-1], span)
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            self.server.raw.append(body)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class TwoTokens:
    """Models of which every call is a hop of its own process."""

    def __init__(self, traces: Traces) -> None:
        self.traces = traces

    async def call(self, model: str, call: ModelCall, verdict: object = None) -> Any:
        with self.traces.call_span("replica call", model, call) as (_, span):
            span.event("in the engine")
            for text in "ab":
                span.first("first events")
                yield [TextDelta(text)]
            yield [Completed(Quantities(completion_tokens=2))]


def attributes_of(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def a_call(trace: str | None) -> ModelCall:
    context = CallContext(RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k"), trace=trace)
    return ModelCall(Task.CHAT, {}, context)


async def test_the_spans_of_a_request_form_one_tree_under_the_callers(collector: Collector, tmp_path: Path):
    hops = [Traces(name, collector.url, 0.0) for name in ("runner", "replica")]
    models = ObservedModels(TwoTokens(hops[1]), Metrics("runner"), lambda: 0.0, hops[0], "runner attempt")
    settings = settings_in(tmp_path, tracing=TracingSettings(endpoint=collector.url, sample_ratio=0.0))
    async with gateway(tmp_path, settings=settings) as made, made.client() as client:
        object.__setattr__(made.services, "models", models)
        answer = await client.post("/v1/chat/completions", json=BODY, headers={"traceparent": THEIRS})
        await client.get("/livez", headers={"traceparent": THEIRS})
        for traces in (made.services.traces, *hops):
            traces.stop()
    assert answer.status_code == 200
    spans = {name: span for name, (_, span) in collector.spans().items()}
    request, attempt, replica = (spans[name] for name in ("gateway request", "runner attempt", "replica call"))
    assert len(spans) == 3
    assert {span.trace_id.hex() for span in spans.values()} == {THEIRS.split("-")[1]}
    assert request.parent_span_id.hex() == THEIRS.split("-")[2]
    assert (attempt.parent_span_id, replica.parent_span_id) == (request.span_id, attempt.span_id)
    assert [event.name for event in replica.events] == ["in the engine", "first events"]
    told = attributes_of(request)
    assert (told["slipway.route"], told["slipway.status"]) == ("/v1/chat/completions", 200)
    assert told["slipway.request_id"] == answer.headers["x-request-id"]
    assert attributes_of(replica)["slipway.usage_id"] == told["slipway.request_id"] + ":1"
    assert b"my secret words" not in b"".join(collector.raw)


async def test_a_trace_that_its_caller_does_not_sample_is_not_sent(collector: Collector):
    traces = Traces("gateway", collector.url, 1.0)
    with traces.span("kept", None):
        pass
    with traces.span("not kept", UNSAMPLED) as span:
        assert span.traceparent is not None
        assert span.traceparent.startswith(UNSAMPLED[:36])
    traces.stop()
    assert list(collector.spans()) == ["kept"]


async def test_a_hop_that_fails_says_with_which_code(collector: Collector):
    traces = Traces("replica", collector.url)
    with pytest.raises(Overloaded), traces.call_span("replica call", "m", a_call(THEIRS)):
        raise Overloaded("full", "queue_full")
    traces.stop()
    _, span = collector.spans()["replica call"]
    assert span.status.code == 2
    assert attributes_of(span)["error.type"] == "queue_full"


def test_a_collector_that_is_away_is_told_of_once_and_once_when_it_is_back(
    collector: Collector, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    collector.status = 400
    traces = Traces("replica", collector.url)
    for status in (400, 400, 200, 200):
        collector.status = status
        with traces.span("hop", None):
            pass
        traces.flush()
    told = [record.getMessage().split(":")[0] for record in caplog.records]
    assert told == ["traces are dropped", "traces are taken again at http"]
    traces.stop()


def test_a_collector_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("serve.telemetry.tracing._STOP_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = Traces("replica", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(3000):
            with traces.span("hop", None):
                pass
        assert [thread for thread in threading.enumerate() if "Span" in thread.name], "another thread sends them"
        traces.stop()


@pytest.mark.parametrize(("num_batches", "outcome"), [(2, "canceled"), (3, "succeeded")])
async def test_who_leaves_after_the_last_word_has_canceled_nothing(
    collector: Collector, num_batches: int, outcome: str
):
    metrics, traces = Metrics("runner"), Traces("runner", collector.url)
    stream = ObservedModels(TwoTokens(Traces("replica")), metrics, lambda: 0.0, traces, "attempt").call(
        "m", a_call(THEIRS)
    )
    for _ in range(num_batches):
        await anext(stream)
    await stream.aclose()
    traces.stop()
    assert metrics.requests("t", "m", outcome).value == 1
    told = attributes_of(collector.spans()["attempt"][1])
    assert told.get("error.type") == (None if outcome == "succeeded" else "canceled")


def test_a_traceparent_is_passed_on_where_there_are_no_traces():
    traces = Traces("gateway")
    assert not traces.is_on
    with traces.call_span("gateway request", "m", (call := a_call(THEIRS))) as (next_call, span):
        assert next_call is call
        assert span.traceparent == THEIRS


def test_nothing_of_opentelemetry_is_imported_where_there_are_no_traces():
    code = (
        "import sys, serve.telemetry.tracing as t\n"
        "with t.Traces('gateway').span('x', None): pass\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "header",
    [None, "", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff" + THEIRS[2:], THEIRS.upper(), THEIRS + "-x"],
)
def test_what_is_no_traceparent_is_not_believed(header: str | None):
    assert read_traceparent(header) is None
    assert read_traceparent(THEIRS) == THEIRS
