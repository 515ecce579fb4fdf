"""A runner at work, with models that follow a script."""

import asyncio
import contextvars
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from fakes.models import Script, ScriptedModels, completed, says
from fakes.runs import SETTINGS, Outputs, kinds, made, num_endings

from serve.clock import SystemClock
from serve.domain.errors import InvalidRequest, ModelUnavailable, Overloaded, ReplicaLost
from serve.domain.generation import Artifact, Completed, Metered, Preview, Progress, TextDelta, ToolCallDelta, Vector
from serve.domain.media import Asset
from serve.domain.names import AssetId, TenantName
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.runs.events import wait
from serve.runs.execution import Runner
from serve.runs.outputs import INLINE_LIMIT_BYTES
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records

ACME = TenantName("acme")
FOREVER = [[TextDelta("a")], 60.0]


class Bench:
    """A store and the runners on it."""

    def __init__(self, records: Records, settings: RunsSettings = SETTINGS) -> None:
        self.records = records
        self.settings = settings
        self.store = RunStore(records, SystemClock(), settings)
        self.outputs = Outputs()

    def runner(self, script: Script, owner: str = "r1", places: int = 4) -> tuple[Runner, ScriptedModels]:
        models = ScriptedModels(script)
        runner = Runner(
            self.store,
            models,
            SystemClock(),
            owner=owner,
            settings=self.settings,
            max_concurrency=places,
            outputs=self.outputs,
        )
        return runner, models

    @asynccontextmanager
    async def running(self, script: Script, owner: str = "r1", places: int = 4) -> AsyncIterator[ScriptedModels]:
        runner, models = self.runner(script, owner, places)
        await runner.start()
        yield models
        await runner.stop()

    async def ended(self, run: Run, seconds: float = 60.0) -> Run:
        found = await wait(self.store, run.tenant, run.id, seconds)
        assert found.status.is_terminal
        return found

    async def started(self, models: ScriptedModels) -> None:
        await until(lambda: models.num_open > 0)


async def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
def bench(records: Records) -> Bench:
    return Bench(records)


async def test_a_run_is_executed_and_tells_its_story(bench: Bench) -> None:
    run = await made(bench.store, priority=2)
    async with bench.running(lambda call: says("Hello", ", ", "world")) as models:
        ended = await bench.ended(run)
    assert ended.status == RunStatus.SUCCEEDED
    choice = {"index": 0, "text": "Hello, world", "finish_reason": "stop"}
    assert ended.outputs == {"text": "Hello, world", "choices": [choice]}
    assert ended.usage == {"prompt_tokens": 3, "completion_tokens": 3}
    assert await kinds(bench.store, run.id) == ["queued", "started", "output", "succeeded"]
    context = models.calls[0].context
    assert (context.request_id, context.run_id, context.attempt) == (run.request_id, run.id, 1)
    assert (context.tenant, context.priority) == ("acme", 2)


async def test_text_is_gathered_and_not_written_word_by_word(bench: Bench) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: says(*["a"] * 60, pause=0.005)):
        await bench.ended(run)
    events = await bench.store.events(run.id)
    outputs = [event.data["text"] for event in events if event.kind == RunEventKind.OUTPUT]
    assert "".join(outputs) == "a" * 60
    assert 2 <= len(outputs) <= 10


async def test_progress_previews_and_artifacts_are_told(bench: Bench) -> None:
    asset = Asset(AssetId("a1"), "00", "image/png", 3, 0, width=8, height=8)
    script = [
        [Progress(1, 2), Preview(0, "image/png", b"abc"), Progress(2, 2)],
        [Artifact("image", asset), Completed(Quantities(images=1))],
    ]
    run = await made(bench.store)
    async with bench.running(lambda call: script):
        ended = await bench.ended(run)
    told = {event.kind: event.data for event in await bench.store.events(run.id)}
    assert told[RunEventKind.PROGRESS] == {"phase": "running", "done": 2, "total": 2}
    assert told[RunEventKind.PREVIEW] == {"index": 0, "media_type": "image/png", "data": "YWJj"}
    assert told[RunEventKind.OUTPUT]["asset"]["width"] == 8
    assert ended.outputs is not None
    assert ended.outputs["artifacts"][0]["asset"]["id"] == "a1"


async def test_pictures_are_listed_by_index_each_with_its_seed(bench: Bench) -> None:
    assets = [Asset(AssetId(f"a{index}"), "00", "image/png", 3, 0) for index in range(2)]
    script = [[Artifact("i", assets[index], index)] for index in (1, 0)] + [[Completed(Quantities(images=2))]]
    run = await made(bench.store, task=Task.TEXT_TO_IMAGE, inputs={"prompt": "a", "seed": 40})
    async with bench.running(lambda call: script):
        ended = await bench.ended(run)
    assert ended.outputs is not None
    shown = [(each["index"], each["asset"]["id"], each["seed"]) for each in ended.outputs["artifacts"]]
    assert shown == [(0, "a0", 40), (1, "a1", 41)]
    assert ended.usage == {"images": 2}


