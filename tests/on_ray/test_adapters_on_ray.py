"""Adapters through the whole platform: what they show, whose they are, what a new version changes, and who dies."""

import base64
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fakes.platform import TestPlatform, wait_for
from numpy.typing import NDArray
from PIL import Image

import deployments.reference_models as reference
from deployments.reference_models import scenes, styles

MODEL = "shapes-sd"
ADAPTERS = Path(reference.__file__).parent / "adapters" / MODEL
SCENE = scenes.Scene("red", scenes.Thing("green", "square", "large"))
"""No training saw it."""
ASKED = {"prompt": scenes.caption(SCENE), "guidance_scale": 5, "seed": 5}
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def http(studio: TestPlatform) -> Iterator[httpx.Client]:
    with studio.client() as client:
        yield client


@contextmanager
def tenant(studio: TestPlatform, name: str) -> Iterator[httpx.Client]:
    """A client of a tenant that may upload adapters."""
    with studio.client() as admin:
        admin.post("/v1/admin/tenants", json={"name": name})
        scopes = ["inference", "read", "adapters.write"]
        body = {"title": "test", "tenant": name, "project": "default", "scopes": scopes}
        key = admin.post("/v1/keys", json=body).raise_for_status().json()["key"]
    with studio.client(key) as client:
        yield client


def upload(client: httpx.Client, name: str, style: str) -> str:
    """Store a reference adapter under the name; its new id."""
    files = [("file", (path.name, path.read_bytes())) for path in sorted((ADAPTERS / style).iterdir())]
    answer = client.post("/v1/adapters", data={"name": name, "base": MODEL}, files=files)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def painted(client: httpx.Client, model: str, **inputs: Any) -> list[Pixels]:
    answer = client.post(
        "/v1/images/generations", json=ASKED | {"model": model, "response_format": "b64_json"} | inputs
    )
    assert answer.status_code == 200, answer.text
    return [pixels(base64.b64decode(image["b64_json"])) for image in answer.json()["data"]]


