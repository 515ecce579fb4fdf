"""Calling a model for a request that waits: observed, always closed, cut short when the client leaves."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.types import Receive

from serve.domain.errors import EngineFailed, InvalidRequest, ModelUnavailable, NotFound, Overloaded
from serve.domain.folds import Answer
from serve.domain.generation import Completed, Event, EventBatch, Metered, ModelCall, Verdict
from serve.domain.usage import Quantities
from serve.gateway.errors import envelope, rule_for
from serve.gateway.exchange import CallTerms
from serve.gateway.openai.frames import DONE
from serve.gateway.services import Services
from serve.gateway.streaming import CancelOnDisconnect, sse
from serve.telemetry import logs

_log = logging.getLogger("slipway.gateway")


_BEFORE_WORK = (Overloaded, ModelUnavailable, InvalidRequest, NotFound)
"""Where one of these comes before any batch, and no replica was lost before, nothing was consumed."""


async def batches(
    services: Services, model: str, call: ModelCall, terms: CallTerms
) -> AsyncGenerator[EventBatch, None]:
    """The model's batches, timed and counted. Closing it closes the model's stream, and so ends the work. However it
    ends, `terms` are settled.

    Raises:
        EngineFailed: also for a stream that ends without `Completed`: half an answer is none.
    """
    usage, has_begun, verdict = None, False, Verdict()
    terms.send()
    stream = services.models.call(model, call, verdict)
    with services.metrics.call(call.context.tenant, model, services.clock.monotonic) as watch:
        try:
            async for batch in stream:
                has_begun = True
                if batch and isinstance(batch[-1], Metered):
                    batch = batch[:-1]  # between the replica and us
                    if not batch:
                        continue
                watch.saw(batch)
                usage = _usage(batch)
                yield batch
            if usage is None:
                raise EngineFailed("the stream ended without Completed")
        except _BEFORE_WORK:
            terms.settle(None if has_begun or verdict.was_resent else Quantities())
            raise
        finally:
            terms.settle(usage)
            await stream.aclose()


def _usage(batch: EventBatch) -> Quantities | None:
    if not batch or not isinstance(batch[-1], Completed):
        return None
    usage = batch[-1].usage
    logs.bind(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
    return usage


async def whole_answer(services: Services, model: str, call: ModelCall, terms: CallTerms, receive: Receive) -> Answer:
    """The fold of all batches. Raises ClientDisconnect when the client leaves; the work has ended then."""
    answer = Answer()
    async with CancelOnDisconnect(receive), aclosing(batches(services, model, call, terms)) as stream:
        async for batch in stream:
            answer.add(batch)
    return answer


async def chunks(
    services: Services, model: str, call: ModelCall, terms: CallTerms, write: Callable[[Event], bytes]
) -> AsyncGenerator[bytes, None]:
    """SSE, one item per batch, `[DONE]` at the end.

    An error before the first item is raised. A later one is an event with `error`, and then the stream ends without
    `[DONE]`: OpenAI's clients raise APIError for it.
    """
    has_begun = False
    async with aclosing(batches(services, model, call, terms)) as stream:
        try:
            async for batch in stream:
                written = b"".join([write(event) for event in batch])
                if batch and isinstance(batch[-1], Completed):
                    written += DONE
                if written:
                    has_begun = True
                    yield written
        except Exception as error:
            if not has_begun:
                raise
            yield _failure(error, call.context.request_id)


def _failure(error: Exception, request_id: str) -> bytes:
    rule = rule_for(error)
    logs.bind(stream_error=getattr(error, "code", "internal_error"))
    if rule.instead:
        _log.error("stream failed", exc_info=error)
    return sse(envelope(error, request_id))