async def test_embeddings_are_numbers_again(bench: Bench) -> None:
    script = [[Vector(1, struct.pack("<2f", 3, 4)), Vector(0, struct.pack("<2f", 1, 2)), Completed(Quantities())]]
    run = await made(bench.store, task=Task.EMBEDDING)
    async with bench.running(lambda call: script):
        ended = await bench.ended(run)
    assert ended.outputs == {"embeddings": [[1.0, 2.0], [3.0, 4.0]]}


async def test_tool_calls_are_put_together(bench: Bench) -> None:
    deltas = [
        ToolCallDelta(0, id="c1", name="look"),
        ToolCallDelta(0, arguments='{"at":'),
        ToolCallDelta(0, arguments="1}"),
    ]
    run = await made(bench.store)
    async with bench.running(lambda call: [deltas, completed()]):
        ended = await bench.ended(run)
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    assert ended.outputs is not None
    assert ended.outputs["choices"][0]["tool_calls"] == [call]


async def test_a_large_output_becomes_an_asset(bench: Bench) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: says("x" * 70_000)):
        ended = await bench.ended(run)
    assert ended.outputs is not None
    assert ended.outputs["document"]["media_type"] == "application/json"
    assert len(bench.outputs.stored[run.id]) > 70_000


async def test_characters_that_some_database_would_choke_on_are_replaced(bench: Bench) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: says("a\x00b\ud800c")):
        ended = await bench.ended(run)
    assert ended.outputs is not None
    assert ended.outputs["text"] == "a\ufffdb\ufffdc"


async def test_a_run_is_in_no_requests_context(bench: Bench) -> None:
    request = contextvars.ContextVar[str]("request")
    request.set("of whoever started the runner")
    run = await made(bench.store)
    async with bench.running(lambda call: says("a")) as models:
        await bench.ended(run)
    assert request not in models.contexts[0]


async def test_a_nudge_is_faster_than_looking(records: Records) -> None:
    bench = Bench(records, RunsSettings(poll_seconds=600))
    runner, _ = bench.runner(lambda call: says("a"))
    await runner.start()
    await asyncio.sleep(0.05)
    run = await made(bench.store)
    runner.nudge(run.id)
    await bench.ended(run)
    await runner.stop()


async def test_no_more_run_at_once_than_there_are_places(bench: Bench) -> None:
    runs = [await made(bench.store) for _ in range(6)]
    most = 0
    async with bench.running(lambda call: [[TextDelta("a")], 0.1, completed()], places=2) as models:
        while models.num_whole < 6:
            most = max(most, models.num_open)
            await asyncio.sleep(0.005)
        for run in runs:
            await bench.ended(run)
    assert most == 2


async def test_a_cancel_closes_the_models_stream_soon(bench: Bench) -> None:
    run = await made(bench.store)
    runner, models = bench.runner(lambda call: FOREVER)
    await runner.start()
    await bench.started(models)
    began = asyncio.get_running_loop().time()
    await bench.store.request_cancel(ACME, run.id)
    await until(lambda: models.num_open == 0)
    assert asyncio.get_running_loop().time() - began < 0.5
    ended = await bench.ended(run)
    assert (ended.status, ended.error) == (RunStatus.CANCELED, None)
    assert (await kinds(bench.store, run.id))[-1] == "canceled"
    await runner.stop()


async def test_a_deadline_ends_a_running_run_and_travels_with_the_call(bench: Bench) -> None:
    deadline_ms = SystemClock().now_ms() + 300
    run = await made(bench.store, deadline_ms=deadline_ms)
    async with bench.running(lambda call: FOREVER) as models:
        ended = await bench.ended(run)
        assert models.num_open == 0
    assert models.calls[0].context.deadline_at == deadline_ms / 1000
    assert ended.error is not None
    assert ended.error.code == "deadline_exceeded"


async def test_a_lost_replica_means_another_attempt(bench: Bench) -> None:
    run = await made(bench.store)
    lost = [[TextDelta("half")], ReplicaLost("gone")]
    async with bench.running(lambda call: lost if call.context.attempt == 1 else says("whole")) as models:
        ended = await bench.ended(run)
    assert [call.context.attempt for call in models.calls] == [1, 2]
    assert ended.outputs is not None
    assert ended.outputs["text"] == "whole"
    told = await kinds(bench.store, run.id)
    assert told == ["queued", "started", "output", "log", "queued", "started", "output", "succeeded"]


async def test_a_model_that_is_not_up_costs_no_attempt(bench: Bench) -> None:
    errors = [ModelUnavailable("loading", "", None, 0.05), Overloaded("full", "", None, 0.05)]
    run = await made(bench.store, max_attempts=1)
    async with bench.running(lambda call: [errors.pop()] if errors else says("a")) as models:
        ended = await bench.ended(run)
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 1)
    assert [call.context.attempt for call in models.calls] == [1, 2, 3], "no usage id comes twice"


