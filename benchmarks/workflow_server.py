"""The gateway and the runner that `benchmarks.workflow_path` measures, each a process of its own over one SQLite.

    python -m benchmarks.workflow_server gateway --folder STATE --port 8000
    python -m benchmarks.workflow_server runner --folder STATE

They are put together as `deployments.gateway` and `deployments.runner` do it, but for Ray: uvicorn answers, nudges are
datagrams, and models are engines of the runner's process. The gateway writes an administrator's key to STATE/key.
"""

import argparse
import asyncio
import signal
import socket
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import uvicorn
import uvloop

from benchmarks.echo_models import ECHO_MODELS
from benchmarks.workflow_platform import KEY_FILE
from deployments.engines.echo import EchoEngine
from deployments.gateway import compose
from deployments.metering import open_witness_metering
from deployments.runner import AssetOutputs
from deployments.workflow_parts import open_workflows
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.names import RunId
from serve.gateway.app import create_app
from serve.metering.prices.price_book import PriceBook
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.serving.in_memory import InMemoryModels
from serve.settings import Settings, StorageSettings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry.metrics import Metrics

_SOCKET = "nudge"
_MAX_CONCURRENCY = 32


class _Part(Protocol):
    """What runs beside a process's own work."""

    def start(self) -> Awaitable[None]:
        """Begin."""
        ...

    def stop(self) -> Awaitable[None]:
        """End."""
        ...


def _settings(folder: Path) -> Settings:
    storage = StorageSettings(data_dir=folder / "data", cache_dir=folder / "cache", state_dir=folder / "state")
    return Settings(storage=storage)


async def _gateway(folder: Path, port: int) -> None:
    settings = _settings(folder)
    metering = open_witness_metering(settings, "gateway")
    await Records(settings.storage.url()).migrate()
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)

    async def nudge(run_id: RunId) -> None:
        with suppress(OSError):
            sender.sendto(run_id.encode(), str(folder / _SOCKET))

    services = replace(compose(settings, metering.witness), nudge=nudge)
    for document in ECHO_MODELS:
        await services.catalog.apply(document, "benchmark")
    parts: list[_Part] = [services.rates, services.wallets, services.run_limits]
    (folder / KEY_FILE).write_text(await services.keys.bootstrap() or "")
    config = uvicorn.Config(create_app(services), "127.0.0.1", port, log_level="warning", access_log=False)
    await _beside(parts, uvicorn.Server(config).serve())


async def _runner(folder: Path) -> None:
    settings, clock, ids = _settings(folder), SystemClock(), Uuid7Ids()
    records = Records(settings.storage.url())
    assets = Assets(records, open_object_store(settings), clock, ids)
    workflows = open_workflows(records, assets, clock, settings.workflows)
    engines = {one.name: EchoEngine(one.spec.engine) for one in ECHO_MODELS if isinstance(one.spec.engine, EchoSpec)}
    runner = Runner(
        RunStore(records, clock, settings.runs, assets),
        InMemoryModels(engines),
        clock,
        owner=ids.new(),
        settings=settings.runs,
        max_concurrency=_MAX_CONCURRENCY,
        outputs=AssetOutputs(assets),
        costs=PriceBook(records, clock).run_costs,
        workflows=workflows.performer,
        watch=Metrics("runner").step,
    )
    nudges = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    nudges.setblocking(False)
    nudges.bind(str(folder / _SOCKET))
    asyncio.get_running_loop().add_reader(nudges, lambda: runner.nudge(RunId(nudges.recv(64).decode())))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await _beside([workflows.history, runner], ended.wait())


async def _beside(parts: list[_Part], work: Awaitable[object]) -> None:
    for part in parts:
        await part.start()
    try:
        await work
    finally:
        for part in reversed(parts):
            await part.stop()


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("process", choices=("gateway", "runner"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    work = _gateway(options.folder, options.port) if options.process == "gateway" else _runner(options.folder)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
