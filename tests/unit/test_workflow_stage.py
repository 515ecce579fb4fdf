"""A runner at work on workflows: steps, their calls, who pays for them, and what the run tells."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from fakes.models import Script, ScriptedModels, completed, says
from fakes.models import Step as Played
from fakes.runs import SETTINGS, Outputs, kinds, made
from fakes.workflow_runs import PRICE, Rows, workflow_run
from sqlalchemy import update

from serve.clock import SystemClock
from serve.domain.errors import EngineFailed, InvalidRequest, ReplicaLost, StorageUnavailable
from serve.domain.generation import Artifact, EventBatch, Metered, ModelCall, Progress, TextDelta, Verdict
from serve.domain.media import Asset
from serve.domain.names import AssetId, TenantName
from serve.domain.ports import Models
from serve.domain.run import Run, RunError, RunEventKind, RunStatus
from serve.domain.serving import ModelStatus
from serve.domain.steps import Performed, Stage, Step, StepStatus, WorkflowExecution
from serve.domain.usage import Quantities
from serve.runs.events import wait
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

ACME = TenantName("acme")
STEP = RunEventKind.STEP


def label_of(call: object) -> str:
    return str(call.context.step)  # type: ignore[attr-defined]


async def costs(run: Run) -> Callable[[Quantities], int | None]:
    """A nano-dollar for every token of a run at PRICE."""
    return lambda used: used.prompt_tokens + used.completion_tokens if run.price == PRICE else None


class Bench:
    """A store, and runners of workflows on it."""

    def __init__(self, records: Records, settings: RunsSettings = SETTINGS) -> None:
        self.settings = settings
        self.store = RunStore(records, SystemClock(), settings)
        self.outputs = Outputs()
        self.watched: list[Step] = []

    def runner(self, execution: WorkflowExecution | None, models: Models, owner: str = "r1") -> Runner:
        return Runner(
            self.store,
            models,
            SystemClock(),
            owner=owner,
            settings=self.settings,
            max_concurrency=4,
            outputs=self.outputs,
            costs=costs,
            workflows=execution,
            watch=self.watched.append,
        )

    @asynccontextmanager
    async def running(
        self, execution: WorkflowExecution | None, script: Script, owner: str = "r1"
    ) -> AsyncIterator[ScriptedModels]:
        models = ScriptedModels(script)
        runner = self.runner(execution, models, owner)
        await runner.start()
        try:
            yield models
        finally:
            await runner.stop()

    async def ended(self, run: Run, seconds: float = 5.0) -> Run:
        found = await wait(self.store, run.tenant, run.id, seconds)
        assert found.status.is_terminal, found.status
        return found

    async def steps(self, run: Run) -> dict[str, Step]:
        return {step.label: step for step in await self.store.steps(ACME, run.id)}

    async def told(self, run: Run, kind: RunEventKind) -> list[dict[str, object]]:
        return [event.data for event in await self.store.events(run.id, limit=20_000) if event.kind == kind]

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.005)

    async def is_stored(self, run: Run, label: str) -> bool:
        return (found := (await self.steps(run)).get(label)) is not None and found.status.is_done


@pytest.fixture
def bench(records: Records) -> Bench:
    return Bench(records)


async def test_a_workflow_is_performed_and_each_of_its_steps_is_told_and_stored(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run())
    async with bench.running(Rows([["a"], ["op", "b"]]), lambda call: says("Hi ", label_of(call))):
        ended = await bench.ended(run)
    assert (ended.status, ended.outputs) == (RunStatus.SUCCEEDED, {"a": "Hi a", "b": "Hi b", "op": "op"})
    assert (ended.usage, ended.cost_nano) == ({"prompt_tokens": 6, "completion_tokens": 4}, 10)
    steps = await bench.steps(run)
    assert {label: step.status for label, step in steps.items()} == dict.fromkeys(("a", "b", "op"), "succeeded")
    assert (steps["a"].outputs, steps["a"].cost_nano, steps["a"].tries) == ({"text": "Hi a"}, 5, 1)
    told = await bench.told(run, STEP)
    assert [(one["label"], one["status"]) for one in told if one["status"] != "running"] == [
        ("a", "succeeded"),
        ("op", "succeeded"),
        ("b", "succeeded"),
    ]
    assert told[-1]["output"] == {"text": "Hi b"}
    assert told[-1]["cost"] == {"nano_usd": 5, "usd": "0.000000005"}
    assert (await kinds(bench.store, run.id))[-1] == RunEventKind.SUCCEEDED
    assert [step.label for step in bench.watched if step.status.is_terminal] == ["a", "op", "b"]


async def test_a_step_s_call_is_booked_under_its_own_id_and_the_terms_of_the_run(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run(hold="h1", reserved_nano=9, priority=3, tags={"team": "x"}))
    async with bench.running(Rows([["a"]]), lambda call: says("x")) as models:
        await bench.ended(run)
    context = models.calls[0].context
    assert context.usage_id == f"{run.request_id}/a:1"
    assert (context.workflow, context.run_id, context.step) == ("story@1", run.id, "a")
    assert (context.price, context.hold, context.reserved_nano) == (PRICE, "h1", 9)
    assert (context.priority, context.tags, context.admitted_ms) == (3, (("team", "x"),), run.created_ms)


async def test_a_lost_replica_costs_a_try_of_its_own(bench: Bench) -> None:
    script = iter([[[TextDelta("ha")], ReplicaLost("gone")], says("whole")])
    run = await made(bench.store, **workflow_run())
    async with bench.running(Rows([["a"]]), lambda call: next(script)) as models:
        ended = await bench.ended(run)
    assert [call.context.usage_id.partition(":")[2] for call in models.calls] == ["1", "2"]
    assert (ended.outputs, ended.cost_nano) == ({"a": "whole"}, 4)
    assert (await bench.told(run, RunEventKind.LOG))[0] == {"step": "a", "level": "warning", "message": "gone"}


async def test_a_run_handed_back_resumes_from_its_stored_steps_and_never_shares_an_id(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run())
    execution = Rows([["a"], ["b"], ["c"]])

    def first(call: object) -> Sequence[Played]:
        return says("one") if label_of(call) == "a" else [[TextDelta("half")], 60.0]

    async with bench.running(execution, first) as before:
        await bench.until(lambda: bench.is_stored(run, "a"))
        await bench.until(lambda: before.num_open == 1)
    async with bench.running(execution, lambda call: says("two"), "r2") as after:
        ended = await bench.ended(run)
    assert ended.outputs == {"a": "one", "b": "two", "c": "two"}
    assert [call.context.usage_id.rpartition("/")[2] for call in before.calls + after.calls] == [
        "a:1",
        "b:1",
        "b:65",
        "c:65",
    ]
    assert (before.num_taken_back, after.num_taken_back) == (1, 0)
    assert ended.cost_nano == 12


async def test_a_whole_answer_is_charged_only_when_its_step_is_stored(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run())
    execution = Rows([["a"], ["b"]], gated=frozenset({"b"}))
    async with bench.running(execution, lambda call: says("x")) as models:
        await bench.until(lambda: models.num_whole == 2)
        await bench.until(lambda: bench.is_stored(run, "a"))
        await bench.until(lambda: models.num_open == 1)  # that of b, whose end nobody has told
        assert models.num_taken_back == 0
    assert (models.num_open, models.num_taken_back) == (0, 1)
    assert (await bench.store.get(ACME, run.id)).status == RunStatus.QUEUED


async def steal(records: Records, run: Run) -> None:
    """As if its runner had been silent for a lease: it is queued again, under another fence."""
    lost = {"status": RunStatus.QUEUED, "fence": runs.c.fence + 1, "lease_owner": None, "lease_expires_ms": None}
    async with records.write() as connection:
        mine = (runs.c.id == run.id, runs.c.status == RunStatus.RUNNING)
        await connection.execute(update(runs).where(*mine).values(lost))


class Tills:
    """Models of whose calls it is known who paid: `charged` are the usage ids of answers that were delivered whole."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.charged: list[str] = []
        self.begun: list[str] = []

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        assert verdict is not None
        self.begun.append(call.context.usage_id)
        is_whole = False
        try:
            await asyncio.sleep(self.chance.uniform(0, 0.05))
            if self.chance.random() < 0.1:
                raise ReplicaLost("gone")
            is_whole = True
            yield [TextDelta("x"), *completed()]
        finally:
            if is_whole and not verdict.platform_retry:
                self.charged.append(call.context.usage_id)

    async def counters(self, model: str) -> Mapping[str, float]:
        return {}

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return {}


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_interrupted_every_step_is_paid_for_once(records: Records, seed: int) -> None:
    bench, tills = Bench(records, RunsSettings(poll_seconds=0.02, max_attempts=100)), Tills(seed)
    labels = [[f"r{row}c{column}" for column in range(4)] for row in range(4)]
    run = await made(bench.store, **workflow_run(max_attempts=100))
    num_claims = 0
    while not (await bench.store.get(ACME, run.id)).status.is_terminal:
        num_claims += 1
        runner = bench.runner(Rows(labels), tills, f"r{num_claims}")
        await runner.start()
        await asyncio.sleep(tills.chance.uniform(0.03, 0.25))
        if tills.chance.random() < 0.4:
            await steal(records, run)
        await runner.stop()
    ended = await bench.store.get(ACME, run.id)
    assert num_claims > 1
    assert (ended.status, ended.cost_nano) == (RunStatus.SUCCEEDED, 4 * 16)
    assert sorted(id_.partition("/")[2].partition(":")[0] for id_ in tills.charged) == sorted(sum(labels, []))
    assert len(set(tills.begun)) == len(tills.begun)


