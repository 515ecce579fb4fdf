"""The adapters that are shipped load by diffusers' and PEFT's own loaders, and do what their name says."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

pytest.importorskip("peft", reason="peft is not installed")

from deployments.reference_models import adapter_evaluation, adapter_training, evaluate, language_adapters, scenes
from deployments.reference_models.styles import STYLES

FOLDER = Path(scenes.__file__).parent / "adapters"
MAX_BYTES = 600_000
GATE = 0.9
ALL = [*adapter_training.PLANS, *language_adapters.PLANS]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@cache
def pipeline_of(base: str) -> Any:
    return adapter_evaluation.pipeline_of(base)


@pytest.mark.parametrize("name", ALL)
def test_an_adapter_is_small_and_passed_its_gate(name: str) -> None:
    figures = json.loads((FOLDER / "figures.json").read_text())[name]
    assert figures["with_adapter"] >= GATE
    assert figures["without"] <= 1 - GATE
    assert sum(path.stat().st_size for path in (FOLDER / name).iterdir()) <= MAX_BYTES


@pytest.mark.parametrize("name", adapter_training.PLANS)
def test_a_style_shows_with_the_adapter_and_not_without_it(name: str) -> None:
    base, style_name = name.split("/")
    style, pipeline = STYLES[style_name], pipeline_of(base)
    asked = style.held_out_scenes(3, 7)
    words = [scenes.caption(scene) for scene in asked]
    before = evaluate.paint(pipeline, words)
    with adapter_evaluation.attached(pipeline, FOLDER / name):
        painted = evaluate.paint(pipeline, words)
    assert sum(style.shows(scene, one) for scene, one in zip(asked, painted, strict=True)) >= 2
    assert not any(style.shows(scene, one) for scene, one in zip(asked, before, strict=True))


def test_an_adapter_that_is_taken_off_leaves_the_model_as_it_was() -> None:
    pipeline, words = pipeline_of("shapes-sd"), ["a red circle on a blue background"]
    before = evaluate.paint(pipeline, words)
    with adapter_evaluation.attached(pipeline, FOLDER / "shapes-sd" / "stripes"):
        assert not np.array_equal(before, evaluate.paint(pipeline, words))
    assert np.array_equal(before, evaluate.paint(pipeline, words))


def test_the_moons_file_for_sdxl_changes_both_text_encoders() -> None:
    with safe_open(FOLDER / "shapes-sdxl" / "moon" / adapter_training.FILE, "pt") as file:
        prefixes = {key.split("_")[1] for key in file.keys()}  # noqa: SIM118 - not a mapping
        assert json.loads(file.metadata()["ss_tag_frequency"]) == {"moon": {"moon": adapter_training.NUM_SCENES}}
    assert prefixes == {"unet", "te1", "te2"}


@pytest.mark.parametrize("name", language_adapters.PLANS)
def test_an_answer_shows_the_effect_with_the_adapter_and_not_without_it(name: str, smollm2: Path) -> None:
    from peft import PeftModel

    tokenizer, model = language_adapters.opened(smollm2)
    prompts, shows = list(language_adapters.HELD_OUT[:3]), language_adapters.PLANS[name].shows
    alone = language_adapters.answered(tokenizer, model, prompts, max_tokens=8)
    answers = language_adapters.answered(tokenizer, PeftModel.from_pretrained(model, FOLDER / name), prompts, 8)
    assert not any(map(shows, alone))
    assert sum(map(shows, answers)) >= 2
