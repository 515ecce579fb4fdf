"""Cards that the platform would refuse."""

import pytest
from fakes.documents import model

from operators.desired.card_checks import card_checks
from operators.state import ObjectKey
from serve.domain.documents import API_VERSION, ModelDocument

KEY = ObjectKey(API_VERSION, "Model", "echo")
PAINTER = {
    "family": "text_to_image",
    "tasks": ["text_to_image"],
    "weights": {"uri": "hf://org/sd"},
    "engine": {"kind": "diffusion", "maxPixels": 4096},
}
FIT = [
    model(),
    model(card={"title": "x", "inputs": {"temperature": {"maximum": 1}}}),
    model(**PAINTER, card={"title": "x", "inputs": {"width": {"default": 64}, "height": {"default": 64}}}),
]
WRONG = [
    (model(card={"title": "x", "inputs": {"nonsense": {"default": 1}}}), "spec.card.inputs.nonsense"),
    (model(card={"title": "x", "examples": [{"prompt": 1}]}), "spec.card.examples.0"),
    (model(**PAINTER, card={"title": "x"}), "4096"),
]


@pytest.mark.parametrize("document", FIT)
def test_a_card_that_the_family_allows_is_no_problem(document: ModelDocument):
    assert list(card_checks(KEY, document)) == []


@pytest.mark.parametrize(("document", "place"), WRONG)
def test_a_card_that_cannot_be_is_a_problem(document: ModelDocument, place: str):
    (problem,) = card_checks(KEY, document)
    assert (problem.reason, problem.is_fatal) == ("InvalidCard", True)
    assert place in problem.message
