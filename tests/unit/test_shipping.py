"""What is closed reaches the books once, whoever dies, and nothing is deleted before it did."""

import asyncio
import itertools
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from fakes.books import KeptBooks
from fakes.journals import MIB, SOURCE, journal, process, subject, until, values

from serve.domain.errors import MeteringUnavailable
from serve.domain.usage import Quantities, Receipt, Tally, UsageBatch, UsageStatus
from serve.metering.journal.outbox import OwnOutbox
from serve.metering.meter import MeteredCall
from serve.metering.process import ProcessMetering

OK = ("succeeded", True, None)


def began(metering: ProcessMetering, number: int, tokens: int = 7) -> MeteredCall:
    tally = Tally()
    tally.completion_tokens = tokens
    return metering.meter.begin(subject(number), tally)


def ended(metering: ProcessMetering, number: int, tokens: int = 7) -> None:
    began(metering, number, tokens).end(UsageStatus.SUCCEEDED)


def source_of(metering: ProcessMetering) -> str:
    return metering.meter.journals[-1].source.source


async def test_what_is_closed_is_booked_in_its_order_and_the_folder_is_removed(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    source = source_of(metering)
    for number in range(1, 30):
        ended(metering, number)
    await until(lambda: len(books.events) == 29)
    assert metering.sample().num_unshipped == 0
    await metering.stop()
    assert books.seqs(source) == list(range(1, 30))
    report = books.last_reports()[source]
    assert (report.last_seq, report.cumulative.completion_tokens, report.num_open) == (29, 203, 0)
    assert (report.closed, report.killed, report.gaps) == (True, False, ())
    assert [report.closed for report in books.last_reports().values()] == [True, True]
    assert list(tmp_path.iterdir()) == []


async def test_a_source_says_at_once_that_it_lives(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    await until(lambda: len(books.last_reports()) == 2)
    assert {report.is_witness for report in books.reports} == {True, False}
    await metering.stop()


async def test_a_silent_source_reports_every_ten_seconds(tmp_path: Path) -> None:
    outbox = OwnOutbox(journal(tmp_path), None)
    batch = await outbox.batch(100.0, 1)
    assert batch is not None
    await outbox.booked(batch, 100.0)
    assert await outbox.batch(109.0, 1) is None
    assert await outbox.batch(110.0, 1) is not None
    outbox.journal.release(remove=True)


async def test_what_is_not_in_the_batch_counts_as_open(tmp_path: Path) -> None:
    made = journal(tmp_path)
    outbox = OwnOutbox(made, lambda: {"tokens": 5.0})
    call = made.open(subject(1), 123)
    made.close(made.open(subject(2), 456), OK, values(5), 1)
    batch = await outbox.batch(1.0, 1)
    assert batch is not None
    assert (batch.report.num_open, batch.report.oldest_open_ms, batch.report.counters) == (1, 123, {"tokens": 5.0})
    made.close(call, OK, values(5), 1)
    again = await outbox.batch(2.0, 1)
    assert again is not None
    assert again.events == batch.events
    assert (again.report.num_open, again.report.cumulative) == (1, Quantities(prompt_tokens=5))
    made.release(remove=True)


async def test_books_that_are_away_for_long_get_everything_later(tmp_path: Path) -> None:
    books = KeptBooks()
    books.is_away = True
    metering = process(tmp_path, books)
    await metering.start()
    for number in range(1, 1000):
        ended(metering, number)
    await until(lambda: books.num_refused > 3)
    assert metering.sample().num_unshipped == 999
    assert metering.sample().lag_seconds > 0
    assert metering.sample().num_bytes > 100_000
    books.is_away = False
    await until(lambda: len(books.events) == 999)
    await metering.stop()
    assert books.num_duplicates == 0


async def test_books_whose_answers_are_lost_get_the_same_again(tmp_path: Path) -> None:
    books = KeptBooks()
    books.forget_answers = True
    metering = process(tmp_path, books)
    await metering.start()
    source = source_of(metering)
    ended(metering, 1)
    await until(lambda: books.num_duplicates > 1)
    books.forget_answers = False
    ended(metering, 2)
    await until(lambda: len(books.events) == 2)
    await metering.stop()
    assert books.total(source).completion_tokens == 14


async def test_a_full_journal_refuses_calls_until_the_books_are_back(tmp_path: Path) -> None:
    books = KeptBooks()
    books.is_away = True
    metering = process(tmp_path, books)
    await metering.start()
    with pytest.raises(MeteringUnavailable):
        [ended(metering, number) for number in itertools.count(1)]
    num_closed = metering.meter.journals[0].last_seq
    books.is_away = False
    await until(lambda: len(books.events) == num_closed)
    ended(metering, num_closed + 1)
    await metering.stop()
    assert len(books.events) == num_closed + 1


async def test_what_is_booked_is_deleted_though_one_call_stays_open(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    long = began(metering, 1, tokens=99)
    for round_number in range(40):
        for number in range(100):
            ended(metering, 2 + round_number * 100 + number)
        await until(lambda: metering.sample().num_unshipped == 0)
    assert metering.sample().num_bytes < 500_000
    assert len(list(metering.meter.journals[0].folder.path.glob("*.log"))) < 8
    long.end(UsageStatus.SUCCEEDED)
    await metering.stop()
    assert len(books.events) == 4001
    assert all(report.gaps == () for report in books.reports)
    assert books.events[subject(1).id].quantities.completion_tokens == 99


async def test_a_journal_whose_folder_is_deleted_loses_nothing_while_its_process_lives(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books, counters=lambda: {"tokens": 1.0})
    await metering.start()
    first = source_of(metering)
    before = began(metering, 1)
    ended(metering, 2)
    shutil.rmtree(tmp_path)
    ended(metering, 3)
    await until(lambda: source_of(metering) != first)
    ended(metering, 4)
    before.end(UsageStatus.CANCELED)
    await until(lambda: len(books.events) == 4)
    await until(lambda: books.last_reports()[first].closed)
    assert books.last_reports()[first].counters == {}
    second = source_of(metering)
    await metering.stop()
    assert (books.seqs(first), books.seqs(second)) == ([1, 2, 3], [1])
    assert books.last_reports()[first].cumulative.completion_tokens == 21


async def test_calls_begun_in_the_moment_of_deletion_have_an_epoch_of_their_own(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books, ship_seconds=60)
    await metering.start()
    shutil.rmtree(tmp_path)
    for number in range(1, 400):
        ended(metering, number)
    assert len(metering.meter.journals) == 2
    await metering.stop()
    assert len(books.events) == 399


async def test_a_journal_of_a_process_that_is_dead_is_settled_by_one_of_many(tmp_path: Path) -> None:
    made = journal(tmp_path)
    for number in range(1, 1300):
        made.close(made.open(subject(number), 5), OK, values(2), 1)
    open_call = made.open(subject(5000), 5)
    made.progress(open_call, values(1), 1)
    made.release(remove=False)
    books = KeptBooks()
    others = [process(tmp_path, books, name) for name in ("a", "b", "c")]
    for other in others:
        await other.start()
    await until(lambda: SOURCE.source in books.last_reports() and books.last_reports()[SOURCE.source].closed)
    report = books.last_reports()[SOURCE.source]
    for other in others:
        await other.stop()
    assert (report.killed, report.last_seq, report.cumulative.prompt_tokens) == (True, 1300, 2599)
    assert books.seqs(SOURCE.source) == list(range(1, 1301))
    assert books.num_duplicates == 0
    assert books.events[subject(5000).id].status is UsageStatus.LOST
    assert list(tmp_path.iterdir()) == []


async def test_a_removed_record_is_reported(tmp_path: Path) -> None:
    made = journal(tmp_path)
    for number in range(1, 4):
        made.close(made.open(subject(number), 5), OK, values(2), 1)
    made.release(remove=False)
    path = made.folder.path / "000001.log"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:3] + lines[4:]))
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    await until(lambda: SOURCE.source in books.last_reports())
    await metering.stop()
    report = books.last_reports()[SOURCE.source]
    assert [(gap.first, gap.last, gap.reason) for gap in report.gaps] == [(4, 4, "missing")]
    assert report.cumulative.prompt_tokens == 6
    assert books.total(SOURCE.source).prompt_tokens == 4


