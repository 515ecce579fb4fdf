"""The requests of the metering benchmark."""

import time

from serve.domain.generation import CallContext, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import HoldId, PriceId, UsageId, UsageSubject

PROMPT_TOKENS = 20
PRICE = PriceId("sha256:" + "a" * 64)
_ADMITTED_MS = time.time_ns() // 1_000_000


def subject(number: int, model: str = "smollm2-135m-instruct", price: PriceId = PRICE) -> UsageSubject:
    """Of request `number`, with everything that a request usually has."""
    request = RequestId(f"0192d3b4-0000-7000-8000-{number:012d}")
    return UsageSubject(
        id=UsageId(f"{request}:1"),
        request_id=request,
        tenant=TenantName("acme"),
        project=ProjectName("default"),
        key_id=KeyId("key_0123456789abcdef"),
        model=model,
        task="chat",
        admitted_ms=_ADMITTED_MS + number,
        tags=(("team", "search"),),
        price=price,
        hold=HoldId("0192d3b4-0000-7000-8000-000000000001"),
        reserved_nano=123_456,
    )


def model_call(number: int) -> ModelCall:
    """Request `number`, as its replica is asked."""
    request = RequestId(f"0192d3b4-0000-7000-8000-{number:012d}")
    context = CallContext(
        request,
        TenantName("acme"),
        ProjectName("default"),
        KeyId("key_0123456789abcdef"),
        tags=(("team", "search"),),
        admitted_ms=_ADMITTED_MS + number,
        price=PRICE,
        hold=HoldId("0192d3b4-0000-7000-8000-000000000001"),
        reserved_nano=123_456,
    )
    return ModelCall(Task.CHAT, {}, context)
