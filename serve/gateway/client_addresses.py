"""Which client a request without a key comes from, as far as that can be known without believing the client.

The nearest address is what a socket says: the gateway's own, or that of our HAProxy, which writes the address that it
saw into `PEER_HEADER` in place of whatever was there, beside a word that only the platform knows. What stands in
X-Forwarded-For is believed only as far as `trusted_proxies` reaches, counted from the nearest: each of our proxies
has appended what it saw, and everything further left came from outside.

A client is an IPv4 address, or an IPv6 /64: one subscriber has at least that much to rotate through. Many have a /48,
and so a /48 has a limit of its own.
"""

import hashlib
import hmac
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

PEER_HEADER = "x-slipway-peer"
_PEER = PEER_HEADER.encode()
_FORWARDED = b"x-forwarded-for"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls without a key: `name` is the narrow network, `site` the wide one where the narrow one has such."""

    name: str
    site: str | None = None


UNKNOWN = Client(_UNKNOWN)
"""Everybody whose address is not known: they count as one."""


def peer_word(token: str) -> str:
    """What our HAProxy says to be believed, made from a secret that all processes of a platform share."""
    return hashlib.sha256(f"slipway peer {token}".encode()).hexdigest()[:32]


def client_of(scope: Scope, trusted_proxies: int, word: str | None = None) -> Client:
    """The client of a request. `word` is what our HAProxy says; None where there is none that would."""
    forwarded: list[str] = []
    peer = scope["client"][0] if scope.get("client") else ""
    for name, value in scope["headers"]:
        if name == _FORWARDED:
            forwarded += value.decode("latin-1").split(",")
        elif name == _PEER and word is not None:
            peer = _seen(value.decode("latin-1"), word) or peer
    if 0 < trusted_proxies <= len(forwarded):
        return _client(forwarded[-trusted_proxies])
    return _client(peer)


def scheme_of(scope: Scope) -> str:
    """http or https, as the nearest proxy of ours says; for gateways that have one."""
    written = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    scheme = written[-1].decode("latin-1").rpartition(",")[2].strip().lower() if written else ""
    return scheme if scheme in ("http", "https") else str(scope["scheme"])


def _seen(value: str, word: str) -> str | None:
    said, _, address = value.partition(" ")
    return address if hmac.compare_digest(said.encode("latin-1"), word.encode()) else None


def _client(text: str) -> Client:
    address = _address(text.strip())
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv4Address):
        return Client(str(address))
    return Client(str(ip_network((int(address), 64), strict=False)), str(ip_network((int(address), 48), strict=False)))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """From `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`; an IPv4 address in IPv6's clothes is an IPv4 address."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
