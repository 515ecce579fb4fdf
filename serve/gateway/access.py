"""Who may come in, and how many at a time.

Decided on `scope["path"]` alone, which is what the router matches too: a URL put together from the Host header can
say something else. What is neither public nor under /v1/ does not exist, whatever is mounted by mistake.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.auth.access import Caller, require_group
from serve.auth.access import Scope as KeyScope
from serve.auth.links import SIGNATURE
from serve.auth.tenants import DEFAULT_PROJECT
from serve.domain.errors import NotFound, Overloaded
from serve.domain.names import AssetId, KeyId
from serve.gateway.docs import FILES, PAGE
from serve.gateway.exchange import exchange_of
from serve.gateway.services import Services
from serve.telemetry import logs

PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", PAGE})
"""Exact paths that need no key. They count against no cap either: a full gateway must still say that it lives."""

PUBLIC_PREFIX = f"{FILES}/"
API_PREFIX = "/v1/"
_CONTENT = re.compile(r"/v1/assets/([^/]+)/content")
_LINK = KeyId("link")
_BEARER = b"bearer "
_RETRY_SECONDS = 1.0


def is_public(path: str) -> bool:
    """Whether `path` needs no key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


class Access:
    """Default deny: public path, or a valid key (for an asset's content, a signed link) and a free place."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._in_flight = 0
        self._in_flight_of: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith(API_PREFIX):
            raise NotFound("There is no such route. /docs lists those there are.", "route_not_found")
        if self._in_flight >= self._services.settings.gateway.max_in_flight:
            raise Overloaded(
                "This gateway holds as many requests as it may. Try again shortly.", retry_after_seconds=_RETRY_SECONDS
            )
        self._in_flight += 1
        try:
            await self._enter(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._linked(scope) or await self._services.keys.authenticate(_token(scope))
        exchange_of(scope).caller = caller
        logs.bind(tenant=caller.tenant, key_id=caller.key_id)
        held = self._in_flight_of.get(caller.tenant, 0)
        if held >= self._services.settings.gateway.max_in_flight_per_tenant:
            raise Overloaded(
                "Your tenant has as many requests open as it may. Try again when one has ended.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._in_flight_of[caller.tenant] = held + 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._leave(caller)

    async def _linked(self, scope: Scope) -> Caller | None:
        """Who made the signed link that this is; it opens this one path, and only for reading."""
        found = _CONTENT.fullmatch(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        query = scope["query_string"].decode("latin-1")
        if found is None or f"{SIGNATURE}=" not in query:
            return None
        tenant = await self._services.links.tenant(AssetId(unquote(found[1])), query)
        return Caller(tenant, DEFAULT_PROJECT, _LINK, frozenset({KeyScope.READ}))

    def _leave(self, caller: Caller) -> None:
        left = self._in_flight_of[caller.tenant] - 1
        if left:
            self._in_flight_of[caller.tenant] = left
        else:
            del self._in_flight_of[caller.tenant]


def _token(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return bytes(value[len(_BEARER) :]).decode("latin-1").strip()
    return None


def caller_of(request: Request, group: str) -> Caller:
    """The caller, if the key may use the routes of `group` (a key of ROUTE_SCOPES). Raises PermissionDenied."""
    caller = exchange_of(request.scope).authenticated
    require_group(caller, group)
    return caller


def allowed(group: str) -> Callable[[Request], Awaitable[Caller]]:
    """`caller_of` as a FastAPI dependency."""

    async def dependency(request: Request) -> Caller:
        return caller_of(request, group)

    return dependency
