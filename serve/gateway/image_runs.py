"""OpenAI's image calls as runs: started or joined, waited for or followed, and their pictures sent.

A call becomes the same durable run that the native route makes. What a client's leaving means differs:

    waiting    the run goes on. OpenAI's clients give up on their own timeout and send the request again; the retry
               finds the run (`serve.runs.retries`) and waits on.
    streaming  the run is canceled: the client has heard of it already, does not repeat a stream that breaks, and
               could not go on where it was. A stream that joined another request's run leaves that run alone, and so
               does one whose run a retry has taken over in the meantime.

A client that leaves before the run is promised has asked for nothing.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin

from starlette.requests import Request

from serve.domain import errors
from serve.domain.names import AssetId, RunId
from serve.domain.run import NewRun, Run, RunError, RunEventKind, RunStatus
from serve.domain.usage import Quantities
from serve.gateway.adapter_choices import Chosen
from serve.gateway.asset_links import open_link
from serve.gateway.body_budget import held_by
from serve.gateway.errors import envelope, rule_for
from serve.gateway.exchange import exchange_of
from serve.gateway.image_inputs import Uploads
from serve.gateway.openai.image_requests import AskedImages
from serve.gateway.openai.images import Consumed, ImageFrames, Kind, Painted
from serve.gateway.playground import check_run, own_key
from serve.gateway.routing import adapters_of, admission_of, image_inputs_of, services_of
from serve.gateway.run_requests import with_seed
from serve.gateway.services import Services
from serve.gateway.streaming import CancelOnDisconnect, sse, with_keep_alive
from serve.gateway.submission import Order, submit
from serve.runs import events, retries
from serve.telemetry import logs

_log = logging.getLogger("slipway.gateway")

KEEP_ALIVE_SECONDS = 15.0
_ANY_TIME_SECONDS = 7 * 86_400.0
_MAX_KEY = 255
_CLASSES: Mapping[str, type[errors.SlipwayError]] = {
    cls.default_code: cls
    for cls in (
        errors.Canceled,
        errors.DeadlineExceeded,
        errors.ModelUnavailable,
        errors.Overloaded,
        errors.ReplicaLost,
        errors.StorageUnavailable,
    )
} | {"model_failed": errors.ModelUnavailable}
"""A run's row keeps the code of its error. The rest is the caller's fault where it names an input, and ours else."""


@dataclass(frozen=True, slots=True)
class Started:
    """The run of a call. `is_own`: this request made it, or took it over from its own earlier try."""

    run: Run
    is_own: bool


async def start(request: Request, asked: AskedImages, adapters: Sequence[Chosen], request_hash: str) -> Started:
    """Make the run, or join the one that the same request made before.

    Raises:
        InvalidRequest, NotFound, Unprocessable: about an input or an adapter.
        Conflict, Overloaded: as `RunStore.create`.
    """
    services = services_of(request)
    exchange = exchange_of(request.scope)
    caller = exchange.authenticated
    run_id = RunId(services.ids.new())
    check_run(caller, asked.task, asked.inputs, has_webhook=False)
    key, num_retries = own_key(exchange.client, _idempotency_key(request)), _num_retries(request)
    if key is None and num_retries is not None:
        fingerprint = request_hash
        if num_retries and (run := await retries.take_over(services.runs, caller.tenant, fingerprint, num_retries)):
            logs.bind(run_id=run.id)
            return Started(run, is_own=True)
        key = retries.key_of(fingerprint, run_id, num_retries)
    new = NewRun(
        id=run_id,
        request_id=exchange.request_id,
        tenant=caller.tenant,
        project=caller.project,
        key_id=caller.key_id,
        target=asked.card.name,
        task=asked.task,
        inputs=with_seed(services, asked.inputs),
        request_hash=request_hash,
        idempotency_key=key,
        max_attempts=services.settings.runs.max_attempts,
    )
    uploads = Uploads(asked.files, masks_are_holes=True)
    async with CancelOnDisconnect(request.receive):
        resolving = partial(adapters_of(request).run_adapters, caller.tenant, asked.card, adapters)
        admitting = partial(admission_of(request).admit_run, request.scope, asked.card)
        order = Order(asked.card, new, held_by(request.scope), resolving, admitting, uploads)
        return Started(*await submit(services, image_inputs_of(request), order))


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _MAX_KEY:
        message = f"Idempotency-Key must have 1 to {_MAX_KEY} characters."
        raise errors.InvalidRequest(message, "out_of_range", "idempotency-key")
    return key


def _num_retries(request: Request) -> int | None:
    """Which try this is, where the client is one that says so."""
    told = request.headers.get("x-stainless-retry-count", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 3 else None


async def ended(request: Request, started: Started) -> Run:
    """The run when it has succeeded. Raises its error otherwise, and ClientDisconnect when the client leaves."""
    services, run = services_of(request), started.run
    async with CancelOnDisconnect(request.receive):
        run = await events.wait(services.runs, run.tenant, run.id, _ANY_TIME_SECONDS)
    if run.status != RunStatus.SUCCEEDED:
        raise error_of(run.error)
    log_usage(run.usage)
    return run


def log_usage(usage: dict[str, Any] | None) -> None:
    """Have what an answer consumed on the request's line."""
    quantities = quantities_of(usage)
    logs.bind(prompt_tokens=quantities.prompt_tokens, images=quantities.images)


