"""A runner at work on workflows: steps, their calls, who pays for them, and what the run tells."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace

import pytest
from fakes.models import Step as Played
from fakes.models import completed, says
from fakes.runs import kinds, made
from fakes.workflow_bench import ACME, Bench, label_of, steal
from fakes.workflow_runs import PRICE, Rows, workflow_run

from serve.clock import SystemClock
from serve.domain.errors import EngineFailed, InvalidRequest, ReplicaLost, StorageUnavailable
from serve.domain.generation import Artifact, Event, Metered, ModelCall, Progress, TextDelta
from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.domain.run import RunError, RunEventKind, RunStatus
from serve.domain.steps import Performed, Stage, Step, StepStatus
from serve.domain.usage import Quantities
from serve.settings import RunsSettings
from serve.storage.records import Records

STEP = RunEventKind.STEP


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

    def first(call: ModelCall) -> Sequence[Played]:
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


async def test_what_is_stopped_with_its_runner_waits_for_the_next(bench: Bench) -> None:
    class Tidy(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            try:
                return await super()._called(stage, step)
            except asyncio.CancelledError:
                stage.tell([replace(step, status=StepStatus.CANCELED, finished_ms=2)])
                raise

    run = await made(bench.store, **workflow_run())
    async with bench.running(Tidy([["a"]]), lambda call: [[TextDelta("half")], 60.0]) as models:
        await bench.until(lambda: models.num_open == 1)
    assert (await bench.store.get(ACME, run.id)).status == RunStatus.QUEUED
    assert (await bench.steps(run))["a"].status == StepStatus.QUEUED


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

    def script(call: ModelCall) -> Sequence[Played]:
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

    def script(call: ModelCall) -> Sequence[Played]:
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


def endless(is_heard: asyncio.Event, *events: Event) -> Iterator[Played]:
    """A script that says something, and once that is heard goes on for ever."""
    yield list(events)
    is_heard.set()
    yield 600.0


async def stopped(calling: Awaitable[Step], is_heard: asyncio.Event) -> None:
    """Give it up when something is heard of it."""
    task = asyncio.ensure_future(calling)
    await is_heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_step_that_was_stopped_and_tried_again_leaves_the_cost_to_the_ledger(bench: Bench) -> None:
    class Impatient(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            await stopped(super()._called(stage, step), is_heard)
            return await super()._called(stage, step)

    is_heard = asyncio.Event()
    script = iter([endless(is_heard, TextDelta("slow")), says("x")])
    run = await made(bench.store, **workflow_run())
    async with bench.running(Impatient([["a"]]), lambda call: next(script)) as models:
        ended = await bench.ended(run)
    assert (ended.status, ended.cost_nano, models.num_taken_back) == (RunStatus.SUCCEEDED, None, 0)


async def test_what_an_attempt_before_had_stopped_leaves_the_cost_to_the_ledger_too(bench: Bench) -> None:
    class Impatient(Rows):
        async def _called(self, stage: Stage, step: Step) -> Step:
            stage.tell([step])
            await stopped(super()._called(stage, step), is_heard)
            await asyncio.sleep(600)
            raise AssertionError

    is_heard = asyncio.Event()
    slow = endless(is_heard, TextDelta("slow"), Metered(Quantities(completion_tokens=1)))
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
    assert set(ended.outputs) == {"$document"}  # larger than a row takes


async def test_what_steps_say_meanwhile_is_thinned_and_names_its_step(bench: Bench) -> None:
    def script(call: ModelCall) -> Sequence[Played]:
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
