"""What is measured, each as a server that starts, says where it is, and ends: bare vLLM, a plain echo, Slipway."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from benchmarks.load import LoadFailed, Target
from benchmarks.processes import Processes, free_port
from deployments.engines.vllm_settings import engine_arguments
from deployments.engines.vllm_settings import environment as vllm_environment
from serve.domain.documents import ModelDocument, VllmEngine
from serve.settings import Settings

_START_SECONDS = 400.0
_HOST = "127.0.0.1"
logger = logging.getLogger(__name__)


class Server(Protocol):
    """One of the things compared."""

    async def start(self) -> tuple[Target, Processes]:
        """Start it, and return when it answers."""
        ...

    async def stop(self) -> None:
        """Ask it to end, in its own way; what is left is ended by others."""
        ...


class Stage:
    """Holds one server at a time: entering another ends the one that is there."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self.start_seconds: dict[str, list[float]] = {}
        """By server: how long each start took."""
        self.num_left: dict[str, int] = {}
        """By server: processes that its own way of ending left behind."""

    async def enter(self, name: str, server: Server) -> tuple[Target, Processes]:
        """Where `server` answers, and its processes."""
        if server is not self._server:
            await self.leave()
            logger.info("%s: starting", name)
            began = time.monotonic()
            self._running = await server.start()
            self._name, self._server = name, server
            self.start_seconds.setdefault(name, []).append(round(time.monotonic() - began, 1))
        return self._running

    async def leave(self) -> None:
        """End the server that is there, if one is."""
        server, self._server = self._server, None
        if server is not None:
            logger.info("%s: ending", self._name)
            _, processes = self._running
            try:
                await server.stop()
            finally:
                self.num_left[self._name] = self.num_left.get(self._name, 0) + await processes.end()


class CommandServer:
    """A server that is one command: it ends when it is told to."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """`command` is completed with `--host` and `--port`."""
        self._command = command
        self._environment = environment

    async def start(self) -> tuple[Target, Processes]:
        """See Server."""
        target, processes = Target(_HOST, free_port()), Processes()
        child = processes.spawn([*self._command, "--host", _HOST, "--port", str(target.port)], self._environment)
        try:
            async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as client:
                while not await _answers(client, f"{target.url}/health"):
                    if child.poll() is not None:
                        raise LoadFailed(f"{self._command[:3]} ended:\n{processes.last_words()}")
                    await asyncio.sleep(0.2)
        except BaseException:
            await processes.end()
            raise
        return target, processes

    async def stop(self) -> None:
        """See Server: `Processes.end` tells it to."""


class Slipway:
    """`slipway up --detach` with state of its own, and `slipway down`. The weight cache is the user's."""

    def __init__(
        self, environment: Mapping[str, str], builtin: str = "", documents: Sequence[ModelDocument] = ()
    ) -> None:
        """`builtin` names the models that are installed at the start; `documents` are applied after it."""
        self._settings = environment
        self._builtin = builtin
        self._documents = documents
        self._command = str(Path(sys.executable).with_name("slipway"))

    async def start(self) -> tuple[Target, Processes]:
        """See Server."""
        self._root = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
        self._processes = Processes()
        port = free_port()
        own = slipway_environment(self._root, port) | {"SLIPWAY_MODELS_BUILTIN": self._builtin}
        self._environment = {**own, **self._settings}
        try:
            await self._processes.run([self._command, "up", "--detach"], self._environment, _START_SECONDS)
            context = yaml.safe_load((self._root / "config/slipway/config.yaml").read_text())
            target = Target(_HOST, port, context["key"])
            await self._serve(target)
        except BaseException as error:
            logger.error("%s", self._processes.last_words() if isinstance(error, Exception) else "interrupted")
            try:
                await self.stop()
            finally:
                await self._processes.end()
            raise
        return target, self._processes

    async def _serve(self, target: Target) -> None:
        headers = {"Authorization": f"Bearer {target.key}"}
        names = {document.name for document in self._documents} | set(filter(None, self._builtin.split(",")))
        async with httpx.AsyncClient(base_url=target.url, headers=headers, timeout=60) as client:
            for document in self._documents:
                answer = await client.put(
                    f"/v1/admin/documents/Model/{document.name}", content=document.canonical(),
                    headers={"Content-Type": "application/json"},
                )  # fmt: skip
                answer.raise_for_status()
            async with asyncio.timeout(_START_SECONDS):
                for name in names:
                    await _ready(client, name)

    async def stop(self) -> None:
        """See Server."""
        try:
            with contextlib.suppress(LoadFailed):
                await self._processes.run([self._command, "down"], self._environment, 90)
        finally:
            shutil.rmtree(self._root, ignore_errors=True)


