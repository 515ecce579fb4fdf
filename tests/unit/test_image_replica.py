"""A replica of an image model, without Ray around it: pictures in, assets out, numbers counted, stores closed."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.books import KeptBooks
from fakes.databases import new_sqlite
from fakes.gateway import settings_in
from PIL import Image

from deployments import metering
from deployments.image_to_image import ImageToImageReplica
from deployments.llm import LlmReplica
from deployments.replica import ModelArgs, ModelReplica
from deployments.text_to_image import TextToImageReplica
from serve.catalog.catalog import Catalog
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import EngineFailed, InvalidRequest, Unprocessable
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, ModelCall
from serve.domain.images import ImageToImageInput, TextToImageInput
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.task import Task
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records

ACME, PROJECT, RUN = TenantName("acme"), ProjectName("default"), RunId("run-1")
CONTEXT = CallContext(RequestId("r"), ACME, PROJECT, KeyId("k"), run_id=RUN)
FAMILIES: dict[str, type[ModelReplica]] = {"text_to_image": TextToImageReplica, "image_to_image": ImageToImageReplica}


def document(family: str = "text_to_image", **spec: Any) -> ModelDocument:
    tasks = [family] if family == "image_to_image" else ["text_to_image", "image_to_image"]
    body = {"family": family, "tasks": tasks, "card": {"title": "P"}, "engine": {"kind": "echo"}} | spec
    named = {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": "painter"}, "spec": body}
    return ModelDocument.model_validate(named)


def collectable(kind: type[ModelReplica]) -> type[ModelReplica]:
    """A replica that Python may collect: Ray awaits `__del__`, which the interpreter calls too, and cannot await."""
    return type(kind.__name__, (kind,), {"__del__": lambda self: None})


async def close(replica: ModelReplica) -> None:
    """What Ray does when it takes a replica away."""
    await ModelReplica.__del__(replica)


class Installation:
    """The stores of one installation, as a test looks into them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_in(folder)
        for name in ("data_dir", "cache_dir", "state_dir"):
            monkeypatch.setenv(f"SLIPWAY_STORAGE_{name}".upper(), str(getattr(settings.storage, name)))
        self.books = KeptBooks()
        monkeypatch.setattr(metering, "RayBooks", lambda: self.books)
        new_sqlite(settings.storage.data_dir / "slipway.db")
        self.records = Records(settings.storage.url())
        self.assets = Assets(self.records, open_object_store(settings), SystemClock(), Uuid7Ids())

    async def replica(self, made: ModelDocument) -> ModelReplica:
        await Catalog(self.records, SystemClock()).apply(made, "api")
        replica = collectable(FAMILIES.get(made.spec.family, LlmReplica))(ModelArgs(name=made.name, build="b"))
        await replica.reconfigure({"name": made.name, "digest": made.digest()})
        return replica


@pytest.fixture
async def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    made = Installation(tmp_path, monkeypatch)
    yield made
    await made.records.close()


def words(**inputs: Any) -> ModelCall:
    given = {"prompt": "a circle", "width": 64, "height": 64, "steps": 2, "seed": 3} | inputs
    return ModelCall(Task.TEXT_TO_IMAGE, TextToImageInput.model_validate(given).model_dump(mode="json"), CONTEXT)


def edit(image: str, **inputs: Any) -> ModelCall:
    given = {"prompt": "a circle", "image": image, "steps": 4, "seed": 3} | inputs
    return ModelCall(Task.IMAGE_TO_IMAGE, ImageToImageInput.model_validate(given).model_dump(mode="json"), CONTEXT)


async def answer(replica: ModelReplica, call: ModelCall) -> Answer:
    found = Answer()
    async for batch in replica.call(call):
        found.add(batch)
    return found


async def test_what_is_painted_is_an_asset_of_the_run(installation: Installation) -> None:
    replica = await installation.replica(document())
    found = await answer(replica, words(num_images=2))
    assert [(each.index, each.asset.width, each.asset.media_type) for each in found.artifacts] == [
        (0, 64, "image/png"),
        (1, 64, "image/png"),
    ]
    assert found.usage is not None
    assert (found.usage.images, found.usage.pixel_steps) == (2, 2 * 64 * 64 * 2)
    assert len(await installation.assets.list(ACME, 10)) == 2
    await installation.assets.delete_for_runs([RUN])
    assert await installation.assets.list(ACME, 10) == []
    await close(replica)


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_picture_is_read_for_the_engine(installation: Installation, family: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 72), (9, 9, 9)).save(stream, "PNG")
    source = await installation.assets.add(tenant=ACME, project=PROJECT, data=stream.getvalue(), media_type="image/png")
    replica = await installation.replica(document(family))
    found = await answer(replica, edit(f"asset:{source.id}"))
    assert (found.artifacts[0].asset.width, found.artifacts[0].asset.height) == (64, 72)
    assert found.usage is not None
    assert found.usage.input_images == 1
    await installation.assets.delete(ACME, source.id)
    with pytest.raises(InvalidRequest, match="image: the asset is there no longer"):
        await answer(replica, edit(f"asset:{source.id}"))
    assert (await answer(replica, edit(f"asset:{found.artifacts[0].asset.id}"))).usage is not None
    await close(replica)


async def test_closing_a_call_gives_its_place_back(installation: Installation) -> None:
    replica = await installation.replica(document(engine={"kind": "echo", "maxConcurrency": 1, "stepMs": 5}))
    stream = replica.call(words(steps=100))
    await anext(stream)
    assert replica.counters()["running"] == 1
    await stream.aclose()
    assert replica.counters()["running"] == 0
    assert (await answer(replica, words())).usage is not None
    await close(replica)


async def test_an_engine_that_breaks_tells_no_details(installation: Installation) -> None:
    replica = await installation.replica(document())
    with pytest.raises(EngineFailed, match="The model painter failed on this call"):
        await answer(replica, words(prompt="!crash"))
    await close(replica)


async def test_a_model_of_words_opens_no_store(installation: Installation) -> None:
    replica = await installation.replica(document("llm", tasks=["chat"]))
    assert replica._assets is None
    assert replica._stores is None
    chat = ModelCall(Task.CHAT, {"messages": [{"role": "user", "content": "hi"}]}, CONTEXT)
    assert (await answer(replica, chat)).choices[0].text == "hi"
    await close(replica)


@pytest.mark.parametrize("family", FAMILIES)
async def test_diffusion_wants_weights(installation: Installation, family: str) -> None:
    made = document(family, engine={"kind": "diffusion"}, weights={"uri": "builtin://shapes-sd"})
    replica = collectable(FAMILIES[family])(ModelArgs(name="painter", build="b"))
    with pytest.raises(Unprocessable, match="has no weights"):
        replica.make_engine(made, None)
