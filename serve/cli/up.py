"""`slipway up` and `slipway down`: the platform on this machine."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx
import typer
from rich.console import Console

from serve.auth.keys import Keys
from serve.auth.login_links import LINK_SECONDS
from serve.auth.people import open_people
from serve.auth.tenants import DEFAULT_TENANT
from serve.catalog.adapters.fetching import open_adapter_sources
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.adapters.seeding import AdapterSeeding
from serve.catalog.builtin import builtin_documents
from serve.catalog.cards import Card
from serve.catalog.catalog import BUILTIN, Catalog
from serve.catalog.weights import DownloadProgress, open_weight_cache
from serve.cli import local_ray, machine
from serve.cli.board import Board
from serve.cli.context import load_context, save_context
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import ModelDocument
from serve.domain.errors import EngineFailed, SlipwayError
from serve.domain.serving import ModelState
from serve.gateway.page.files import DIST, INDEX
from serve.gateway.routes.sign_in import link_url
from serve.metering.prices.price_book import PriceBook
from serve.serving.ray_rest import RayDesiredState, RayRest
from serve.serving.serve_config import (
    GATEWAY_APP,
    LEDGER_APP,
    OPERATIONS_APP,
    RUNNER_APP,
    Listener,
    default_platform,
)
from serve.serving.statuses import read_statuses, why_failed
from serve.settings import Settings
from serve.storage.objects import open_object_store
from serve.storage.records import Records

_POLL_SECONDS = 0.5
_RAY_SECONDS = 90
_DRAIN_SECONDS = 10
_PARTS = (GATEWAY_APP, RUNNER_APP, LEDGER_APP, OPERATIONS_APP)
_GPU_SHARE = 0.25
"""Of one GPU, for a built-in model: room for three more beside it."""


def up(detach: bool) -> None:
    """Start the platform on this machine and wait until it answers; then stay, unless `detach`."""
    settings, console = Settings(), Console()
    running = local_ray.read_state(settings)
    if running and local_ray.is_alive(running):
        console.print(f"Already running at {running.url}. `slipway down` stops it.")
        return
    if running:
        local_ray.stop(settings, running)
    _refuse_if_taken(settings, console)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    # A script's background jobs are born deaf to it, and would then be stopped by nothing that says please.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    platform = local_ray.start(settings)
    stays = False
    try:
        asyncio.run(_bring_up(settings, platform, console))
        stays = detach
        if not detach:
            console.print("Ctrl-C stops it.")
            _wait_for_end(platform)
            raise TimeoutError("Ray ended by itself.")
    except KeyboardInterrupt:
        pass
    except (SlipwayError, httpx.HTTPError, TimeoutError) as error:
        console.print(f"[red]Stopped:[/red] {error}\nRay's log is {settings.storage.state_dir / 'ray.log'}")
        raise typer.Exit(1) from error
    finally:
        if not stays:
            _take_down(settings, platform, console)


def down() -> None:
    """Stop the platform on this machine."""
    settings, console = Settings(), Console()
    platform = local_ray.read_state(settings)
    if platform is None:
        console.print("Nothing is running.")
        return
    _take_down(settings, platform, console)


def _refuse_if_taken(settings: Settings, console: Console) -> None:
    gateway = settings.gateway
    if not machine.port_is_free(gateway.host, gateway.port):
        console.print(f"Port {gateway.port} is in use. Set another: SLIPWAY_GATEWAY_PORT=8080 slipway up")
        raise typer.Exit(1)


async def _bring_up(settings: Settings, platform: local_ray.Platform, console: Console) -> None:
    with Board(console) as board:
        board.show("ray", "starting")
        key, models = await _prepare(settings)
        save_context(platform.url, key) if key else None
        warm = [model for model in models if _is_warm(model)]
        rest = RayRest(platform.ray_address, local_ray.ray_token(settings))
        try:
            await asyncio.gather(_ray_answers(rest, platform, board), *(_fetch(settings, m, board) for m in warm))
            listener = Listener(settings.gateway.host, settings.gateway.port, every_node=False)
            await RayDesiredState(rest, default_platform(), listener).apply(models)
            await _all_ready(rest, platform, {model.name for model in warm}, models, board)
        finally:
            await rest.close()
    code = await login_code(settings) if _has_page() else None
    _print_welcome(platform, models, console, is_new=key is not None, code=code)


async def _prepare(settings: Settings) -> tuple[str | None, list[ModelDocument]]:
    """Migrate; make the first key; put the built-in models in place. Gives the key, if it is new, and the models."""
    records = Records(settings.storage.url())
    try:
        await records.migrate()
        key = await Keys(records, SystemClock(), settings.gateway.key_cache_seconds).bootstrap()
        catalog = Catalog(records, SystemClock())
        for document in builtin_documents(name for name in settings.models.builtin.split(",") if name):
            if await catalog.install(fitted(document, machine.has_gpu_build())) != "unchanged":
                await _set_prices(records, document)
        cards = await catalog.cards()
        await _seed_adapters(settings, records, cards.values())
        return key, [card.document for card in cards.values()]
    finally:
        await records.close()


def _has_page() -> bool:
    return (DIST / INDEX[1:]).is_file()


async def login_code(settings: Settings) -> str:
    """Of a link into the web app. The platform itself makes it: whoever starts it needs no key for that."""
    records, clock = Records(settings.storage.url()), SystemClock()
    try:
        keys = Keys(records, clock, settings.gateway.key_cache_seconds)
        code, _ = await open_people(settings, records, clock, Uuid7Ids(), keys).login_links.make(None)
        return code
    finally:
        await records.close()


async def _set_prices(records: Records, document: ModelDocument) -> None:
    """Those of a built-in model's document that is new; whoever has set others since keeps them."""
    if document.spec.prices is not None:
        await PriceBook(records, SystemClock()).apply(document.name, document.spec.prices, BUILTIN)