async def test_what_another_runner_has_taken_is_written_by_nobody_else(bench: Bench, records: Records) -> None:
    run = await made(bench.store, **workflow_run())
    execution = Rows([["a"], ["b"]], gated=frozenset({"b"}))
    async with bench.running(execution, lambda call: says("x")) as models:
        await bench.until(lambda: models.num_whole == 2)
        await bench.until(lambda: bench.is_stored(run, "a"))
        await steal(records, run)
        execution.gate.set()
        await bench.until(lambda: models.num_open == 0)
    assert models.num_taken_back == 1
    assert not await bench.is_stored(run, "b")


async def test_a_failed_step_leaves_what_the_others_made(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run())

    def script(call: object) -> Sequence[Played]:
        return [EngineFailed("The engine broke.")] if label_of(call) == "b" else says("fine")

    async with bench.running(Rows([["a"], ["b", "op"], ["c"]]), script):
        ended = await bench.ended(run)
    assert (ended.status, ended.outputs) == (RunStatus.FAILED, {"a": "fine", "op": "op"})
    assert ended.error is not None
    assert (ended.error.code, ended.cost_nano) == ("engine_failed", 4)
    steps = await bench.steps(run)
    assert steps["b"].error == ended.error
    assert (steps["c"].status, steps["c"].reason) == (StepStatus.SKIPPED, "b failed")
    (told,) = await bench.told(run, RunEventKind.FAILED)
    assert told["output"] == ended.outputs