@pytest.mark.parametrize("line", [7, 8], ids=["its opening record", "its closing record"])
async def test_a_record_that_is_wiped_out_of_a_living_journal_is_reported(tmp_path: Path, line: int) -> None:
    books = KeptBooks()
    books.is_away = True
    metering = process(tmp_path, books)
    await metering.start()
    source = source_of(metering)
    for number in range(1, 6):
        ended(metering, number)
    with (metering.meter.journals[0].folder.path / "000001.log").open("r+b") as file:
        lines = file.read().split(b"\n")
        file.seek(sum(len(text) + 1 for text in lines[: line - 1]))
        file.write(b"\0" * len(lines[line - 1]))
    books.is_away = False
    await until(lambda: len(books.events) == 4)
    for number in range(6, 1500):
        ended(metering, number)
        if number % 100 == 0:
            await until(lambda: metering.sample().num_unshipped == 0)
    assert metering.meter.journals[0].ordinals()[0] > 1, "the segment with the gap is deleted in the end"
    await metering.stop()
    report = books.last_reports()[source]
    assert [(gap.first, gap.last) for gap in report.gaps] == [(line, line)]
    assert (report.closed, report.last_seq, len(books.events)) == (True, 1499, 1498)
    assert report.cumulative.completion_tokens - books.total(source).completion_tokens == 7


