"""`python -m operators` itself, with kopf's watches: it is woken, loses its watches, and ends when it is told to."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fakes.kubernetes import kubeconfig, names
from fakes.operator import Bench, model, platform

from operators.__main__ import KindsMissing, operate
from serve.clock import SystemClock

PATIENCE_SECONDS = 120.0


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something has come about; long, for it is only ever waited for in vain once."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def operating(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, **fields: float
) -> AsyncIterator[asyncio.Task[None]]:
    """The whole program, without a platform that answers."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(bench.server, bench.folder)))
    short = {"poll_seconds": 60.0, "host": "127.0.0.1", "health_port": 0, "metrics_port": 0, "request_seconds": 60.0}
    settings = bench.settings(**short | {"platform_url": "http://127.0.0.1:9"} | fields)
    task = asyncio.create_task(operate(settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def watches(bench: Bench) -> int:
    """Watches that are open."""
    return len(bench.server.streams)


async def test_changes_wake_it_and_broken_watches_begin_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "operators")
    async with operating(bench, monkeypatch):
        await until(lambda: watches(bench) == 12)
        bench.server.edit(platform())
        await until(lambda: names(bench.server.of("RayService")) == ["main"])
        bench.server.edit(model("one"))
        await until(lambda: "status" in bench.server.objects["Model", "one"])
        [line] = [record for record in caplog.records if record.message == "operating"]
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{line.health}/healthz")).status_code == 200
            assert (await http.get(f"http://127.0.0.1:{line.health}/readyz")).status_code == 200
            counted = (await http.get(f"http://127.0.0.1:{line.metrics}/metrics")).text
        assert re.search(r'slipway_operator_resources\{kind="Model"\} 1\.0', counted)
        # What goes while no one watches, and whose traces are gone as well, only a full reading finds.
        bench.server.drop_watches()
        bench.server.delete("Service", "main-gateway")
        bench.server.delete("Model", "one")
        bench.server.compact()
        await until(lambda: ("Service", "main-gateway") in bench.server.objects)
        config = bench.server.get("RayService", "main")["spec"]["serveConfigV2"]
        assert "one" not in config or "Model" not in {kind for kind, _ in bench.server.objects}
    assert not bench.server.refused


async def test_without_its_kinds_it_ends_and_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.server.missing |= {"Platform", "Model", "Adapter", "Workflow"}
    async with operating(bench, monkeypatch) as task:
        with pytest.raises(KindsMissing, match="Adapter, Model, Platform, Workflow: install the chart's crds"):
            await task


async def test_an_api_server_that_is_not_there_yet_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.reconciling._UNREAD_SECONDS", 0.01)
    bench.clock = SystemClock()  # type: ignore[assignment]
    bench.server.is_down = True
    async with operating(bench, monkeypatch):
        await until(lambda: len(bench.server.requests) > 6)
        bench.server.is_down = False
        bench.server.edit(platform())
        await until(lambda: bool(bench.server.of("RayService")))
