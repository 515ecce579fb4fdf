"""From a request for a run to the row that promises it: complete, so that every attempt repeats the same work."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from serve.auth.access import Caller
from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest
from serve.domain.names import RequestId, RunId
from serve.domain.run import NewRun, RunEventKind, WebhookTarget
from serve.domain.task import Task
from serve.gateway.bodies import validated
from serve.gateway.content import check_content
from serve.gateway.services import Services
from serve.gateway.views import NewRunBody, WebhookBody

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?:$|[,;\s])", re.ASCII)
MAX_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run is made from."""

    card: Card
    caller: Caller
    request_id: RequestId
    body: dict[str, Any]
    idempotency_key: str | None = None


def wait_seconds(prefer: str) -> int | None:
    """N of `Prefer: wait=N` (RFC 7240), at most 60; None where there is no such preference. Others are ignored."""
    found = _WAIT.search(prefer.lower())
    return None if found is None else max(1, min(int(found[1]), MAX_WAIT_SECONDS))


async def new_run(services: Services, asked: RunRequest) -> NewRun:
    """The row. Defaults and the seed are resolved here, and never again.

    Raises:
        InvalidRequest: with the path of the field.
    """
    body = validated(NewRunBody, asked.body)
    task = body.task or asked.card.tasks[0]
    webhook = None if body.webhook is None else await _webhook(services, body.webhook)
    return NewRun(
        id=RunId(services.ids.new()),
        request_id=asked.request_id,
        tenant=asked.caller.tenant,
        project=asked.caller.project,
        key_id=asked.caller.key_id,
        target=asked.card.name,
        task=task,
        inputs=_inputs(services, asked.card, task, body.input),
        request_hash=_hash(asked.body),
        idempotency_key=asked.idempotency_key,
        priority=body.priority,
        deadline_ms=_deadline_ms(services, body),
        max_attempts=services.settings.runs.max_attempts,
        webhook=webhook,
    )


def _inputs(services: Services, card: Card, task: Task, given: dict[str, Any]) -> dict[str, Any]:
    try:
        inputs = card.validate(task, given).model_dump(mode="json", by_alias=True)
        check_content(card, inputs)
    except InvalidRequest as error:
        param = "input" if error.param is None else f"input.{error.param}"
        raise InvalidRequest(error.message, error.code, "task" if error.code == "unsupported_task" else param) from None
    if "seed" in inputs and inputs["seed"] is None:
        inputs["seed"] = services.draw_seed()
    return inputs


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _deadline_ms(services: Services, body: NewRunBody) -> int | None:
    return None if body.deadline_s is None else services.clock.now_ms() + round(body.deadline_s * 1000)


async def _webhook(services: Services, webhook: WebhookBody) -> WebhookTarget:
    await services.fetcher.check_url(webhook.url)
    if webhook.events is None:
        return WebhookTarget(url=webhook.url)
    return WebhookTarget(url=webhook.url, events=tuple(RunEventKind(event) for event in webhook.events))
