"""Whatever order two witnesses speak in, however often, and in whatever transactions, an attempt comes to the same."""

from collections.abc import Sequence
from dataclasses import replace

from fakes.ledger import event, unbilled, witnessed
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.usage import Basis, PriceId, Quantities, UsageEvent, UsageStatus
from serve.metering.journal.wire import payload_sha256
from serve.metering.ledger.booking import COUNTS, Booked, Case, Standing, flaw, standing
from serve.metering.ledger.rollups import added

MEASURED = event(1, price=PriceId("p"))
CHECKPOINT = unbilled(replace(MEASURED, basis=Basis.CHECKPOINT, quantities=Quantities(100, 0, 6)))
WITNESSES = st.sampled_from(
    [
        witnessed(1, price=PriceId("p")),
        unbilled(witnessed(1, price=PriceId("p"))),
        witnessed(1, price=PriceId("p"), status=UsageStatus.CANCELED, quantities=Quantities(100, 0, 8)),
    ]
)


def rate(one: UsageEvent, price: PriceId | None) -> int | None:
    """Not linear, as a bill with tiers and roundings is not."""
    return None if price is None else one.quantities.prompt_tokens * 3 + one.quantities.completion_tokens**2


class Store:
    """What a database would keep of one attempt."""

    def __init__(self) -> None:
        self.rows: list[Booked] = []
        self.witness: UsageEvent | None = None

    def transaction(self, heard: Sequence[UsageEvent], now_ms: int, is_due: bool = False) -> None:
        case = Case(standing(self.rows), self.witness)
        for one in heard:
            case.hear(one, payload_sha256(one))
        if is_due:
            case.settle()
        if (posting := case.posting(rate, now_ms)) is not None:
            self.rows.append(posting)
        self.witness = case.witness


def told(store: Store) -> tuple[Quantities, int | None, bool, str | None, tuple[int, ...]]:
    """What the attempt comes to, its rows' counts included."""
    found = standing(store.rows)
    assert isinstance(found, Standing)
    assert sum(row.cost_nano or 0 for row in store.rows) == (found.cost_nano or 0)
    assert len({row.id for row in store.rows}) == len(store.rows)
    (rolled,) = {one[1:9]: one for one in added(store.rows, ())}.values()
    assert rolled[-len(COUNTS) :] == tuple(map(sum, zip(*(row.counts for row in store.rows), strict=True)))
    return found.event.quantities, found.cost_nano, found.event.billable, found.event.reason, rolled[-len(COUNTS) :]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), witness=WITNESSES, has_checkpoint=st.booleans(), has_measured=st.booleans())
def test_order_grouping_and_repetition_change_nothing(
    data: st.DataObject, witness: UsageEvent, has_checkpoint: bool, has_measured: bool
) -> None:
    said = [witness, *([CHECKPOINT] if has_checkpoint else []), *([MEASURED] if has_measured else [])]
    expected = Store()
    expected.transaction(said, 1)
    expected.transaction([], 2, is_due=True)

    store = Store()
    order = data.draw(st.permutations(said + data.draw(st.lists(st.sampled_from(said), max_size=4))))
    for now_ms, one in enumerate(order, start=1):
        if data.draw(st.booleans()):
            store.transaction([], now_ms, is_due=True)
        store.transaction([one], now_ms)
    store.transaction([], 99, is_due=True)
    store.transaction(said, 99)
    assert told(store) == told(expected)


@given(st.permutations([CHECKPOINT, MEASURED, witnessed(1, price=PriceId("p"))]))
def test_the_replicas_own_count_has_the_last_word(order: list[UsageEvent]) -> None:
    store = Store()
    for now_ms, one in enumerate(order):
        store.transaction([one], now_ms)
    quantities, cost, billable, _, counts = told(store)
    assert (quantities, billable, cost) == (MEASURED.quantities, True, rate(MEASURED, PriceId("p")))
    assert counts == (1, 0, 0, 0, 0, 0, 0)


def test_what_no_database_could_take_is_told_from_what_it_could() -> None:
    subject = MEASURED.subject
    assert flaw(MEASURED) is None
    for broken in (
        replace(MEASURED, quantities=Quantities(-1)),
        replace(MEASURED, subject=replace(subject, workflow="x" * 200)),
        replace(MEASURED, subject=replace(subject, tags=(("team", "\0"),))),
        replace(MEASURED, seq=0),
    ):
        assert flaw(broken)
