"""The chart's load test, against a gateway behind a socket."""

import argparse
from pathlib import Path

import pytest
from fakes.gateway import CHAT
from fakes.http_server import served

from benchmarks.cluster_load import measure, target_of
from benchmarks.load import LoadFailed


async def test_it_finds_a_model_and_says_what_it_bears(tmp_path: Path) -> None:
    with served(tmp_path) as gateway:
        (tmp_path / "admin").write_text(gateway.made.key)
        options = argparse.Namespace(
            url=gateway.url, admin_file=tmp_path / "admin", model="", concurrency=2, seconds=0.2, max_tokens=4
        )
        result = await measure(options)
    assert result["settings"] == {"model": CHAT, "concurrency": 2, "max_tokens": 4}
    assert result["num_requests"] >= 2
    rates = result["tokens_per_second"] / result["requests_per_second"]
    assert rates == pytest.approx(4, abs=0.1)
    assert result["first_token_ms"]["p99"] >= result["first_token_ms"]["p50"] > 0


@pytest.mark.parametrize("url", ["https://slipway.example.com", "slipway-gateway:8000", "http://host/path"])
def test_an_address_that_it_cannot_speak_to_is_refused(url: str) -> None:
    with pytest.raises(LoadFailed, match="plain HTTP"):
        target_of(url, "")


def test_an_address_without_a_port_is_that_of_http() -> None:
    target = target_of("http://slipway-gateway", "key")
    assert (target.host, target.port) == ("slipway-gateway", 80)
