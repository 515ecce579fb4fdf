"""Errors cross Ray by pickle, and must arrive as they left."""

import pickle

import pytest

from serve.domain.errors import SlipwayError


def every_error(root: type[SlipwayError]) -> list[type[SlipwayError]]:
    return [root, *(error for child in root.__subclasses__() for error in every_error(child))]


@pytest.mark.parametrize("kind", every_error(SlipwayError), ids=lambda kind: kind.__name__)
def test_an_error_survives_its_pickle(kind: type[SlipwayError]) -> None:
    sent = kind("Wrong, and so.", "some_code", "messages.0", 1.5)
    arrived = pickle.loads(pickle.dumps(sent))
    assert type(arrived) is kind
    assert str(arrived) == "Wrong, and so."
    assert (arrived.code, arrived.param, arrived.retry_after_seconds) == ("some_code", "messages.0", 1.5)


@pytest.mark.parametrize("kind", every_error(SlipwayError), ids=lambda kind: kind.__name__)
def test_an_error_without_a_code_has_its_class_code(kind: type[SlipwayError]) -> None:
    assert kind("x").code == kind.default_code
