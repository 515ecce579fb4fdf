"""A journal takes what it must, refuses what it cannot, and reads back as it was written, whatever happened to it."""

import errno
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.journals import MIB, SOURCE, journal, read, settled, subject, values

from serve.domain.errors import MeteringUnavailable
from serve.domain.usage import JournalGap, Quantities, UsageStatus
from serve.metering.journal.folder import JournalFolder, Position, orphans
from serve.metering.journal.journal import Journal
from serve.metering.journal.records import MAX_CLOSE_BYTES, Closed, Opened, closed, line_of

OK = ("succeeded", True, None)


def written(folder: Path, num_calls: int) -> Path:
    """A journal of so many calls of 10 and 5 tokens, three lines each, whose process is dead: its folder."""
    made = journal(folder)
    for number in range(1, num_calls + 1):
        call = made.open(subject(number), 1)
        made.progress(call, values(10, 2), 3)
        made.close(call, OK, values(10, 5), 7)
    made.release(remove=False)
    return made.folder.path


def damaged(folder: Path, line: int, new: bytes | None) -> None:
    """Replace a line of the first segment, or remove it."""
    path = folder / "000001.log"
    lines = path.read_bytes().split(b"\n")
    lines[line - 1 : line] = [] if new is None else [new]
    path.write_bytes(b"\n".join(lines))


def fill(made: Journal, open_calls: list[int]) -> None:
    """Open calls until the journal takes no more."""
    while True:
        open_calls.append(made.open(subject(len(open_calls) + 1), 1))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    events = settled(written(tmp_path, 2))
    assert [(event.id, event.seq) for event in events] == [("request-1:1", 1), ("request-2:1", 2)]
    assert events[0].subject == subject(1)
    assert events[0].quantities == Quantities(prompt_tokens=10, completion_tokens=5)
    assert (events[0].status, events[0].billable, events[0].source) == (UsageStatus.SUCCEEDED, True, SOURCE.source)
    assert (events[0].started_ms, events[0].duration_ms) == (1, 7)


def test_every_closing_record_carries_the_sum_of_all_so_far(tmp_path: Path) -> None:
    records, _ = read(written(tmp_path, 3))
    sums = [record.cumulative for record in records if isinstance(record, Closed)]
    assert [each.prompt_tokens for each in sums] == [10, 20, 30]


def test_lines_are_numbered_without_holes_over_many_segments(tmp_path: Path) -> None:
    folder = written(tmp_path, 500)
    records, reader = read(folder)
    assert [record.line for record in records] == list(range(1, 1501))
    assert reader.gaps == []
    assert len(list(folder.glob("*.log"))) > 3


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_record_that_was_cut_off_at_the_end_was_never_written(tmp_path: Path, cut: int) -> None:
    folder = written(tmp_path, 2)
    path = folder / "000001.log"
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[:-cut] + b"\0" * 4096)
    records, reader = read(folder)
    assert [record.line for record in records] == [1, 2, 3, 4, 5]
    assert reader.gaps == []
    assert [event.status for event in settled(folder)] == [UsageStatus.SUCCEEDED, UsageStatus.LOST]


@pytest.mark.parametrize("new", [b"4 00000000 []", b"nonsense", b"\0" * 30], ids=["crc", "nonsense", "zeros"])
def test_a_damaged_record_is_a_gap_and_reading_goes_on(tmp_path: Path, new: bytes) -> None:
    folder = written(tmp_path, 4)
    damaged(folder, 4, new)
    records, reader = read(folder)
    assert [record.line for record in records] == [1, 2, 3, *range(5, 13)]
    assert [(gap.first, gap.last) for gap in reader.gaps] == [(4, 4)]


def test_a_record_with_one_changed_digit_is_not_believed(tmp_path: Path) -> None:
    folder = written(tmp_path, 2)
    path = folder / "000001.log"
    path.write_bytes(path.read_bytes().replace(b"[10,0,5,", b"[10,0,6,", 1))
    assert read(folder)[1].gaps == [JournalGap(3, 3, "unreadable")]


