"""Callers without a key behind each of Ray's proxies: whom the gateway takes them for."""

import sqlite3

import httpx
from fakes.platform import TestPlatform, echo_document

FORGED = {
    "x-forwarded-for": "6.6.6.6",
    "forwarded": "for=6.6.6.6",
    "x-real-ip": "6.6.6.6",
    "x-slipway-peer": "6.6.6.6",
}


def test_a_stranger_is_known_by_the_address_that_our_proxy_saw(either_transport: TestPlatform):
    platform = either_transport
    platform.apply(echo_document("open", card={"title": "Open", "playground": True}))
    body = {"model": "open", "messages": [{"role": "user", "content": "one two"}]}
    answer = httpx.post(f"{platform.url}/v1/chat/completions", json=body, headers=FORGED, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ratelimit-limit-requests"] == "6"
    (database,) = platform.folder.rglob("slipway.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        scopes = {scope for (scope,) in connection.execute("SELECT scope FROM rate_buckets")}
    assert scopes == {"anonymous", "client:127.0.0.1"}
