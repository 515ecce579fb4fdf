"""The outermost layer: names the exchange, answers what nobody else caught, and writes it down.

Pure ASGI, like every layer here: one BaseHTTPMiddleware costs more CPU than all of the gateway's own work.
"""

import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.domain.names import RequestId
from serve.gateway.access import API_PREFIX
from serve.gateway.errors import answer, rule_for
from serve.gateway.exchange import CLIENT_CLOSED_REQUEST, Exchange, attach
from serve.gateway.services import Services
from serve.telemetry import logs
from serve.telemetry.metrics import UNMATCHED_ROUTE
from serve.telemetry.tracing import read_traceparent

_log = logging.getLogger("slipway.access")
_REQUEST_ID_HEADER = b"x-request-id"
_MAX_CLIENT_ID = 64


class Observation:
    """Request ids, the access log, request metrics, and the answer to every exception.

    A client's own x-request-id is kept in the log as `client_request_id` and trusted for nothing: two requests with
    one id would be one in the ledger.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(RequestId(self._services.ids.new()), self._services.clock.monotonic())
        attach(scope, exchange)
        logs.begin(request_id=exchange.request_id, **_client_id(scope))
        self._services.metrics.in_flight.add(1)
        try:
            await self._traced(scope, receive, send, exchange)
        finally:
            if exchange.admitted is not None:
                exchange.admitted.close()
            self._services.metrics.in_flight.add(-1)
            self._write_down(scope, exchange)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """A span for every request of the API; probes and scrapes would be most of what is kept."""
        parent = _header(scope, b"traceparent")
        exchange.trace = read_traceparent(parent)
        traces = self._services.traces
        if not traces.is_on or not scope["path"].startswith(API_PREFIX):
            await self._answer(scope, receive, send, exchange)
            return
        with traces.span("gateway request", exchange.trace, request_id=exchange.request_id) as span:
            exchange.trace = span.traceparent
            await self._answer(scope, receive, send, exchange)
            span.note(route=_route(scope), status=exchange.status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._own_headers(exchange)]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            if rule_for(error).instead:
                _log.exception("request failed")
            if exchange.status:
                raise  # the server cuts the connection: the client must not take half an answer for a whole one
            await answer(error, exchange.request_id)(scope, receive, send_and_note)

    def _own_headers(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        milliseconds = (self._services.clock.monotonic() - exchange.started) * 1000
        return [
            (_REQUEST_ID_HEADER, exchange.request_id.encode()),
            (b"openai-processing-ms", b"%d" % milliseconds),
            (b"x-content-type-options", b"nosniff"),
            *exchange.extra_headers,
        ]

    def _write_down(self, scope: Scope, exchange: Exchange) -> None:
        seconds = self._services.clock.monotonic() - exchange.started
        route = _route(scope)
        series = self._services.metrics.request(route, scope["method"], exchange.status)
        series.total.inc()
        series.seconds.observe(seconds)
        logs.bind(method=scope["method"], route=route, status=exchange.status, ms=round(seconds * 1000, 2))
        _log.info("request")


def _route(scope: Scope) -> str:
    path: str = getattr(scope.get("route"), "path", UNMATCHED_ROUTE)
    return path


def _client_id(scope: Scope) -> Mapping[str, Any]:
    told = _header(scope, _REQUEST_ID_HEADER)
    return {"client_request_id": told[:_MAX_CLIENT_ID]} if told is not None else {}


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value).decode("latin-1")
    return None