async def test_a_cancel_stops_every_call_and_is_charged_for_what_ran(bench: Bench) -> None:
    run = await made(bench.store, **workflow_run())

    def script(call: object) -> Sequence[Played]:
        if label_of(call) == "a":
            return says("fine")
        return [[TextDelta("ha"), Metered(Quantities(prompt_tokens=3, completion_tokens=1))], 60.0]

    async with bench.running(Rows([["a"], ["b", "c"], ["d"]]), script) as models:
        await bench.until(lambda: models.num_open == 2)
        await bench.store.request_cancel(ACME, run.id)
        ended = await bench.ended(run)
        assert models.num_open == 0
    assert models.num_taken_back == 0
    assert (ended.status, ended.cost_nano) == (RunStatus.CANCELED, None)  # only the ledger knows what ran
    assert ended.usage == {"prompt_tokens": 9, "completion_tokens": 3}
    steps = await bench.steps(run)
    assert {label: step.status for label, step in steps.items()} == {"a": "succeeded", "b": "canceled", "c": "canceled"}
    assert steps["b"].usage == {"prompt_tokens": 3, "completion_tokens": 1}


async def test_a_cancel_between_two_steps_costs_what_the_steps_cost(bench: Bench) -> None:
    class Waits(Rows):
        async def perform(self, stage: Stage) -> Performed:
            await super().perform(stage)
            await asyncio.sleep(60)
            raise AssertionError

    run = await made(bench.store, **workflow_run())
    async with bench.running(Waits([["a"]]), lambda call: says("x")):
        await bench.until(lambda: bench.is_stored(run, "a"))
        await bench.store.request_cancel(ACME, run.id)
        ended = await bench.ended(run)
    assert (ended.status, ended.cost_nano, ended.usage) == ("canceled", 4, {"prompt_tokens": 3, "completion_tokens": 1})


