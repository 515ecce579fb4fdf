"""What others see of the operator: /healthz and /readyz for the kubelet, /metrics for Prometheus."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from operators.metrics import OperatorMetrics
from operators.reconciling import Reconciler
from operators.settings import OperatorSettings
from serve.domain.ports import Clock

logger = logging.getLogger(__name__)

_STUCK_SECONDS = 600.0
"""A pass writes thousands of objects at the most; a loop that has not turned for so long will not."""


@asynccontextmanager
async def probes(
    reconciler: Reconciler, metrics: OperatorMetrics, settings: OperatorSettings, clock: Clock
) -> AsyncIterator[dict[str, int]]:
    """Serve both ports. Yields by name the ports that were taken."""

    async def healthz(_: web.Request) -> web.Response:
        idle = clock.monotonic() - reconciler.last_beat
        return _verdict(idle < _STUCK_SECONDS, f"the last pass began {idle:.0f} seconds ago")

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(reconciler.is_ready, "the namespace was read" if reconciler.is_ready else "not read yet")

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    runners = list[web.AppRunner]()
    try:
        health = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
        ports = {
            "health": await _serve(health, settings.host, settings.health_port, runners),
            "metrics": await _serve([web.get("/metrics", exposition)], settings.host, settings.metrics_port, runners),
        }
        yield ports
    finally:
        for runner in runners:
            await runner.cleanup()


def _verdict(is_good: bool, told: str) -> web.Response:
    return web.Response(text=told + "\n", status=200 if is_good else 503)


async def _serve(routes: list[web.RouteDef], host: str, port: int, runners: list[web.AppRunner]) -> int:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    runners.append(runner)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    taken: int = runner.addresses[0][1]
    return taken
