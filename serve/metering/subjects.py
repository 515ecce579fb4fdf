"""Whose usage a call's is. The replica and its witnesses say it in the same words, or their records would not meet."""

import orjson

from serve.domain.generation import ModelCall


def said_of(model: str, call: ModelCall) -> bytes:
    """Everything about this submission of `call` to `model` that is known before it begins, as opening records have it.

    A `UsageSubject` in between would cost as much as the record takes to write, and every call pays.
    """
    context = call.context
    return orjson.dumps(
        {
            "id": context.usage_id,
            "request_id": context.request_id,
            "tenant": context.tenant,
            "project": context.project,
            "key_id": context.key_id,
            "model": model,
            "task": call.task.value,
            "admitted_ms": context.admitted_ms,
            "adapters": [adapter.id for adapter in call.adapters],
            "run_id": context.run_id,
            "workflow": context.workflow,
            "node": context.step,
            "tags": dict(context.tags),
            "price": context.price,
            "hold": context.hold,
            "reserved_nano": context.reserved_nano,
        }
    )
