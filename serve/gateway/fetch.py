"""The only URL fetcher: what strangers' addresses are reached through.

A name is resolved once, every address it has is judged, and the connection goes to exactly one of those; TLS and
`Host` keep the name. The judgement sits where sockets are opened, so no reading of the URL, no redirect and no second
answer of a name server gets past it. What is posted follows no redirect; what is read follows a few, each judged
anew. Time and bytes are bounded.

Source: OWASP Server-Side Request Forgery Prevention; the registries of special-purpose addresses of IANA.
"""

import asyncio
import io
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, BinaryIO, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from serve.domain.errors import InvalidRequest

Address = IPv4Address | IPv6Address

_MAX_URL_LENGTH = 2048
_MAX_ANSWER_BYTES = 64 * 1024
"""What is read of an answer whose content nobody wants, so that the connection closes in good order."""
_RESOLVE_SECONDS = 5.0
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_PRIVATE_V4 = [
    IPv4Network(n) for n in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]
_NEVER_V4 = [
    IPv4Network(n)
    for n in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_PRIVATE_V6 = [IPv6Network("::1/128"), IPv6Network("fc00::/7")]
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is routed. IPv4-mapped, NAT64, link-local and multicast forms lie outside of it."""
_NEVER_V6 = [IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
"""Within it, and still no place to go: Teredo and other protocols, documentation, 6to4."""

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
_LOOKS_NUMERIC = re.compile(r"(.*\.)?(\d+|0[xX][0-9a-fA-F]*)")
_VISIBLE_ASCII = re.compile(r"[!-~]+")


class Resolver(Protocol):
    """Names to addresses."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Every IPv4 and IPv6 address of `host`. Raises OSError when it has none."""
        ...


class SystemResolver:
    """This machine's resolver."""

    async def resolve(self, host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class ForbiddenAddress(OSError):
    """A connection was about to go where none may go."""


def is_allowed(address: Address, allow_private: bool) -> bool:
    """Whether a connection may go there. Metadata services and their like are out even where private is in."""
    if isinstance(address, IPv4Address):
        if any(address in network for network in _NEVER_V4):
            return False
        return allow_private or not any(address in network for network in _PRIVATE_V4)
    if address.scope_id is not None:
        return False
    if any(address in network for network in _PRIVATE_V6):
        return allow_private
    return address in _GLOBAL_V6 and not any(address in network for network in _NEVER_V6)


class GuardedFetcher:
    """Requests to strangers' addresses. `allow_private` is for tests and closed networks."""

    def __init__(
        self,
        allow_private: bool,
        resolver: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver or SystemResolver()
        self._network = GuardedNetwork(allow_private, self._resolver, network or httpcore.AnyIOBackend())

    async def check_url(self, url: str, param: str | None = "webhook.url") -> None:
        """Refuse at request time what would be refused at delivery; a name without an address is refused too.

        Raises:
            InvalidRequest: code invalid_url or forbidden_address, about `param`.
        """
        parts = _parsed(url, param)
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                await self._network.checked(parts.hostname or "", _port(parts))
        except ForbiddenAddress as error:
            raise InvalidRequest(str(error), "forbidden_address", param) from None
        except OSError:
            raise InvalidRequest("The URL's host name has no address.", "invalid_url", param) from None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """The status of the answer; a redirect is answered as what it is. `timeout` seconds in all.

        Raises:
            InvalidRequest: the address is not one to go to.
            TimeoutError, OSError: no answer in time, or none at all.
        """
        parts = _parsed(url, None)
        try:
            async with asyncio.timeout(timeout), httpcore.AsyncConnectionPool(network_backend=self._network) as pool:
                return await _exchange(pool, parts, headers, body)
        except ForbiddenAddress as error:
            raise InvalidRequest(str(error), "forbidden_address") from None
        except httpcore.TimeoutException as error:
            raise TimeoutError(str(error)) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ConnectionError(str(error)) from error

    async def get(self, url: str, *, max_bytes: int, timeout: float, param: str) -> bytes:
        """The bytes at `url`, in at most `timeout` seconds, redirects included.

        Raises:
            InvalidRequest: about `param`: invalid_url, forbidden_address, or fetch_failed for what does not answer,
                not with 200, or with more than `max_bytes`.
        """
        data = io.BytesIO()
        await self._follow(url, lambda chunk: _added(data, chunk), max_bytes, timeout, param)
        return data.getvalue()

    async def download(self, url: str, *, to: BinaryIO, max_bytes: int, timeout: float, param: str) -> None:
        """The same into a file, as it comes. `to` may hold a part of it when this raises."""
        await self._follow(url, lambda chunk: asyncio.to_thread(to.write, chunk), max_bytes, timeout, param)
        await asyncio.to_thread(to.flush)

    async def _follow(self, url: str, take: "_Take", max_bytes: int, timeout: float, param: str) -> None:
        try:
            async with asyncio.timeout(timeout), httpcore.AsyncConnectionPool(network_backend=self._network) as pool:
                for _ in range(_MAX_REDIRECTS + 1):
                    redirect = await _read(pool, _parsed(url, param), take, max_bytes, param)
                    if redirect is None:
                        return
                    url = _next(url, redirect.location, param)
        except ForbiddenAddress as error:
            raise InvalidRequest(str(error), "forbidden_address", param) from None
        except (TimeoutError, httpcore.TimeoutException):
            raise _unfetched(f"It did not answer whole within {timeout:g} seconds.", param) from None
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError):
            raise _unfetched("Nothing answers there.", param) from None
        raise _unfetched("It redirects too often.", param)


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Opens sockets to judged addresses only."""

    def __init__(self, allow_private: bool, resolver: Resolver, inner: httpcore.AsyncNetworkBackend) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._inner = inner

    async def checked(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, if every one of them is allowed. Raises ForbiddenAddress, OSError."""
        try:
            addresses = [ip_address(host)]
        except ValueError:
            addresses = [ip_address(found) for found in await self._resolver.resolve(host, port)]
        if not addresses:
            raise OSError(f"{host} has no address")
        if not all(is_allowed(address, self._allow_private) for address in addresses):
            raise ForbiddenAddress("The URL leads to an address that is not public.")
        return [str(address) for address in addresses]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that takes the connection."""
        failure: Exception = OSError(f"{host} has no address")
        for address in await self.checked(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refused: no URL names one."""
        raise ForbiddenAddress("The URL leads to a local socket.")

    async def sleep(self, seconds: float) -> None:
        """As the network below does."""
        await self._inner.sleep(seconds)


async def _exchange(
    pool: httpcore.AsyncConnectionPool, parts: SplitResult, headers: Mapping[str, str], body: bytes
) -> int:
    sent = [*_head(parts), (b"content-length", str(len(body)).encode())]
    sent += [(name.encode(), value.encode()) for name, value in headers.items()]
    async with pool.stream("POST", _url(parts), headers=sent, content=body) as answer:
        num_bytes = 0
        async for chunk in answer.aiter_stream():
            num_bytes += len(chunk)
            if num_bytes > _MAX_ANSWER_BYTES:
                break
        return int(answer.status)


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


_Take = Callable[[bytes], Awaitable[object]]


async def _added(data: io.BytesIO, chunk: bytes) -> None:
    data.write(chunk)


async def _read(
    pool: httpcore.AsyncConnectionPool, parts: SplitResult, take: _Take, max_bytes: int, param: str
) -> _Redirect | None:
    """Hand what is there to `take`, or say where else it is."""
    sent = [*_head(parts), (b"accept-encoding", b"identity"), (b"user-agent", b"Slipway")]
    async with pool.stream("GET", _url(parts), headers=sent) as answer:
        headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        if answer.status in _REDIRECTS and b"location" in headers:
            return _Redirect(headers[b"location"])
        if answer.status != 200:
            raise _unfetched(f"It answers {answer.status}.", param)
        num_bytes = 0
        async for chunk in answer.aiter_stream():
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                raise _unfetched(f"It holds more than {max_bytes} bytes.", param)
            await take(chunk)
        return None


def _next(url: str, location: str, param: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _unfetched("It redirects to what is no address.", param) from None


def _unfetched(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{param} could not be fetched from its address. {why}", "fetch_failed", param)


def _head(parts: SplitResult) -> list[tuple[bytes, bytes]]:
    return [(b"host", parts.netloc.encode()), (b"connection", b"close")]


def _url(parts: SplitResult) -> httpcore.URL:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(
        scheme=parts.scheme.encode(), host=(parts.hostname or "").encode(), port=parts.port, target=target.encode()
    )


def _parsed(url: str, param: str | None) -> SplitResult:
    """The URL, if every reader would read it alike. Raises InvalidRequest (code invalid_url)."""
    if len(url) > _MAX_URL_LENGTH or not _VISIBLE_ASCII.fullmatch(url) or "\\" in url:
        raise InvalidRequest(f"A URL is at most {_MAX_URL_LENGTH} plain characters.", "invalid_url", param)
    try:
        parts = urlsplit(url)
        _port(parts)
    except ValueError:
        raise InvalidRequest("This is no URL.", "invalid_url", param) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest("A URL begins with https:// or http:// and names a host.", "invalid_url", param)
    if "@" in parts.netloc:
        raise InvalidRequest("A URL holds no user name and no password.", "invalid_url", param)
    _check_host(parts.hostname, "[" in parts.netloc, param)
    return parts


def _check_host(host: str, is_bracketed: bool, param: str | None) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        if isinstance(address, IPv4Address) or (is_bracketed and address.scope_id is None):
            return
    if not _HOST_NAME.fullmatch(host) or _LOOKS_NUMERIC.fullmatch(host):
        message = "The URL's host is neither a host name nor an IP address in its usual form."
        raise InvalidRequest(message, "invalid_url", param)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
