"""The pictures of calls: read before the engine, stored behind it, and never left behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from sqlalchemy import select

from deployments.call_assets import STORING_TASKS, CallAssets
from deployments.engines.engine import Produced
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import Artifact, CallContext, Completed, Event, ModelCall, Preview, Progress
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.ports import StoredObject
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import assets as table

ACME, OTHER, PROJECT = TenantName("acme"), TenantName("other"), ProjectName("default")
RUN = RunId("run-1")
DONE = Completed(Quantities(images=2))


class SlowObjects(FilesystemObjects):
    """A folder of blobs whose puts wait once `is_open` is cleared, by hand or after `puts_left` more of them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_open, self.is_putting, self.is_stuck = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_open.set()
        self.puts_left: int | None = None

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        self.is_putting.set()
        if self.puts_left is not None:
            if not self.puts_left:
                self.is_open.clear()
                self.is_stuck.set()
            self.puts_left -= 1
        await self.is_open.wait()
        return await super().put(key, data, media_type)


class Engine:
    """Yields what it was given, and says whether it was closed."""

    def __init__(self, *batches: Sequence[Event | Produced] | Exception) -> None:
        self._batches = batches
        self.num_open = 0

    async def stream(self) -> AsyncGenerator[Sequence[Event | Produced], None]:
        self.num_open += 1
        try:
            for batch in self._batches:
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        finally:
            self.num_open -= 1


@pytest.fixture
async def objects(tmp_path: Path) -> SlowObjects:
    return SlowObjects(tmp_path / "objects")


@pytest.fixture
def assets(records: Records, objects: SlowObjects, clock: ManualClock, ids: CountingIds) -> Assets:
    return Assets(records, objects, clock, ids)


@pytest.fixture
def call_assets(assets: Assets) -> CallAssets:
    return CallAssets(assets)


def call(tenant: TenantName = ACME, **inputs: object) -> ModelCall:
    context = CallContext(RequestId("r"), tenant, PROJECT, KeyId("k"), run_id=RUN)
    return ModelCall(Task.IMAGE_TO_IMAGE, {"prompt": "a", **inputs}, context)


def produced(index: int, data: bytes = b"") -> Produced:
    return Produced(f"image-{index}.png", "image/png", data or b"png %d" % index, index, 16, 8)


async def num_rows(records: Records) -> int:
    async with records.read() as connection:
        return len((await connection.execute(select(table.c.id))).all())


async def blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "objects").rglob("*") if path.is_file()]


async def test_pictures_become_bytes(call_assets: CallAssets, assets: Assets) -> None:
    image = await assets.add(tenant=ACME, project=PROJECT, data=b"an image", media_type="image/png")
    mask = await assets.add(tenant=ACME, project=PROJECT, data=b"a mask", media_type="image/png")
    asked = call(image=f"asset:{image.id}", mask=f"asset:{mask.id}", steps=3)
    assert (await call_assets.with_inputs(asked)).inputs == {
        "prompt": "a",
        "steps": 3,
        "image": b"an image",
        "mask": b"a mask",
    }
    without = await call_assets.with_inputs(call(image=f"asset:{image.id}", mask=None))
    assert without.inputs["mask"] is None


async def test_a_call_without_pictures_stays_as_it_is(call_assets: CallAssets) -> None:
    context = CallContext(RequestId("r"), ACME, PROJECT, KeyId("k"))
    asked = ModelCall(Task.TEXT_TO_IMAGE, {"prompt": "asset:1"}, context)
    assert await call_assets.with_inputs(asked) is asked


async def test_a_vanished_asset_and_one_of_another_tenant_read_the_same(
    call_assets: CallAssets, assets: Assets
) -> None:
    theirs = await assets.add(tenant=OTHER, project=PROJECT, data=b"x", media_type="image/png")
    for source in (f"asset:{theirs.id}", "asset:gone"):
        with pytest.raises(InvalidRequest, match="image: the asset is there no longer") as caught:
            await call_assets.with_inputs(call(image=source))
        assert (caught.value.code, caught.value.param) == ("asset_not_found", "image")
    with pytest.raises(InvalidRequest, match="must be asset:<id>"):
        await call_assets.with_inputs(call(image="https://example.com/a.png"))


