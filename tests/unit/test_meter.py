"""What a meter writes down, when, and whose the GPU's time is."""

from pathlib import Path
from threading import Thread

import pytest
from fakes.clock import ManualClock
from fakes.journals import journal, meter, read, settled, subject
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.errors import MeteringUnavailable
from serve.domain.usage import PLATFORM_RETRY, Basis, Quantities, Tally, UsageStatus
from serve.metering.journal.journal import Journal
from serve.metering.journal.records import Progressed
from serve.metering.meter import Meter, SharedTime


def checkpoints(made: Journal) -> list[Quantities]:
    made.release(remove=False)
    return [record.quantities for record in read(made.folder.path)[0] if isinstance(record, Progressed)]


def test_a_call_is_written_down_before_it_begins_and_when_it_ends(tmp_path: Path, clock: ManualClock) -> None:
    made, tally = journal(tmp_path), Tally()
    call = meter(made, clock).begin(subject(), tally)
    assert made.num_open == 1
    assert made.oldest_open_ms == clock.now_ms()
    tally.completion_tokens = 3
    clock.advance(0.5)
    assert call.end(UsageStatus.CANCELED).completion_tokens == 3
    assert made.num_open == 0
    made.release(remove=False)
    (event,) = settled(made.folder.path)
    assert (event.status, event.billable, event.basis) == (UsageStatus.CANCELED, True, Basis.MEASURED)
    assert (event.quantities.completion_tokens, event.duration_ms) == (3, 500)


def test_only_the_first_end_counts(tmp_path: Path, clock: ManualClock) -> None:
    made = journal(tmp_path)
    call = meter(made, clock).begin(subject(), Tally())
    call.end(UsageStatus.FAILED, False, "engine_failed")
    call.end(UsageStatus.SUCCEEDED)
    assert call.checkpoint() is None
    call.seen(Quantities(images=1))
    made.release(remove=False)
    (event,) = settled(made.folder.path)
    assert (event.status, event.billable, event.reason) == (UsageStatus.FAILED, False, "engine_failed")


def test_a_checkpoint_is_due_by_tokens(tmp_path: Path, clock: ManualClock) -> None:
    made, tally = journal(tmp_path), Tally()
    call = meter(made, clock, checkpoint_tokens=10).begin(subject(), tally)
    for _ in range(35):
        tally.completion_tokens += 1
        call.checkpoint()
    assert [each.completion_tokens for each in checkpoints(made)] == [10, 20, 30]


def test_a_checkpoint_is_due_at_every_step(tmp_path: Path, clock: ManualClock) -> None:
    made, tally = journal(tmp_path), Tally()
    call = meter(made, clock).begin(subject(), tally)
    for step in range(1, 4):
        tally.steps = step
        assert call.checkpoint() == Quantities(steps=step)
        assert call.checkpoint() is None
    assert len(checkpoints(made)) == 3


def test_a_checkpoint_is_due_after_a_second(tmp_path: Path, clock: ManualClock) -> None:
    made, tally = journal(tmp_path), Tally()
    call = meter(made, clock).begin(subject(), tally)
    tally.completion_tokens = 1
    clock.advance(0.9)
    assert call.checkpoint() is None
    clock.advance(0.2)
    assert call.checkpoint() == Quantities(completion_tokens=1)
    assert call.checkpoint() is None


def test_work_that_outlives_its_call_is_counted_until_it_has_left_the_engine(
    tmp_path: Path, clock: ManualClock
) -> None:
    made, tally = journal(tmp_path), Tally()
    call = meter(made, clock, num_gpus=1).begin(subject(), tally)
    tally.keep_open()
    tally.steps = 1
    clock.advance(1)
    assert call.end(UsageStatus.CANCELED) == Quantities(steps=1, gpu_ms=1000)
    assert made.num_open == 1
    tally.steps = 2
    clock.advance(1)
    engine = Thread(target=tally.settle)
    engine.start()
    engine.join()
    assert made.num_open == 0
    made.release(remove=False)
    assert settled(made.folder.path)[0].quantities == Quantities(steps=2, gpu_ms=2000)


def test_a_witness_closes_with_what_it_saw_last(tmp_path: Path, clock: ManualClock) -> None:
    made = journal(tmp_path)
    call = meter(made, clock).begin(subject())
    call.seen(Quantities(completion_tokens=5, gpu_ms=40))
    clock.advance(2)
    call.seen(Quantities(completion_tokens=9, gpu_ms=90))
    call.end(UsageStatus.LOST, False, PLATFORM_RETRY)
    assert checkpoints(made) == [Quantities(completion_tokens=9, gpu_ms=90)]
    (event,) = settled(made.folder.path)
    assert (event.quantities.gpu_ms, event.billable, event.reason) == (90, False, PLATFORM_RETRY)


def test_gpu_time_is_shared_by_the_calls_that_run_at_once(tmp_path: Path, clock: ManualClock) -> None:
    made = journal(tmp_path)
    metering = meter(made, clock, num_gpus=2)
    first = metering.begin(subject(1), Tally())
    clock.advance(1)
    second = metering.begin(subject(2), Tally())
    clock.advance(1)
    assert first.end(UsageStatus.SUCCEEDED).gpu_ms == 3000
    clock.advance(1)
    assert second.end(UsageStatus.SUCCEEDED).gpu_ms == 3000


@given(
    st.lists(st.tuples(st.floats(0, 3, allow_nan=False), st.booleans(), st.integers(0, 9)), max_size=40),
    st.sampled_from([0.25, 1.0, 8.0]),
)
def test_shares_of_gpu_time_add_up_to_the_busy_time(steps: list[tuple[float, bool, int]], num_gpus: float) -> None:
    shares, now, busy, total, running = SharedTime(num_gpus), 100.0, 0.0, 0, list[float]()
    for seconds, begins, which in steps:
        now += seconds
        busy += seconds if running else 0
        if begins or not running:
            running.append(shares.begin(now))
        else:
            total += shares.end(running.pop(which % len(running)), now)
    total += sum([shares.end(began, now) for began in running])
    assert abs(total - busy * num_gpus * 1000) < 1.001


def test_without_a_journal_calls_are_refused_until_there_is_one(tmp_path: Path, clock: ManualClock) -> None:
    rooms = [OSError(28, "No space left on device"), None]

    def new_epoch() -> Journal:
        if error := rooms.pop(0):
            raise error
        return journal(tmp_path)

    metering = Meter(new_epoch, clock, checkpoint_tokens=64)
    for _ in range(3):  # a crowd tries the disk once a second
        with pytest.raises(MeteringUnavailable):
            metering.begin(subject())
    assert len(rooms) == 1
    clock.advance(1.0)
    metering.begin(subject()).end(UsageStatus.SUCCEEDED)
    (made,) = metering.journals
    assert made.last_seq == 1
    made.release(remove=True)