async def _seed_adapters(settings: Settings, records: Records, cards: Iterable[Card]) -> None:
    """The adapters that ship with the project, for the models that are served: the first tenant's, for everyone."""
    clock = SystemClock()
    registry = AdapterRegistry(records, open_object_store(settings), clock, settings.adapters)
    seeding = AdapterSeeding(registry, KnownLayouts(records, clock), open_adapter_sources(settings), DEFAULT_TENANT)
    await seeding.install(cards, settings.adapters.max_bytes)


def fitted(document: ModelDocument, has_gpu: bool) -> ModelDocument:
    """A built-in model as this machine runs it: vLLM's GPU build needs one, and takes a share of it."""
    if not has_gpu or document.spec.engine.kind != "vllm" or document.spec.placement.gpus:
        return document
    placement = document.spec.placement.model_copy(update={"gpus": _GPU_SHARE})
    return document.model_copy(update={"spec": document.spec.model_copy(update={"placement": placement})})


def _is_warm(model: ModelDocument) -> bool:
    scaling = model.spec.scaling
    return bool(scaling.min_replicas or scaling.replicas)


async def _ray_answers(rest: RayRest, platform: local_ray.Platform, board: Board) -> None:
    async with asyncio.timeout(_RAY_SECONDS):
        while True:
            if not local_ray.is_alive(platform):
                raise TimeoutError("Ray ended while it started.")
            with contextlib.suppress(httpx.HTTPError, SlipwayError):
                await rest.applications()
                break
            await asyncio.sleep(_POLL_SECONDS)
    board.show("ray", "ready")


async def _fetch(settings: Settings, model: ModelDocument, board: Board) -> None:
    """Have the weights in the node's cache before a replica asks, so that the download is seen."""
    weights = model.spec.weights
    if weights is None:
        return
    loop = asyncio.get_running_loop()

    def show(progress: DownloadProgress) -> None:
        megabytes = f"{progress.done_bytes / 1e6:.0f}"
        total = f" of {progress.total_bytes / 1e6:.0f}" if progress.total_bytes else ""
        state = {"download": "downloading", "convert": "converting"}.get(progress.phase, "checking")
        fraction = progress.done_bytes / progress.total_bytes if progress.total_bytes else None
        loop.call_soon_threadsafe(board.show, model.name, state, f"{progress.file} {megabytes}{total} MB", fraction)

    board.show(model.name, "waiting")
    cache = open_weight_cache(settings)
    resolved = await asyncio.to_thread(cache.resolve, weights, show, model.spec.weights_variant)
    resolved.close()


