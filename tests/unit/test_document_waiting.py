"""A replica whose document is not stored yet."""

import logging

import pytest
from fakes.clock import ManualClock
from fakes.documents import model

from deployments.document_waiting import when_stored
from serve.domain.documents import ModelDocument
from serve.domain.errors import NotFound, StorageUnavailable


class Late:
    """A catalogue that has the document at a moment, and answers from another on."""

    def __init__(self, clock: ManualClock, comes_at: float, answers_at: float = 0) -> None:
        self.clock, self.comes_at, self.answers_at = clock, comes_at, answers_at

    async def document(self, digest: str) -> ModelDocument:
        if self.clock.monotonic() < self.answers_at:
            raise StorageUnavailable("away")
        if self.clock.monotonic() < self.comes_at:
            raise NotFound("not there")
        return model()


async def waited(late: Late, clock: ManualClock, seconds: float) -> ModelDocument:
    async def sleep(pause: float) -> None:
        clock.advance(pause)

    return await when_stored(late, "sha256:x", clock, seconds, sleep)


async def test_it_waits_until_the_operator_has_brought_it(clock: ManualClock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    began = clock.monotonic()
    assert await waited(Late(clock, began + 90, began + 30), clock, 600) == model()
    assert clock.monotonic() == began + 90
    assert len([line for line in caplog.messages if "waiting for the document" in line]) == 1


async def test_it_gives_up_in_the_end(clock: ManualClock):
    began = clock.monotonic()
    with pytest.raises(NotFound):
        await waited(Late(clock, began + 1000), clock, 600)
    assert clock.monotonic() == began + 600


async def test_without_an_operator_it_does_not_wait(clock: ManualClock):
    began = clock.monotonic()
    with pytest.raises(NotFound):
        await waited(Late(clock, began + 1), clock, 0)
    assert clock.monotonic() == began
