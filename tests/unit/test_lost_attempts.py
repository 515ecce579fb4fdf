"""What attempts leave that are lost: gone when the run has ended, and nothing else with it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, new_run
from sqlalchemy import update

from deployments.call_assets import CallAssets
from deployments.engines.engine import Produced
from deployments.runner import AssetOutputs
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import EngineFailed, ReplicaLost
from serve.domain.generation import Completed, Event, EventBatch, ModelCall, Verdict
from serve.domain.names import ProjectName, RunId, TenantName
from serve.domain.run import Run, RunStatus
from serve.domain.serving import ModelStatus
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.runs.events import wait
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import runs

ACME, PROJECT = TenantName("acme"), ProjectName("default")
DONE = Completed(Quantities(images=2))
Said = Sequence[Event | Produced] | Exception


def produced(index: int) -> Produced:
    return Produced(f"image-{index}.png", "image/png", b"png %d" % index, index, 16, 8)


class CountedObjects(FilesystemObjects):
    """A folder that counts what is deleted from it."""

    num_deleted = 0

    async def delete(self, key: str) -> None:
        self.num_deleted += 1
        await super().delete(key)


class Replicas:
    """A `ports.Models` whose replicas store what an engine produces, one script for each call."""

    def __init__(self, assets: Assets, *scripts: Sequence[Said]) -> None:
        self._stores = CallAssets(assets)
        self._scripts = list(scripts)

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        stream = self._stores.stored(call, self._engine(self._scripts.pop(0)))
        try:
            async for batch in stream:
                yield batch
        finally:
            await stream.aclose()

    async def _engine(self, script: Sequence[Said]) -> AsyncGenerator[Sequence[Event | Produced], None]:
        for said in script:
            if isinstance(said, Exception):
                raise said
            yield said

    async def counters(self, model: str) -> Mapping[str, float]:
        return {}

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return {}


class Bench:
    """A store of runs and one of assets."""

    def __init__(self, records: Records, objects: CountedObjects) -> None:
        self.records, self.objects = records, objects
        self.store = RunStore(records, SystemClock(), SETTINGS)
        self.assets = Assets(records, objects, SystemClock(), Uuid7Ids())

    async def made(self) -> Run:
        """A queued run with a picture of its own, which belongs to it as a gateway stores it."""
        new = new_run(task=Task.IMAGE_TO_IMAGE)
        image = await self.add("image.png", b"source", new.id)
        return (await self.store.create(new.model_copy(update={"inputs": {"image": f"asset:{image}"}})))[0]

    async def add(self, name: str, data: bytes, run_id: str) -> str:
        asset = await self.assets.add(
            tenant=ACME, project=PROJECT, data=data, media_type="image/png", name=name, run_id=RunId(run_id)
        )
        return asset.id

    async def names(self) -> list[str]:
        return sorted(str(asset.name) for asset in await self.assets.list(ACME, 100))

    @asynccontextmanager
    async def running(self, *scripts: Sequence[Said]) -> AsyncIterator[None]:
        runner = Runner(
            self.store,
            Replicas(self.assets, *scripts),
            SystemClock(),
            owner="r1",
            settings=SETTINGS,
            max_concurrency=1,
            outputs=AssetOutputs(self.assets),
        )
        await runner.start()
        yield
        await runner.stop()

    async def ended(self, run: Run) -> Run:
        async with asyncio.timeout(60):
            return await wait(self.store, run.tenant, run.id, 60)


@pytest.fixture
def bench(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(records, CountedObjects(tmp_path_factory.mktemp("objects")))


LOST = ReplicaLost("gone")


async def test_a_replica_lost_after_the_first_of_two_pictures_leaves_each_picture_once(bench: Bench) -> None:
    run = await bench.made()
    async with bench.running([[produced(0)], LOST], [[produced(0)], [produced(1), DONE]]):
        ended = await bench.ended(run)
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 2)
    assert await bench.names() == ["image-0.png", "image-1.png", "image.png"]
    assert ended.outputs is not None
    for artifact in ended.outputs["artifacts"]:
        asset = await bench.assets.get(ACME, artifact["asset"]["id"])
        content = b"".join([chunk async for chunk in bench.assets.content(asset)])
        assert content == b"png %d" % artifact["index"]
    assert bench.objects.num_deleted == 0, "the same bytes keep their blob"


async def test_a_run_that_fails_at_last_keeps_what_its_last_attempt_announced(bench: Bench) -> None:
    run = await bench.made()
    async with bench.running([[produced(0)], [produced(1)], LOST], [[produced(1)], EngineFailed("broken")]):
        ended = await bench.ended(run)
    assert ended.status == RunStatus.FAILED
    assert await bench.names() == ["image-1.png", "image.png"]


async def test_what_a_replica_stored_and_could_not_announce_goes_with_the_end_of_the_run(bench: Bench) -> None:
    run = await bench.made()
    await bench.add("image-0.png", b"png 0", run.id)  # another submission of the same attempt: nobody heard of it
    stranger = await bench.made()
    await bench.store.request_cancel(ACME, stranger.id)
    async with bench.running([[produced(0), produced(1), DONE]]):
        await bench.ended(run)
    assert await bench.names() == ["image-0.png", "image-1.png", "image.png", "image.png"]


async def test_a_claim_that_is_over_removes_nothing(bench: Bench, clock: ManualClock) -> None:
    run = await bench.made()
    await bench.add("image-0.png", b"png 0", run.id)

    async def claimed_as(fence: int, status: RunStatus) -> None:
        async with bench.records.write() as connection:
            await connection.execute(update(runs).values(fence=fence, status=status))

    for fence, status in ((2, RunStatus.RUNNING), (1, RunStatus.QUEUED), (1, RunStatus.SUCCEEDED)):
        await claimed_as(fence, status)
        assert await bench.assets.delete_strays(run.id, 1, []) == 0
    await claimed_as(1, RunStatus.RUNNING)
    assert await bench.assets.delete_strays(run.id, 1, [str(run.inputs["image"]).removeprefix("asset:")]) == 1
    assert await bench.names() == ["image.png"]


async def test_a_run_ends_though_nothing_can_be_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> int:
        raise OSError("no store")

    monkeypatch.setattr(bench.assets, "delete_strays", broken)
    run = await bench.made()
    async with bench.running([[produced(0)], LOST], [[produced(0)], [DONE]]):
        assert (await bench.ended(run)).status == RunStatus.SUCCEEDED
    assert await bench.names() == ["image-0.png", "image-0.png", "image.png"]
