"""Pictures in requests: every way to name one, everything that is refused, and nothing left behind by a refusal."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.gateway import settings_in
from fakes.http_server import serving
from fakes.images import PAINTER, Studio, bomb, mask, picture, studio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from serve.domain.names import AssetId, RunId, TenantName
from serve.settings import GatewaySettings, ImagesSettings

RUNS = f"/v1/models/{PAINTER}/runs"
TENANT = TenantName("default")


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def edit(**inputs: Any) -> dict[str, Any]:
    """A run that starts from a picture."""
    given = {"prompt": "a dot", "image": data_url(picture())} | inputs
    return {"task": "image_to_image", "input": {name: value for name, value in given.items() if value is not None}}


def paint(**inputs: Any) -> dict[str, Any]:
    return {"task": "text_to_image", "input": {"prompt": "a dot"} | inputs}


async def stored(made: Studio) -> tuple[int, int]:
    """How many runs and assets there are."""
    async with made.made.client() as client:
        runs = (await client.get("/v1/runs")).json()["data"]
        assets = (await client.get("/v1/assets")).json()["data"]
    return len(runs), len(assets)


async def source_of(made: Studio, run: dict[str, Any], name: str = "image") -> bytes:
    """The bytes behind an input of a stored run."""
    row = await made.made.services.runs.get(TENANT, RunId(run["id"]))
    assets = made.made.services.assets
    asset = await assets.get(TENANT, AssetId(row.inputs[name].removeprefix("asset:")))
    return b"".join([chunk async for chunk in assets.content(asset)])


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
TALL = picture(64, 128)

BAD: dict[str, tuple[Callable[[], Any], str, str | None]] = {
    "width of a million": (lambda: paint(width=10**6, height=64), "out_of_range", "input.width"),
    "width that is no multiple of 8": (lambda: paint(width=65, height=64), "out_of_range", "input.width"),
    "a billion steps": (lambda: paint(steps=10**9), "out_of_range", "input.steps"),
    "10,000 images": (lambda: paint(num_images=10_000), "out_of_range", "input.num_images"),
    "a guidance of NaN": (
        lambda: b'{"task":"text_to_image","input":{"prompt":"a","guidance_scale":NaN}}',
        "invalid_json",
        None,
    ),
    "a guidance that says NaN": (lambda: paint(guidance_scale="NaN"), "invalid_type", "input.guidance_scale"),
    "a guidance without end": (
        lambda: b'{"task":"text_to_image","input":{"prompt":"a","guidance_scale":1e400}}',
        "invalid_json",
        None,
    ),
    "a negative seed": (lambda: paint(seed=-1), "out_of_range", "input.seed"),
    "an unknown sampler": (lambda: paint(sampler="magic"), "invalid_value", "input.sampler"),
    "an unknown format": (lambda: paint(output_format="gif"), "invalid_value", "input.output_format"),
    "a picture where none goes": (lambda: paint(image=data_url(picture())), "unknown_field", "input.image"),
    "no picture": (lambda: edit(image=None), "missing_field", "input.image"),
    "a picture of no kind": (lambda: edit(image="cat.png"), "invalid_value", "input.image"),
    "a bare asset id": (lambda: edit(image="0199-0"), "invalid_value", "input.image"),
    "a file address": (lambda: edit(image="file:///etc/passwd"), "invalid_value", "input.image"),
    "an unknown asset": (lambda: edit(image="asset:nope"), "asset_not_found", "input.image"),
    "bad base64": (lambda: edit(image="data:image/png;base64,@@@="), "invalid_value", "input.image"),
    "base64 with spaces": (
        lambda: edit(image="data:image/png;base64," + " " + base64.b64encode(picture()).decode()),
        "invalid_value",
        "input.image",
    ),
    "a data URL of text": (lambda: edit(image="data:text/html;base64,PGI+"), "invalid_value", "input.image"),
    "an empty picture": (lambda: edit(image="data:image/png;base64,"), "unsupported_image", "input.image"),
    "an SVG called PNG": (lambda: edit(image=data_url(SVG)), "unsupported_image", "input.image"),
    "a GIF": (lambda: edit(image=data_url(picture(form="GIF"), "gif")), "unsupported_image", "input.image"),
    "a truncated picture": (
        lambda: edit(image=data_url(picture(200, 200, form="JPEG")[:600])),
        "unreadable_image",
        "input.image",
    ),
    "an unreadable picture": (
        lambda: edit(image=data_url(picture()[:40] + b"rubbish" * 9)),
        "unreadable_image",
        "input.image",
    ),
    "a decompression bomb": (lambda: edit(image=data_url(bomb())), "image_too_large", "input.image"),
    "a mask of another size": (lambda: edit(mask=data_url(TALL)), "mask_size_mismatch", "input.mask"),
    "a mask that is none": (lambda: edit(mask=data_url(SVG)), "unsupported_image", "input.mask"),
    "a result that is too large": (
        lambda: edit(image=data_url(picture(640, 640))),
        "image_too_large",
        "input.image",
    ),
    "margins that are too large": (
        lambda: edit(outpaint_left=1000, image=data_url(picture(256, 512))),
        "image_too_large",
        "input.image",
    ),
    "a private address": (lambda: edit(image="http://169.254.169.254/latest"), "forbidden_address", "input.image"),
    "this very machine": (lambda: edit(image="http://127.0.0.1:1/a.png"), "forbidden_address", "input.image"),
    "this machine by another name": (
        lambda: edit(image="HTTP://[::ffff:127.0.0.1]/"),
        "forbidden_address",
        "input.image",
    ),
    "this machine as a number": (lambda: edit(image="http://0x7f000001/"), "invalid_url", "input.image"),
    "an address with a password": (lambda: edit(image="https://a:b@example.com/"), "invalid_url", "input.image"),
    "more steps than LCM makes": (lambda: paint(sampler="lcm", steps=51), "invalid_value", "input.steps"),
    "more steps than TCD makes": (lambda: edit(sampler="tcd", steps=51), "invalid_value", "input.steps"),
    "no step left": (lambda: edit(strength=0.1, steps=4), "invalid_value", "input.steps"),
}


async def test_bad_pictures_are_refused_by_name_and_leave_nothing_behind(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        for name, (make, code, param) in BAD.items():
            body = make()
            sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
            response = await client.post(RUNS, **sent)
            error = response.json()["error"]
            assert (error["code"], response.status_code) == (code, 404 if code == "asset_not_found" else 400), name
            assert error["param"] == param, name
            assert await stored(made) == (0, 0), name


async def test_an_unknown_sampler_is_answered_with_the_known_ones(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        error = (await client.post(RUNS, json=paint(sampler="magic"))).json()["error"]
    assert all(f"'{name}'" in error["message"] for name in ("euler", "dpmpp_2m_karras", "unipc"))


@pytest.mark.parametrize("path", ["/v1/assets", "/v1/images/edits", RUNS, "/v1/images/generations"])
async def test_an_upload_of_2_gb_is_refused_before_a_byte_is_read(tmp_path: Path, path: str):
    num_read = 0

    async def endless() -> Any:
        nonlocal num_read
        while True:
            num_read += 1
            yield b"x" * 2**16

    headers = {"content-length": str(2 * 2**30), "content-type": "multipart/form-data; boundary=x"}
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        response = await client.post(path, content=endless(), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")
    assert num_read <= 1


async def test_a_data_url_becomes_an_asset_of_the_run_and_goes_with_it(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        response = await client.post(RUNS, json=edit(mask=data_url(mask(holes=False))))
        run = response.json()
        assert response.status_code == 202
        assert run["input"]["image"].startswith("asset:")
        assert await source_of(made, run) == picture()
        assert await source_of(made, run, "mask") == mask(holes=False)
        listed = (await client.get("/v1/assets")).json()["data"]
        assert {(a["name"], a["media_type"], a["width"], a["height"]) for a in listed} == {
            ("image.png", "image/png", 64, 64),
            ("mask.png", "image/png", 64, 64),
        }
        await client.delete(run["urls"]["self"])
        assert await stored(made) == (0, 0)


async def test_a_large_picture_fits_into_a_run_but_not_into_a_chat(tmp_path: Path):
    noise = picture(400, 400) + bytes(9 * 2**20)  # a decoder ignores what follows the last chunk
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        run = await client.post(RUNS, json=edit(image=data_url(noise)))
        chat = await client.post("/v1/chat/completions", json=edit(image=data_url(noise)))
    assert (run.status_code, chat.status_code) == (202, 413)


async def test_ones_own_asset_is_used_as_it_is_and_stays(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        asset = (await client.post("/v1/assets", content=picture())).json()
        run = (await client.post(RUNS, json=edit(image=f"asset:{asset['id']}"))).json()
        assert run["input"]["image"] == f"asset:{asset['id']}"
        await client.delete(run["urls"]["self"])
        assert await stored(made) == (0, 1)


async def test_another_tenants_asset_answers_as_one_that_never_was(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        asset = (await client.post("/v1/assets", content=picture())).json()
        async with made.made.client(made.made.other_key) as stranger:
            theirs = await stranger.post(RUNS, json=edit(image=f"asset:{asset['id']}"))
            nobodys = await stranger.post(RUNS, json=edit(image="asset:nope"))
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()


async def test_an_asset_that_is_no_picture_is_refused(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        asset = (await client.post("/v1/assets", content=b"<html>")).json()
        response = await client.post(RUNS, json=edit(image=f"asset:{asset['id']}"))
        assert response.json()["error"]["code"] == "unsupported_image"
        assert await stored(made) == (0, 1)


async def test_a_picture_over_the_limit_of_bytes_is_refused_in_every_way_it_may_come(tmp_path: Path):
    settings = settings_in(tmp_path / "s", images=ImagesSettings(max_bytes=2000), gateway=GatewaySettings())
    large = picture() + bytes(3000)
    async with studio(tmp_path / "s", settings, is_open=False) as made, made.made.client() as client:
        asset = (await client.post("/v1/assets", content=large)).json()
        answers = [
            await client.post(RUNS, json=edit(image=data_url(large))),
            await client.post(RUNS, json=edit(image=f"asset:{asset['id']}")),
            await client.post(
                "/v1/images/edits", data={"model": PAINTER, "prompt": "a"}, files={"image": ("a.png", large)}
            ),
        ]
    assert [answer.json()["error"]["code"] for answer in answers] == ["image_too_large"] * 3


async def test_a_photograph_of_a_telephone_is_taken_where_the_result_is_small(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        body = edit(image=data_url(picture(3000, 2000, form="JPEG"), "jpeg"), width=96, height=64)
        response = await client.post(RUNS, json=body)
    assert response.status_code == 202


async def test_the_same_key_and_body_store_their_picture_once(tmp_path: Path):
    headers = {"idempotency-key": "k"}
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        first = (await client.post(RUNS, json=edit(), headers=headers)).json()
        again = (await client.post(RUNS, json=edit(), headers=headers)).json()
        other = await client.post(RUNS, json=edit(image=data_url(TALL)), headers=headers)
        assert again["id"] == first["id"]
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reuse")
        assert await stored(made) == (1, 1)


async def test_the_same_key_at_once_leaves_one_run_and_one_picture(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        posts = [client.post(RUNS, json=edit(), headers={"idempotency-key": "k"}) for _ in range(4)]
        ids = {answer.json()["id"] for answer in await asyncio.gather(*posts)}
        assert len(ids) == 1
        assert await stored(made) == (1, 1)


async def test_a_row_that_cannot_be_written_takes_its_picture_along(tmp_path: Path):
    async with studio(tmp_path / "s", is_open=False) as made, made.made.client() as client:
        response = await client.post(RUNS, json=edit(prompt="a\0b"))
        assert response.json()["error"]["param"] == "input"
        assert await stored(made) == (0, 0)


def pictures_at_home() -> Starlette:
    """A stranger's server: a picture, redirects to it, one to a private address, and things that are no picture."""

    async def answer(request: Request) -> Response:
        match request.path_params["what"]:
            case "picture":
                return Response(picture(), media_type="text/html")
            case "moved":
                return RedirectResponse("/picture")
            case "circle":
                return RedirectResponse("/circle")
            case "inwards":
                return RedirectResponse("http://169.254.169.254/latest")
            case "nowhere":
                return Response(status_code=302, headers={"location": "http://[x"})
            case "large":
                return Response(bytes(2**20))
            case "slow":
                await asyncio.sleep(1)
        return Response(status_code=404)

    return Starlette(routes=[Route("/{what}", answer)])


