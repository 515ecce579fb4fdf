"""Whatever happened to a journal, its events add up to what was closed and to the checkpoints of what was not."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from fakes.journal_process import CHECKPOINT_TOKENS, MOST_TOKENS
from fakes.journals import journal, read, settled, subject, values
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.usage import PLATFORM_RETRY, Basis, Quantities, UsageEvent, UsageStatus
from serve.metering.journal.folder import JournalSource
from serve.metering.journal.journal import Journal
from serve.metering.journal.settlement import Settlement

TESTS = Path(__file__).parents[1]
STEPS = st.lists(st.tuples(st.sampled_from("opcc"), st.integers(0, 5), st.integers(1, 100)), max_size=60)


def test_a_call_without_an_end_was_lost_at_its_last_checkpoint(tmp_path: Path) -> None:
    made = journal(tmp_path)
    call = made.open(subject(), 3)
    made.progress(call, values(10, 64), 500)
    made.progress(call, values(10, 128), 900)
    made.release(remove=False)
    (event,) = settled(made.folder.path)
    assert (event.status, event.basis, event.basis.is_estimated) == (UsageStatus.LOST, Basis.CHECKPOINT, True)
    assert (event.billable, event.reason) == (False, PLATFORM_RETRY)
    assert (event.quantities, event.duration_ms) == (Quantities(prompt_tokens=10, completion_tokens=128), 900)


def test_what_a_witness_saw_is_marked_so(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.open(subject(1), 3)
    made.close(made.open(subject(2), 3), ("succeeded", True, None), values(), 1)
    made.release(remove=False)
    settlement = Settlement(JournalSource("local/gateway/e", is_witness=True, model="", started_ms=0))
    events = settlement.take(read(made.folder.path)[0], 1) + settlement.orphans()
    assert [event.basis for event in events] == [Basis.WITNESS, Basis.WITNESS]


def test_what_is_booked_is_not_given_again(tmp_path: Path) -> None:
    made = journal(tmp_path)
    for number in (1, 2, 3):
        made.close(made.open(subject(number), 3), ("succeeded", True, None), values(5), 1)
    made.open(subject(4), 3)
    made.release(remove=False)
    settlement = Settlement(JournalSource("a/b/c", is_witness=False, model="", started_ms=0), booked_seq=2)
    events = settlement.take(read(made.folder.path)[0], 1) + settlement.orphans()
    assert [(event.id, event.seq) for event in events] == [("request-3:1", 3), ("request-4:1", 4)]
    assert settlement.cumulative == Quantities(prompt_tokens=15)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 2000))
def test_any_journal_cut_anywhere_adds_up_to_what_was_written(steps: list[tuple[str, int, int]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = journal(Path(folder))
        said, path = _played(made, steps), made.folder.path / "000001.log"
        made.release(remove=False)
        content = path.read_bytes().rstrip(b"\0")
        kept = content[: max(0, len(content) - cut)]
        path.write_bytes(kept + b"\0" * 1000)
        expected = _after(said[: kept.count(b"\n")])
        events = settled(made.folder.path)
    assert {event.id: (event.status, event.quantities.completion_tokens) for event in events} == expected
    assert [event.seq for event in events] == list(range(1, len(expected) + 1))


def _played(made: Journal, steps: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Do the steps; what each line then says: (kind, call, completion tokens)."""
    said: list[tuple[str, int, int]] = []
    counts: dict[int, int] = {}
    for kind, which, tokens in steps:
        if kind == "o" or not counts:
            number = made.num_opened + 1
            call = made.open(subject(number), 1)
            counts[call] = 0
            said.append(("o", call, 0))
            continue
        call = sorted(counts)[which % len(counts)]
        counts[call] += tokens
        if kind == "p":
            assert made.progress(call, values(0, counts[call]), 1)
        else:
            made.close(call, ("succeeded", True, None), values(0, counts[call]), 1)
        said.append((kind, call, counts[call]))
        if kind == "c":
            del counts[call]
    return said


def _after(said: list[tuple[str, int, int]]) -> dict[str, tuple[UsageStatus, int]]:
    found: dict[str, tuple[UsageStatus, int]] = {}
    for kind, call, tokens in said:
        status = UsageStatus.SUCCEEDED if kind == "c" else UsageStatus.LOST
        found[f"request-{call}:1"] = (status, tokens)
    return found


def killed_writer(folder: Path, seed: int, seconds: float) -> tuple[list[UsageEvent], list[tuple[str, int, int]]]:
    """A process that meters is killed: the events of its journal, and what it said itself."""
    log = folder / "said"
    process = subprocess.Popen(
        [sys.executable, "-m", "fakes.journal_process", str(folder / "journals"), str(log), str(seed)],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
    )
    try:
        began = time.monotonic()
        while not log.exists() or log.stat().st_size == 0:
            assert process.poll() is None
            assert time.monotonic() - began < 30, "the writer does not write"
            time.sleep(0.005)
        time.sleep(seconds)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = [line.split() for line in log.read_text().splitlines()]
    (path,) = (folder / "journals").iterdir()
    return settled(path), [(kind, int(call), int(tokens)) for kind, call, tokens in lines]


@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_is_killed_loses_no_usage_and_counts_none_twice(tmp_path: Path, seed: int) -> None:
    events, said = killed_writer(tmp_path, seed, random.Random(seed).uniform(0.01, 0.2))
    by_id = {event.id: event for event in events}
    assert max(Counter(event.id for event in events).values()) == 1
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(set(by_id) - {subject(call).id for _, call, _ in said}) <= 1, "a call was open and had not said so"
    made = {call: tokens for kind, call, tokens in said if kind != "c"}
    closed = {call: tokens for kind, call, tokens in said if kind == "c"}
    for call, tokens in made.items():
        event = by_id[subject(call).id]
        if event.status is UsageStatus.SUCCEEDED:
            assert event.quantities.completion_tokens == closed.get(call, tokens)
        else:
            assert call not in closed
            assert 0 <= tokens - event.quantities.completion_tokens < CHECKPOINT_TOKENS + MOST_TOKENS


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_processes_that_are_killed_lose_nothing(tmp_path: Path, seed: int) -> None:
    test_a_process_that_is_killed_loses_no_usage_and_counts_none_twice(tmp_path, seed)
