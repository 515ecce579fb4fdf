"""Who calls without a key: told by what our own proxies saw, never by what the client wrote."""

from typing import Any

import pytest

from serve.gateway.client_addresses import UNKNOWN, Client, client_of, peer_word

WORD = peer_word("the platform's token")


def scope(peer: str | None = "203.0.113.9", **headers: str | list[str]) -> dict[str, Any]:
    """An ASGI scope; a header with several values comes several times."""
    pairs = []
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            pairs.append((name.replace("_", "-").encode(), value.encode()))
    return {"client": None if peer is None else (peer, 4711), "headers": pairs}


@pytest.mark.parametrize(
    "forged",
    [
        {"x_forwarded_for": "198.51.100.1"},
        {"x_forwarded_for": ["198.51.100.1", "10.0.0.1"], "x_real_ip": "198.51.100.1"},
        {"forwarded": "for=198.51.100.1"},
        {"x_slipway_peer": "198.51.100.1"},
        {"x_slipway_peer": f"{'0' * 32} 198.51.100.1"},
        {"x_slipway_peer": f"{peer_word('')} 198.51.100.1"},
    ],
    ids=["forwarded-for", "several", "rfc-7239", "peer", "peer-with-a-word", "peer-of-no-token"],
)
def test_without_proxies_of_ours_only_the_socket_is_believed(forged: dict[str, Any]):
    assert client_of(scope(**forged), 0, WORD) == Client("203.0.113.9")


def test_our_haproxy_says_whom_it_saw():
    seen = scope("127.0.0.1", x_slipway_peer=f"{WORD} 198.51.100.7", x_forwarded_for="192.0.2.1")
    assert client_of(seen, 0, WORD) == Client("198.51.100.7")
    assert client_of(seen, 0, None) == Client("127.0.0.1")


@pytest.mark.parametrize(
    ("forwarded", "trusted", "client"),
    [
        ("198.51.100.7", 1, "198.51.100.7"),
        ("192.0.2.1, 198.51.100.7", 1, "198.51.100.7"),
        ("192.0.2.1, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        (["192.0.2.1", "198.51.100.7"], 1, "198.51.100.7"),
        ("198.51.100.7", 2, "203.0.113.9"),
        ("", 1, "unknown"),
        ([], 1, "203.0.113.9"),
        ("nonsense", 1, "unknown"),
        ("198.51.100.7:1234", 1, "198.51.100.7"),
    ],
)
def test_forwarded_addresses_are_counted_from_the_nearest_proxy(forwarded: str | list[str], trusted: int, client: str):
    assert client_of(scope(x_forwarded_for=forwarded), trusted, WORD).name == client


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.9", Client("203.0.113.9")),
        ("::ffff:203.0.113.9", Client("203.0.113.9")),
        ("2001:db8:1:2:3:4:5:6", Client("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("2001:db8:1:2:ffff::", Client("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("2001:db8:1:3::1", Client("2001:db8:1:3::/64", "2001:db8:1::/48")),
        ("[2001:db8:1:3::1]:443", Client("2001:db8:1:3::/64", "2001:db8:1::/48")),
        ("fe80::1%eth0", Client("fe80::/64", "fe80::/48")),
        ("", UNKNOWN),
        ("unix", UNKNOWN),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_that_one_subscriber_has(address: str, client: Client):
    assert client_of(scope(address), 0) == client


def test_a_request_without_a_socket_is_of_nobody_known():
    assert client_of(scope(None), 0) == UNKNOWN
