"""`ports.Models` over Ray Serve's deployment handles.

Facts about Ray 2.60 that this module hides: closing a response stream cancels nothing, so every stream is canceled in
`finally`; errors arrive wrapped in RayTaskError; a replica that dies truncates its streams with an actor error.
"""

import asyncio
import contextvars
import dataclasses
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol, cast

from ray import serve as ray_serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.preload_orders import send_preloads
from deployments.witness import Submission
from serve.domain.errors import (
    Canceled,
    EngineFailed,
    ModelUnavailable,
    NotFound,
    Overloaded,
    ReplicaLost,
    SlipwayError,
)
from serve.domain.generation import Completed, EventBatch, ModelCall, Verdict
from serve.domain.serving import ModelState, ModelStatus
from serve.metering.meter import Meter
from serve.serving.route_memory import Preload
from serve.serving.serve_config import REPLICA_DEPLOYMENT, model_app

logger = logging.getLogger(__name__)

_MAX_SUBMISSIONS = 3
_RESUBMIT_PAUSE_SECONDS = 0.2
_RETRY_AFTER_SECONDS = 5.0
_PRELOAD_SECONDS = 60.0
_ABSENT_SECONDS = 30.0
"""How long a model may be missing from Ray's report: one just applied is for a moment, a deleted one for good."""


class Statuses(Protocol):
    """How the models are doing, as somebody keeps finding out."""

    async def current(self) -> Mapping[str, ModelStatus]:
        """By model name."""
        ...


