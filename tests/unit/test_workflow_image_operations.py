"""Operations on pictures, pixel by pixel; hostile files, and pictures that would become too large."""

import asyncio
import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fakes.images import bomb, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve.domain.errors import InvalidRequest
from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.media.images import inspect
from serve.media.png_chunks import NotPng, read_text, with_text
from serve.workflow.nodes.masks import grown
from serve.workflow.nodes.pictures import in_thread
from serve.workflow.nodes.resizing import plan_resizing
from serve.workflow.operation import OnFiles
from serve.workflow.operations import INTERNAL, OPERATIONS

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
MAX_PIXELS = 200_000


@dataclass
class Shelf:
    """Files in memory."""

    max_pixels: int = MAX_PIXELS
    data: dict[str, bytes] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def put(self, data: bytes, media_type: str = "image/png", size: tuple[int, int] | None = None) -> Asset:
        """A new asset."""
        asset_id = AssetId(str(len(self.data)))
        self.data[asset_id] = data
        width, height = size or (None, None)
        return Asset(asset_id, "0" * 64, media_type, len(data), 0, None, width, height)

    async def read(self, asset: Asset) -> bytes:
        """See `Files`."""
        return self.data[asset.id]

    async def write(self, name: str, data: bytes, media_type: str, width: int, height: int) -> Asset:
        """See `Files`."""
        self.written.append(name)
        return self.put(data, media_type, (width, height))