FETCHED = {
    "picture": (202, None),
    "moved": (202, None),
    "circle": (400, "fetch_failed"),
    "inwards": (400, "forbidden_address"),
    "nowhere": (400, "fetch_failed"),
    "large": (400, "fetch_failed"),
    "slow": (400, "fetch_failed"),
    "missing": (400, "fetch_failed"),
}


@asynccontextmanager
async def home() -> AsyncIterator[Starlette]:
    """The stranger's server as `serving` wants it."""
    yield pictures_at_home()


async def test_a_picture_is_fetched_from_its_address(tmp_path: Path):
    limits = ImagesSettings(allow_private_addresses=True, max_bytes=2**16, fetch_seconds=0.5)
    settings = settings_in(tmp_path / "s", images=limits)
    with serving(home) as url:
        async with studio(tmp_path / "s", settings, is_open=False) as made, made.made.client() as client:
            for what, (status, code) in FETCHED.items():
                before = await stored(made)
                response = await client.post(RUNS, json=edit(image=f"{url}/{what}"))
                body = response.json()
                assert response.status_code == status, (what, body)
                if code is None:
                    assert await source_of(made, body) == picture()
                else:
                    assert (body["error"]["code"], body["error"]["param"]) == (code, "input.image"), what
                    assert await stored(made) == before