class RayModels:
    """Calls models that run as Ray Serve applications of this cluster."""

    def __init__(self, statuses: Statuses, wait_seconds: float, witness: Meter | None = None) -> None:
        """`wait_seconds`: how long a call waits for a model that has no replica yet. Every submission is written down
        with `witness`."""
        self._witness = witness
        self._statuses = statuses
        self._wait_seconds = wait_seconds
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._preloads: set[asyncio.Task[None]] = set()

    async def statuses(self) -> Mapping[str, ModelStatus]:
        """How every model is doing."""
        return await self._statuses.current()

    async def counters(self, model: str) -> Mapping[str, float]:
        """See `ports.Models`."""
        status = (await self._statuses.current()).get(model)
        if status is None or not status.ready_replicas:
            raise ModelUnavailable(f"The model {model} has no replica now.", "model_at_zero")
        try:
            counters: Mapping[str, float] = await self._handle(model).options(stream=False).counters.remote()
        except (RayError, DeploymentUnavailableError) as error:
            raise translate(model, error) from error
        return counters

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """See `ports.Models`. A replica that is lost before it has answered anything is replaced by another."""
        last = call.context.submission + _MAX_SUBMISSIONS - 1
        for number in range(call.context.submission, last + 1):
            context = dataclasses.replace(call.context, submission=number)
            sent = dataclasses.replace(call, context=context)
            submission = Submission(self._witness, model, sent, verdict)
            try:
                with submission:
                    async with aclosing(self._submit(model, sent)) as stream:
                        async for batch in stream:
                            submission.saw(batch)
                            yield batch
                return
            except ReplicaLost:
                if submission.is_whole:
                    return
                if submission.has_answered or number == last:
                    raise
                logger.warning("replica of %s lost before its answer; sending the call again", model)
                if verdict is not None:
                    verdict.was_resent = True
                await asyncio.sleep(_RESUBMIT_PAUSE_SECONDS)

    async def _submit(self, model: str, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        response = cast("DeploymentResponseGenerator[EventBatch]", self._handle(model).call.remote(call))
        batches = response.__aiter__()
        finished = False
        try:
            batch = await self._first(model, batches)
            finished = _is_last(batch)
            yield batch
            async for batch in batches:
                finished = _is_last(batch)
                yield batch
            finished = True
        except StopAsyncIteration:
            raise EngineFailed("The model gave no answer.", "empty_answer") from None
        except DeploymentUnavailableError as error:
            raise _cannot_start(model, (await self._statuses.current()).get(model)) from error
        except (RayError, BackPressureError, RequestCancelledError) as error:
            raise translate(model, error) from error
        finally:
            if not finished:
                response.cancel()  # type: ignore[no-untyped-call]  # Ray's

    async def _first(self, model: str, batches: Any) -> EventBatch:
        """The first batch; where the model is not there to give it, the wait is bounded and the refusal says why."""
        first = asyncio.ensure_future(batches.__anext__())
        first.add_done_callback(_look_at)
        try:
            waited = 0.0
            while not (await asyncio.wait({first}, timeout=2.0))[0]:
                waited += 2.0
                await self._refuse_if_absent(model, waited)
            result: EventBatch = first.result()
            return result
        finally:
            if not first.done():
                first.cancel()

    async def _refuse_if_absent(self, model: str, waited: float) -> None:
        status = (await self._statuses.current()).get(model)
        if status is None:
            if waited >= min(self._wait_seconds, _ABSENT_SECONDS):
                raise NotFound(f"The model {model} is not served any more.", "model_not_found", "model")
            return
        if status.ready_replicas:
            return
        if status.state is ModelState.FAILED:
            raise _cannot_start(model, status)
        if waited >= self._wait_seconds:
            text = f"The model {model} is still starting. Retry later."
            raise ModelUnavailable(text, "model_loading", None, _RETRY_AFTER_SECONDS)

    def _handle(self, model: str) -> DeploymentHandle[Any]:
        handle = self._handles.get(model)
        if handle is None:
            handle = ray_serve.get_deployment_handle(REPLICA_DEPLOYMENT, model_app(model), _check_exists=False)
            handle = self._handles[model] = handle.options(stream=True)
            self._take_preloads(model, handle.options(stream=False))
        return handle

    def _take_preloads(self, model: str, handle: DeploymentHandle[Any]) -> None:
        loop = asyncio.get_running_loop()

        def send(preload: Preload) -> None:
            loop.call_soon_threadsafe(self._start_preload, model, handle, preload)

        send_preloads(model_app(model), send)

    def _start_preload(self, model: str, handle: DeploymentHandle[Any], preload: Preload) -> None:
        # Not in the context of the request that the router was busy with: that one's end must not be this one's.
        task = asyncio.get_running_loop().create_task(_preload(model, handle, preload), context=contextvars.Context())
        self._preloads.add(task)
        task.add_done_callback(self._preloads.discard)


async def _preload(model: str, handle: DeploymentHandle[Any], preload: Preload) -> None:
    """Carry out a router's order. It is only haste: a call that finds its adapter missing loads it."""
    try:
        async with asyncio.timeout(_PRELOAD_SECONDS):
            await handle.preload_adapter.remote(preload)
    except Exception as error:
        logger.warning("preload of %s for %s at %s failed: %s", preload.adapter, model, preload.replica, error)


def _cannot_start(model: str, status: ModelStatus | None) -> ModelUnavailable:
    reason = status.message if status else ""
    return ModelUnavailable(f"The model {model} cannot start. {reason}".strip(), "model_failed")


def _is_last(batch: EventBatch) -> bool:
    """Whether the answer is whole: whoever leaves now leaves nothing to be canceled."""
    return bool(batch) and isinstance(batch[-1], Completed)


def _look_at(first: "asyncio.Future[EventBatch]") -> None:
    """Of a call that was given up, the way it ended is nobody's news: without this asyncio logs it as an error."""
    if not first.cancelled():
        first.exception()


def translate(model: str, error: BaseException) -> SlipwayError:
    """Ray's word for a failure in ours."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, SlipwayError):
        return error.cause
    if isinstance(error, RayActorError):
        return ReplicaLost(f"The replica of {model} went away in the middle of the call. Retry.")
    if isinstance(error, BackPressureError):
        return Overloaded(f"The model {model} has no room for more requests. Retry later.", "queue_full", None, 1.0)
    if isinstance(error, RequestCancelledError):
        return Canceled("The call was canceled.")
    if isinstance(error, DeploymentUnavailableError):
        return ModelUnavailable(f"The model {model} cannot start.", "model_failed")
    logger.error("call to %s failed", model, exc_info=error)
    return EngineFailed(f"The model {model} failed.")
