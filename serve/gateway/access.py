"""Who may come in, and how many at a time.

Decided on `scope["path"]` alone, which is what the router matches too: a URL put together from the Host header can
say something else. What is neither public nor under /v1/ does not exist, whatever is mounted by mistake.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.auth.access import Caller, require_group
from serve.auth.access import Scope as KeyScope
from serve.auth.links import SIGNATURE
from serve.auth.sessions import Session
from serve.auth.tenants import DEFAULT_PROJECT
from serve.domain.errors import InvalidRequest, NotFound, Overloaded
from serve.domain.names import AssetId, KeyId
from serve.gateway.client_addresses import scheme_of
from serve.gateway.cookies import SESSION, check_own_site, cookie
from serve.gateway.docs import FILES, PAGE
from serve.gateway.exchange import exchange_of
from serve.gateway.playground import Playground, is_anonymous
from serve.gateway.services import Services
from serve.telemetry import logs

_UNCOUNTED_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", PAGE})
"""They count against no cap: a full gateway must still say that it lives."""
_LOGIN_PATHS = frozenset({"/login", "/login/callback", "/logout", "/v1/session/link"})
"""The ways in and out of people, who have no key."""
SITE_PATH = "/v1/site"
"""What the web app asks before it knows who is there."""
_COUNTED_PATHS = _LOGIN_PATHS | {SITE_PATH}
PUBLIC_PATHS = _UNCOUNTED_PATHS | _COUNTED_PATHS
"""Exact paths that need no key."""

PUBLIC_PREFIX = f"{FILES}/"
API_PREFIX = "/v1/"
_CONTENT = re.compile(r"/v1/assets/([^/]+)/content")
_LINK = KeyId("link")
_BEARER = b"bearer "
_RETRY_SECONDS = 1.0
_LOGIN_SHARE = 8
"""Logins hold at most one part in so many of a gateway's places: anybody may begin one, and each waits as long for the
provider as the provider takes. So does what the web app asks first."""
_LOGINS = "/login"
"""Holds the places of logins; no tenant has such a name, and no client."""


def is_public(path: str) -> bool:
    """Whether `path` needs no key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


class Access:
    """Default deny: public path, or a valid key or session (for an asset's content, a signed link) and a free place."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._playground = Playground(services)
        self._num_proxies = services.settings.anonymous.trusted_proxies
        self._max_logins = max(1, services.settings.gateway.max_in_flight // _LOGIN_SHARE)
        self._in_flight = 0
        self._in_flight_of: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if self._num_proxies and scope["type"] == "http":
            scope["scheme"] = scheme_of(scope)
        if scope["type"] != "http" or (is_public(path) and path not in _COUNTED_PATHS):
            await self._app(scope, receive, send)
            return
        if not path.startswith(API_PREFIX) and path not in _COUNTED_PATHS:
            raise NotFound("There is no such route. /docs lists those there are.", "route_not_found")
        _check_text(scope)
        if self._in_flight >= self._services.settings.gateway.max_in_flight:
            raise Overloaded(
                "This gateway holds as many requests as it may. Try again shortly.", retry_after_seconds=_RETRY_SECONDS
            )
        self._in_flight += 1
        try:
            if path in _COUNTED_PATHS:
                with self._public_place(path):
                    await self._app(scope, receive, send)
            else:
                await self._enter(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._linked(scope) or await self._known(scope)
        exchange_of(scope).caller = caller
        logs.bind(tenant=caller.tenant, key_id=caller.key_id)
        client = exchange_of(scope).client
        with ExitStack() as places:
            places.enter_context(self._place(caller.tenant, self._places(caller), "Your tenant has"))
            if client is not None:
                most = self._playground.max_in_flight_of_client
                places.enter_context(self._place(f"client {client.name}", most, "Your network has"))
            await self._app(scope, receive, send)

    async def _known(self, scope: Scope) -> Caller:
        """Who has the key, or else the session; without any, the playground's caller where that is enough. A key that
        is wrong is not made good by a cookie, nor either of them by the playground."""
        token = bearer(scope)
        session = await self._session(scope) if token is None else None
        if session is not None:
            return session.caller()
        if not self._has_credentials(scope) and (caller := await self._playground.caller(scope, exchange_of(scope))):
            return caller
        return await self._services.keys.authenticate(token)

    def _has_credentials(self, scope: Scope) -> bool:
        """Whether the request brings a key or a session, good or bad."""
        has_key = any(name == b"authorization" for name, _ in scope["headers"])
        return has_key or bool(cookie(scope, self._services.settings.auth, SESSION))

    def _places(self, caller: Caller) -> int:
        if is_anonymous(caller):
            return self._playground.max_in_flight
        return self._services.settings.gateway.max_in_flight_per_tenant

    async def _session(self, scope: Scope) -> Session | None:
        settings = self._services.settings.auth
        session = await self._services.people.sessions.find(cookie(scope, settings, SESSION))
        if session is not None:
            check_own_site(scope, settings, session)
            exchange_of(scope).session = session
        return session

    async def _linked(self, scope: Scope) -> Caller | None:
        """Who made the signed link that this is; it opens this one path, and only for reading."""
        found = _CONTENT.fullmatch(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        query = scope["query_string"].decode("latin-1")
        if found is None or f"{SIGNATURE}=" not in query:
            return None
        tenant = await self._services.links.tenant(AssetId(unquote(found[1])), query)
        return Caller(tenant, DEFAULT_PROJECT, _LINK, frozenset({KeyScope.READ}))

    def _public_place(self, path: str) -> AbstractContextManager[None]:
        if path == SITE_PATH:
            return self._place(SITE_PATH, self._max_logins, "All who open the web app have")
        return self._place(_LOGINS, self._max_logins, "All who log in have")

    @contextmanager
    def _place(self, holder: str, most: int, whose: str) -> Iterator[None]:
        """One of the `most` places of a tenant, a client or of all logins. Raises Overloaded."""
        held = self._in_flight_of.get(holder, 0)
        if held >= most:
            raise Overloaded(
                f"{whose} as many requests open as there may be. Try again when one has ended.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._in_flight_of[holder] = held + 1
        try:
            yield
        finally:
            left = self._in_flight_of[holder] - 1
            if left:
                self._in_flight_of[holder] = left
            else:
                del self._in_flight_of[holder]


def _check_text(scope: Scope) -> None:
    """Raises for an address with a NUL in it: nothing has such a name, and PostgreSQL takes it for an error."""
    if "\x00" in scope["path"]:
        raise NotFound("Nothing has a name with a NUL in it.")
    if b"%00" in scope["query_string"]:
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        name = next((name for name, value in given if "\x00" in value), None)
        raise InvalidRequest("The query has a NUL in it; no value has.", "invalid_value", name)


def bearer(scope: Scope) -> str | None:
    """The token of the Authorization header, if it has one."""
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