def test_a_removed_record_is_found_as_a_gap(tmp_path: Path) -> None:
    folder = written(tmp_path, 4)
    damaged(folder, 6, None)
    assert read(folder)[1].gaps == [JournalGap(6, 6, "missing")]
    assert [event.seq for event in settled(folder)] == [1, 3, 4, 5]


def test_a_removed_segment_is_found_as_a_gap(tmp_path: Path) -> None:
    folder = written(tmp_path, 500)
    (folder / "000002.log").unlink()
    (gap,) = read(folder)[1].gaps
    assert gap.reason == "missing"
    assert gap.last > gap.first


def test_a_damaged_last_record_is_a_gap_too(tmp_path: Path) -> None:
    folder = written(tmp_path, 1)
    damaged(folder, 3, b"3 00000000 []")
    assert read(folder)[1].gaps == [JournalGap(3, 3, "unreadable")]


def test_a_last_record_that_was_not_written_to_its_end_is_told_as_torn(tmp_path: Path) -> None:
    folder = written(tmp_path, 1)
    path = folder / "000001.log"
    text = path.read_bytes().rstrip(b"\0")
    path.write_bytes(text[:-12] + bytes(200_000))
    assert read(folder)[1].gaps == [JournalGap(3, 3, "torn")]


def test_when_the_journal_is_full_calls_are_refused_and_closing_records_still_fit(tmp_path: Path) -> None:
    made, open_calls = journal(tmp_path), list[int]()
    with pytest.raises(MeteringUnavailable):
        fill(made, open_calls)
    assert len(open_calls) > 100
    most = tuple([2**40] * 11)
    while made.progress(open_calls[0], most, 1):
        pass
    for call in open_calls:
        made.close(call, ("canceled", False, "x" * 100), most, 2**40)
    made.release(remove=False)
    events = settled(made.folder.path)
    assert [event.seq for event in events] == list(range(1, len(open_calls) + 1))
    assert all(event.quantities.prompt_tokens == 2**40 for event in events)
    assert sum(path.stat().st_size for path in made.folder.path.glob("*.log")) <= MIB


def test_no_closing_record_is_longer_than_its_room() -> None:
    most = [2**63 - 1] * 11
    body = closed(10**12, 10**12, ("succeeded", False, "x" * 1000), most, most, 10**13)
    assert len(line_of(10**13, body)) <= MAX_CLOSE_BYTES


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_refuses_calls_and_loses_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = journal(tmp_path)
    open_calls = [made.open(subject(1), 1)]
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MeteringUnavailable):
        fill(made, open_calls)
    for call in open_calls:
        made.close(call, OK, values(1, 1), 1)
    monkeypatch.undo()
    made.open(subject(9999), 1)
    made.release(remove=False)
    events = settled(made.folder.path)
    assert len(events) == len(open_calls) + 1
    assert [event.status for event in events] == [UsageStatus.SUCCEEDED] * len(open_calls) + [UsageStatus.LOST]
    assert not [path for path in made.folder.path.glob("*.log") if path.stat().st_size == 0]


def test_an_end_that_the_disk_does_not_take_is_kept_read_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = journal(tmp_path)
    first, second = made.open(subject(1), 1), made.open(subject(2), 1)
    monkeypatch.setattr(os, "pwrite", full)
    made.close(first, OK, values(3, 4), 1)
    assert not made.progress(second, values(1, 1), 1)
    with pytest.raises(MeteringUnavailable):
        made.open(subject(3), 1)
    with pytest.raises(OSError, match="wait for the disk"):
        made.sync()
    assert b'"C",1,1' in made.read(1, 0, 4096)
    assert made.num_failed_writes == 1
    monkeypatch.undo()
    made.close(second, OK, values(5, 6), 1)
    made.sync()
    made.open(subject(4), 1)
    made.release(remove=False)
    records, reader = read(made.folder.path)
    assert [type(record) for record in records] == [Opened, Opened, Closed, Closed, Opened]
    assert reader.gaps == []


