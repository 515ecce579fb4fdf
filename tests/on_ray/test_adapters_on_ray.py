"""Adapters through the whole platform: what they show, whose they are, what a new version changes, and who dies."""

import base64
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from serve.catalog.builtin import builtin_documents

MODEL = "shapes-sd"
ADAPTERS = Path(reference.__file__).parent / "adapters" / MODEL
WORDS = "a large red circle on a blue background"
BRIEF = {"prompt": WORDS, "steps": 8, "guidance_scale": 5, "seed": 5}
"""Steps enough to tell two styles apart."""
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def studio(platform: TestPlatform) -> TestPlatform:
    """The platform with the small image model, warm."""
    (document,) = builtin_documents([MODEL])
    body = document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    body |= {"apiVersion": document.api_version, "kind": document.kind}
    body["spec"]["scaling"] = {"replicas": 1}
    body["spec"]["placement"] = {"cpus": 0.1}
    platform.apply(body, ready_seconds=90)
    return platform


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
    answer = client.post("/v1/images/generations", json={"model": model, "response_format": "b64_json"} | inputs)
    assert answer.status_code == 200, answer.text
    return [pixels(base64.b64decode(image["b64_json"])) for image in answer.json()["data"]]


def pixels(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def is_same(one: Pixels, other: Pixels) -> bool:
    """By the engine's promise: a level of 255 apart at the most."""
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


@pytest.mark.parametrize(("style", "written_as"), [("stripes", "diffusers"), ("outline", "kohya"), ("inverted", "peft")])
def test_a_style_shows_in_the_pixels_whatever_wrote_its_file(
    http: httpx.Client, style: str, written_as: str
) -> None:
    upload(http, f"style-{style}", style)
    assert http.get(f"/v1/adapters/style-{style}").json()["format"] == written_as
    (scene,) = (each for each in styles.STYLES[style].held_out_scenes(40, 1) if WORDS_OF(each) == WORDS)
    asked = {"prompt": scenes.caption(scene), "n": 3, "steps": 25, "guidance_scale": 5, "seed": 1}
    shows = styles.STYLES[style].shows
    assert sum(shows(scene, each) for each in painted(http, f"{MODEL}:style-{style}", **asked)) >= 2
    assert not any(shows(scene, each) for each in painted(http, MODEL, **asked))