def halves(width: int = 40, height: int = 20, mode: str = "RGB", left: Any = RED, right: Any = BLUE) -> bytes:
    image = Image.new(mode, (width, height), right)
    image.paste(left, (0, 0, width // 2, height))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def half_mask(width: int = 40, height: int = 20) -> bytes:
    return halves(width, height, "L", 255, 0)


async def perform(name: str, shelf: Shelf | None = None, **values: Any) -> Mapping[str, Any]:
    """The outputs, with pictures as PIL's images."""
    shelf = shelf or Shelf()
    operation = OPERATIONS[name]
    assert isinstance(operation, OnFiles)
    given = {port: _stored(shelf, value) for port, value in values.items()}
    outputs = await operation.apply(given, shelf)
    assert set(outputs) == set(operation.outputs)
    return {port: _opened(shelf, value) for port, value in outputs.items()}


def _stored(shelf: Shelf, value: Any) -> Any:
    if isinstance(value, list):
        return [_stored(shelf, one) for one in value]
    return shelf.put(value) if isinstance(value, bytes) else value


def _opened(shelf: Shelf, value: Any) -> Any:
    if not isinstance(value, Asset):
        return value
    image = Image.open(io.BytesIO(shelf.data[value.id]))
    assert image.size == (value.width, value.height)
    assert inspect(shelf.data[value.id], max_pixels=MAX_PIXELS, param="out").media_type == value.media_type
    return image


def levels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        pytest.param({"width": 20, "height": 20}, (20, 20), id="cover is exact"),
        pytest.param({"width": 20, "height": 20, "fit": "inside"}, (20, 10), id="inside keeps the shape"),
        pytest.param({"width": 10, "height": 30, "fit": "stretch"}, (10, 30), id="stretch"),
        pytest.param({"width": 20}, (20, 10), id="height follows"),
        pytest.param({"height": 40}, (80, 40), id="width follows"),
        pytest.param({"scale": 0.5}, (20, 10), id="a factor"),
        pytest.param({"scale": 1.35, "multiple_of": 8}, (56, 24), id="multiples of 8"),
        pytest.param({"multiple_of": 16}, (32, 16), id="multiples alone"),
        pytest.param({"width": 32.0, "height": 8}, (32, 8), id="a whole number that was reckoned"),
    ],
)
async def test_a_picture_is_resized(values: dict[str, Any], size: tuple[int, int]) -> None:
    made = await perform("image.resize", image=halves(), **values)
    assert made["image"].size == size
    assert (made["width"], made["height"]) == size
    assert made["image"].getpixel((0, size[1] // 2)) == RED
    assert made["image"].getpixel((size[0] - 1, size[1] // 2)) == BLUE


@settings(max_examples=300, deadline=None)
@given(
    old=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    width=st.none() | st.integers(1, 2000),
    height=st.none() | st.integers(1, 2000),
    scale=st.none() | st.floats(0.01, 16),
    fit=st.sampled_from(["cover", "inside", "stretch"]),
    multiple=st.integers(1, 64),
)
def test_a_resized_picture_has_sides_that_a_model_takes_and_nothing_is_missing(
    old: tuple[int, int], width: int | None, height: int | None, scale: float | None, fit: str, multiple: int
) -> None:
    plan = plan_resizing(old, width, height, scale, fit, multiple)
    assert all(side > 0 and side % multiple == 0 for side in plan.size)
    assert all(scaled >= side for scaled, side in zip(plan.scaled, plan.size, strict=True))
    if width and height and scale is None and fit != "inside" and multiple == 1:
        assert plan.size == (width, height)


async def test_what_juts_out_is_cut_off_on_both_sides() -> None:
    made = (await perform("image.resize", image=halves(), width=10, height=20, resample="nearest"))["image"]
    assert [made.getpixel((x, 10)) for x in (0, 4, 5, 9)] == [RED, RED, BLUE, BLUE]


@pytest.mark.parametrize(
    ("values", "size", "pixel"),
    [
        pytest.param({"width": 10, "height": 10, "anchor": "top_left"}, (10, 10), RED, id="top left"),
        pytest.param({"width": 10, "anchor": "right"}, (10, 20), BLUE, id="right"),
        pytest.param({"left": 20, "top": 5}, (20, 15), BLUE, id="from a place on"),
        pytest.param({"left": 3, "multiple_of": 8}, (32, 16), RED, id="multiples, rounded down"),
    ],
)
async def test_a_picture_is_cropped(values: dict[str, Any], size: tuple[int, int], pixel: Any) -> None:
    made = await perform("image.crop", image=halves(), **values)
    assert made["image"].size == (made["width"], made["height"]) == size
    assert made["image"].getpixel((0, 0)) == pixel


async def test_a_padded_picture_tells_where_it_was_padded() -> None:
    made = await perform("image.pad", image=halves(), left=4, top=2, color="#00ff00", multiple_of=8)
    assert made["image"].size == made["mask"].size == (48, 24) == (made["width"], made["height"])
    mask = levels(made["mask"])
    assert made["mask"].mode == "L"
    assert mask[mask == 0].size == 40 * 20
    assert set(np.unique(mask)) == {0, 255}
    top, left = (int(axis.min()) for axis in np.nonzero(mask == 0))
    assert (left, top) == (6, 3)
    assert made["image"].getpixel((left, top)) == RED
    assert made["image"].getpixel((0, 0)) == (0, 255, 0)


@pytest.mark.parametrize(("fill", "expected"), [("edge", RED), ("mirror", RED)])
async def test_margins_can_go_on_with_the_picture(fill: str, expected: Any) -> None:
    made = (await perform("image.pad", image=halves(), left=10, fill=fill))["image"]
    assert made.size == (50, 20)
    assert made.getpixel((0, 0)) == expected
    assert made.getpixel((49, 0)) == BLUE


async def test_a_picture_is_padded_to_a_size_around_its_anchor() -> None:
    made = (await perform("image.pad", image=halves(), width=60, height=30, anchor="bottom_right"))["image"]
    assert made.size == (60, 30)
    assert made.getpixel((20, 10)) == RED
    assert made.getpixel((19, 10)) == BLACK


@pytest.mark.parametrize(
    ("values", "at", "pixel"),
    [
        pytest.param({}, (20, 10), BLUE, id="in the middle"),
        pytest.param({}, (1, 1), RED, id="not elsewhere"),
        pytest.param({"left": 0, "top": 0}, (1, 1), BLUE, id="at a place"),
        pytest.param({"left": -8, "top": -8}, (1, 1), BLUE, id="half outside"),
        pytest.param({"left": -8, "top": -8}, (3, 3), RED, id="half outside, cut off"),
        pytest.param({"left": 1000}, (1, 1), RED, id="wholly outside"),
        pytest.param({"opacity": 0}, (20, 10), RED, id="as nothing"),
        pytest.param({"blend": "multiply"}, (20, 10), BLACK, id="multiplied"),
        pytest.param({"blend": "add"}, (20, 10), (255, 0, 255), id="added"),
        pytest.param({"blend": "screen"}, (20, 10), (255, 0, 255), id="screened"),
        pytest.param({"anchor": "bottom_right"}, (39, 19), BLUE, id="anchored"),
    ],
)
async def test_a_picture_is_laid_on_another(values: dict[str, Any], at: tuple[int, int], pixel: Any) -> None:
    made = await perform("image.composite", image=picture(40, 20, RED), overlay=picture(10, 10, BLUE), **values)
    assert made["image"].getpixel(at) == pixel


async def test_half_of_the_opacity_is_half_of_the_colour() -> None:
    made = await perform("image.composite", image=picture(8, 8, BLACK), overlay=picture(8, 8, WHITE), opacity=0.5)
    assert made["image"].getpixel((4, 4))[0] in (127, 128)


async def test_an_overlay_is_laid_where_its_mask_is_white() -> None:
    made = await perform("image.composite", image=picture(40, 20, RED), overlay=picture(40, 20, BLUE), mask=half_mask())
    assert [made["image"].getpixel((x, 0)) for x in (19, 20)] == [BLUE, RED]


async def test_what_is_transparent_stays_so() -> None:
    clear = halves(40, 20, "RGBA", (255, 0, 0, 0), (0, 0, 255, 255))
    over = (await perform("image.composite", image=picture(40, 20, WHITE), overlay=clear))["image"]
    assert [over.getpixel((x, 0)) for x in (0, 39)] == [WHITE, BLUE]
    small = (await perform("image.resize", image=clear, width=20))["image"]
    assert (small.mode, small.getpixel((0, 0))[3], small.getpixel((19, 0))) == ("RGBA", 0, (*BLUE, 255))
    soft = (await perform("image.blur", image=clear, radius=3))["image"]
    assert soft.getpixel((20, 10))[:3] == BLUE, "the colour of what cannot be seen bleeds into nothing"
    empty = (await perform("image.new", width=4, height=4, color="#00000000"))["image"]
    assert empty.getpixel((0, 0)) == (0, 0, 0, 0)


async def test_a_colour_becomes_a_mask() -> None:
    made = await perform("mask.from_color", image=halves(left=(250, 5, 5)), color="red", tolerance=10)
    assert levels(made["mask"]).tolist() == [[255] * 20 + [0] * 20] * 20
    exact = await perform("mask.from_color", image=halves(left=(250, 5, 5)), color="red", tolerance=0)
    assert not levels(exact["mask"]).any()


async def test_a_box_becomes_a_mask_as_large_as_a_picture() -> None:
    made = (await perform("mask.from_box", image=halves(), left=5, top=2, width=10, height=4))["mask"]
    assert (made.mode, made.size, made.getbbox()) == ("L", (40, 20), (5, 2, 15, 6))
    oval = (
        await perform(
            "mask.from_box", mask_width=40, mask_height=20, left=0, top=0, width=40, height=20, shape="ellipse"
        )
    )["mask"]
    assert (oval.getpixel((0, 0)), oval.getpixel((20, 10))) == (0, 255)


@pytest.mark.parametrize(
    ("channel", "left", "right"), [("red", 255, 0), ("blue", 0, 255), ("opacity", 255, 255), ("brightness", 76, 29)]
)
async def test_a_channel_becomes_a_mask(channel: str, left: int, right: int) -> None:
    made = (await perform("mask.from_image", image=halves(), channel=channel))["mask"]
    assert [made.getpixel((x, 0)) for x in (0, 39)] == [left, right]


async def test_a_threshold_leaves_black_and_white() -> None:
    made = (await perform("mask.from_image", image=halves(), threshold=50))["mask"]
    assert [made.getpixel((x, 0)) for x in (0, 39)] == [255, 0]


async def test_masks_are_inverted_grown_and_combined() -> None:
    inverted = (await perform("mask.invert", mask=half_mask()))["mask"]
    assert inverted.getbbox() == (20, 0, 40, 20)
    wider = (await perform("mask.grow", mask=half_mask(), pixels=5))["mask"]
    assert wider.getbbox() == (0, 0, 25, 20)
    narrower = (await perform("mask.grow", mask=half_mask(), pixels=-5))["mask"]
    assert narrower.getbbox() == (0, 0, 15, 20)
    boxes: Any = {"a": half_mask(), "b": halves(40, 20, "L", 0, 255)}
    for operation, box in {"union": (0, 0, 40, 20), "intersection": None, "difference": (0, 0, 20, 20)}.items():
        assert (await perform("mask.combine", **boxes, operation=operation))["mask"].getbbox() == box


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 255), min_size=7, max_size=7), min_size=1, max_size=9),
    reach=st.integers(0, 12),
)
def test_a_grown_mask_is_the_highest_level_within_reach(rows: list[list[int]], reach: int) -> None:
    mask = np.array(rows, np.uint8)
    found = grown(mask, reach)
    for y, x in np.ndindex(*mask.shape):
        around = mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        assert found[y, x] == around.max()


