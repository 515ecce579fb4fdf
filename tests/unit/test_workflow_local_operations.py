"""Operations performed over a tenant's assets: what is read, written, refused, taken back, and who waits for whom."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.images import bomb, picture
from PIL import Image

from serve.clock import SystemClock
from serve.domain.documents import Queue
from serve.domain.errors import EngineFailed, InvalidRequest, Overloaded
from serve.domain.media import Asset
from serve.domain.names import ProjectName, RunId, TenantName
from serve.domain.port_types import parse_type
from serve.domain.steps import OperationStep
from serve.serving.fair_queue import FairQueue
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.workflow.execution import local_operations
from serve.workflow.execution.local_operations import LocalOperations
from serve.workflow.operation import Files, In, OnFiles, Out
from serve.workflow.operations import INSCRIBE, OPERATIONS
from serve.workflow.values import decode, encode

ACME, OTHER = TenantName("acme"), TenantName("other")
IMAGE = parse_type("image")


@pytest.fixture
def assets(records: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path) -> Assets:
    return Assets(records, FilesystemObjects(tmp_path / "objects"), clock, ids)


def performer(assets: Assets, capacity: int = 2, limits: Queue | None = None) -> LocalOperations:
    return LocalOperations(assets, FairQueue(capacity, limits or Queue(), SystemClock()), max_pixels=1_000_000)


async def stored(assets: Assets, data: bytes, tenant: TenantName = ACME) -> dict[str, Any]:
    asset = await assets.add(tenant=tenant, project=ProjectName("p"), data=data, media_type="image/png")
    written: dict[str, Any] = encode(asset, IMAGE)
    return written


def step(
    operation: str, tenant: str = "acme", metadata: Mapping[str, str] | None = None, **inputs: Any
) -> OperationStep:
    return OperationStep("n", RunId("r1"), tenant, "p", operation, inputs, metadata or {})


async def opened(assets: Assets, asset: Asset) -> Image.Image:
    chunks = [chunk async for chunk in assets.content(await assets.get(ACME, asset.id))]
    return Image.open(io.BytesIO(b"".join(chunks)))


async def test_an_operation_reads_an_asset_and_writes_one_of_the_run(assets: Assets) -> None:
    given = await stored(assets, picture(40, 20))
    outputs = await performer(assets).perform(step("image.resize", image=given, width=10, height=None))
    made = decode(outputs["image"], IMAGE)
    assert (made.width, made.height, outputs["width"], outputs["height"]) == (10, 5, 10, 5)
    assert (await opened(assets, made)).size == (10, 5)
    await assets.delete_for_runs(["r1"])
    assert [asset.id for asset in await assets.list(ACME, 10)] == [given["asset"]["id"]]


async def test_lists_of_pictures_and_of_texts_are_read(assets: Assets) -> None:
    given = [await stored(assets, picture(8, 8)), await stored(assets, picture(8, 8, (0, 0, 9)))]
    outputs = await performer(assets).perform(step("image.grid", images=given, labels=["a", "b"], gap=0))
    assert outputs["image"]["asset"]["width"] == 16


@pytest.mark.parametrize(
    ("operation", "inputs", "code", "param"),
    [
        ("image.nothing", {}, "unknown_operation", None),
        ("text.join", {}, "unknown_operation", None),
        ("image.flip", {"picture": 1}, "unknown_input", "picture"),
        ("image.flip", {"image": "asset:x"}, "wrong_type", "image"),
        ("image.flip", {"image": 3}, "wrong_type", "image"),
        ("image.resize", {"width": "wide"}, "wrong_type", "width"),
        ("image.flip", {}, "missing_input", "image"),
    ],
)
async def test_a_step_that_makes_no_sense_is_refused(
    assets: Assets, operation: str, inputs: dict[str, Any], code: str, param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await performer(assets).perform(step(operation, **inputs))
    assert (refusal.value.code, refusal.value.param) == (code, param)


async def test_another_tenants_asset_answers_as_one_that_is_gone(assets: Assets) -> None:
    theirs = await stored(assets, picture(), OTHER)
    gone = {"asset": theirs["asset"] | {"id": "none"}}
    refusals = []
    for given in (theirs, gone):
        with pytest.raises(InvalidRequest) as refusal:
            await performer(assets).perform(step("image.flip", image=given))
        refusals.append((str(refusal.value), refusal.value.code, refusal.value.param))
    assert refusals[0] == refusals[1] == ("image: the asset is there no longer", "asset_not_found", "image")


async def test_a_hostile_file_is_refused_and_leaves_nothing(assets: Assets) -> None:
    given = await stored(assets, bomb())
    with pytest.raises(InvalidRequest) as refusal:
        await performer(assets).perform(step("image.flip", image=given))
    assert (refusal.value.code, refusal.value.param) == ("image_too_large", "image")
    assert len(await assets.list(ACME, 10)) == 1


async def test_metadata_goes_into_a_png_and_changes_no_pixel(assets: Assets) -> None:
    given = await stored(assets, picture(8, 8))
    outputs = await performer(assets).perform(step(INSCRIBE, metadata={"slipway_run": "r1"}, image=given))
    made = decode(outputs["image"], IMAGE)
    image = await opened(assets, made)
    assert image.info["slipway_run"] == "r1"
    assert image.tobytes() == Image.open(io.BytesIO(picture(8, 8))).tobytes()
    assert made.id != given["asset"]["id"]
    resized = await performer(assets).perform(step("image.resize", metadata={"a": "b"}, image=given, scale=2))
    assert (await opened(assets, decode(resized["image"], IMAGE))).info == {"a": "b"}


class Slow(OnFiles):
    """Writes a file, and then goes on until it is told to end, or fails."""

    name = "test.slow"
    title = description = category = "Slow."
    inputs: ClassVar = {"fails": In("boolean", "Whether."), "image": In("image", "One.")}
    outputs: ClassVar = {"image": Out("image")}

    def __init__(self) -> None:
        self.started: list[str] = []
        self.go_on = asyncio.Event()

    async def apply(self, values: Mapping[str, Any], files: Files) -> Mapping[str, Any]:
        self.started.append(str(values.get("image") and values["image"].name))
        made = await files.write("a.png", picture(8, 8), "image/png", 8, 8)
        if values.get("fails"):
            raise ZeroDivisionError("a mistake of ours")
        await self.go_on.wait()
        return {"image": made}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    operation = Slow()
    monkeypatch.setattr(local_operations, "OPERATIONS", {**OPERATIONS, "test.slow": operation})
    return operation


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_what_a_canceled_operation_wrote_is_taken_back_and_its_place_is_free(assets: Assets, slow: Slow) -> None:
    operations = performer(assets, capacity=1)
    task = asyncio.create_task(operations.perform(step("test.slow")))

    async def is_written() -> bool:
        return len(await assets.list(ACME, 10)) == 1

    await until(is_written)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await assets.list(ACME, 10) == []
    slow.go_on.set()
    assert (await operations.perform(step("test.slow")))["image"]["asset"]["width"] == 8


async def test_a_mistake_of_ours_is_told_without_its_words_and_leaves_nothing(assets: Assets, slow: Slow) -> None:
    with pytest.raises(EngineFailed) as failure:
        await performer(assets).perform(step("test.slow", fails=True))
    assert str(failure.value) == "The operation test.slow failed."
    assert await assets.list(ACME, 10) == []


async def test_one_tenant_waits_for_its_turn_and_another_goes_before(assets: Assets, slow: Slow) -> None:
    operations = performer(assets, capacity=1)

    async def begin(tenant: str, name: str) -> "asyncio.Task[Mapping[str, Any]]":
        asset = await assets.add(
            tenant=TenantName(tenant), project=ProjectName("p"), data=b"x", media_type="image/png", name=name
        )
        task = asyncio.create_task(operations.perform(step("test.slow", tenant, image=encode(asset, IMAGE))))
        await asyncio.sleep(0)  # it stands in the queue
        return task

    tasks = [await begin("acme", name) for name in ("a1", "a2", "a3")] + [await begin("other", "o1")]
    slow.go_on.set()
    await asyncio.gather(*tasks)
    assert slow.started[0] == "a1"
    assert slow.started.index("o1") < slow.started.index("a3")


async def test_beyond_the_queue_an_operation_is_refused(assets: Assets, slow: Slow) -> None:
    operations = performer(assets, capacity=1, limits=Queue(max_waiting=0))
    running = asyncio.create_task(operations.perform(step("test.slow")))

    async def has_begun() -> bool:
        return bool(slow.started)

    await until(has_begun)
    with pytest.raises(Overloaded) as refusal:
        await operations.perform(step("test.slow"))
    assert refusal.value.retry_after_seconds
    slow.go_on.set()
    await running
