"""The official `openai` client paints over a socket: its calls, its types, its retries."""

import base64
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import openai
import pytest
from fakes.http_server import serving
from fakes.images import PAINTER, Studio, mask, picture, studio
from PIL import Image
from starlette.types import ASGIApp


@dataclass(slots=True)
class Painting:
    """A platform that paints at `url`."""

    url: str
    made: Studio

    def client(self, **options: object) -> openai.OpenAI:
        settings = {"max_retries": 0, "timeout": 120} | options
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.made.made.key, **settings)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Painting]:
    found: list[Studio] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with studio(tmp_path_factory.mktemp("platform") / "s", step_seconds=0.02) as it:
            found.append(it)
            yield it.made.app

    with serving(build) as url:
        yield Painting(url, found[0])


@pytest.fixture
def client(platform: Painting) -> Iterator[openai.OpenAI]:
    with platform.client() as made:
        yield made


def opened(content: bytes | str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content) if isinstance(content, str) else content))


def test_a_picture_comes_as_bytes_and_as_a_link(client: openai.OpenAI):
    answer = client.images.generate(model=PAINTER, prompt="a dot", size="64x128", extra_body={"seed": 9})
    (item,) = answer.data or ()
    assert opened(item.b64_json or "").getpixel((0, 0)) == (9, 0, 0)
    linked = httpx.get(item.url or "")
    assert opened(linked.content).size == (64, 128)
    assert (answer.size, answer.output_format, answer.background) == ("64x128", "png", "opaque")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (4, 0, 4)
    assert answer.usage.input_tokens_details.text_tokens == 4
    assert answer._request_id


def test_several_pictures_as_links_only(client: openai.OpenAI):
    answer = client.images.generate(
        model=PAINTER, prompt="a", n=3, response_format="url", output_format="webp", output_compression=80
    )
    assert [item.b64_json for item in answer.data or ()] == [None] * 3
    assert [opened(httpx.get(item.url or "").content).format for item in answer.data or ()] == ["WEBP"] * 3


def test_a_stream_of_unfinished_pictures_and_the_finished_one(client: openai.OpenAI):
    events = list(client.images.generate(model=PAINTER, prompt="a", stream=True, partial_images=2))
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    first, second, last = events
    assert first.type == second.type == "image_generation.partial_image"
    assert (first.partial_image_index, second.partial_image_index) == (0, 1)
    assert opened(first.b64_json).format == "JPEG"
    assert last.type == "image_generation.completed"
    assert opened(last.b64_json).size == (64, 64)
    assert last.usage.input_tokens == 3


def test_an_edit_with_a_mask(client: openai.OpenAI, platform: Painting):
    answer = client.images.edit(
        model=PAINTER,
        image=("a.png", picture(), "image/png"),
        mask=("m.png", mask(holes=True), "image/png"),
        prompt="a dot",
        n=2,
        size="64x64",
        extra_body={"steps": 5, "guidance_scale": 2.5, "metadata": False},
    )
    assert len(answer.data or ()) == 2
    call, sources = platform.made.models.calls[-1], platform.made.models.sources[-1]
    assert (call.inputs["steps"], call.inputs["guidance_scale"], call.inputs["metadata"]) == (5, 2.5, False)
    assert opened(sources["mask"]).convert("L").getpixel((0, 0)) == 255


def test_an_edit_streams(client: openai.OpenAI):
    image = io.BytesIO(picture(96, 64))
    events = list(client.images.edit(model=PAINTER, image=image, prompt="a", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert events[-1].size == "96x64"


def test_a_list_of_one_picture_is_a_picture_and_of_two_a_refusal(client: openai.OpenAI):
    assert client.images.edit(model=PAINTER, image=[picture()], prompt="a").data
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.edit(model=PAINTER, image=[picture(), picture()], prompt="a")
    assert (raised.value.code, raised.value.param) == ("too_many_values", "image")


def test_errors_are_the_clients_classes(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.generate(model=PAINTER, prompt="a", size="4096x4096")
    assert (raised.value.code, raised.value.param) == ("out_of_range", "size")
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="nope", prompt="a")
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.edit(model=PAINTER, image=b"<svg/>", prompt="a")
    assert raised.value.code == "unsupported_image"


def test_a_client_that_times_out_and_retries_gets_its_first_run(platform: Painting):
    before = len(platform.made.models.calls)
    with platform.client(max_retries=12, timeout=0.7) as client:
        answer = client.images.generate(model=PAINTER, prompt="slow", extra_body={"steps": 60})
    assert answer.data
    assert len(platform.made.models.calls) == before + 1


def test_two_deliberate_calls_are_two_runs(client: openai.OpenAI, platform: Painting):
    before = len(platform.made.models.calls)
    for _ in range(2):
        client.images.generate(model=PAINTER, prompt="the same")
    assert len(platform.made.models.calls) == before + 2


def test_a_failure_in_mid_stream_raises_api_error(client: openai.OpenAI, platform: Painting):
    platform.made.models.error = RuntimeError("secret")
    try:
        with pytest.raises(openai.APIError) as raised:
            list(client.images.generate(model=PAINTER, prompt="a", stream=True))
    finally:
        platform.made.models.error = None
    assert raised.value.code == "internal_error"
    assert "secret" not in str(raised.value)


def test_a_client_that_closes_its_stream_frees_the_model(client: openai.OpenAI, platform: Painting):
    before = platform.made.models.num_canceled
    stream = client.images.generate(model=PAINTER, prompt="a", stream=True, partial_images=1, extra_body={"steps": 100})
    next(iter(stream))
    stream.close()
    until = time.monotonic() + 60
    while platform.made.models.num_canceled == before and time.monotonic() < until:
        time.sleep(0.01)
    assert platform.made.models.num_canceled == before + 1
