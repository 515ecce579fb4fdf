"""Imported graphs, executed: pictures come out as ComfyUI's signatures promise, and say how they were made."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.comfyui import comfy_graph, comfy_import
from fakes.stages import Workshop, ended
from fakes.workflows import known
from PIL import Image

from serve.clock import SystemClock
from serve.domain.documents import Queue
from serve.domain.errors import InvalidRequest
from serve.domain.media import Asset
from serve.domain.names import ProjectName, TenantName
from serve.domain.steps import ModelStep, Performed
from serve.media.png_chunks import read_text
from serve.serving.fair_queue import FairQueue
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.workflow.comfyui.importing import Imported
from serve.workflow.execution.local_operations import LocalOperations

ACME = TenantName("acme")


class Gallery:
    """A workshop whose operations are real, with the tenant's pictures."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self.shop = Workshop(known(), operations=LocalOperations(assets, FairQueue(2, Queue(), SystemClock()), 2**24))

    async def bring(self, name: str, pixels: Any) -> str:
        """Store a picture; what a run's input says of it."""
        stream = io.BytesIO()
        Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, "PNG")
        asset = await self._assets.add(
            tenant=ACME, project=ProjectName("p"), data=stream.getvalue(), media_type="image/png", name=name
        )
        self.shop.media = {**self.shop.media, asset.id: asset}
        return f"asset:{asset.id}"

    async def file(self, performed: Performed, name: str, index: int | None = None) -> bytes:
        """The bytes of an output."""
        assert performed.error is None, performed.error
        written = performed.outputs[name] if index is None else performed.outputs[name][index]
        asset: Asset = await self._assets.get(ACME, written["asset"]["id"])
        return b"".join([chunk async for chunk in self._assets.content(asset)])

    async def pixels(self, performed: Performed, name: str, index: int | None = None) -> Any:
        """An output as an array."""
        return np.asarray(Image.open(io.BytesIO(await self.file(performed, name, index)))).astype(int)

    async def perform(self, found: Imported, inputs: dict[str, Any], **terms: Any) -> Performed:
        performed, stage = await self.shop.perform(found.spec, inputs, **terms)
        self.steps = ended(stage)
        return performed


@pytest.fixture
def gallery(records: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path) -> Gallery:
    return Gallery(Assets(records, FilesystemObjects(tmp_path / "objects"), clock, ids))


