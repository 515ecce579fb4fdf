"""What Ray starts in HAProxy's place: the gateway learns whom HAProxy saw, and no client can say it in its stead."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from serve.cli.haproxy import haproxy_binary, haproxy_launcher
from serve.cli.local_ray import free_port
from serve.domain.errors import NotFound
from serve.gateway.client_addresses import PEER_HEADER, Client, client_of, peer_word

WORD = peer_word("token")
CONFIG = """
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend http_frontend
    bind 127.0.0.1:{front}
    default_backend gateway
backend gateway
    server one 127.0.0.1:{back}
"""


def binary() -> Path:
    try:
        return haproxy_binary()
    except NotFound as error:
        pytest.skip(error.message)


@contextmanager
def haproxy(folder: Path, front: int, back: int) -> Iterator[None]:
    """HAProxy through the launcher, as Ray starts it."""
    config, launcher = folder / "haproxy.cfg", folder / "haproxy"
    config.write_text(CONFIG.format(front=front, back=back))
    launcher.write_text(haproxy_launcher(binary(), WORD))
    launcher.chmod(0o700)
    process = subprocess.Popen([launcher, "-db", "-f", config, "-dR"], stderr=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert b"ALERT" not in said


@pytest.fixture
async def heads() -> AsyncIterator[tuple[int, list[dict[str, list[str]]]]]:
    """(port, the heads of requests) of a server that answers everything with 200."""
    heads: list[dict[str, list[str]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head: dict[str, list[str]] = {}
        for line in (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:-1]:
            name, _, value = line.partition(": ")
            head.setdefault(name.lower(), []).append(value)
        heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads
    server.close()
    await server.wait_closed()


async def test_the_gateway_learns_whom_haproxy_saw_and_nothing_that_the_client_says(
    tmp_path: Path, heads: tuple[int, list[dict[str, list[str]]]]
):
    back, seen = heads
    front = free_port()
    forged = [(PEER_HEADER, "198.51.100.1"), (PEER_HEADER, f"{'0' * 32} 198.51.100.1"), ("x-forwarded-for", "6.6.6.6")]
    with haproxy(tmp_path, front, back):
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
            for _ in range(50):
                try:
                    answer = await client.get(f"http://127.0.0.1:{front}/", headers=forged)
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
    assert answer.status_code == 200
    assert seen[-1][PEER_HEADER] == [f"{WORD} 127.0.0.1"]
    headers = [(name.encode(), value.encode()) for name, values in seen[-1].items() for value in values]
    assert client_of({"client": ("10.9.9.9", 1), "headers": headers}, 0, WORD) == Client("127.0.0.1")


def test_rays_configuration_has_the_line_that_the_launcher_looks_for():
    origin = importlib.util.find_spec("ray")
    assert origin is not None
    assert origin.origin is not None
    template = Path(origin.origin).parent / "serve/_private/haproxy_templates.py"
    assert "\nfrontend http_frontend\n" in template.read_text()


def test_no_server_of_the_platform_believes_an_address_that_a_request_names():
    trusts = "from uvicorn.middleware.proxy_headers import _TrustedHosts as T; import os, sys; "
    trusts += "sys.exit('127.0.0.1' in T(os.environ['FORWARDED_ALLOW_IPS']))"
    from serve.cli.local_ray import environment_of
    from serve.settings import Settings

    environment = environment_of(Settings(), "id", "http://127.0.0.1:1", "token")
    subprocess.run([sys.executable, "-c", trusts], env=os.environ | environment, check=True)