def test_an_engines_own_kind_of_number_is_written_as_ours(tmp_path: Path) -> None:
    class Odd:
        """As NumPy's: an integer that is no int."""

        def __int__(self) -> int:
            return 7

        __index__ = __int__

        def __radd__(self, other: int) -> int:
            return other + 7

    made = journal(tmp_path)
    made.close(made.open(subject(1), 1), OK, (Odd(), *values()[1:]), 1)
    made.release(remove=False)
    assert settled(made.folder.path)[0].quantities.prompt_tokens == 7


def test_an_end_after_the_journal_was_released_harms_nobody(tmp_path: Path) -> None:
    made = journal(tmp_path)
    call = made.open(subject(1), 1)
    made.release(remove=False)
    made.close(call, OK, values(1, 1), 1)
    assert [event.status for event in settled(made.folder.path)] == [UsageStatus.LOST]


def test_a_call_is_carried_from_an_old_segment_with_its_last_checkpoint(tmp_path: Path) -> None:
    made = journal(tmp_path)
    long = made.open(subject(1), 5)
    made.progress(long, values(10, 3), 9)
    made.carry(long, subject(1))
    made.release(remove=False)
    records, _ = read(made.folder.path)
    assert [replace(record, line=0) for record in records[:2]] == [replace(record, line=0) for record in records[2:]]
    (event,) = settled(made.folder.path)
    assert (event.quantities.completion_tokens, event.started_ms) == (3, 5)


def test_only_one_has_a_journal_and_the_dead_have_none(tmp_path: Path) -> None:
    made = journal(tmp_path)
    assert orphans(tmp_path, 8) == []
    made.folder.close()
    (mine,) = orphans(tmp_path, 8)
    assert orphans(tmp_path, 8) == []
    assert mine.source() == SOURCE
    mine.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_keep_a_journal_from_being_adopted(tmp_path: Path) -> None:
    made = journal(tmp_path)
    mine, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        its.send(b"!")
        its.recv(1)
        os._exit(0)
    with mine, its:
        mine.recv(1)
        made.folder.close()
        adopted = orphans(tmp_path, 8)
        mine.send(b"!")
        os.waitpid(child, 0)
    assert [folder.path for folder in adopted] == [made.folder.path]


def test_a_position_is_kept_and_a_broken_one_is_the_beginning(tmp_path: Path) -> None:
    folder = JournalFolder.make(tmp_path, "a/b c", "e", SOURCE)
    position = Position(7, 20, Quantities(images=3), (JournalGap(1, 2, "missing"),), {"images": 3.0}, True)
    folder.save(position, durable=True)
    assert folder.position() == position
    (folder.path / "position.json").write_bytes(b"{")
    assert folder.position() == Position()
    folder.close()


def test_a_journal_for_which_there_is_no_room_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JournalFolder.make(tmp_path, "replica", "e", SOURCE)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Journal(folder, SOURCE, MIB)
    assert list(folder.path.glob("*.log")) == []
    folder.close()


def test_nobody_else_may_read_a_journal(tmp_path: Path) -> None:
    made = journal(tmp_path / "new" / "journals")
    made.folder.save(Position(), durable=False)
    folders = [made.folder.path, made.folder.path.parent]
    assert [stat.S_IMODE(path.stat().st_mode) for path in folders] == [0o700, 0o700]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.folder.path.iterdir()} == {0o600}
    made.release(remove=True)


def test_a_journal_that_could_not_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    num_open = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fsync", full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            journal(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == num_open


def test_a_folder_whose_removal_was_cut_short_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".done-replica-1"
    left.mkdir()
    (left / "000001.log").write_bytes(b"booked")
    assert orphans(tmp_path, 8) == []
    assert left.exists(), "somebody may be at it"
    os.utime(left, (0, 0))
    assert orphans(tmp_path, 8) == []
    assert not left.exists()