async def test_a_picture_is_blurred_where_the_mask_says() -> None:
    blurred = (await perform("image.blur", image=halves(), radius=4))["image"]
    assert blurred.getpixel((20, 10)) not in (RED, BLUE)
    masked = (await perform("image.blur", image=halves(), radius=4, mask=half_mask()))["image"]
    assert masked.getpixel((19, 10)) not in (RED, BLUE)
    assert masked.getpixel((20, 10)) == BLUE


async def test_a_blurred_mask_is_grey_at_its_edge() -> None:
    soft = (await perform("image.blur", image=half_mask(), radius=3))["image"]
    assert soft.mode == "L"
    assert 60 < soft.getpixel((20, 10)) < 195


@pytest.mark.parametrize(
    ("degrees", "size", "at", "pixel"),
    [
        (90, (20, 40), (0, 0), RED),
        (180, (40, 20), (0, 0), BLUE),
        (-90, (20, 40), (0, 0), BLUE),
        (0, (40, 20), (0, 0), RED),
    ],
)
async def test_a_quarter_turn_loses_nothing(degrees: int, size: tuple[int, int], at: Any, pixel: Any) -> None:
    made = await perform("image.rotate", image=halves(), degrees=degrees)
    assert made["image"].size == (made["width"], made["height"]) == size
    assert made["image"].getpixel(at) == pixel
    assert {pixel for _, pixel in made["image"].getcolors()} == {RED, BLUE}