async def test_a_process_that_ends_while_the_books_are_away_leaves_its_journal_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.metering.journal.shipping.STOP_SECONDS", 0.1)
    books = KeptBooks()
    first = process(tmp_path, books, "first")
    await first.start()
    source = source_of(first)
    ended(first, 1)
    await until(lambda: len(books.events) == 1)
    books.is_away = True
    ended(first, 2)
    await first.stop()
    books.is_away = False
    second = process(tmp_path, books, "second")
    await second.start()
    await until(lambda: books.last_reports()[source].closed)
    await second.stop()
    assert books.last_reports()[source].killed is False
    assert (books.seqs(source), books.num_duplicates) == ([1, 2], 0)


async def test_an_adopter_that_dies_in_the_middle_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.metering.journal.shipping.STOP_SECONDS", 0.01)
    made = journal(tmp_path)
    for number in range(1, 1300):
        made.close(made.open(subject(number), 5), OK, values(2), 1)
    made.open(subject(5000), 5)
    made.release(remove=False)
    books = KeptBooks()
    books.forget_answers = True
    first = process(tmp_path, books, "first")
    await first.start()
    await until(lambda: len(books.events) > 0)
    await first.stop()
    books.forget_answers = False
    second = process(tmp_path, books, "second")
    await second.start()
    await until(lambda: SOURCE.source in books.last_reports() and books.last_reports()[SOURCE.source].closed)
    await second.stop()
    assert books.seqs(SOURCE.source) == list(range(1, 1301))


async def test_a_folder_that_does_not_say_whose_it_is_stays(tmp_path: Path) -> None:
    made = journal(tmp_path)
    (made.folder.path / "source.json").write_bytes(b"?")
    made.release(remove=False)
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    await until(lambda: len(books.reports) == 2)
    await metering.stop()
    assert [path.name for path in tmp_path.iterdir()] == [made.folder.path.name]


async def test_strict_durability_waits_for_the_disk_and_says_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    books = KeptBooks()
    metering = process(tmp_path, books, durability="strict", sync_ms=10_000.0)
    await metering.start()
    ended(metering, 1)
    await asyncio.gather(*[metering.synced() for _ in range(5)])
    assert 1 <= len(synced) <= 3

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    ended(metering, 2)
    with pytest.raises(MeteringUnavailable):
        await metering.synced()
    monkeypatch.undo()
    await metering.stop()
    assert len(books.events) == 2


async def test_counters_that_cannot_be_read_keep_nothing_back(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books, counters=lambda: {}["nothing"])
    await metering.start()
    ended(metering, 1)
    await until(lambda: len(books.events) == 1)
    await metering.stop()
    assert books.reports[-1].counters == {}


