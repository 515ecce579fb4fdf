"""Scenes are drawn as they say, read back as they were drawn, and some are never shown to a model in training."""

import numpy as np
import pytest

from deployments.reference_models import reading, scenes, tokenizer
from deployments.reference_models.scenes import Scene, Thing

SEED = 11


def some(count: int, *, two: bool) -> list[Scene]:
    rng = np.random.default_rng(SEED)
    return [scenes.draw_scene(rng, two=two) for _ in range(count)]


@pytest.mark.parametrize("two", [False, True], ids=["one thing", "two things"])
def test_what_is_drawn_is_read(two: bool) -> None:
    rng, drawn = np.random.default_rng(SEED), some(100, two=two)
    right = [reading.agrees(scene, reading.read(scenes.draw(scene, rng))) for scene in drawn]
    assert np.mean(right) >= 0.99


def test_size_and_position_are_read_as_well() -> None:
    rng = np.random.default_rng(SEED)
    assert not [part for scene in some(60, two=False) for part in _wrong(scene, rng)]


def _wrong(scene: Scene, rng: np.random.Generator) -> list[str]:
    return reading.wrong_parts(scene, reading.read(scenes.draw(scene, rng)))


@pytest.mark.parametrize("side", [64, 256])
def test_other_sides_are_read_too(side: int) -> None:
    scene = Scene("yellow", Thing("purple", "cross", "large"), "top left")
    assert reading.wrong_parts(scene, reading.read(scenes.draw(scene, side=side))) == []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (Scene("black", Thing("red", "circle")), "background"),
        (Scene("blue", Thing("green", "circle")), "colour"),
        (Scene("blue", Thing("red", "cross")), "shape"),
        (Scene("blue", Thing("red", "circle", "large")), "size"),
        (Scene("blue", Thing("red", "circle"), "left"), "position"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_fact_is_noticed(change: Scene, part: str) -> None:
    asked = Scene("blue", Thing("red", "circle"))
    assert reading.wrong_parts(asked, reading.read(scenes.draw(change))) == [part]


def test_a_second_thing_nobody_asked_for_is_noticed() -> None:
    both = Scene("blue", Thing("red", "circle"), second=Thing("white", "star"))
    found = reading.read(scenes.draw(both))
    assert not reading.agrees(Scene("blue", Thing("red", "circle")), found)
    assert not reading.agrees(Scene("blue", Thing("white", "star"), second=Thing("red", "circle")), found)


def test_a_blob_has_no_shape_and_noise_no_thing() -> None:
    rng = np.random.default_rng(SEED)
    blob = scenes.draw(Scene("white", Thing("black", "square", "large")))
    blob[:, 64:] = np.where(rng.random((128, 64, 1)) < 0.5, blob[:, 64:], 250)
    assert "star" not in {thing.shape for thing in reading.read(blob).things}
    noise = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert all(thing.shape == reading.UNNAMED for thing in reading.read(noise).things)


def test_training_never_draws_what_is_held_out() -> None:
    rng = np.random.default_rng(SEED)
    trained = {_triple(scene) for scene in (scenes.training_scene(rng, two_share=0.0) for _ in range(1500))}
    evaluated = {_triple(scene) for scene in scenes.held_out_scenes(200, SEED)}
    assert not trained & evaluated
    assert not any(scenes.held_out(scenes.training_scene(rng, two_share=1.0)) for _ in range(300))


def _triple(scene: Scene) -> tuple[str, str, str]:
    return scene.first.colour, scene.first.shape, scene.background


def test_every_word_is_seen_in_training_with_every_other() -> None:
    rng = np.random.default_rng(SEED)
    trained = [scenes.training_scene(rng, two_share=0.0) for _ in range(2000)]
    pairs = {(scene.first.colour, scene.first.shape) for scene in trained}
    assert len(pairs) == len(scenes.COLOURS) * len(scenes.SHAPES)
    grounds = {(scene.first.colour, scene.background) for scene in trained}
    assert len(grounds) == len(scenes.COLOURS) * (len(scenes.COLOURS) - 1)


def test_the_same_seed_gives_the_same_scenes_captions_and_pixels() -> None:
    assert scenes.held_out_scenes(20, 5) == scenes.held_out_scenes(20, 5)
    assert scenes.held_out_scenes(20, 5) != scenes.held_out_scenes(20, 6)
    scene = some(1, two=True)[0]
    one, other = (scenes.caption(scene, np.random.default_rng(3)) for _ in range(2))
    assert one == other
    first, second = (scenes.draw(scene, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene("blue", Thing("red", "circle")), "a red circle on a blue background"),
        (Scene("white", Thing("orange", "star", "small"), "top left"),
         "a small orange star at the top left on a white background"),
        (Scene("orange", Thing("black", "cross"), second=Thing("red", "square", "small"), relation="right"),
         "a black cross to the right of a small red square on an orange background"),
        (Scene("black", Thing("green", "circle"), second=Thing("red", "square"), relation="above"),
         "a green circle above a red square on a black background"),
    ],
)  # fmt: skip
def test_the_plain_caption_says_everything(scene: Scene, words: str) -> None:
    assert scenes.caption(scene) == words


def test_every_caption_is_one_token_a_word() -> None:
    rng = np.random.default_rng(SEED)
    known = set(tokenizer.WORDS)
    for scene in [*some(150, two=False), *some(150, two=True)]:
        assert set(scenes.caption(scene, rng).replace(",", " ,").split()) <= known
    tokens = tokenizer.tokens()
    assert {f"{word}</w>" for word in known} <= set(tokens)
    assert len(tokens) == len(set(tokens))
