"""What a gateway or a runner writes down of the calls that it sends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.books import KeptBooks

from deployments.handles import RayModels
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import (
    Canceled,
    DeadlineExceeded,
    EngineFailed,
    MeteringUnavailable,
    ModelUnavailable,
    Overloaded,
    ReplicaLost,
)
from serve.domain.generation import CallContext, Completed, EventBatch, Metered, ModelCall, TextDelta, Verdict
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.domain.usage import ENGINE_FAILED, PLATFORM_RETRY, REFUSED, Basis, Quantities, UsageStatus
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings

CALL = ModelCall(Task.CHAT, {}, CallContext(RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k")))
SO_FAR, WHOLE = Quantities(completion_tokens=64), Quantities(completion_tokens=70)
SAID: EventBatch = [TextDelta("a"), Metered(SO_FAR)]
DONE: EventBatch = [Completed(WHOLE)]
Said = EventBatch | BaseException


class NoStatuses:
    async def current(self) -> dict[str, object]:
        return {}


class ScriptedModels(RayModels):
    """Its replicas say what a script has for each submission."""

    def __init__(self, metering: ProcessMetering, *scripts: Sequence[Said]) -> None:
        super().__init__(NoStatuses(), 1.0, metering.witness)
        self.scripts = list(scripts)
        self.sent: list[str] = []

    async def _submit(self, model: str, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        self.sent.append(str(call.context.usage_id))
        for said in self.scripts.pop(0):
            if isinstance(said, BaseException):
                raise said
            yield said


class Bench:
    def __init__(self, folder: Path) -> None:
        self.books = KeptBooks()
        settings = MeteringSettings(ship_seconds=0.02)
        self.metering = ProcessMetering(
            settings, folder, "gateway-1", SystemClock(), Uuid7Ids(), self.books, usage=False, witness=True
        )

    async def judged(self) -> list[tuple[UsageStatus, bool, str | None, int]]:
        """How every submission ended, and what it was seen to consume."""
        await self.metering.stop()
        events = self.books.events.values()
        assert {event.basis for event in events} <= {Basis.WITNESS}
        return [(e.status, e.billable, e.reason, e.quantities.completion_tokens) for e in events]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.metering.start()
    yield made
    await made.metering.stop()


LOST, FAILED = UsageStatus.LOST, UsageStatus.FAILED
CASES: list[tuple[str, Sequence[Said], tuple[UsageStatus, bool, str | None, int]]] = [
    ("whole", [SAID, DONE], (UsageStatus.SUCCEEDED, True, None, 70)),
    ("whole, and then lost", [SAID, DONE, ReplicaLost("gone")], (UsageStatus.SUCCEEDED, True, None, 70)),
    ("lost in the middle", [SAID, ReplicaLost("gone")], (LOST, False, PLATFORM_RETRY, 64)),
    ("broken", [SAID, EngineFailed("broken")], (FAILED, False, ENGINE_FAILED, 64)),
    ("half", [SAID], (FAILED, False, ENGINE_FAILED, 64)),
    ("overdue", [SAID, DeadlineExceeded("late")], (UsageStatus.CANCELED, True, None, 64)),
    ("canceled", [SAID, asyncio.CancelledError()], (UsageStatus.CANCELED, True, None, 64)),
    ("canceled over there", [SAID, Canceled("stop")], (UsageStatus.CANCELED, False, PLATFORM_RETRY, 64)),
    ("no room", [Overloaded("full")], (FAILED, False, REFUSED, 0)),
    ("not up", [ModelUnavailable("loading")], (FAILED, False, REFUSED, 0)),
]


@pytest.mark.parametrize(("script", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_how_a_submission_ended_decides_who_pays(
    bench: Bench, script: Sequence[Said], expected: tuple[UsageStatus, bool, str | None, int]
) -> None:
    with suppress(Exception, asyncio.CancelledError):
        async for _ in ScriptedModels(bench.metering, script).call("m", CALL):
            pass
    assert await bench.judged() == [expected]


@pytest.mark.parametrize("is_taken_back", [True, False])
async def test_a_stream_that_is_closed_was_its_callers_unless_the_platform_took_it_back(
    bench: Bench, is_taken_back: bool
) -> None:
    verdict = Verdict()
    async with aclosing(ScriptedModels(bench.metering, [SAID, SAID]).call("m", CALL, verdict)) as stream:
        await anext(stream)
        verdict.platform_retry = is_taken_back
    reason = PLATFORM_RETRY if is_taken_back else None
    assert await bench.judged() == [(UsageStatus.CANCELED, not is_taken_back, reason, 64)]


async def test_a_replica_lost_before_its_answer_is_replaced_and_both_submissions_are_written_down(bench: Bench) -> None:
    lost: Sequence[Said] = [[Metered(SO_FAR)], ReplicaLost("gone")]
    models = ScriptedModels(bench.metering, [ReplicaLost("gone")], lost, [SAID, DONE])
    call = replace(CALL, context=replace(CALL.context, attempt=4))
    events = [event async for batch in models.call("m", call) for event in batch]
    assert (events[-1], models.sent) == (DONE[0], ["r:4", "r:4.2", "r:4.3"])
    assert await bench.judged() == [
        (LOST, False, PLATFORM_RETRY, 0),
        (LOST, False, PLATFORM_RETRY, 64),
        (UsageStatus.SUCCEEDED, True, None, 70),
    ]
    assert list(bench.books.events) == models.sent


async def test_a_replica_lost_after_something_was_shown_is_not_replaced(bench: Bench) -> None:
    models = ScriptedModels(bench.metering, [SAID, ReplicaLost("gone")], [DONE])
    with pytest.raises(ReplicaLost):
        async for _ in models.call("m", CALL):
            pass
    assert models.sent == ["r:1"]


async def test_what_cannot_be_written_down_is_not_sent(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.write_text("a file where a folder should be")
    models = ScriptedModels(Bench(folder).metering, [SAID, DONE])
    with pytest.raises(MeteringUnavailable):
        await anext(models.call("m", CALL))
    assert models.sent == []
