"""What is remembered of steps: speed of everybody's, consumption of one's own, the newer the weightier."""

import pytest
from fakes.clock import ManualClock

from serve.storage.records import Records
from serve.workflow.results.history import StepHistory

PAINT, SAY = "model:shapes-sd", "model:smollm"


@pytest.fixture
def history(database: Records, clock: ManualClock) -> StepHistory:
    return StepHistory(database, clock)


async def test_what_never_ran_has_no_estimate(history: StepHistory) -> None:
    assert await history.estimates("acme", [PAINT]) == {}


async def test_seconds_follow_the_work(history: StepHistory) -> None:
    for work in (1, 2, 4, 8, 1, 8):
        history.add("acme", PAINT, work, 0.5 + 0.25 * work, {"images": 1})
    await history.flush()
    found = (await history.estimates("acme", [PAINT]))[PAINT]
    assert found.seconds(4) == pytest.approx(1.5)
    assert found.seconds(0) == pytest.approx(0.5)


async def test_equal_work_gives_the_mean(history: StepHistory) -> None:
    for seconds in (1.0, 3.0):
        history.add("acme", SAY, 1, seconds, {"completion_tokens": 10 * seconds})
    await history.flush()
    found = (await history.estimates("acme", [SAY]))[SAY]
    assert found.seconds(1) == pytest.approx(2.0, rel=0.05)
    assert found.units["completion_tokens"] == pytest.approx(20, rel=0.05)


async def test_another_tenant_learns_the_speed_and_not_what_was_consumed(history: StepHistory) -> None:
    history.add("acme", SAY, 1, 2.0, {"completion_tokens": 700})
    await history.flush()
    found = (await history.estimates("rival", [SAY]))[SAY]
    assert found.seconds(1) == pytest.approx(2.0)
    assert found.units == {}


async def test_what_is_written_in_parts_counts_as_what_is_written_at_once(history: StepHistory) -> None:
    samples = [(work, 0.1 * work + 0.01 * (work % 3)) for work in range(1, 30)]
    for index, (work, seconds) in enumerate(samples):
        history.add("acme", PAINT, work, seconds, {"images": work})
        if index % 4 == 0:
            await history.flush()
    for work, seconds in samples:
        history.add("acme", SAY, work, seconds, {"images": work})
    await history.flush()
    found = await history.estimates("acme", [PAINT, SAY])
    assert found[PAINT].seconds(7) == pytest.approx(found[SAY].seconds(7))
    assert found[PAINT].units == pytest.approx(found[SAY].units)


async def test_a_model_that_became_faster_is_soon_believed(history: StepHistory) -> None:
    for _ in range(100):
        history.add("acme", SAY, 1, 10.0, {})
    await history.flush()
    for _ in range(100):
        history.add("acme", SAY, 1, 1.0, {})
    await history.stop()
    assert (await history.estimates("acme", [SAY]))[SAY].seconds(1) < 2.5