def consumed_of(run: Run) -> Consumed:
    """What a finished run consumed, and what that costs."""
    return Consumed(quantities_of(run.usage), run.cost_nano)


def quantities_of(usage: dict[str, Any] | None) -> Quantities:
    """What a run's row says it consumed."""
    return Quantities(**(usage or {}))


def error_of(error: RunError | None) -> errors.SlipwayError:
    """A run's error as the exception that a direct call would have raised; a run without one was canceled."""
    if error is None:
        return errors.Canceled("The run was canceled.")
    known = _CLASSES.get(error.code) or (errors.InvalidRequest if error.param else errors.EngineFailed)
    return known(error.message, error.code, error.param)


async def painted(
    services: Services, run: Run, outputs: dict[str, Any] | None, *, base_url: str | None, with_bytes: bool
) -> list[Painted]:
    """The run's pictures in order. With `base_url` each has a link that opens without a key, for a while."""
    found = sorted((outputs or {}).get("artifacts", ()), key=lambda artifact: artifact["index"])
    pictures = []
    for artifact in found:
        asset = await services.assets.get(run.tenant, AssetId(artifact["asset"]["id"]))
        url = None if base_url is None else urljoin(base_url, await open_link(services, run.tenant, asset))
        content = services.assets.content(asset) if with_bytes else None
        pictures.append(Painted(asset.media_type, asset.width, asset.height, url, content))
    return pictures


async def frames(services: Services, started: Started, kind: Kind, previews: bool) -> AsyncGenerator[bytes, None]:
    """The run as OpenAI's events, with comments where it is silent; see the module for what leaving means."""
    has_ended = False
    written = _frames(services, started, kind, previews)
    try:
        yield b": the pictures of a run\n\n"  # the head goes out at once: no client times out while the run waits
        async with aclosing(written), aclosing(with_keep_alive(written, KEEP_ALIVE_SECONDS)) as kept:
            async for chunk in kept:
                yield chunk
        has_ended = True
    finally:
        if not has_ended and started.is_own:
            run = started.run
            await services.runs.request_cancel(run.tenant, run.id, only_with_key=run.idempotency_key)


async def _frames(services: Services, started: Started, kind: Kind, previews: bool) -> AsyncGenerator[bytes, None]:
    run = started.run
    width, height = run.inputs.get("width"), run.inputs.get("height")
    writer = ImageFrames(kind, run.created_ms // 1000, f"{width}x{height}" if width and height else "auto")
    async with aclosing(events.follow(services.runs, run.tenant, run.id)) as followed:
        async for event in followed:
            match event.kind:
                case RunEventKind.STARTED:
                    writer.begin()
                case RunEventKind.PREVIEW if previews:
                    yield writer.partial(event.data)
                case RunEventKind.SUCCEEDED:
                    log_usage(event.data["usage"])
                    async for chunk in _finished(services, run, event.data, writer):
                        yield chunk
                    return
                case RunEventKind.FAILED:
                    yield _failure(error_of(RunError.model_validate(event.data["error"])), run)
                    return
                case RunEventKind.CANCELED:
                    yield _failure(error_of(None), run)
                    return
    yield _failure(errors.NotFound("The run was deleted while it was followed.", "run_not_found"), run)


async def _finished(
    services: Services, run: Run, ending: dict[str, Any], writer: ImageFrames
) -> AsyncGenerator[bytes, None]:
    """Every picture; the last one brings the usage of them all, so that sums are right."""
    pictures = await painted(services, run, ending["output"], base_url=None, with_bytes=True)
    nothing = None if ending.get("cost") is None else 0
    for index, picture in enumerate(pictures):
        is_last = index == len(pictures) - 1
        yield await writer.completed(index, picture, _consumed(ending) if is_last else Consumed(cost_nano=nothing))


def _consumed(ending: dict[str, Any]) -> Consumed:
    cost = ending.get("cost")
    return Consumed(quantities_of(ending["usage"]), None if cost is None else cost["nano_usd"])


def _failure(error: errors.SlipwayError, run: Run) -> bytes:
    logs.bind(stream_error=error.code)
    if rule_for(error).instead:
        _log.error("run %s failed in mid-stream: %s", run.id, error)
    return b"event: error\n" + sse(envelope(error, run.request_id))
