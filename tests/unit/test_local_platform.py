"""What `slipway up` makes of the built-in models on this machine."""

import socket
from pathlib import Path

import pytest
from fakes.gateway import gateway

from serve.catalog.builtin import builtin_documents
from serve.cli.local_ray import free_hundred, free_port
from serve.cli.up import check_parts, fitted, login_code, page_line
from serve.domain.errors import EngineFailed

CHAT, EMBEDDING = builtin_documents(["smollm2-135m-instruct", "minilm-l6-v2"])


def test_without_the_gpu_build_a_model_is_as_it_was_written() -> None:
    assert fitted(CHAT, has_gpu=False) is CHAT


def test_with_the_gpu_build_vllm_takes_a_share_of_a_gpu() -> None:
    assert fitted(CHAT, has_gpu=True).spec.placement.gpus == pytest.approx(0.25)


def test_a_model_that_needs_no_gpu_takes_none() -> None:
    assert fitted(EMBEDDING, has_gpu=True) is EMBEDDING


def test_a_platform_whose_gateway_cannot_start_is_not_said_to_be_ready():
    message = 'Traceback:\n  File "gateway.py", line 3\n    boom()\nValueError: no such column: keys.family'
    failed = {"status": "DEPLOY_FAILED", "message": "", "deployments": {"gateway": {"message": message}}}
    with pytest.raises(EngineFailed, match=r"The gateway cannot start\. ValueError: no such column: keys\.family"):
        check_parts({"runner": {"status": "RUNNING"}, "gateway": failed})


def test_a_part_that_is_still_starting_is_waited_for():
    check_parts({"gateway": {"status": "DEPLOYING"}, "ledger": {"status": "UNHEALTHY"}})


LENT = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not LENT.exists(), reason="Linux tells which ports it lends")
def test_a_port_that_is_bound_later_is_none_that_outgoing_connections_are_lent():
    first, last = map(int, LENT.read_text().split())
    ports = {free_port() for _ in range(20)}
    assert not [port for port in ports if first <= port <= last]


def test_a_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as held, socket.create_server(("127.0.0.1", 0)) as gone:
        taken, free = held.getsockname()[1], gone.getsockname()[1]
        gone.close()
        monkeypatch.setattr("serve.cli.local_ray._PORTS", (taken, free))
        assert {free_port() for _ in range(20)} == {free}


def test_a_hundred_ports_of_which_one_is_in_use_are_another_platforms(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("serve.cli.local_ray._REPLICA_PORTS", range(26_000, 26_200, 100))
    monkeypatch.setattr("serve.cli.local_ray._is_free", lambda port: port != 26_041)
    assert {free_hundred() for _ in range(20)} == {range(26_100, 26_200)}


async def test_the_link_that_up_prints_signs_a_browser_in(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client("") as browser:
        line = page_line("http://slipway", await login_code(made.services.settings))
        address, _, code = line.split()[2].partition("#code=")
        assert address == "http://slipway/signin"
        answer = await browser.post("/v1/session/link", json={"code": code})
        assert (answer.status_code, answer.json()["administrator"]) == (201, True)


def test_where_there_is_no_page_up_says_how_to_get_it():
    assert page_line("http://slipway", None) == "Web app: not built here; `make ui` builds it."
