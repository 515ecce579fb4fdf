"""Pictures through the whole platform: what they show, who dies meanwhile, and who leaves."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from fakes.platform import TestPlatform, wait_for
from numpy.typing import NDArray
from openai import OpenAI
from PIL import Image

from deployments.reference_models import reading, scenes

MODEL = "shapes-sd"
WORDS = "a large red circle on a blue background"
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def client(studio: TestPlatform) -> OpenAI:
    return OpenAI(base_url=f"{studio.url}/v1", api_key=studio.key, timeout=120, max_retries=0)


def pixels(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def png(picture: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def data_url(picture: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def start(http: httpx.Client, **inputs: Any) -> str:
    body = {"input": inputs} | ({"task": "image_to_image"} if "image" in inputs else {})
    answer = http.post(f"/v1/models/{MODEL}/runs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finished(http: httpx.Client, run_id: str, seconds: float = 120) -> dict[str, Any]:
    wait_for(lambda: status(http, run_id) not in ("queued", "running"), seconds, f"run {run_id} ends")
    run: dict[str, Any] = http.get(f"/v1/runs/{run_id}").json()
    return run


def status(http: httpx.Client, run_id: str) -> str:
    return str(http.get(f"/v1/runs/{run_id}").json()["status"])


def pictures(http: httpx.Client, run: dict[str, Any]) -> list[Pixels]:
    assert run["status"] == "succeeded", run
    found = []
    for artifact in run["output"]["artifacts"]:
        answer = http.get(f"/v1/assets/{artifact['asset']['id']}/content")
        assert answer.headers["content-type"] == artifact["asset"]["media_type"]
        found.append(pixels(answer.content))
    return found


def test_the_picture_shows_what_the_words_say(client: OpenAI) -> None:
    answer = client.images.generate(
        model=MODEL, prompt=WORDS, n=4, size="128x128", response_format="b64_json", extra_body={"seed": 1}
    )
    assert answer.data is not None
    read = [reading.read(pixels(base64.b64decode(image.b64_json or ""))) for image in answer.data]
    right = [
        r for r in read if r.background == "blue" and [(t.colour, t.shape) for t in r.things] == [("red", "circle")]
    ]
    assert len(right) >= 3, read
    assert answer.usage is not None
    assert answer.usage.input_tokens > 0


def test_a_url_can_be_opened_without_a_key(client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt=WORDS, response_format="url", extra_body={"steps": 2})
    assert answer.data is not None
    opened = httpx.get(answer.data[0].url or "", trust_env=False)
    assert opened.status_code == 200
    assert pixels(opened.content).shape == (128, 128, 3)


def test_a_stream_shows_the_picture_becoming_one(client: OpenAI) -> None:
    stream = client.images.generate(model=MODEL, prompt=WORDS, stream=True, partial_images=2)
    kinds = [event.type for event in stream]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


def test_a_picture_keeps_its_layout_at_low_strength(studio: TestPlatform) -> None:
    scene = scenes.Scene("white", scenes.Thing("green", "square", "large"), "left")
    drawn = scenes.draw(scene, np.random.default_rng(0))
    with studio.client() as http:
        run = finished(
            http,
            start(
                http,
                prompt="a large green square on the left on a white background",
                image=data_url(drawn),
                strength=0.3,
                seed=1,
            ),
        )
        (painted,) = pictures(http, run)
    before, after = reading.read(drawn), reading.read(painted)
    assert after.background == "white"
    assert np.hypot(*(np.array(after.things[0].centre) - before.things[0].centre)) < 0.1
    assert run["usage"]["input_images"] == 1


def test_inpainting_leaves_what_the_mask_does_not_cover(studio: TestPlatform) -> None:
    drawn = scenes.draw(
        scenes.Scene("white", scenes.Thing("green", "square", "large"), "left"), np.random.default_rng(0)
    )
    mask = np.zeros(drawn.shape, np.uint8)
    mask[:, 64:] = 255
    with studio.client() as http:
        run = finished(
            http, start(http, prompt=WORDS, image=data_url(drawn), mask=data_url(mask), strength=1.0, seed=1)
        )
        (painted,) = pictures(http, run)
    assert (painted[:, :64] == drawn[:, :64]).all()
    assert (painted[:, 64:] != drawn[:, 64:]).any()


def test_canceling_one_of_eight_leaves_the_others(studio: TestPlatform) -> None:
    with studio.client() as http:
        ids = [start(http, prompt=WORDS, steps=50, seed=seed) for seed in range(8)]
        wait_for(lambda: status(http, ids[7]) == "running", 120, "the last run starts")
        http.post(f"/v1/runs/{ids[7]}/cancel").raise_for_status()
        canceled = finished(http, ids[7], 20)
        runs = [finished(http, run_id) for run_id in ids[:7]]
    assert canceled["status"] == "canceled"
    assert [run["status"] for run in runs] == ["succeeded"] * 7
    assert {run["attempt"] for run in runs} == {1}


def test_a_runs_events_tell_steps_and_show_previews(studio: TestPlatform) -> None:
    with studio.client() as http:
        run_id = start(http, prompt=WORDS, steps=20, previews=2)
        finished(http, run_id)
        told = http.get(f"/v1/runs/{run_id}/events").text
    assert told.count("event: preview") == 2
    assert "event: progress" in told
    assert told.count("event: output") == 1