async def test_a_turn_grows_and_fills_the_corners() -> None:
    made = (await perform("image.rotate", image=picture(40, 40, RED), degrees=45, background="white"))["image"]
    assert 56 <= made.width <= 59
    assert made.getpixel((0, 0)) == WHITE
    assert made.getpixel((made.width // 2, made.height // 2)) == RED
    same = (await perform("image.rotate", image=halves(), degrees=90, expand=False))["image"]
    assert same.size == (40, 20)


async def test_a_picture_is_mirrored() -> None:
    made = (await perform("image.flip", image=halves()))["image"]
    assert [made.getpixel((x, 0)) for x in (0, 39)] == [BLUE, RED]
    assert (await perform("image.flip", image=halves(), direction="vertical"))["image"].getpixel((0, 0)) == RED


async def test_a_picture_without_saturation_is_grey_and_without_brightness_black() -> None:
    grey = (await perform("image.adjust", image=halves(), saturation=0))["image"]
    assert len(set(grey.getpixel((0, 0)))) == 1
    assert (await perform("image.adjust", image=halves(), brightness=0))["image"].getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize(("form", "name"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
async def test_a_picture_is_written_in_another_format(form: str, name: str) -> None:
    made = (await perform("image.convert", image=halves(), format=form, quality=95))["image"]
    assert made.format == name
    assert abs(levels(made.convert("RGB")).astype(int)[10, 5] - RED).max() < 12


async def test_a_grey_picture_and_a_background() -> None:
    clear = halves(40, 20, "RGBA", (255, 0, 0, 0), (0, 0, 255, 255))
    flat = (await perform("image.convert", image=clear, flatten=True, background="#00ff00", greyscale=True))["image"]
    assert (flat.mode, flat.getpixel((0, 0)), flat.getpixel((39, 0))) == ("L", 150, 29)
    kept = (await perform("image.convert", image=clear, greyscale=True))["image"]
    assert (kept.mode, kept.getpixel((0, 0))[3], kept.getpixel((39, 0))) == ("RGBA", 0, (29, 29, 29, 255))


async def test_pictures_become_a_grid() -> None:
    many = [picture(10, 10, color) for color in (RED, BLUE, WHITE)]
    made = await perform("image.grid", images=many, gap=2, background="black", columns=2)
    assert (made["image"].size, made["columns"], made["rows"]) == ((22, 22), 2, 2)
    assert [made["image"].getpixel(at) for at in ((0, 0), (12, 0), (0, 12), (12, 12), (10, 0))] == [
        RED, BLUE, WHITE, BLACK, BLACK,
    ]  # fmt: skip


async def test_a_grid_writes_labels_and_shrinks_what_is_too_large() -> None:
    many = [picture(30, 60, RED), picture(10, 10, BLUE)]
    made = await perform(
        "image.grid", images=many, labels=["one", "two"], cell_width=60, cell_height=20, label_size=10, gap=0
    )
    image = made["image"]
    assert image.size == (120, 35)
    assert image.getpixel((30, 10)) == RED
    assert image.getpixel((10, 10)) == WHITE, "it is shrunk to 10 x 20, in the middle"
    assert levels(image)[20:, :60].min() < 100, "black letters below"


async def test_a_picture_tells_of_itself() -> None:
    info = await perform("image.info", image=picture(40, 20, RED, form="WEBP"))
    assert (info["width"], info["height"], info["aspect"], info["orientation"]) == (40, 20, 2.0, "landscape")
    assert info["media_type"] == "image/webp"
    flat, varied = [await perform("image.statistics", image=data) for data in (picture(9, 9, WHITE), halves())]
    assert flat == {"brightness": 1.0, "contrast": 0.0, "saturation": 0.0, "detail": 0.0}
    assert varied["saturation"] == 1.0
    assert 0 < varied["detail"] < varied["contrast"] < 1


async def test_a_picture_is_turned_upright_before_anything_is_done() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), RED).save(stream, "JPEG", exif=exif)
    assert (await perform("image.flip", image=stream.getvalue()))["image"].size == (20, 40)


WITH_IMAGE = [name for name, each in OPERATIONS.items() if isinstance(each, OnFiles) and "image" in each.inputs]
NEEDED: dict[str, dict[str, Any]] = {
    "image.resize": {"scale": 1},
    "image.composite": {"overlay": picture(4, 4)},
    "image.rotate": {"degrees": 5},
    "mask.from_color": {"color": "red"},
    "mask.from_box": {"left": 0, "top": 0, "width": 1, "height": 1},
}


@pytest.mark.parametrize("name", WITH_IMAGE)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(bomb(), "image_too_large", id="a small file of a huge picture"),
        pytest.param(b"GIF89a" + bytes(50), "unsupported_image", id="another format"),
        pytest.param(b"<svg onload='x()'/>", "unsupported_image", id="no picture"),
        pytest.param(b"", "unsupported_image", id="nothing"),
    ],
)
async def test_a_hostile_file_is_refused_by_every_operation(name: str, data: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await perform(name, image=data, **NEEDED.get(name, {}))
    assert (refusal.value.code, refusal.value.param) == (code, "image")


async def test_a_hostile_file_in_a_list_is_told_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await perform("image.grid", images=[picture(), halves()[:60]])
    assert (refusal.value.code, refusal.value.param) == ("unreadable_image", "images.1")


@pytest.mark.parametrize(
    ("name", "values", "code", "param"),
    [
        ("image.resize", {"image": halves(), "scale": 16, "width": 16000}, "image_too_large", "width"),
        ("image.resize", {"image": halves()}, "missing_input", "width"),
        ("image.resize", {"image": halves(), "width": 0}, "invalid_value", "width"),
        ("image.resize", {"image": halves(), "width": 10.5}, "invalid_value", "width"),
        ("image.resize", {"width": 10}, "missing_input", "image"),
        ("image.crop", {"image": halves(), "width": 41}, "outside_image", "width"),
        ("image.crop", {"image": halves(), "left": 40}, "outside_image", "width"),
        ("image.pad", {"image": halves(), "top": 8000}, "image_too_large", "image"),
        ("image.pad", {"image": halves(), "left": -1}, "invalid_value", "left"),
        ("image.pad", {"image": halves(), "left": 1, "color": "url(x)"}, "invalid_value", "color"),
        ("image.new", {"width": 16000, "height": 16000}, "image_too_large", "width"),
        ("image.rotate", {"image": picture(400, 450), "degrees": 45}, "image_too_large", "degrees"),
        ("image.grid", {"images": []}, "invalid_value", "images"),
        ("image.grid", {"images": [picture()] * 257}, "too_large", "images"),
        ("image.grid", {"images": [picture()] * 60}, "image_too_large", "images"),
        ("image.grid", {"images": [picture()], "labels": ["a", "b"]}, "invalid_value", "labels"),
        ("image.composite", {"image": halves(), "overlay": halves(), "mask": picture(9)}, "mask_size_mismatch", "mask"),
        ("image.blur", {"image": halves(), "mask": half_mask(9, 9)}, "mask_size_mismatch", "mask"),
        ("image.blur", {"image": halves(), "radius": 1e9}, "invalid_value", "radius"),
        ("mask.combine", {"a": half_mask(), "b": half_mask(9, 9)}, "mask_size_mismatch", "b"),
        ("mask.from_box", {"left": 0, "top": 0, "width": 9, "height": 9}, "missing_input", "mask_width"),
        ("mask.grow", {"mask": half_mask(), "pixels": 1000}, "invalid_value", "pixels"),
    ],
)  # fmt: skip
async def test_an_operation_on_pictures_refuses(name: str, values: dict[str, Any], code: str, param: str) -> None:
    shelf = Shelf()
    with pytest.raises(InvalidRequest) as refusal:
        await perform(name, shelf, **values)
    assert (refusal.value.code, refusal.value.param) == (code, param)
    assert not shelf.written


async def test_an_operation_reads_no_more_files_than_there_is_memory_for() -> None:
    huge = Asset(AssetId("huge"), "0" * 64, "image/png", 2**30, 0)
    with pytest.raises(InvalidRequest) as refusal:
        await perform("image.flip", image=huge)
    assert (refusal.value.code, refusal.value.param) == ("too_large", "image")


async def test_who_cancels_waits_for_the_thread() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(60)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_inscribed_picture_has_the_same_pixels_bit_for_bit() -> None:
    shelf, text = Shelf(), {"slipway_workflow": '{"title": "Füchse"}', "slipway_run": "r1"}
    inscribed = with_text(halves(), text)
    again = with_text(inscribed, text | {"slipway_run": "r2"})
    for data in (inscribed, again):
        image = Image.open(io.BytesIO(data))
        assert image.tobytes() == Image.open(io.BytesIO(halves())).tobytes()
        assert image.info["slipway_workflow"] == text["slipway_workflow"]
    assert again.count(b"iTXt") == 2
    assert read_text(again, "slipway_run") == "r2"
    assert data_chunks(again) == data_chunks(halves())
    (operation,) = INTERNAL.values()
    assert isinstance(operation, OnFiles)
    jpeg = shelf.put(picture(form="JPEG"), "image/jpeg")
    assert (await operation.apply({"image": jpeg}, shelf))["image"] is jpeg


def data_chunks(png: bytes) -> bytes:
    return png[png.index(b"IDAT") :]


@pytest.mark.parametrize("data", [b"", picture(form="JPEG"), halves()[:50], halves()[:20]])
def test_what_is_no_whole_png_is_not_inscribed(data: bytes) -> None:
    with pytest.raises(NotPng):
        with_text(data, {"a": "b"})
    assert read_text(data, "a") is None


def test_text_is_read_of_every_kind_of_chunk_and_never_unpacked_without_end() -> None:
    from PIL.PngImagePlugin import PngInfo

    for packed in (False, True):
        info = PngInfo()
        info.add_text("plain", "latin é", zip=packed)
        info.add_itxt("wide", "狐", zip=packed)
        info.add_text("huge", "a" * (9 * 2**20), zip=True)
        stream = io.BytesIO()
        Image.new("RGB", (2, 2)).save(stream, "PNG", pnginfo=info)
        data = stream.getvalue()
        assert (read_text(data, "plain"), read_text(data, "wide")) == ("latin é", "狐")
        assert read_text(data, "huge") is None
        assert read_text(data, "none") is None
