"""What the fair queue is told that a call will cost."""

from typing import Any

import pytest

from serve.domain.generation import CallContext, ModelCall
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.serving.prediction import Predictor

CONTEXT = CallContext("r", "t", "p", "k")
SQUARE = {"prompt": "a", "width": 512, "height": 512, "steps": 20, "guidance_scale": 7.5, "num_images": 1}


def picture(task: Task = Task.TEXT_TO_IMAGE, **inputs: Any) -> ModelCall:
    return ModelCall(task, SQUARE | inputs, CONTEXT)


def usage(call: ModelCall, num_steps: int = 20) -> Quantities:
    count = call.inputs["num_images"]
    pixels = count * (call.inputs["width"] or 512) * (call.inputs["height"] or 512)
    return Quantities(images=count, pixels=pixels, pixel_steps=pixels * num_steps)


DEARER = {
    "more images": {"num_images": 4},
    "more steps": {"steps": 40},
    "a larger picture": {"width": 1024},
}


@pytest.mark.parametrize("more", DEARER.values(), ids=DEARER)
def test_what_is_more_work_costs_more(more: dict[str, Any]) -> None:
    predictor = Predictor()
    assert predictor.predict_ms(picture(**more)) > 1.8 * predictor.predict_ms(picture())


def test_what_is_less_work_costs_less() -> None:
    predictor = Predictor()
    plain = predictor.predict_ms(picture())
    assert predictor.predict_ms(picture(guidance_scale=1.0)) < 0.6 * plain
    assert predictor.predict_ms(picture(Task.IMAGE_TO_IMAGE, strength=0.25)) < 0.4 * plain


def test_one_measurement_replaces_the_guess() -> None:
    predictor = Predictor()
    for measured_ms in (40.0, 40_000.0):
        predictor = Predictor()
        predictor.learn(picture(), usage(picture()), measured_ms)
        assert predictor.predict_ms(picture()) == pytest.approx(measured_ms)
        assert predictor.predict_ms(picture(num_images=4)) == pytest.approx(4 * measured_ms)


def test_later_measurements_move_it_slowly() -> None:
    predictor = Predictor()
    predictor.learn(picture(), usage(picture()), 100)
    predictor.learn(picture(), usage(picture()), 1100)
    assert predictor.predict_ms(picture()) == pytest.approx(200)
    for _ in range(200):
        predictor.learn(picture(steps=10), usage(picture(), 10), 550)
    assert predictor.predict_ms(picture(steps=10)) == pytest.approx(550, rel=0.01)


def test_the_size_of_a_picture_from_a_picture_is_learned() -> None:
    predictor = Predictor()
    large = picture(Task.IMAGE_TO_IMAGE, width=None, height=None, strength=1.0)
    predictor.learn(large, Quantities(images=1, pixels=1 << 20, pixel_steps=20 << 20), 1000)
    assert predictor.predict_ms(large) == pytest.approx(1000)
    assert predictor.predict_ms(picture()) == pytest.approx(250, rel=0.01)


def test_a_call_that_made_nothing_teaches_nothing() -> None:
    predictor = Predictor()
    before = predictor.predict_ms(picture())
    predictor.learn(picture(), Quantities(), 1e9)
    assert predictor.predict_ms(picture()) == before


def test_texts_are_reckoned_in_tokens_as_ever() -> None:
    predictor = Predictor(initial_ms_per_unit=10)
    short, long = [ModelCall(Task.COMPLETION, {"prompt": "a", "max_tokens": n}, CONTEXT) for n in (10, 1000)]
    assert predictor.predict_ms(long) > 50 * predictor.predict_ms(short)
    predictor.learn(picture(), usage(picture()), 1e9)
    assert predictor.predict_ms(short) < 100