async def _all_ready(
    rest: RayRest, platform: local_ray.Platform, warm: set[str], models: Sequence[ModelDocument], board: Board
) -> None:
    """Until the platform's own parts and the warm models are up. A warm model that cannot start is shown, not fatal."""
    waiting_for = {*_PARTS} | warm
    while waiting_for:
        if not local_ray.is_alive(platform):
            raise TimeoutError("Ray ended while the applications started.")
        applications = await rest.applications()
        check_parts(applications)
        states = {app: _app_state(applications.get(app, {})) for app in _PARTS}
        details = {app: "" for app in states}
        for name, status in read_statuses(applications).items():
            states[name], details[name] = status.state.value, status.message[:80]
        for document in models:
            states.setdefault(document.name, ModelState.LOADING.value)
        for part, state in states.items():
            board.show(part, "starting" if state == ModelState.LOADING else state, details.get(part, ""))
        waiting_for = {part for part in waiting_for if board.state(part) not in ("ready", "failed")}
        await asyncio.sleep(_POLL_SECONDS)


def check_parts(applications: Mapping[str, Any]) -> None:
    """Raise EngineFailed where Ray reports that a part of the platform itself cannot start."""
    for app in _PARTS:
        application = applications.get(app, {})
        if application.get("status") == "DEPLOY_FAILED":
            raise EngineFailed(f"The {app} cannot start. {why_failed(application)}".strip())


def _app_state(application: Mapping[str, Any]) -> str:
    return "ready" if application.get("status") == "RUNNING" else "loading"


def _print_welcome(
    platform: local_ray.Platform,
    models: Sequence[ModelDocument],
    console: Console,
    *,
    is_new: bool,
    code: str | None,
) -> None:
    key = load_context().key or "YOUR_KEY"
    chats = [model for model in models if "chat" in model.spec.tasks]
    chat = next((model.name for model in sorted(chats, key=_is_warm, reverse=True)), None)
    note = " (shown once: it is stored hashed; your copy is in the CLI's context)" if is_new else ""
    told = f"\nSlipway is ready at {platform.url}\nAPI key: {key}{note}\n{page_line(platform.url, code)}\n"
    console.print(told, highlight=False, soft_wrap=True, markup=False)
    if chat:
        question = '[{"role": "user", "content": "What is the capital of France?"}]'
        # At 0 a small model says what it knows best; by chance it may talk until its window is full.
        body = f'{{"model": "{chat}", "temperature": 0, "messages": {question}}}'
        sys.stdout.write(
            f"curl {platform.url}/v1/chat/completions \\\n"
            f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
            f"  -d '{body}'\n\n"
        )
        sys.stdout.flush()


def page_line(url: str, code: str | None) -> str:
    """What is said of the web app; `code` is that of a link, None where there is no page."""
    if code is None:
        return "Web app: not built here; `make ui` builds it."
    once = f"(once, within {LINK_SECONDS // 60} minutes; then `slipway login-link`)"
    return f"Web app: {link_url(url, code)} {once}"


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _wait_for_end(platform: local_ray.Platform) -> None:
    """Until Ray ends by itself; a signal raises KeyboardInterrupt."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    while local_ray.is_alive(platform):
        time.sleep(0.5)


def _take_down(settings: Settings, platform: local_ray.Platform, console: Console) -> None:
    console.print("Stopping.")
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    with contextlib.suppress(httpx.HTTPError, SlipwayError, TimeoutError):
        asyncio.run(_drain(settings, platform))
    local_ray.stop(settings, platform)


async def _drain(settings: Settings, platform: local_ray.Platform) -> None:
    """Let the applications end by themselves for a while: runs go back to their queue, streams get their last word."""
    if not local_ray.is_alive(platform):
        return
    rest = RayRest(platform.ray_address, local_ray.ray_token(settings))
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            await rest.delete()
            while await rest.applications():
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        await rest.close()