async def test_an_address_that_nobody_answers_at_is_the_callers_error(tmp_path: Path):
    settings = settings_in(tmp_path / "s", images=ImagesSettings(allow_private_addresses=True))
    async with studio(tmp_path / "s", settings, is_open=False) as made, made.made.client() as client:
        response = await client.post(RUNS, json=edit(image="http://127.0.0.1:9/a.png"))
    assert response.json()["error"]["code"] == "fetch_failed"


async def test_a_run_tells_its_steps_and_previews_and_its_picture_is_an_asset(tmp_path: Path):
    async with studio(tmp_path / "s", step_seconds=0.15) as made, made.made.client() as client:
        response = await client.post(
            RUNS, json=edit(previews=2, num_images=2, seed=7), headers={"prefer": "wait=20"}, timeout=30
        )
        run = response.json()
        events = (await client.get(run["urls"]["events"])).text
        artifacts = run["output"]["artifacts"]
        content = (await client.get(f"/v1/assets/{artifacts[0]['asset']['id']}/content")).content
        card = (await client.get(f"/v1/catalog/{PAINTER}")).json()
    assert (response.status_code, run["status"]) == (200, "succeeded")
    assert [artifact["index"] for artifact in artifacts] == [0, 1]
    assert content.startswith(b"\x89PNG")
    sizes = {"images": 2, "pixels": 8192, "steps": 8, "pixel_steps": 32768, "input_images": 1}
    assert run["usage"] == {"prompt_tokens": 4, **sizes}
    assert run["cost"] is None
    kinds = [line.removeprefix("event: ") for line in events.splitlines() if line.startswith("event: ")]
    assert kinds.count("progress") >= 2
    assert (kinds.count("preview"), kinds.count("output"), kinds[-1]) == (4, 2, "succeeded")
    assert card["inputs"]["text_to_image"]["properties"]["width"]["maximum"] == 512
    assert card["inputs"]["image_to_image"]["properties"]["image"]["format"] == "image"