async def test_a_replica_that_is_killed_is_settled_by_its_neighbour(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fakes.journal_process", str(tmp_path / "journals"), str(tmp_path / "said"), "1"),
        env=os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
    )
    books = KeptBooks()
    metering = process(tmp_path / "journals", books)
    await metering.start()
    await until(lambda: (tmp_path / "said").exists() and (tmp_path / "said").stat().st_size > 5000, 30)
    assert not any("writer" in source for source in books.last_reports())
    writer.kill()
    await writer.wait()
    await until(lambda: any("writer" in source and said.closed for source, said in books.last_reports().items()))
    await metering.stop()
    said = [line.split() for line in (tmp_path / "said").read_text().splitlines()]
    closed = {subject(int(call)).id: int(tokens) for kind, call, tokens in said if kind == "c"}
    for usage_id, tokens in closed.items():
        assert books.events[usage_id].quantities.completion_tokens == tokens
    (report,) = [each for each in books.last_reports().values() if "writer" in each.source]
    assert books.total(report.source) == report.cumulative


async def test_books_under_load_are_not_asked_for_every_few_events(tmp_path: Path) -> None:
    class SlowBooks(KeptBooks):
        async def book(self, batch: UsageBatch) -> Receipt:
            ended(metering, next(numbers))  # one comes while another is booked, without an end
            await asyncio.sleep(0.001)
            return await super().book(batch)

    books, numbers = SlowBooks(), itertools.count(1)
    metering = process(tmp_path, books, ship_seconds=0.2)
    began = time.monotonic()
    await metering.start()
    await until(lambda: len(books.reports) > 2)
    num_rounds = 1 + (time.monotonic() - began) / 0.2
    assert len(books.reports) <= 2 * (num_rounds + 1), "two journals"
    books.book = KeptBooks.book.__get__(books)
    await metering.stop()


@pytest.mark.parametrize("do_hang", [False, True], ids=["refuse", "hang"])
async def test_a_process_that_ends_does_not_wait_for_books_that_are_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do_hang: bool
) -> None:
    class HangingBooks(KeptBooks):
        async def book(self, batch: UsageBatch) -> Receipt:
            if do_hang:
                await asyncio.sleep(60)
            return await super().book(batch)

    monkeypatch.setattr("serve.metering.journal.shipping.LAST_TRY_SECONDS", 0.05)
    books = HangingBooks()
    books.is_away = True
    metering = process(tmp_path, books)
    await metering.start()
    ended(metering, 1)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        await metering.stop()
    heir = KeptBooks()
    other = process(tmp_path, heir, "other")
    await other.start()
    await until(lambda: len(heir.events) == 1)
    await other.stop()


async def test_a_call_that_begins_while_its_process_ends_is_left_to_another(tmp_path: Path) -> None:
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    await metering.stop()
    ended(metering, 1)
    (made,) = metering.meter.journals
    made.release(remove=False)
    other = process(tmp_path, books, "other")
    await other.start()
    await until(lambda: len(books.events) == 1)
    await other.stop()


async def test_calls_that_are_open_for_long_are_carried_once_however_much_waits_to_be_read(tmp_path: Path) -> None:
    made = journal(tmp_path, 64 * MIB)
    outbox = OwnOutbox(made, None)
    long = [made.open(subject(number), 5) for number in range(1, 2001)]
    for number in range(3000, 30_000):
        made.close(made.open(subject(number), 5), OK, values(2), 1)
    written = made.num_lines
    num_events = 0
    while (batch := await outbox.batch(1.0, 1)) is not None and batch.events:
        num_events += len(batch.events)
        await outbox.booked(batch, 1.0)
    assert num_events == 27_000
    assert len(long) <= made.num_lines - written <= 2 * len(long)
    assert made.ordinals()[0] > 1, "what they were opened in is deleted"
    made.release(remove=True)


async def test_a_folder_that_cannot_be_read_keeps_nothing_of_ones_own_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("serve.metering.journal.shipping.orphans", unreadable)
    books = KeptBooks()
    metering = process(tmp_path, books)
    await metering.start()
    ended(metering, 1)
    await until(lambda: len(books.events) == 1)
    await metering.stop()


async def test_what_is_written_reaches_the_disk_and_nothing_is_synced_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    metering = process(tmp_path, KeptBooks())
    await metering.start()
    for number in range(1, 4):
        ended(metering, number)
        await until(lambda: len(synced) == number)  # noqa: B023 - asked before the next
        assert not metering.meter.journals[0].is_dirty
    await asyncio.sleep(0.05)
    assert len(synced) == 3
    await metering.stop()
