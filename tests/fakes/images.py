"""A platform that paints, in one process: a model that makes plain pictures, the runner that calls it, and files."""

import asyncio
import io
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.gateway import Gateway, gateway, model_document, settings_in
from PIL import Image

from serve.clock import SystemClock
from serve.domain.generation import Artifact, Completed, EventBatch, ModelCall, Preview, Progress, Verdict
from serve.domain.images import ASSET_SCHEME, ImageFormat
from serve.domain.names import AssetId
from serve.domain.run import Run
from serve.domain.serving import ModelStatus
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.media import images
from serve.runs.execution import Runner
from serve.runs.outputs import view
from serve.settings import RunsSettings, Settings
from serve.storage.assets import Assets

PAINTER = "painter"
SIDE = 64
_INPUTS: dict[str, Any] = {
    "width": {"default": SIDE, "maximum": 512},
    "height": {"default": SIDE, "maximum": 512},
    "steps": {"default": 4, "maximum": 100},
}


def picture(
    width: int = SIDE, height: int = SIDE, color: Any = (200, 30, 30), form: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A file of one colour."""
    stream = io.BytesIO()
    Image.new(mode, (width, height), color).save(stream, form)
    return stream.getvalue()


def mask(width: int = SIDE, height: int = SIDE, *, holes: bool) -> bytes:
    """A mask whose left half is to be painted: transparent with `holes`, white on black without."""
    kept = (0, 0, 0, 255) if holes else (0, 0, 0)
    painted = (0, 0, 0, 0) if holes else (255, 255, 255)
    image = Image.new("RGBA" if holes else "RGB", (width, height), kept)
    image.paste(painted, (0, 0, width // 2, height))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A small file that declares a very large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@dataclass(slots=True)
class PaintingModels:
    """A `ports.Models` whose models paint the colour that the seed says, `step_seconds` a step."""

    assets: Assets
    step_seconds: float = 0.0
    error: Exception | None = None
    calls: list[ModelCall] = field(default_factory=list)
    sources: list[dict[str, bytes]] = field(default_factory=list)
    num_canceled: int = 0

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.calls.append(call)
        inputs = call.inputs
        self.sources.append(sources := await self._sources(call))
        if self.error is not None:
            raise self.error
        try:
            for step in range(inputs["steps"]):
                await asyncio.sleep(self.step_seconds)
                yield [Progress(step + 1, inputs["steps"], "denoising"), *self._previews(inputs, step)]
        except (GeneratorExit, asyncio.CancelledError):
            self.num_canceled += 1
            raise
        size = self._size(call, sources)
        for index in range(inputs["num_images"]):
            yield [await self._paint(call, index, size)]
        pixels = inputs["num_images"] * size[0] * size[1]
        yield [
            Completed(
                Quantities(
                    prompt_tokens=len(inputs["prompt"].split()) + 2,
                    images=inputs["num_images"],
                    pixels=pixels,
                    steps=inputs["num_images"] * inputs["steps"],
                    pixel_steps=pixels * inputs["steps"],
                    input_images=len(sources),
                )
            )
        ]

    async def _sources(self, call: ModelCall) -> dict[str, bytes]:
        found = {}
        for name in ("image", "mask"):
            if reference := call.inputs.get(name):
                assert reference.startswith(ASSET_SCHEME)
                asset = await self.assets.get(call.context.tenant, AssetId(reference.removeprefix(ASSET_SCHEME)))
                found[name] = b"".join([chunk async for chunk in self.assets.content(asset)])
        return found

    def _previews(self, inputs: Mapping[str, Any], step: int) -> list[Preview]:
        if step >= inputs["previews"]:
            return []
        return [Preview(index, "image/jpeg", picture(8, 8, form="JPEG")) for index in range(inputs["num_images"])]

    def _size(self, call: ModelCall, sources: Mapping[str, bytes]) -> tuple[int, int]:
        if call.task is Task.TEXT_TO_IMAGE or call.inputs["width"]:
            return call.inputs["width"], call.inputs["height"]
        info = images.inspect(sources["image"], max_pixels=2**24, param="image")
        return info.width, info.height

    async def _paint(self, call: ModelCall, index: int, size: tuple[int, int]) -> Artifact:
        form = ImageFormat(call.inputs["output_format"])
        seed = call.inputs["seed"] + index
        data = images.encode(Image.new("RGB", size, (seed % 256, 0, 0)), form, call.inputs["quality"])
        context = call.context
        asset = await self.assets.add(
            tenant=context.tenant,
            project=context.project,
            run_id=context.run_id,
            data=data,
            media_type=images.MEDIA_TYPES[form],
            name=f"image-{index}.{form}",
            width=size[0],
            height=size[1],
        )
        return Artifact(f"image-{index}", asset, index)

    async def counters(self, model: str) -> Mapping[str, float]:
        return {}

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return {}


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """An OutputSink that keeps what is large as assets, and whose runs never read it again."""

    assets: Assets

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        owner = {"tenant": run.tenant, "project": run.project, "run_id": run.id}
        return view(await self.assets.add(**owner, data=data, media_type=media_type, name=name))

    async def read(self, run: Run, asset_id: str) -> bytes:
        raise AssertionError("no run is taken up again")

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        await self.assets.delete_strays(run.id, run.fence, asset_ids)


@dataclass(slots=True)
class Studio:
    """A gateway with a painter, whose runner runs."""

    made: Gateway
    models: PaintingModels


@asynccontextmanager
async def studio(
    folder: Path, settings: Settings | None = None, *, is_open: bool = True, **models: Any
) -> AsyncIterator[Studio]:
    """A gateway over `folder` with the model `painter`; without `is_open` nothing takes its runs."""
    settings = settings or settings_in(folder, runs=RunsSettings(poll_seconds=0.02))
    async with gateway(folder, settings=settings) as made:
        tasks = ["text_to_image", "image_to_image"]
        card = {"title": "Painter", "inputs": _INPUTS}
        spec = {"family": "text_to_image", "card": card, "weights": {"uri": "builtin://painter"}}
        engine = {"kind": "diffusion", "maxPixels": 512 * 512}
        await made.services.catalog.apply(model_document(PAINTER, tasks, engine=engine, **spec), "api")
        painting = PaintingModels(made.services.assets, **models)
        runner = Runner(
            made.services.runs,
            painting,
            SystemClock(),
            owner="studio",
            settings=settings.runs,
            max_concurrency=8,
            outputs=StoredOutputs(made.services.assets),
            costs=made.services.prices.run_costs,
        )
        if is_open:
            await runner.start()
        try:
            yield Studio(made, painting)
        finally:
            if is_open:
                await runner.stop()
