"""OpenAI's image routes: names and sizes, links and bytes, streams, masks, retries, and clients that leave."""

import asyncio
import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.asgi import Exchange
from fakes.images import PAINTER, Studio, mask, picture, studio
from PIL import Image

from serve.domain import errors
from serve.domain.names import AssetId, RunId, TenantName
from serve.domain.run import NewRun, Run
from serve.gateway.app import create_app

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
BODY = {"model": PAINTER, "prompt": "a dot"}
TENANT, OTHER = TenantName("default"), TenantName("other")


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def from_base64(text: str) -> Image.Image:
    return opened(base64.b64decode(text, validate=True))


async def runs_of(made: Studio) -> list[Run]:
    return await made.made.services.runs.list(TENANT)


async def post(client: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(GENERATIONS, json=BODY | body, headers=sent, timeout=30)


async def test_pictures_come_as_links_and_bytes_with_their_usage(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        answer = (await post(client, {"n": 2, "size": "64x128", "seed": 7})).json()
        (run,) = await runs_of(made)
        async with made.made.client("") as anybody:
            linked = await anybody.get(answer["data"][1]["url"])
    assert [from_base64(item["b64_json"]).getpixel((0, 0)) for item in answer["data"]] == [(7, 0, 0), (8, 0, 0)]
    assert linked.content == base64.b64decode(answer["data"][1]["b64_json"])
    assert opened(linked.content).size == (64, 128)
    assert (answer["size"], answer["output_format"], answer["background"]) == ("64x128", "png", "opaque")
    assert answer["usage"] == {
        "input_tokens": 4,
        "input_tokens_details": {"text_tokens": 4, "image_tokens": 0},
        "output_tokens": 0,
        "total_tokens": 4,
        "images": 2,
        "pixels": 16384,
        "steps": 8,
        "pixel_steps": 65536,
        "input_images": 0,
        "cost": None,
    }
    assert answer["created"] == run.created_ms // 1000


@pytest.mark.parametrize(("wanted", "fields"), [("url", {"url"}), ("b64_json", {"b64_json"})])
async def test_a_response_format_brings_that_and_no_more(tmp_path: Path, wanted: str, fields: set[str]):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        answer = (await post(client, {"response_format": wanted})).json()
    assert [set(item) for item in answer["data"]] == [fields]


async def test_our_own_fields_stand_beside_openais(tmp_path: Path):
    body = {
        "negative_prompt": "blur",
        "steps": 3,
        "guidance_scale": 2,
        "sampler": "ddim",
        "seed": 5,
        "output_format": "webp",
        "output_compression": 0,
        "quality": "auto",
        "background": "opaque",
        "moderation": "low",
        "user": "me",
        "size": "auto",
        "style": None,
    }
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        answer = (await post(client, body)).json()
    assert answer["output_format"] == "webp"
    given = made.models.calls[0].inputs
    asked = ("negative_prompt", "steps", "guidance_scale", "sampler", "seed", "quality", "width", "metadata")
    assert [given[name] for name in asked] == ["blur", 3, 2, "ddim", 5, 1, 64, True]
    assert not {"user", "n", "size", "model", "moderation"} & given.keys()


BAD: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "no prompt": ({"prompt": None}, "missing_field", "prompt"),
    "no model": ({"model": None}, "missing_field", "model"),
    "eleven pictures": ({"n": 11}, "out_of_range", "n"),
    "no picture": ({"n": 0}, "out_of_range", "n"),
    "two counts": ({"n": 1, "num_images": 2}, "invalid_value", "n"),
    "a size without a height": ({"size": "512"}, "invalid_value", "size"),
    "a size of a million": ({"size": "999999x64"}, "out_of_range", "size"),
    "a size between the latents": ({"size": "65x64"}, "out_of_range", "size"),
    "a size and another": ({"size": "64x64", "width": 128}, "invalid_value", "size"),
    "a width that is too large": ({"width": 1024}, "out_of_range", "width"),
    "a quality that is none": ({"quality": "hd"}, "invalid_value", "quality"),
    "a transparent background": ({"background": "transparent"}, "invalid_value", "background"),
    "a style": ({"style": "vivid"}, "unsupported_parameter", "style"),
    "a frame count": ({"frame_count": 3}, "unsupported_parameter", "frame_count"),
    "previews by our name": ({"previews": 2}, "unsupported_parameter", "previews"),
    "partial images without a stream": ({"partial_images": 1}, "invalid_value", "partial_images"),
    "too many partial images": ({"partial_images": 4, "stream": True}, "out_of_range", "partial_images"),
    "a stream of links": ({"stream": True, "response_format": "url"}, "invalid_value", "response_format"),
    "a compressed PNG": ({"output_compression": 50}, "invalid_value", "output_compression"),
    "a GIF": ({"output_format": "gif"}, "invalid_value", "output_format"),
    "an unknown field": ({"cfg_scale": 7}, "unknown_field", "cfg_scale"),
    "another's file": ({"image": "asset:a"}, "unknown_field", "image"),
    "a model that writes": ({"model": "echo-chat"}, "unsupported_task", "model"),
}


async def test_bad_requests_are_refused_by_the_name_that_was_used_and_queue_nothing(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        for name, (body, code, param) in BAD.items():
            response = await post(client, body)
            error = response.json()["error"]
            assert (response.status_code, error["code"], error["param"]) == (400, code, param), (name, error)
            assert error["message"]
        assert await runs_of(made) == []
        assert (await post(client, {"model": "nope"})).status_code == 404


async def test_a_stream_brings_unfinished_pictures_and_the_finished_ones_with_the_usage_last(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        response = await post(client, {"stream": True, "partial_images": 2, "n": 2, "output_format": "jpeg"})
    named = [block.split("\n") for block in response.text.split("\n\n") if block.startswith("event: ")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in named]
    assert [name.removeprefix("event: ") for name, _ in named] == [event["type"] for event in events]
    *partial, first, last = events
    assert [(e["image_index"], e["partial_image_index"]) for e in partial] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert {event["type"] for event in partial} == {"image_generation.partial_image"}
    assert [event["type"] for event in (first, last)] == ["image_generation.completed"] * 2
    assert from_base64(partial[0]["b64_json"]).size == (8, 8)
    assert from_base64(last["b64_json"]).format == "JPEG"
    assert (last["size"], last["output_format"], last["quality"]) == ("64x64", "jpeg", "auto")
    assert (first["usage"]["images"], last["usage"]["images"], last["usage"]["input_tokens"]) == (0, 2, 4)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequest("Too wide.", "out_of_range", "width"), 400, "out_of_range"),
        (errors.EngineFailed("secret"), 500, "engine_failed"),
        (RuntimeError("secret"), 500, "internal_error"),
        (errors.DeadlineExceeded("Late."), 504, "deadline_exceeded"),
    ],
    ids=["the caller's", "the engine's", "ours", "deadline"],
)
async def test_a_run_that_fails_is_answered_as_a_call_that_failed(
    tmp_path: Path, error: Exception, status: int, code: str
):
    async with studio(tmp_path / "s", error=error) as made, made.made.client() as client:
        whole = await post(client, {})
        streamed = await post(client, {"stream": True})
    assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
    assert "secret" not in whole.text + streamed.text
    assert json.loads(streamed.text.rpartition("data: ")[2])["error"]["code"] == code


