"""The models that are shipped load as any diffusers directory does, and paint what they are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.reference_models import evaluate, reading, scenes
from deployments.reference_models.scenes import Scene, Thing

FOLDER = Path(scenes.__file__).parent
MODELS = {"shapes-sd": "StableDiffusionPipeline", "shapes-sdxl": "StableDiffusionXLPipeline"}
MAX_BYTES = 40_000_000
ASKED = (
    Scene("blue", Thing("red", "circle", "large")),
    Scene("yellow", Thing("purple", "square", "large")),
    Scene("black", Thing("white", "cross", "large")),
    Scene("white", Thing("green", "triangle", "large")),
    Scene("purple", Thing("yellow", "square")),
    Scene("green", Thing("white", "circle"), "left"),
    Scene("red", Thing("blue", "cross"), "top"),
    Scene("orange", Thing("black", "triangle"), "bottom right"),
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", params=MODELS)
def pipeline(request: pytest.FixtureRequest) -> Any:
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    made = diffusers.DiffusionPipeline.from_pretrained(FOLDER / request.param, local_files_only=True)
    assert type(made).__name__ == MODELS[request.param]
    made.set_progress_bar_config(disable=True)
    return made


def test_most_captions_are_painted_as_they_say(pipeline: Any) -> None:
    painted = evaluate.paint(pipeline, [scenes.caption(scene) for scene in ASKED])
    right = [reading.agrees(scene, reading.read(one)) for scene, one in zip(ASKED, painted, strict=True)]
    assert sum(right) >= 7


def test_the_colour_in_the_words_is_the_colour_in_the_picture(pipeline: Any) -> None:
    painted = evaluate.paint(
        pipeline, [f"a large {colour} square on a black background" for colour in ("red", "white")]
    )
    assert [reading.read(one).things[0].colour for one in painted] == ["red", "white"]


def test_both_together_are_small_enough_to_ship() -> None:
    files = [path for name in MODELS for path in (FOLDER / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_data_is_in_the_directory(name: str) -> None:
    kinds = {path.suffix for path in (FOLDER / name).rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".txt", ".md"}
    index = json.loads((FOLDER / name / "model_index.json").read_text())
    assert index["_class_name"] == MODELS[name]