def pixels(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def is_same(one: Pixels, other: Pixels) -> bool:
    """By the engine's promise: a level of 255 apart at the most."""
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


@pytest.mark.parametrize(("style", "form"), [("stripes", "diffusers"), ("outline", "kohya"), ("inverted", "peft")])
def test_a_style_shows_in_the_pixels_whatever_wrote_its_file(http: httpx.Client, style: str, form: str) -> None:
    upload(http, f"style-{style}", style)
    assert http.get(f"/v1/adapters/style-{style}").json()["format"] == form
    shows = styles.STYLES[style].shows
    assert sum(shows(SCENE, each) for each in painted(http, f"{MODEL}:style-{style}", n=3, steps=25)) >= 2
    assert not any(shows(SCENE, each) for each in painted(http, MODEL, n=3, steps=25))


def test_two_tenants_adapters_of_one_name_are_strangers(studio: TestPlatform) -> None:
    with tenant(studio, "acme") as acme, tenant(studio, "bolt") as bolt:
        upload(acme, "house", "stripes")
        secret = upload(bolt, "house", "inverted")
        upload(bolt, "secret", "inverted")
        with ThreadPoolExecutor(2) as together:
            one, other = together.map(lambda who: painted(who, f"{MODEL}:house", steps=25)[0], (acme, bolt))
        assert styles.shows_stripes(SCENE, one)
        assert styles.shows_inverted(SCENE, other)
        assert [each["tenant"] for each in listed(acme) if each["name"] in ("house", "secret")] == ["acme"]
        assert told(acme, secret) == told(acme, secret.replace("house", "never"))
        assert told(acme, "bolt/secret") == told(acme, "bolt/never")
        assert told(acme, "secret") == told(acme, "never")


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/adapters").json()["data"]
    return found


def told(client: httpx.Client, name: str) -> list[tuple[int, str]]:
    """What one hears of an adapter by looking, by taking it home and by calling it; its name left out."""
    body = {"input": {"prompt": "x"}, "adapters": [{"name": name}]}
    answers = [
        client.get(f"/v1/adapters/{name}"),
        client.get(f"/v1/adapters/{name}/content"),
        client.patch(f"/v1/adapters/{name}", json={"title": "x"}),
        client.delete(f"/v1/adapters/{name}"),
        client.post("/v1/images/generations", json={"model": f"{MODEL}:{name}", "prompt": "x"}),
        client.post(f"/v1/models/{MODEL}/runs", json=body),
    ]
    assert {answer.status_code for answer in answers} == {404}
    return [(answer.status_code, answer.text.replace(name, "NAME")) for answer in answers]


def test_a_new_version_under_load_gives_every_call_the_old_or_the_new(http: httpx.Client) -> None:
    ids = [upload(http, "moving", style) for style in ("inverted", "stripes")]
    (old,), (new,) = (painted(http, f"{MODEL}:default/moving@{each.partition('@')[2]}", steps=8) for each in ids)
    assert not is_same(old, new)
    calm = threading.Event()

    def keep_moving() -> None:
        for style in cycle(("inverted", "stripes")):
            upload(http, "moving", style)
            if calm.wait(0.1):
                return

    mover = threading.Thread(target=keep_moving)
    mover.start()
    try:
        with ThreadPoolExecutor(8) as callers:
            found = [each for (each,) in callers.map(lambda _: painted(http, f"{MODEL}:moving", steps=8), range(24))]
    finally:
        calm.set()
        mover.join()
    kinds = [(is_same(each, old), is_same(each, new)) for each in found]
    assert set(kinds) == {(True, False), (False, True)}


@dataclass
class Outlived:
    """Runs whose replica died, and what they should have painted."""

    runs: list[dict[str, Any]]
    expected: list[Pixels]
    kept: str
    """The adapter's version when they began."""


@pytest.fixture(scope="module")
def outlived(studio: TestPlatform, http: httpx.Client) -> Outlived:
    """One death for all that is said of it: to start the replica again takes longer than to paint."""
    kept, seeds = upload(http, "steady", "stripes"), range(4)
    expected = [painted(http, f"{MODEL}:steady", steps=100, seed=seed)[0] for seed in seeds]
    ids = [begun(http, "steady", steps=100, seed=seed) for seed in seeds]
    upload(http, "steady", "inverted")
    with http.stream("GET", f"/v1/runs/{ids[0]}/events") as told:
        next(line for line in told.iter_lines() if line == "event: progress")
    studio.kill(f"ServeReplica:model-{MODEL}:replica")
    return Outlived(ended(http, ids), expected, kept)


def test_a_run_whose_replica_dies_keeps_the_version_that_it_began_with(http: httpx.Client, outlived: Outlived) -> None:
    assert [each["adapters"] for each in outlived.runs] == [[{"id": outlived.kept, "scale": 1.0}]] * 4
    (moved,) = painted(http, f"{MODEL}:steady", steps=8)
    assert styles.shows_inverted(SCENE, moved)


def test_runs_whose_replica_dies_are_repeated_and_paint_the_same(http: httpx.Client, outlived: Outlived) -> None:
    assert [each["status"] for each in outlived.runs] == ["succeeded"] * 4
    for each, wanted in zip(outlived.runs, outlived.expected, strict=True):
        assert is_same(picture_of(http, each), wanted)
        assert each["usage"]["images"] == 1
        assert each["usage"]["pixel_steps"] == 100 * 128 * 128
    assert any(each["attempt"] > 1 for each in outlived.runs)


def begun(client: httpx.Client, adapter: str, **inputs: Any) -> str:
    """A new run's id."""
    body = {"input": ASKED | inputs, "adapters": [{"name": adapter}]}
    return str(client.post(f"/v1/models/{MODEL}/runs", json=body).raise_for_status().json()["id"])


def ended(client: httpx.Client, ids: list[str]) -> list[dict[str, Any]]:
    """The runs, when they have ended."""
    wait_for(lambda: all(run(client, each)["status"] not in ("queued", "running") for each in ids), 240, "the runs end")
    return [run(client, each) for each in ids]


def run(client: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/runs/{run_id}").json()
    return found


def picture_of(client: httpx.Client, ended: dict[str, Any]) -> Pixels:
    (artifact,) = ended["output"]["artifacts"]
    return pixels(client.get(f"/v1/assets/{artifact['asset']['id']}/content").content)