def slipway_environment(root: Path, port: int) -> dict[str, str]:
    """A platform that shares nothing with the user's own but the weights."""
    return {
        "XDG_DATA_HOME": str(root / "data"),
        "XDG_STATE_HOME": str(root / "state"),
        "XDG_CONFIG_HOME": str(root / "config"),
        "SLIPWAY_STORAGE_CACHE_DIR": str(Settings().storage.cache_dir),
        "SLIPWAY_GATEWAY_PORT": str(port),
        # HAProxy's own two ports are the same for every Ray of a machine, unless they are told.
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
    }


async def _ready(client: httpx.AsyncClient, name: str) -> None:
    while True:
        card = (await client.get(f"/v1/catalog/{name}")).json()
        if card.get("state") == "ready":
            return
        if card.get("state") == "failed":
            raise LoadFailed(f"{name} cannot start: {card['message']}")
        await asyncio.sleep(0.5)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


def bare_vllm(document: ModelDocument, weights: Path, environment: str, variables: Mapping[str, str]) -> CommandServer:
    """vLLM's own HTTP server with the engine options that our replica gives to the same document.

    `environment` is `ours`, what our replica sets for vLLM (threads, processes), or `vllm`, what vLLM does by itself;
    `variables` come on top.
    """
    spec = document.spec.engine
    if spec.kind != "vllm":
        raise LoadFailed(f"{document.name} is not served by vLLM")
    num_gpus = document.spec.placement.gpus
    arguments = engine_arguments(spec, weights, document.name, num_gpus)
    if environment == "vllm":
        arguments.pop("distributed_executor_backend", None)
    given = _replica_environment(document, spec) if environment == "ours" else {"HF_HUB_OFFLINE": "1"}
    module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    options = [*flags(arguments), "--disable-uvicorn-access-log", "--enable-prompt-tokens-details"]
    return CommandServer([*module, *options], {"VLLM_LOGGING_LEVEL": "WARNING", **given, **variables})


def _replica_environment(document: ModelDocument, spec: VllmEngine) -> dict[str, str]:
    """What our engine sets, and the number of threads that Ray sets for a replica with these CPUs."""
    placement = document.spec.placement
    given = vllm_environment(placement.gpus, spec.enforce_eager, len(os.sched_getaffinity(0)))
    return {**given, "OMP_NUM_THREADS": str(max(1, int(placement.cpus)))}


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Keyword arguments of vLLM's AsyncEngineArgs as its command line has them; None is left to vLLM."""
    found = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True or value is False:
            # The one switch that has no `--no-` form.
            if name == "disable_log_stats":
                found += [flag] if value else []
            else:
                found.append(flag if value else f"--no-{flag.removeprefix('--')}")
        elif value is not None:
            found += [flag, json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return found


def omp_environment(num_threads: int | None) -> dict[str, str]:
    """OMP_NUM_THREADS for a server, where it is asked for."""
    return {} if num_threads is None else {"OMP_NUM_THREADS": str(num_threads)}


def plain_echo() -> CommandServer:
    """`benchmarks.plain_echo`."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return CommandServer([sys.executable, "-m", "benchmarks.plain_echo"], {"PYTHONPATH": path})