def graph(save: str, slot: int = 0, **nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A graph that loads a picture `in`, and saves the output of one node."""
    load = {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "photo"}}
    made = {id: {"class_type": type, "inputs": inputs} for id, (type, inputs) in nodes.items()}
    kind = "MaskPreview" if "Mask" in made.get(save, load)["class_type"] or slot else "SaveImage"
    saved = {"class_type": kind, "inputs": {"mask" if kind == "MaskPreview" else "images": [save, slot]}}
    return {"in": load, **made, "out": saved}


def gradient(width: int = 32, height: int = 16) -> Any:
    """Red grows to the right, green downwards; blue is half."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return np.stack([across, down, np.full_like(across, 128)], -1).round()


async def test_an_inverted_picture_is_the_opposite(gallery: Gallery) -> None:
    found = comfy_import(graph("n", n=("ImageInvert", {"image": ["in", 0]})))
    performed = await gallery.perform(found, {"photo": await gallery.bring("a", gradient())})
    assert np.array_equal(await gallery.pixels(performed, "image"), 255 - gradient())


async def test_the_mask_of_a_picture_is_white_where_it_is_transparent(gallery: Gallery) -> None:
    seen = np.dstack([gradient(), np.full((16, 32), 255)])
    seen[:, :8, 3] = 0
    found = comfy_import(graph("in", 1))
    performed = await gallery.perform(found, {"photo": await gallery.bring("a", seen)})
    mask = await gallery.pixels(performed, "mask")
    assert mask[:, :8].min() == 255
    assert mask[:, 8:].max() == 0
    opaque = await gallery.perform(found, {"photo": await gallery.bring("b", gradient())})
    assert (await gallery.pixels(opaque, "mask")).max() == 0


@pytest.mark.parametrize(("megapixels", "size"), [(1.0, (1448, 724)), (0.01, (145, 72))])
async def test_a_picture_is_scaled_to_as_many_pixels(
    gallery: Gallery, megapixels: float, size: tuple[int, int]
) -> None:
    asked = {"image": ["in", 0], "upscale_method": "nearest-exact", "megapixels": megapixels}
    found = comfy_import(graph("n", n=("ImageScaleToTotalPixels", asked)))
    performed = await gallery.perform(found, {"photo": await gallery.bring("a", gradient(128, 64))})
    pixels = await gallery.pixels(performed, "image")
    assert (pixels.shape[1], pixels.shape[0]) == size


async def test_a_solid_mask_has_its_level_and_a_channel_is_a_mask(gallery: Gallery) -> None:
    solid = comfy_import(graph("n", n=("SolidMask", {"value": 0.5, "width": 20, "height": 10})))
    level = await gallery.pixels(await gallery.perform(solid, {}), "mask")
    assert (level.shape, set(level.ravel())) == ((10, 20), {128})
    channel = comfy_import(graph("n", n=("ImageToMask", {"image": ["in", 0], "channel": "green"})))
    performed = await gallery.perform(channel, {"photo": await gallery.bring("a", gradient())})
    assert np.array_equal(await gallery.pixels(performed, "mask"), gradient()[:, :, 1])


async def test_the_mask_of_a_padded_picture_is_white_beside_it(gallery: Gallery) -> None:
    pad = {"image": ["in", 0], "left": 0, "top": 0, "right": 16, "bottom": 0}
    for feathering, is_soft in ((0, False), (8, True)):
        found = comfy_import(graph("n", 1, n=("ImagePadForOutpaint", pad | {"feathering": feathering})))
        mask = await gallery.pixels(
            await gallery.perform(found, {"photo": await gallery.bring("a", gradient())}), "mask"
        )
        assert mask.shape == (16, 48)
        assert mask[:, 40:].min() == 255
        assert mask[:, :20].max() == 0
        assert bool(((mask > 0) & (mask < 255)).any()) == is_soft


async def test_blurs_have_the_spread_of_comfyuis_kernel(gallery: Gallery) -> None:
    radius, sigma = 6, 0.8
    point = np.zeros((41, 41, 3))
    point[20, 20] = 255
    line = np.linspace(-1, 1, 2 * radius + 1)
    weights = np.exp(-(line**2) / (2 * sigma**2))
    wanted = np.sqrt((weights * (line * radius) ** 2).sum() / weights.sum())
    wide = np.zeros((41, 41, 3))
    wide[:, 20:] = 255
    asked = {"image": ["in", 0], "blur_radius": radius, "sigma": sigma}
    found = comfy_import(graph("n", n=("ImageBlur", asked)))
    edge = await gallery.pixels(await gallery.perform(found, {"photo": await gallery.bring("a", wide)}), "image")
    slope = np.diff(edge[20, :, 0].astype(float))
    places = np.arange(len(slope))
    middle = (slope * places).sum() / slope.sum()
    spread = np.sqrt((slope * (places - middle) ** 2).sum() / slope.sum())
    assert spread == pytest.approx(wanted, rel=0.08)


async def test_pictures_in_a_row_are_worked_on_one_by_one(gallery: Gallery) -> None:
    found = comfy_import(
        graph(
            "s",
            b=("ImageBatch", {"image1": ["in", 0], "image2": ["i", 0]}),
            i=("ImageInvert", {"image": ["in", 0]}),
            s=(
                "ImageScale",
                {"image": ["b", 0], "upscale_method": "area", "width": 16, "height": 0, "crop": "disabled"},
            ),
        )
    )
    performed = await gallery.perform(found, {"photo": await gallery.bring("a", gradient())})
    first, second = [await gallery.pixels(performed, "image", index) for index in (0, 1)]
    assert first.shape == (8, 16, 3)
    assert np.abs(first + second - 255).max() <= 1


async def test_what_a_run_gives_carries_the_workflow_and_is_signed_anew_where_it_was_kept(gallery: Gallery) -> None:
    gallery.shop.settings = gallery.shop.settings.model_copy(update={"image_metadata": True})
    found = comfy_import(graph("n", n=("ImageInvert", {"image": ["in", 0]})))
    inputs = {"photo": await gallery.bring("a", gradient())}
    first = await gallery.file(await gallery.perform(found, inputs), "image")
    assert len(gallery.steps) == 3
    second = await gallery.file(await gallery.perform(found, inputs), "image")
    assert gallery.steps == ["imageinvert_n"]  # it was kept, and what it needs is not asked for
    assert comfy_import(first).spec == found.spec
    for data in (first, second):
        assert '"inputs": {"photo": "asset:' in (read_text(data, "slipway_run") or "")
        assert data.count(b"slipway_workflow") == 1
    plain = await gallery.perform(found, inputs, metadata=False)
    assert read_text(await gallery.file(plain, "image"), "slipway_workflow") is None
    assert np.array_equal(await gallery.pixels(plain, "image"), 255 - gradient())


@pytest.mark.parametrize("metadata", [True, False])
async def test_a_run_without_metadata_keeps_the_prompt_out_of_its_models_files_too(
    gallery: Gallery, metadata: bool
) -> None:
    source = comfy_graph("text_to_image")
    source["4"]["inputs"]["ckpt_name"] = "shapes-sd.safetensors"
    source["5"]["inputs"] |= {"width": 64, "height": 64}
    asked: list[Any] = []

    def refuse(step: ModelStep) -> Any:
        asked.append(step.inputs["metadata"])
        raise InvalidRequest("enough is known")

    await gallery.shop.perform(comfy_import(source).spec, {}, refuse, metadata=metadata)
    assert asked == [metadata]