async def test_what_is_produced_becomes_assets_in_its_place(call_assets: CallAssets, assets: Assets) -> None:
    preview = Preview(0, "image/jpeg", b"jpg")
    engine = Engine([Progress(1, 2), preview, produced(1), Progress(2, 2)], [produced(0), DONE])
    told = [batch async for batch in call_assets.stored(call(), engine.stream())]
    assert [[type(event) for event in batch] for batch in told] == [
        [Progress, Preview, Artifact, Progress],
        [Artifact, Completed],
    ]
    assert told[0][1] is preview
    artifact = told[0][2]
    assert isinstance(artifact, Artifact)
    assert (artifact.name, artifact.index) == ("image-1.png", 1)
    found = await assets.get(ACME, artifact.asset.id)
    assert (found.media_type, found.width, found.height, found.num_bytes) == ("image/png", 16, 8, 5)
    assert b"".join([chunk async for chunk in assets.content(found)]) == b"png 1"
    assert engine.num_open == 0


async def test_what_was_made_goes_with_the_run(call_assets: CallAssets, assets: Assets, records: Records) -> None:
    stream = call_assets.stored(call(), Engine([produced(0)], [produced(1), DONE]).stream())
    await anext(stream)
    await stream.aclose()
    assert await num_rows(records) == 1
    await assets.delete_for_runs([RUN])
    assert await num_rows(records) == 0


async def test_closing_closes_the_engine(call_assets: CallAssets) -> None:
    engine = Engine([Progress(1, 2)], [DONE])
    stream = call_assets.stored(call(), engine.stream())
    await anext(stream)
    assert engine.num_open == 1
    await stream.aclose()
    assert engine.num_open == 0


async def test_an_engine_that_fails_is_heard(call_assets: CallAssets) -> None:
    stream = call_assets.stored(call(), Engine([produced(0)], EngineFailed("broken")).stream())
    await anext(stream)
    with pytest.raises(EngineFailed, match="broken"):
        await anext(stream)


async def test_a_call_that_is_canceled_while_a_picture_is_stored_leaves_nothing(
    call_assets: CallAssets, objects: SlowObjects, records: Records, tmp_path: Path
) -> None:
    objects.is_open.clear()
    engine = Engine([produced(0, b"x" * 200_000), DONE])
    reading = asyncio.ensure_future(anext(call_assets.stored(call(), engine.stream())))
    await objects.is_putting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    objects.is_open.set()
    await call_assets.close()
    assert await num_rows(records) == 0
    assert await blobs(tmp_path) == []


async def test_of_a_batch_that_is_interrupted_nothing_stays_and_what_was_announced_does(
    call_assets: CallAssets, objects: SlowObjects, records: Records, tmp_path: Path
) -> None:
    engine = Engine([produced(0)], [produced(1), produced(2, b"x" * 200_000), DONE])
    stream = call_assets.stored(call(), engine.stream())
    await anext(stream)
    objects.puts_left = 1
    reading = asyncio.ensure_future(anext(stream))
    await objects.is_stuck.wait()
    assert await num_rows(records) == 2
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    objects.is_open.set()
    await call_assets.close()
    assert await num_rows(records) == 1
    assert len(await blobs(tmp_path)) == 1


async def test_a_batch_that_the_store_takes_only_half_of_is_taken_back(
    call_assets: CallAssets, records: Records
) -> None:
    unstorable = Produced("two\nlines", "image/png", b"x", 1)
    stream = call_assets.stored(call(), Engine([produced(0), unstorable, DONE]).stream())
    with pytest.raises(InvalidRequest):
        await anext(stream)
    await call_assets.close()
    assert await num_rows(records) == 0


def test_texts_take_no_detour() -> None:
    assert {Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE} == STORING_TASKS
