"""Runs of an image model that costs nothing, behind a real replica: pictures are assets, counted, and gone with it."""

import hashlib
import io
from typing import Any

import httpx
import pytest
from fakes.platform import TestPlatform, echo_document, wait_for
from PIL import Image

PROMPT = {"prompt": "a large red circle", "width": 64, "height": 64, "seed": 11}
BOTH = ["text_to_image", "image_to_image"]


@pytest.fixture(scope="module")
def painter(platform: TestPlatform) -> TestPlatform:
    """The platform with the model `painter`."""
    platform.apply(echo_document("painter", family="text_to_image", tasks=BOTH))
    return platform


def start(client: httpx.Client, task: str = "text_to_image", **inputs: Any) -> str:
    answer = client.post("/v1/models/painter/runs", json={"task": task, "input": PROMPT | inputs})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(client: httpx.Client, run_id: str, seconds: float = 60) -> dict[str, Any]:
    def is_over() -> bool:
        return client.get(f"/v1/runs/{run_id}").json()["status"] in ("succeeded", "failed", "canceled")

    wait_for(is_over, seconds, f"run {run_id} ends")
    run: dict[str, Any] = client.get(f"/v1/runs/{run_id}").json()
    return run


def pictures(client: httpx.Client, run: dict[str, Any]) -> list[bytes]:
    ids = [artifact["asset"]["id"] for artifact in run["output"]["artifacts"]]
    return [client.get(f"/v1/assets/{asset_id}/content", follow_redirects=True).content for asset_id in ids]


def test_pictures_are_assets_and_usage_is_counted(painter: TestPlatform) -> None:
    with painter.client() as client:
        run = ended(client, start(client, steps=3, num_images=2, previews=1))
        assert run["status"] == "succeeded", run
        shown = run["output"]["artifacts"]
        assert [(each["index"], each["seed"], each["asset"]["width"]) for each in shown] == [(0, 11, 64), (1, 12, 64)]
        found = pictures(client, run)
        assert [hashlib.sha256(data).hexdigest() for data in found] == [each["asset"]["sha256"] for each in shown]
        assert all(Image.open(io.BytesIO(data)).size == (64, 64) for data in found)
        used = {name: run["usage"][name] for name in ("images", "pixels", "pixel_steps")}
        assert used == {"images": 2, "pixels": 2 * 64 * 64, "pixel_steps": 2 * 64 * 64 * 3}
        with client.stream("GET", f"/v1/runs/{run['id']}/events") as answer:
            kinds = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
        assert {"progress", "preview", "output", "succeeded"} <= set(kinds)
        assert client.delete(f"/v1/runs/{run['id']}").status_code in (200, 204)
        gone = client.get(f"/v1/assets/{shown[0]['asset']['id']}")
        assert gone.status_code == 404, "a run's pictures go with it"


def test_a_picture_is_made_from_a_picture(painter: TestPlatform) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (80, 64), (10, 200, 30)).save(stream, "PNG")
    with painter.client() as client:
        uploaded = client.post("/v1/assets", content=stream.getvalue(), headers={"content-type": "image/png"})
        source = f"asset:{uploaded.json()['id']}"
        inputs = {"prompt": "a circle", "image": source, "strength": 0.2, "steps": 10, "seed": 1}
        body = {"task": "image_to_image", "input": inputs}
        run = ended(client, client.post("/v1/models/painter/runs", json=body).json()["id"])
        assert run["status"] == "succeeded", run
        (data,) = pictures(client, run)
        assert Image.open(io.BytesIO(data)).size == (80, 64)
        assert run["usage"]["input_images"] == 1
        assert run["usage"]["pixel_steps"] == 80 * 64 * 2