async def test_a_step_that_was_stopped_and_tried_again_leaves_the_cost_to_the_ledger(bench: Bench) -> None:
    class Impatient(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await super()._called(stage, step)
            return await super()._called(stage, step)

    script = iter([[[TextDelta("slow")], 60.0], says("x")])
    run = await made(bench.store, **workflow_run())
    async with bench.running(Impatient([["a"]]), lambda call: next(script)) as models:
        ended = await bench.ended(run)
    assert (ended.status, ended.cost_nano, models.num_taken_back) == (RunStatus.SUCCEEDED, None, 0)


async def test_what_an_attempt_before_had_stopped_leaves_the_cost_to_the_ledger_too(bench: Bench) -> None:
    class Impatient(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            stage.tell([step])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await super()._called(stage, step)
            await asyncio.sleep(60)
            raise AssertionError

    slow = [[TextDelta("slow"), Metered(Quantities(completion_tokens=1))], 60.0]
    run = await made(bench.store, **workflow_run())
    async with bench.running(Impatient([["a"]]), lambda call: slow) as models:
        await bench.until(lambda: len(models.calls) == 1 and models.num_open == 0)
    assert models.num_taken_back == 0
    async with bench.running(Rows([["a"]]), lambda call: says("x"), "r2"):
        ended = await bench.ended(run)
    assert (ended.status, ended.cost_nano) == (RunStatus.SUCCEEDED, None)
    step = (await bench.steps(run))["a"]
    assert (step.usage, step.cost_nano) == ({"prompt_tokens": 3, "completion_tokens": 2}, None)


async def test_an_answer_that_its_step_could_not_use_is_not_charged(bench: Bench) -> None:
    class Fastidious(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            await super()._called(stage, step)
            error = RunError(code="engine_failed", message="That is no answer.")
            return Step(step.label, StepStatus.FAILED, step.type, error=error, tries=1)

    run = await made(bench.store, **workflow_run())
    async with bench.running(Fastidious([["a"]]), lambda call: says("x")) as models:
        ended = await bench.ended(run)
    assert (ended.status, ended.cost_nano, models.num_taken_back) == (RunStatus.FAILED, 0, 1)


async def test_a_database_that_is_away_when_a_run_begins_costs_it_nothing(bench: Bench) -> None:
    class Unlucky(Rows):
        async def perform(self, stage: Stage) -> Performed:
            if stage.run.fence == 1:
                raise StorageUnavailable("The database does not answer.", "database_unavailable", None, 0.01)
            return await super().perform(stage)

    run = await made(bench.store, **workflow_run())
    async with bench.running(Unlucky([["a"]]), lambda call: says("x")):
        ended = await bench.ended(run)
    assert (ended.status, ended.attempt, ended.fence) == (RunStatus.SUCCEEDED, 1, 2)


async def test_a_deadline_ends_the_run_and_what_runs_for_it(bench: Bench) -> None:
    deadline_ms = SystemClock().now_ms() + 300
    run = await made(bench.store, **workflow_run(deadline_ms=deadline_ms))
    async with bench.running(Rows([["a"]]), lambda call: [[TextDelta("slow")], 60.0]) as models:
        ended = await bench.ended(run)
        assert models.num_open == 0
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (RunStatus.FAILED, "deadline_exceeded")
    assert (await bench.steps(run))["a"].status == StepStatus.CANCELED


async def test_a_workflow_that_cannot_be_executed_fails_with_its_reason(bench: Bench) -> None:
    class Refuses:
        async def perform(self, stage: Stage) -> Performed:
            raise InvalidRequest("The model is served no more.", "model_not_found", "nodes.a")

    one, other = [await made(bench.store, **workflow_run()) for _ in range(2)]
    async with bench.running(Refuses(), lambda call: []):
        ended = await bench.ended(one)
    assert ended.error is not None
    assert (ended.error.code, ended.error.param) == ("model_not_found", "nodes.a")
    assert (await bench.ended(other)).status == RunStatus.FAILED
    third = await made(bench.store, **workflow_run())
    async with bench.running(None, lambda call: []):
        ended = await bench.ended(third)
    assert ended.error is not None
    assert ended.error.message == "This runner performs no workflows."


async def test_five_thousand_steps_fit_in_their_run(records: Records) -> None:
    bench = Bench(records, RunsSettings(lease_seconds=10, poll_seconds=0.05, max_events=100))
    labels = [f"op{number}" for number in range(5000)]
    run = await made(bench.store, **workflow_run())
    async with bench.running(Rows([[label] for label in labels]), lambda call: []):
        ended = await bench.ended(run, 20)
    assert ended.status == RunStatus.SUCCEEDED
    assert len(await bench.steps(run)) == 5000
    assert [one["label"] for one in await bench.told(run, STEP)] == labels
    assert ended.outputs is not None
    assert set(ended.outputs) == {"document"}  # larger than a row takes


async def test_what_steps_say_meanwhile_is_thinned_and_names_its_step(bench: Bench) -> None:
    def script(call: object) -> Sequence[Played]:
        played: list[Played] = []
        for done in range(1, 60):
            played += [[Progress(done, 60), TextDelta("a")], 0.01]
        return [*played, completed()]

    run = await made(bench.store, **workflow_run())
    async with bench.running(Rows([[f"s{number}" for number in range(8)]]), script):
        ended = await bench.ended(run)
    assert ended.outputs == {f"s{number}": "a" * 59 for number in range(8)}
    progress = await bench.told(run, RunEventKind.PROGRESS)
    assert 0 < len(progress) <= 24
    assert all(one["step"] in ended.outputs for one in progress)
    text: dict[str, str] = {}
    for one in await bench.told(run, RunEventKind.OUTPUT):
        text[str(one["step"])] = text.get(str(one["step"]), "") + str(one["text"])
    assert text == ended.outputs


async def test_what_no_database_takes_does_not_cost_a_run_its_life(bench: Bench) -> None:
    class Odd:
        async def perform(self, stage: Stage) -> Performed:
            outputs = {"text": "a\0b\ud800", "number": float("nan"), "deep": [{"x\0": "\0"}]}
            stage.tell([Step("a", StepStatus.SUCCEEDED, "op:odd", outputs=outputs)])
            return Performed(outputs, None, Quantities(), 0)

    run = await made(bench.store, **workflow_run())
    async with bench.running(Odd(), lambda call: []):
        ended = await bench.ended(run)
    expected = {"text": "a�b�", "number": None, "deep": [{"x�": "�"}]}
    assert (ended.status, ended.outputs, ended.cost_nano) == (RunStatus.SUCCEEDED, expected, 0)
    assert (await bench.steps(run))["a"].outputs == expected


async def test_pictures_of_steps_stay_and_those_of_lost_tries_go(bench: Bench) -> None:
    asset = Asset(AssetId("a1"), "00", "image/png", 3, 0)

    class Paints:
        async def perform(self, stage: Stage) -> Performed:
            view = {"asset": {"id": asset.id}}
            stage.tell([Step("a", StepStatus.SUCCEEDED, "model:echo", outputs={"images": [view]})])
            return Performed({"picture": {"asset": {"id": "signed"}}}, None, Quantities(), 0)

    run = await made(bench.store, **workflow_run(inputs={"photo": "asset:given", "more": ["asset:too"]}))
    async with bench.running(Paints(), lambda call: [[Artifact("i", asset)]]):
        await bench.ended(run)
    assert bench.outputs.kept[run.id] == {"a1", "signed", "given", "too"}
