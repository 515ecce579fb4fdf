"""From a request for a run to the row that promises it: complete, so that every attempt repeats the same work."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from serve.auth.access import Caller
from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.names import RequestId, RunId
from serve.domain.run import NewRun, RunEventKind, WebhookTarget
from serve.domain.task import Task
from serve.gateway.adapter_choices import Chosen, chosen
from serve.gateway.addresses import Address
from serve.gateway.bodies import validated
from serve.gateway.content import check_content
from serve.gateway.playground import check_run
from serve.gateway.services import Services
from serve.gateway.views import NewRunBody, WebhookBody

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?:$|[,;\s])", re.ASCII)
MAX_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run is made from."""

    card: Card
    address: Address
    caller: Caller
    request_id: RequestId
    body: dict[str, Any]
    idempotency_key: str | None = None


def wait_seconds(prefer: str) -> int | None:
    """N of `Prefer: wait=N` (RFC 7240), at most 60; None where there is no such preference. Others are ignored."""
    found = _WAIT.search(prefer.lower())
    return None if found is None else max(1, min(int(found[1]), MAX_WAIT_SECONDS))


async def new_run(services: Services, asked: RunRequest) -> tuple[NewRun, tuple[Chosen, ...]]:
    """The row, and the adapters that it is to use. Defaults and the seed are resolved here, and never again; pictures
    are still as they were sent.

    Raises:
        InvalidRequest: with the path of the field.
    """
    body = validated(NewRunBody, asked.body)
    task = body.task or asked.card.tasks[0]
    check_run(asked.caller, task, body.input, body.webhook is not None)
    webhook = None if body.webhook is None else await webhook_of(services, body.webhook)
    adapters = chosen(asked.address, body.adapters)
    new = NewRun(
        id=RunId(services.ids.new()),
        request_id=asked.request_id,
        tenant=asked.caller.tenant,
        project=asked.caller.project,
        key_id=asked.caller.key_id,
        target=asked.card.name,
        task=task,
        inputs=_inputs(services, asked.card, task, body.input),
        request_hash=hash_of(
            asked.body if asked.address.adapter is None else asked.body | {"model": asked.address.text}
        ),
        idempotency_key=asked.idempotency_key,
        priority=body.priority,
        deadline_ms=deadline_ms(services, body.deadline_s),
        max_attempts=services.settings.runs.max_attempts,
        webhook=webhook,
    )
    return new, adapters


def _inputs(services: Services, card: Card, task: Task, given: dict[str, Any]) -> dict[str, Any]:
    with about_input():
        inputs = card.validate(task, given).model_dump(mode="json", by_alias=True)
        check_content(card, inputs)
    return with_seed(services, inputs)


def with_seed(services: Services, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs` with a seed drawn where they leave it open."""
    is_open = "seed" in inputs and inputs["seed"] is None
    return inputs | {"seed": services.draw_seed()} if is_open else inputs


@contextmanager
def about_input(path: str = "input") -> Iterator[None]:
    """Errors about a field within are about that field of `path`, the part of the body that holds the inputs."""
    try:
        yield
    except (InvalidRequest, NotFound) as error:
        param = ".".join(word for word in (path, error.param) if word) or None
        raise type(error)(error.message, error.code, "task" if error.code == "unsupported_task" else param) from None


def hash_of(body: Mapping[str, Any]) -> str:
    """What tells one request from another under the same Idempotency-Key."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def deadline_ms(services: Services, deadline_s: float | None) -> int | None:
    """The moment, in Unix milliseconds, that is so many seconds away."""
    return None if deadline_s is None else services.clock.now_ms() + round(deadline_s * 1000)


async def webhook_of(services: Services, webhook: WebhookBody) -> WebhookTarget:
    """Where news of the run go. Raises InvalidRequest for an address that nothing may be sent to."""
    await services.fetcher.check_url(webhook.url)
    if webhook.events is None:
        return WebhookTarget(url=webhook.url)
    return WebhookTarget(url=webhook.url, events=tuple(RunEventKind(event) for event in webhook.events))
