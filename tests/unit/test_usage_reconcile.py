"""Whether it adds up: per source, and beside Prometheus."""

from dataclasses import replace

import pytest
from fakes.ledger import ADMITTED_MS, batch, event
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.usage import JournalGap, Quantities, SourceReport
from serve.metering.ledger.reconcile import LOST_MS, Evidence, Kind, Scraped, compared, verdict_on
from serve.metering.ledger.sources import SourceBook, counted, reported

NOW_MS = ADMITTED_MS + 1000
THREE = [event(1), event(2), event(3)]
TOKENS = {"prompt_tokens_total": 300.0, "generation_tokens_total": 30.0}


def book_with(missing: int | None = None, num_booked: int = 3, **said: object) -> SourceBook:
    """The books of three events, with one missing, or only the first ones, and the report changed."""
    events = [one for one in THREE[:num_booked] if one.seq != missing]
    report: SourceReport = replace(batch(*THREE, counters=TOKENS).report, **said)
    return counted(SourceBook(report), events)


@pytest.mark.parametrize(
    ("book", "expected"),
    [
        pytest.param(book_with(), [], id="it adds up"),
        pytest.param(book_with(missing=2), [Kind.GAP], id="a record was taken out"),
        pytest.param(book_with(num_booked=2, closed=True), [Kind.GAP], id="the last record was taken out"),
        pytest.param(book_with(num_booked=2), [], id="the rest is on its way"),
        pytest.param(book_with(num_booked=2, reported_ms=NOW_MS - 61_000), [Kind.LATE], id="the rest is late"),
        pytest.param(book_with(gaps=(JournalGap(4, 5, "unreadable"),)), [Kind.GAP], id="a journal cannot be read"),
        pytest.param(
            book_with(cumulative=Quantities(301, 0, 30)), [Kind.SUM, Kind.COUNTERS], id="a record was changed"
        ),
        pytest.param(book_with(counters=TOKENS | {"prompt_tokens_total": 301}), [Kind.COUNTERS], id="work unaccounted"),
        pytest.param(book_with(counters=TOKENS | {"images_total": 1}), [Kind.COUNTERS], id="an image unaccounted"),
        pytest.param(book_with(counters={"running": 4.0}), [], id="an engine that counts nothing"),
        pytest.param(book_with(counters={"prompt_tokens_total": 310.0}, num_open=1), [], id="work in progress"),
        pytest.param(book_with(counters={"prompt_tokens_total": 250.0}, killed=True), [], id="killed after its report"),
        pytest.param(
            book_with(counters={"generation_tokens_total": 95.0}, killed=True),
            [Kind.COUNTERS],
            id="killed, more is lost",
        ),
        pytest.param(book_with(num_open=2, reported_ms=NOW_MS - 601_000), [Kind.SILENT], id="silent with open calls"),
        pytest.param(book_with(num_open=2, reported_ms=NOW_MS - LOST_MS - 1), [], id="lost: its witnesses are booked"),
    ],
)
def test_what_does_not_add_up_is_said(book: SourceBook, expected: list[Kind]) -> None:
    found = verdict_on(book, NOW_MS, Evidence(unchecked=Quantities(completion_tokens=64)))
    assert [one.kind for one in found.differences] == expected
    assert found.adds_up is not bool(expected)


def test_the_sentence_names_the_numbers_that_are_missing() -> None:
    (one,) = verdict_on(book_with(missing=2), NOW_MS).differences
    assert (one.message, one.num_missing) == ("Events 2 to 2 are missing.", 1)


def test_a_conflict_is_a_difference() -> None:
    assert [one.kind for one in verdict_on(book_with(), NOW_MS, Evidence(num_conflicts=2)).differences] == [
        Kind.CONFLICT
    ]


@given(st.permutations(range(1, 9)), st.lists(st.integers(1, 8), max_size=6), st.integers(1, 5))
def test_a_source_counts_each_event_once_in_any_order_and_grouping(
    order: list[int], repeated: list[int], size: int
) -> None:
    seqs = [*order, *repeated]
    book = SourceBook(batch(event(8)).report)
    for start in range(0, len(seqs), size):
        book = counted(book, [event(seq) for seq in seqs[start : start + size]])
    assert (book.booked_seq, book.ahead, book.missing) == (8, (), ())
    assert book.booked == Quantities(prompt_tokens=800, completion_tokens=80)


@given(st.sets(st.integers(1, 12), min_size=1))
def test_the_holes_are_just_what_is_missing(seqs: set[int]) -> None:
    book = counted(SourceBook(batch(event(12)).report), [event(seq) for seq in seqs])
    missing = {seq for first, last in book.missing for seq in range(first, last + 1)}
    assert missing == set(range(1, max(seqs) + 1)) - seqs


def test_an_older_report_takes_nothing_back() -> None:
    closed = batch(*THREE, closed=True, killed=True).report
    book = reported(reported(SourceBook(batch(*THREE[:2]).report), closed), batch(*THREE[:1]).report)
    assert (book.report.last_seq, book.report.closed, book.report.killed) == (3, True, True)


KEY = ("acme", "echo", "prompt_tokens")


@pytest.mark.parametrize(
    ("booked", "scraped", "result"),
    [
        pytest.param(1000, Scraped(1010.0), "agrees", id="extrapolated"),
        pytest.param(1000, Scraped(900.0), "differs", id="a tenth is missing"),
        pytest.param(1000, Scraped(400.0, coverage=0.5), "unknown", id="Prometheus began anew"),
        pytest.param(1000, None, "unknown", id="nothing was scraped"),
        pytest.param(0, Scraped(50.0), "differs", id="nothing was booked"),
    ],
)
def test_prometheus_is_believed_within_its_limits(booked: int, scraped: Scraped | None, result: str) -> None:
    (one,) = compared({KEY: booked}, {} if scraped is None else {KEY: scraped})
    assert one.result == result
