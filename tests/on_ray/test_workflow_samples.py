"""The samples on the models of the embedded default: what they make means what it should."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fakes.platform import TestPlatform
from numpy.typing import NDArray
from PIL import Image

from deployments.reference_models import reading, scenes

SAMPLES = Path(__file__).parents[2] / "k8s/samples"
Pixels = NDArray[np.uint8]
SIDE = 128


@pytest.fixture(scope="module")
def samples(real_platform: TestPlatform, studio: TestPlatform) -> TestPlatform:
    """The platform with the samples, applied as people do."""
    workflows = [path for path in sorted(SAMPLES.glob("*.yaml")) if "\nkind: Workflow\n" in f"\n{path.read_text()}"]
    applied = studio.run("apply", *(word for path in workflows for word in ("-f", str(path))))
    assert applied.returncode == 0, applied.stdout + applied.stderr
    return studio


@pytest.fixture
def client(samples: TestPlatform) -> Iterator[httpx.Client]:
    with samples.client() as client:
        yield client


def ran(client: httpx.Client, name: str, **inputs: Any) -> dict[str, Any]:
    """A run that has succeeded."""
    answer = client.post(f"/v1/workflows/{name}/runs", json={"input": inputs}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    assert run["status"] == "succeeded", run["error"]
    return run


def statuses(client: httpx.Client, run: dict[str, Any]) -> dict[str, str]:
    steps = client.get(f"/v1/runs/{run['id']}/steps").raise_for_status().json()["data"]
    return {step["label"]: step["status"] for step in steps}


def pixels(client: httpx.Client, output: dict[str, Any]) -> Pixels:
    data = client.get(output["asset"]["url"]).raise_for_status().content
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def shown(picture: Pixels) -> tuple[str, list[tuple[str, str]]]:
    """The background, and colour and shape of each thing."""
    found = reading.read(picture)
    return found.background, [(thing.colour, thing.shape) for thing in found.things]


def share(picture: Pixels, colour: str) -> float:
    """How much of a picture has a colour, roughly."""
    distance = np.linalg.norm(picture.astype(np.float32) - np.float32(scenes.COLOURS[colour]), axis=-1)
    return float((distance < reading.FARTHEST).mean())


def test_a_banner_has_the_picture_in_its_middle_and_its_surroundings_on_both_sides(client: httpx.Client) -> None:
    output = ran(client, "outpainted-banner", seed=1, scale=2)["output"]
    banner, square = pixels(client, output["banner"]), pixels(client, output["square"])
    assert banner.shape == (2 * SIDE, 4 * SIDE, 3)
    assert shown(square) == ("blue", [("red", "circle")])
    middle = banner[::2, ::2][:, SIDE // 2 : -SIDE // 2]
    assert shown(middle) == ("blue", [("red", "circle")])
    assert np.abs(middle.astype(int) - square).mean() < 8
    assert min(share(banner[:, :SIDE], "blue"), share(banner[:, -SIDE:], "blue")) > 0.97
    assert output["seed"] == 1


@pytest.mark.parametrize(
    ("idea", "shape", "background", "colour"),
    [
        pytest.param("a yellow sun in a blue sky", "circle", "blue", "yellow", id="by day"),
        pytest.param("a purple flower in a green meadow", "star", "green", "purple", id="in a meadow"),
    ],
)
def test_the_language_model_finds_colours_and_the_picture_has_them(
    client: httpx.Client, idea: str, shape: str, background: str, colour: str
) -> None:
    output = ran(client, "improved-prompt", idea=idea, shape=shape, seed=2)["output"]
    assert output["prompt"] == f"a large {colour} {shape} on a {background} background"
    assert shown(pixels(client, output["image"])) == (background, [(colour, shape)])


def test_each_cell_of_the_grid_is_the_prompt_in_one_style(client: httpx.Client) -> None:
    output = ran(client, "style-grid")["output"]
    stripes, outline, inverted, moon = (pixels(client, image) for image in output["images"])
    assert shown(inverted) == ("yellow", [("blue", "star")])
    # Without a style a star is yellow throughout, so stripes and an outline show the blue that they leave.
    plain = share(inverted, "blue")
    assert plain / 4 < share(stripes, "yellow") < plain * 0.9
    assert num_bands(stripes, "yellow") >= 3
    assert num_bands(outline, "yellow") == 1
    assert share(outline, "yellow") > share(stripes, "yellow")
    background, ((colour, shape), *_) = shown(moon)
    assert (background, colour) == ("blue", "yellow")
    assert shape != "star"
    grid = pixels(client, output["grid"])
    assert grid.shape[1] == 2 * SIDE + 8
    assert np.array_equal(grid[:SIDE, :SIDE], stripes)
    assert np.array_equal(grid[:SIDE, -SIDE:], outline)


def num_bands(picture: Pixels, colour: str) -> int:
    """How many bands of rows that have a colour lie one above the other."""
    distance = np.linalg.norm(picture.astype(np.float32) - np.float32(scenes.COLOURS[colour]), axis=-1)
    has_colour = (distance < reading.FARTHEST).mean(axis=1) > 0.02
    return int((has_colour[1:] & ~has_colour[:-1]).sum())


def test_a_product_stays_as_it_was_on_a_background_of_another_colour(client: httpx.Client) -> None:
    square = np.full((SIDE, SIDE, 3), scenes.COLOURS["white"], np.uint8)
    square[40:88, 40:88] = scenes.COLOURS["red"]
    file = io.BytesIO()
    Image.fromarray(square).save(file, "PNG")
    words = {"prompt": "a medium red square on a green background", "seed": "1"}
    answer = client.post(
        "/v1/workflows/product-shot/runs", data=words, files={"photo": file.getvalue()}, headers={"Prefer": "wait=60"}
    )
    assert answer.json()["status"] == "succeeded", answer.text
    shot = pixels(client, answer.json()["output"]["shot"])
    assert shown(shot) == ("green", [("red", "square")])
    assert np.array_equal(shot[44:84, 44:84], square[44:84, 44:84])
    assert share(shot, "white") < 0.01


def test_the_expensive_model_is_asked_only_where_the_cheap_one_was_not_good_enough(client: httpx.Client) -> None:
    good = ran(client, "cascade", seed=3, colour="blue", shape="square")
    assert good["output"]["was_cheap"] is True
    assert statuses(client, good)["expensive"] == "skipped"
    poor = ran(client, "cascade", seed=3, colour="blue", shape="square", cheap_steps=2)
    assert poor["output"]["was_cheap"] is False
    assert poor["output"]["share"] < 0.08 < good["output"]["share"]
    assert statuses(client, poor)["expensive"] == "succeeded"
    assert poor["cost"]["nano_usd"] > good["cost"]["nano_usd"]
    for run in (good, poor):
        assert shown(pixels(client, run["output"]["image"])) == ("white", [("blue", "square")])


def test_a_sample_runs_on_the_command_line_and_again_for_nothing(samples: TestPlatform, tmp_path: Path) -> None:
    words = ("workflows", "run", "cascade", "seed=5", "colour=green", "--save", str(tmp_path))
    first = samples.run(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "was_cheap: true" in first.stdout
    with Image.open(tmp_path / "image.png") as image:
        assert shown(np.asarray(image.convert("RGB"))) == ("white", [("green", "circle")])
    plan = samples.run("workflows", "plan", "cascade", "seed=5", "colour=green")
    assert "costs at most: $0" in plan.stdout
    assert "cheap: running" not in samples.run(*words).stderr