@pytest.mark.parametrize("is_taken_back", [True, False], ids=["by its runner", "by its owner"])
async def test_only_what_its_owner_stops_is_its_owners_to_pay_for(bench: Bench, is_taken_back: bool) -> None:
    run = await made(bench.store)
    runner, models = bench.runner(lambda call: FOREVER)
    await runner.start()
    await bench.started(models)
    if not is_taken_back:
        await bench.store.request_cancel(ACME, run.id)
        await bench.ended(run)
    await runner.stop()
    assert models.num_taken_back == is_taken_back


async def test_a_whole_answer_that_did_not_become_its_runs_is_not_billed(bench: Bench) -> None:
    run = await made(bench.store)
    large = "a" * 2 * INLINE_LIMIT_BYTES
    runner, models = bench.runner(lambda call: says(large))
    bench.outputs.seconds = 600.0
    await runner.start()
    await until(lambda: models.num_whole == 1)
    await runner.stop()
    assert (models.num_taken_back, models.num_open) == (1, 0)
    bench.outputs.seconds = 0.0
    async with bench.running(lambda call: says(large), owner="r2") as others:
        await bench.ended(run)
    assert (others.num_whole, others.num_taken_back) == (1, 0)


SO_FAR = Metered(Quantities(prompt_tokens=3, completion_tokens=64))


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        pytest.param(60.0, RunStatus.CANCELED, id="canceled"),
        pytest.param(InvalidRequest("no"), RunStatus.FAILED, id="failed"),
    ],
)
async def test_a_run_cut_short_says_what_it_had_consumed_at_least(
    bench: Bench, ending: float | Exception, status: RunStatus
) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: [[TextDelta("a"), SO_FAR], [TextDelta("b")], ending]) as models:
        if status is RunStatus.CANCELED:
            await bench.started(models)
            await bench.store.request_cancel(ACME, run.id)
        ended = await bench.ended(run)
    assert (ended.status, ended.usage) == (status, {"prompt_tokens": 3, "completion_tokens": 64})
    assert "metered" not in str(await bench.store.events(run.id)).lower()


async def test_the_callers_mistake_fails_the_run_with_its_field(bench: Bench) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: [InvalidRequest("too long", "context_length", "input.messages")]):
        ended = await bench.ended(run)
    assert ended.error is not None
    assert (ended.error.code, ended.error.message, ended.error.param) == (
        "context_length",
        "too long",
        "input.messages",
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param([RuntimeError("password=hunter2")], "internal_error", id="an unknown error"),
        pytest.param([[TextDelta("a")]], "engine_failed", id="a stream that just ends"),
    ],
)
async def test_what_is_ours_is_told_as_ours(bench: Bench, script: list[object], code: str) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: script):
        ended = await bench.ended(run)
    assert ended.error is not None
    assert ended.error.code == code
    assert "hunter2" not in str(await bench.store.events(run.id))


async def test_a_runner_that_stops_hands_its_runs_to_another_at_once(bench: Bench) -> None:
    run = await made(bench.store, max_attempts=1)
    runner, models = bench.runner(lambda call: FOREVER)
    await runner.start()
    await bench.started(models)
    await runner.stop()
    assert (models.num_open, runner.num_running) == (0, 0)
    assert (await bench.store.get(ACME, run.id)).status == RunStatus.QUEUED
    async with bench.running(lambda call: says("done"), owner="r2") as others:
        ended = await bench.ended(run)
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 2)
    assert others.calls[0].context.attempt == 2
    assert await num_endings(bench.records, run.id) == 1


async def test_a_lease_is_kept_over_a_long_run(records: Records) -> None:
    bench = Bench(records, RunsSettings(lease_seconds=0.4, poll_seconds=0.05))
    run = await made(bench.store)
    async with (
        bench.running(lambda call: [[TextDelta("a")], 1.5, completed()]) as models,
        bench.running(lambda call: says("never"), owner="r2") as others,
    ):
        ended = await bench.ended(run)
    assert (len(models.calls) + len(others.calls), ended.attempt) == (1, 1)


async def test_hundreds_of_runs_by_two_runners_end_once_each(bench: Bench) -> None:
    runs = [await made(bench.store, f"t{n % 5}") for n in range(150)]
    async with (
        bench.running(lambda call: says("a", "b"), places=16),
        bench.running(lambda call: says("a", "b"), owner="r2", places=16),
    ):
        for run in runs:
            await bench.ended(run)
    for run in runs:
        assert await kinds(bench.store, run.id) == ["queued", "started", "output", "succeeded"]


async def test_an_ending_waits_for_a_database_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await made(bench.store)
    async with bench.running(lambda call: [[TextDelta("a")], 0.3, completed()]) as models:
        await bench.started(models)
        with monkeypatch.context() as patched:
            patched.setattr(bench.records, "write", _away)
            patched.setattr(bench.records, "read", _away)
            await until(lambda: models.num_whole == 1)
            await asyncio.sleep(0.2)
        ended = await bench.ended(run)
    assert ended.status == RunStatus.SUCCEEDED
    assert await kinds(bench.store, run.id) == ["queued", "started", "output", "succeeded"]


@asynccontextmanager
async def _away() -> AsyncIterator[None]:
    raise OSError("no database")
    yield