# --- edits


async def edit(client: httpx.AsyncClient, files: Any, **fields: str) -> httpx.Response:
    return await client.post(EDITS, data={k: str(v) for k, v in BODY.items()} | fields, files=files, timeout=30)


async def test_an_edit_without_a_mask_starts_from_the_picture_with_the_models_own_strength(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        response = await edit(client, {"image": ("a.png", picture(96, 64))}, n="2", seed="3", prompt="5")
    answer = response.json()
    call, sources = made.models.calls[0], made.models.sources[0]
    assert response.status_code == 200, answer
    assert sources == {"image": picture(96, 64)}
    assert (call.inputs["strength"], call.inputs["num_images"], call.inputs["prompt"]) == (0.75, 2, "5")
    assert (answer["size"], len(answer["data"]), answer["usage"]["input_images"]) == ("96x64", 2, 1)


@pytest.mark.parametrize("holes", [True, False], ids=["transparent where to paint", "white where to paint"])
async def test_a_mask_says_by_holes_or_by_white_what_is_painted_anew(tmp_path: Path, holes: bool):
    files = {"image": ("a.png", picture()), "mask": ("m.png", mask(holes=holes))}
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        response = await edit(client, files)
    given = opened(made.models.sources[0]["mask"]).convert("L")
    assert response.status_code == 200, response.text
    assert (given.getpixel((0, 0)), given.getpixel((63, 0))) == (255, 0)
    assert made.models.calls[0].inputs["strength"] == 1.0


async def test_an_edit_streams_under_its_own_names_and_takes_assets(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        asset = (await client.post("/v1/assets", content=picture())).json()
        form = [("image", (None, f"asset:{asset['id']}")), ("stream", (None, "true")), ("partial_images", (None, "1"))]
        response = await edit(client, form, strength="0.5")
    assert "event: image_edit.partial_image" in response.text
    assert "event: image_edit.completed" in response.text
    assert made.models.calls[0].inputs["strength"] == 0.5


A = ("a.png", picture())
BAD_FORMS: dict[str, tuple[Any, dict[str, str], str, str | None]] = {
    "no picture": ([("mask", A)], {}, "missing_field", "image"),
    "two pictures": ([("image[]", A), ("image[]", A)], {}, "too_many_values", "image"),
    "a file for a prompt": ([("image", A), ("negative_prompt", A)], {}, "invalid_type", "negative_prompt"),
    "a mask of another size": (
        [("image", A), ("mask", ("m.png", mask(32, 64, holes=True)))],
        {},
        "mask_size_mismatch",
        "mask",
    ),
    "an SVG": ([("image", ("a.png", b"<svg/>"))], {}, "unsupported_image", "image"),
    "an empty file": ([("image", ("a.png", b""))], {}, "unsupported_image", "image"),
    "a guidance of NaN": ([("image", A)], {"guidance_scale": "NaN"}, "invalid_type", "guidance_scale"),
    "a bad number": ([("image", A)], {"n": "many"}, "invalid_type", "n"),
    "fidelity": ([("image", A)], {"input_fidelity": "high"}, "unsupported_parameter", "input_fidelity"),
}


async def test_bad_forms_are_refused_and_leave_nothing_behind(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        for name, (files, fields, code, param) in BAD_FORMS.items():
            error = (await edit(client, files, **fields)).json()["error"]
            assert (error["code"], error["param"]) == (code, param), (name, error)
        json_body = await client.post(EDITS, json=BODY)
        assert (json_body.status_code, json_body.json()["error"]["code"]) == (400, "invalid_form")
        assert await runs_of(made) == []
        assert (await client.get("/v1/assets")).json()["data"] == []


# --- tries and retries


async def test_two_first_tries_are_two_runs_and_a_retry_joins_the_one_that_is_at_work(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made:
        exchanges = [exchange(made, retry=retry) for retry in ("0", "0")]
        for one in exchanges:
            await left(one, made)
        first, second = sorted(run.id for run in await runs_of(made))
        retried = exchange(made, retry="1")
        await left(retried, made)
        assert sorted(run.id for run in await runs_of(made)) == [first, second]
        again = exchange(made, retry="1")
        await left(again, made)
        assert len(await runs_of(made)) == 2
        third = exchange(made, retry="1")
        await left(third, made)
        assert len(await runs_of(made)) == 3
        other = exchange(made, retry="1", prompt="another")
        await left(other, made)
        assert len(await runs_of(made)) == 4


def exchange(made: Studio, retry: str | None = None, key: str | None = None, **body: Any) -> Exchange:
    headers = {"authorization": f"Bearer {key or made.made.key}"}
    headers |= {} if retry is None else {"x-stainless-retry-count": retry}
    return Exchange(made.made.app, GENERATIONS, json.dumps(BODY | body).encode(), headers)


async def left(one: Exchange, made: Studio) -> None:
    """Send it, and hang up once it waits for a run: one of its own, or one that it took over."""
    before = await keys_of_runs(made)
    task = one.start()
    async with asyncio.timeout(60):
        while await keys_of_runs(made) == before:
            await asyncio.sleep(0.01)
    one.leave()
    await asyncio.wait_for(task, 60)


async def keys_of_runs(made: Studio) -> set[tuple[str, str | None]]:
    runs = [run for tenant in (TENANT, OTHER) for run in await made.made.services.runs.list(tenant)]
    return {(run.id, run.idempotency_key) for run in runs}


async def test_a_client_that_times_out_gets_the_picture_of_its_first_try(tmp_path: Path):
    async with studio(tmp_path / "s", step_seconds=0.15) as made, made.made.client() as client:
        await left(exchange(made, retry="0"), made)
        answer = await post(client, {}, x_stainless_retry_count="1")
        (run,) = await runs_of(made)
    assert answer.status_code == 200
    assert from_base64(answer.json()["data"][0]["b64_json"]).getpixel((0, 0))[0] == run.inputs["seed"] % 256
    assert (len(made.models.calls), made.models.num_canceled) == (1, 0)


async def test_another_tenants_retry_and_a_plain_repetition_join_nothing(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made:
        await left(exchange(made, retry="0"), made)
        await left(exchange(made, retry="1", key=made.made.other_key), made)
        await left(exchange(made), made)
        await left(exchange(made), made)
        theirs = await made.made.services.runs.list(OTHER)
        assert (len(await runs_of(made)), len(theirs)) == (3, 1)


async def test_a_key_of_ones_own_joins_and_refuses_another_body(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        first = (await post(client, {}, idempotency_key="k")).json()
        again = (await post(client, {}, idempotency_key="k", x_stainless_retry_count="1")).json()
        other = await post(client, {"n": 2}, idempotency_key="k")
        empty = await post(client, {}, idempotency_key="")
        assert len(await runs_of(made)) == 1
    assert again["data"][0]["b64_json"] == first["data"][0]["b64_json"]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reuse")
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "idempotency-key")


async def test_a_retried_edit_stores_its_picture_once(tmp_path: Path):
    form = {"image": ("a.png", picture()), "mask": ("m.png", mask(holes=True))}
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        fields = {k: str(v) for k, v in BODY.items()}
        for retry in ("0", "1"):
            headers = {"x-stainless-retry-count": retry}
            response = await client.post(EDITS, data=fields, files=form, headers=headers, timeout=30)
            assert response.status_code == 200
        listed = (await client.get("/v1/assets")).json()["data"]
        assert len(await runs_of(made)) == 1
    assert sorted(asset["name"] for asset in listed) == ["image-0.png", "image.png", "mask.png"]


# --- clients that leave


async def test_a_client_that_leaves_a_stream_cancels_its_run_and_one_that_waited_does_not(tmp_path: Path):
    async with studio(tmp_path / "s", step_seconds=0.1) as made:
        for stream, status, num_canceled in ((True, "canceled", 1), (False, "succeeded", 1)):
            one = exchange(made, stream=stream, steps=8)
            task = one.start()
            while len(made.models.calls) < (1 if stream else 2):
                await asyncio.sleep(0.01)
            one.leave()
            await asyncio.wait_for(task, 60)
            newest = (await runs_of(made))[0]
            ended = await wait_for_end(made, newest.id)
            assert (ended.status, made.models.num_canceled) == (status, num_canceled)


class SlowDownloads:
    """Somebody else's server that takes its time."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def get(self, url: str, *, max_bytes: int, timeout: float, param: str) -> bytes:
        self.is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody waits for ever")


async def test_a_client_that_leaves_before_its_run_is_promised_has_asked_for_nothing(tmp_path: Path):
    form = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (BODY | {"image": "https://example.com/a.png"}).items()
    )
    async with studio(tmp_path / "s", is_open=False) as made:
        downloads = SlowDownloads()
        app = create_app(replace(made.made.services, downloads=downloads))
        headers = {
            "authorization": f"Bearer {made.made.key}",
            "content-type": "multipart/form-data; boundary=x",
            "x-stainless-retry-count": "0",
        }
        one = Exchange(app, EDITS, form + b"--x--\r\n", headers)
        task = one.start()
        await asyncio.wait_for(downloads.is_asked.wait(), 60)
        one.leave()
        await asyncio.wait_for(task, 60)
        assert await runs_of(made) == []
        assert one.sent == []


async def wait_for_end(made: Studio, run_id: RunId) -> Run:
    async with asyncio.timeout(60):
        while not (run := await made.made.services.runs.get(TENANT, run_id)).status.is_terminal:
            await asyncio.sleep(0.02)
    return run


async def test_a_stream_that_joined_leaves_the_run_alone(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made:
        headers = {"authorization": f"Bearer {made.made.key}", "idempotency-key": "k"}
        body = json.dumps(BODY | {"stream": True}).encode()
        first, second = (Exchange(made.made.app, GENERATIONS, body, headers) for _ in range(2))
        holding = first.start()
        await first.has_answered.wait()
        leaving = second.start()
        await second.has_answered.wait()
        second.leave()
        await asyncio.wait_for(leaving, 60)
        (run,) = await runs_of(made)
        assert run.status == "queued"
        first.leave()
        await asyncio.wait_for(holding, 60)
        assert (await wait_for_end(made, run.id)).status == "canceled"


async def test_a_stream_that_breaks_leaves_the_run_that_a_retry_took_over(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made:
        tries = [exchange(made, retry=str(count), stream=True) for count in range(3)]
        tasks = []
        for one in tries:
            tasks.append(one.start())
            await asyncio.wait_for(one.has_answered.wait(), 60)
        (run,) = await runs_of(made)
        for one, task, status in zip(tries, tasks, ("queued", "queued", "canceled"), strict=True):
            one.leave()
            await asyncio.wait_for(task, 60)
            assert (await made.made.services.runs.get(TENANT, run.id)).status == status


async def test_a_run_whose_row_was_written_unheard_keeps_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        services = made.made.services
        create = services.runs.create

        async def unheard(new: NewRun) -> tuple[Run, bool]:
            await create(new)
            raise errors.StorageUnavailable("the connection broke")

        monkeypatch.setattr(services.runs, "create", unheard)
        response = await edit(client, {"image": ("a.png", picture())})
        (run,) = await runs_of(made)
        asset = await services.assets.get(TENANT, AssetId(run.inputs["image"].removeprefix("asset:")))
        content = b"".join([chunk async for chunk in services.assets.content(asset)])
    assert (response.status_code, content) == (503, picture())


async def test_pictures_that_are_gone_are_a_404(tmp_path: Path):
    async with studio(tmp_path / "s") as made, made.made.client() as client:
        await post(client, {}, idempotency_key="k")
        (run,) = await runs_of(made)
        assert run.outputs is not None
        await made.made.services.assets.delete(TENANT, AssetId(run.outputs["artifacts"][0]["asset"]["id"]))
        response = await post(client, {}, idempotency_key="k")
    assert response.status_code == 404
