"""An operator and the platform it looks after, against the API server of `fakes.kubernetes`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from fakes.adapter_files import language_adapter, written
from fakes.clock import ManualClock
from fakes.gateway import Gateway
from fakes.kubernetes import Manifest, Server, kubeconfig

from operators.cluster import Cluster, open_api
from operators.documents import Documents
from operators.metrics import OperatorMetrics
from operators.reconciling import Outcome, Reconciler
from operators.settings import OperatorSettings

API_VERSION = "slipway.dev/v1alpha1"
MAX_PASSES = 30


@dataclass(slots=True)
class Bench:
    """An API server, a platform behind it, and what is written to either."""

    server: Server
    gateway: Gateway
    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    is_platform_up: bool = True
    calls: list[str] = field(default_factory=list)
    """`METHOD /path` of every write to the platform."""

    def settings(self, **fields: Any) -> OperatorSettings:
        """Settings that lead here."""
        file = self.folder / "admin"
        file.write_text(self.gateway.key)
        return OperatorSettings(namespace=self.server.namespace, admin_file=file, debounce_seconds=0, **fields)

    @asynccontextmanager
    async def operator(self, **fields: Any) -> AsyncIterator["Operator"]:
        """A new operator that knows nothing yet. Leaving ends it at once, wherever it is."""
        settings, metrics = self.settings(**fields), OperatorMetrics()
        with patch.dict("os.environ", KUBECONFIG=str(kubeconfig(self.server, self.folder))):
            cluster = Cluster(await open_api(), settings)
        reconciler = Reconciler(
            cluster,
            settings,
            self.clock,
            metrics,
            lambda wake: Documents(settings, metrics, wake, lambda url: _Wire(self)),
        )
        try:
            yield Operator(self, reconciler, cluster, metrics)
        finally:
            await reconciler.close()
            await cluster.close()


@dataclass(slots=True)
class Operator:
    """One operator, whose passes the test makes. Each sees the cluster as it is."""

    bench: Bench
    reconciler: Reconciler
    cluster: Cluster
    metrics: OperatorMetrics

    async def pass_(self) -> Outcome:
        """One pass, and the documents that it writes."""
        self.reconciler.distrust()
        outcome = await self.reconciler.pass_()
        await self.reconciler.settle()
        return outcome

    async def settle(self) -> int:
        """Passes until one writes nothing, to either side; how many there were before it."""
        for number in range(MAX_PASSES):
            before = len(self.bench.calls)
            if not (await self.pass_()).num_writes and len(self.bench.calls) == before:
                return number
        last = [*self.bench.server.writes()[-8:], *self.bench.calls[-8:]]
        raise AssertionError(f"the operator does not come to rest: {last}")


class _Wire(httpx.AsyncBaseTransport):
    """To the platform, as long as it is up."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._transport = httpx.ASGITransport(bench.gateway.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        bench = self._bench
        if not bench.is_platform_up:
            raise httpx.ConnectError("nobody answers")
        if request.method in ("GET", "HEAD"):
            return await self._transport.handle_async_request(request)
        bench.calls.append(f"{request.method} {request.url.path}")
        await bench.server.met()
        return await self._transport.handle_async_request(request)


def platform(name: str = "main", **spec: Any) -> Manifest:
    """A Platform."""
    return {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": name}, "spec": spec}


def model(name: str, **spec: Any) -> Manifest:
    """A Model of the echo engine."""
    body = {"family": "llm", "tasks": ["chat"], "card": {"title": name}, "engine": {"kind": "echo"}} | spec
    return {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": name}, "spec": body}


def adapter(name: str, base: str, folder: Path) -> Manifest:
    """An Adapter of a language model, whose file is under `folder`."""
    files = written(folder / name, language_adapter())
    spec = {"weights": {"uri": f"file://{next(iter(files.values())).parent}"}, "base": base}
    return {"apiVersion": API_VERSION, "kind": "Adapter", "metadata": {"name": name}, "spec": spec}


def workflow(name: str, title: str = "Greeting") -> Manifest:
    """A Workflow of one node that needs no model."""
    inputs = {"template": "Hello {name}", "value_name": {"$input": "who"}}
    spec = {
        "title": title,
        "interface": {
            "inputs": [{"name": "who", "type": "text"}],
            "outputs": [{"name": "said", "from": ["greet", "text"], "primary": True}],
        },
        "nodes": {"greet": {"type": "op:text.template", "inputs": inputs}},
    }
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": spec}


async def killed_at(number: int, server: Server, work: asyncio.Task[Any]) -> bool:
    """Let `work` go on to its `number`th moment, and end it there; False where it is done before."""
    moment = server.stop_at(number)
    waiting = asyncio.create_task(moment.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    is_killed = moment.is_set()
    waiting.cancel()
    if is_killed:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    server.go_on()
    return is_killed
