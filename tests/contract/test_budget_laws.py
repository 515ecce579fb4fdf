"""Gateways, ledger and sweep under chaos: budgets are never overspent, and at rest nothing is held.

The examples of an ordinary run are the same each time; `make test-long` plays many more, and others each time.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes.budgets import ACME, DEFAULT, KEY, add_budget, add_tenant, book, call, posting
from fakes.clock import CountingIds, ManualClock
from fakes.databases import memory, new_sqlite
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import case, func, insert, select, update

from serve.domain.errors import QuotaExceeded
from serve.domain.names import RunId
from serve.domain.usage import Basis, HoldId
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets
from serve.metering.budgets.holds import LEASE
from serve.metering.budgets.leases import Lease, Reservation
from serve.metering.budgets.sweeping import HoldSweep
from serve.metering.budgets.wallets import Wallets
from serve.metering.ledger.booking import Booked, Kind, Standing
from serve.settings import MeteringSettings
from serve.storage.metering_tables import budget_accounts, hold_accounts, holds, usage_sources
from serve.storage.records import Records
from serve.storage.tables import runs

NUM_GATEWAYS = 3
LIMIT_TOTAL, LIMIT_DAY = 1000, 400
SETTINGS = MeteringSettings(witness_grace_seconds=10, lease_seconds=15)
WAITED_SECONDS = 100
"""What holds is promised for so long: ten graces after a lease or a run has ended, its open calls are waited for no
more. What happens then is in `test_budgets`."""
WHICH = st.integers(0, NUM_GATEWAYS - 1)
SHARE = st.sampled_from((0.0, 0.3, 0.7, 1.0))
COST = st.integers(1, 30) | st.integers(50, 150) | st.just(LIMIT_DAY // 2)
ALL = list(HealthCheck)


@dataclass
class Call:
    """A call that was admitted, until it is booked."""

    id: str
    hold: HoldId
    reserved: int
    admitted_ms: int
    reservation: Reservation | None = None
    cost: int | None = None
    booked: Booked | None = None
    estimated: int = 0
    """What of its cost is booked, as long as not all of it is."""

    @property
    def promised(self) -> int:
        """What it may still take."""
        return (self.reserved if self.cost is None else self.cost) - self.estimated


class Chaos(RuleBasedStateMachine):
    """Three gateways over one database, on one clock that a rule moves."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory(dir=memory())
        url = new_sqlite(Path(self.folder.name) / "a.db")
        self.clock, self.ids = ManualClock(), CountingIds()
        self.records = Records(url)
        self.calls: list[Call] = []
        self.finished: list[Call] = []
        self.sweeps = [HoldSweep(self.records, self.clock, SETTINGS.witness_grace_seconds) for _ in range(2)]
        self.gateways: list[Wallets] = []
        self.spent = 0

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        await add_tenant(self.records)
        budgets = Budgets(self.records, self.clock, self.ids)
        await add_budget(budgets, LIMIT_TOTAL)
        await add_budget(budgets, LIMIT_DAY, Period.DAY)
        names = {"source": "s", "model": "m", "is_witness": 0, "last_seq": 0, "booked_seq": 0, "num_open": 0}
        empty: dict[str, Any] = {"cumulative": {}, "booked": {}, "counters": {}, "gaps": [], "closed": 0, "killed": 0}
        now_ms = self.clock.now_ms()
        async with self.records.write() as connection:
            row = names | empty | {"started_ms": now_ms, "reported_ms": now_ms}
            await connection.execute(insert(usage_sources).values(row))
        self.gateways = [self._gateway() for _ in range(NUM_GATEWAYS)]

    def _gateway(self) -> Wallets:
        return Wallets(self.records, self.clock, self.ids, SETTINGS, f"gateway-{self.ids.new()}", recall_seconds=0.05)

    @rule(asked=st.lists(st.tuples(WHICH, COST), min_size=1, max_size=8))
    def admit(self, asked: list[tuple[int, int]]) -> None:
        self.run(self._admit(asked, self.gateways))

    @rule(which=WHICH, nano=COST)
    def admit_at_one_that_is_behind(self, which: int, nano: int) -> None:
        """It has not looked after its leases for as long as it likes."""
        self.run(self._admit([(which, nano)], [one for one in self.gateways if one is not self.gateways[which]]))

    async def _admit(self, asked: list[tuple[int, int]], keeping: list[Wallets]) -> None:
        """Calls that come at the same time; while they wait, other gateways take their turns."""
        waiting = [asyncio.create_task(self._call(self.gateways[which], nano)) for which, nano in asked]
        await asyncio.sleep(0)  # what a lease in hand covers is not preceded by its keeper's turn
        while not all(one.done() for one in waiting):
            for gateway in keeping:
                await gateway.turn()
            await asyncio.sleep(0.001)
        for one in waiting:
            one.result()

    async def _call(self, gateway: Wallets, nano: int) -> None:
        request_id = self.ids.new()
        with suppress(QuotaExceeded):
            made = await gateway.reserve(ACME, DEFAULT, KEY, nano, request_id)
            assert made is not None
            self.calls.append(Call(request_id, made.hold, nano, self.clock.now_ms(), made))

    @rule(which=WHICH, nano=COST)
    def accept_run(self, which: int, nano: int) -> None:
        run_id = RunId(self.ids.new())
        with suppress(QuotaExceeded):
            hold = self.run(self.gateways[which].hold_for_run(ACME, DEFAULT, KEY, run_id, nano))
            self.calls.append(Call(run_id, hold, nano, self.clock.now_ms()))
            self.run(self._add_run(run_id, hold))

    async def _add_run(self, run_id: RunId, hold: HoldId) -> None:
        row = {column.name: 0 for column in runs.columns if not column.nullable and column.type.python_type is int}
        texts = {column.name: "x" for column in runs.columns if not column.nullable and column.type.python_type is str}
        mine = {"id": run_id, "request_id": run_id, "hold": hold, "attempt": 1, "inputs": {}}
        async with self.records.write() as connection:
            await connection.execute(insert(runs).values(row | texts | mine))

    @rule(share=SHARE, is_known=st.booleans(), number=st.integers(0))
    def end(self, share: float, is_known: bool, number: int) -> None:
        """A call ends; a run does, with its row, and the sweep is faster than the ledger."""
        under_way = [one for one in self.calls if one.cost is None]
        if not under_way:
            return
        one = under_way[number % len(under_way)]
        one.cost = round(one.reserved * share)
        if one.reservation is None:
            self.run(self._end_run(one.id))
            self._sweep()
        else:
            one.reservation.settle(one.cost if is_known else None)
            one.reservation.settle(0)  # a second word, as of a request that is closed after its call, says nothing

    async def _end_run(self, run_id: str) -> None:
        async with self.records.write() as connection:
            ended = {"finished_ms": self.clock.now_ms()}
            await connection.execute(update(runs).where(runs.c.id == run_id).values(ended))

    @rule(share=SHARE)
    def book(self, share: float) -> None:
        """The latest come first."""
        ended = [one for one in self.calls if one.cost is not None]
        for one in ended[round(len(ended) * share) :]:
            self._book(one)

    @rule(share=SHARE)
    def estimate(self, share: float) -> None:
        """A call breaks off; the second witness is faster than the replica, and knows less; gateways hear of it."""
        one = next((one for one in reversed(self.calls) if one.booked is None), None)
        if one is not None and one.reservation is not None:
            one.reservation.settle(None)
            one.cost = one.reserved if one.cost is None else one.cost
            seen = call(one.id, one.hold, one.admitted_ms, basis=Basis.WITNESS)
            one.estimated = round((one.cost or 0) * share)
            one.booked = posting(seen, one.estimated)
            self.run(book(self.records, one.booked))
            self.spent += one.estimated
            self.clock.advance(1)
            for gateway in self.gateways:
                self.run(gateway.turn())

    def _book(self, one: Call) -> None:
        measured = posting(call(one.id, one.hold, one.admitted_ms), one.promised)
        if one.booked is not None:
            stands = Standing(one.booked.event, one.estimated, 0, 0, None, 0, frozenset(), frozenset())
            measured = measured._replace(kind=Kind.CORRECTION, id=f"{one.booked.id}/m", before=stands)
        self.run(book(self.records, measured))
        self.spent += one.promised
        one.booked = measured
        self.calls.remove(one)
        self.finished.append(one)

    @rule(number=st.integers(0), share=SHARE)
    def correct_downwards(self, number: int, share: float) -> None:
        if not self.finished:
            return
        one = self.finished.pop(number % len(self.finished))
        assert one.booked is not None
        before, less = one.booked, round((one.cost or 0) * share)
        stands = Standing(before.event, one.cost, 0, 0, None, 0, frozenset(), frozenset())
        correction = before._replace(kind=Kind.CORRECTION, cost_nano=-less, id=f"{before.id}/less", before=stands)
        self.run(book(self.records, correction))
        self.spent -= less

    @rule(which=WHICH, kind=st.sampled_from(("kill", "restart", "next day", "sleep", "take all")))
    def upset(self, which: int, kind: str) -> None:
        """What must not happen too often, or nothing else does."""
        match kind:
            case "kill":
                self._kill(which)
            case "restart":
                self._restart(which)
            case "next day":
                self._begin_the_next_day()
            case "sleep":
                self._sleep(which)
            case _:
                self._take_all_that_is_left(which)

    def _kill(self, which: int) -> None:
        """Its calls end as they may, and are booked some time: nobody settles them here."""
        self.gateways[which] = self._gateway()
        for one in self.calls:
            one.cost = one.reserved if one.cost is None and one.reservation is not None else one.cost

    def _restart(self, which: int) -> None:
        """Calls under way end with their requests, before it stops; what they cost is not known here."""
        for one in self.calls:
            if one.cost is None and one.reservation is not None:
                one.reservation.settle(None)
                one.cost = one.reserved
        self.run(self.gateways[which].stop())
        self.gateways[which] = self._gateway()

    @rule(which=WHICH)
    def turn(self, which: int) -> None:
        self.run(self.gateways[which].turn())

    @rule(seconds=st.integers(1, 40))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self._sweep()

    def _sweep(self) -> None:
        """What the ledger would wait for no longer ends in time, sources report, and the ledger sweeps."""
        overdue = self.run(self._overdue())
        for one in [one for one in self.calls if one.hold in overdue]:
            self._end_and_book(one)
        self.run(self._report_and_sweep())

    async def _overdue(self) -> set[str]:
        """The holds of leases and runs that ended too long ago."""
        end_ms = case((holds.c.kind == LEASE, holds.c.expires_ms), else_=runs.c.finished_ms)
        query = select(holds.c.id).select_from(holds.outerjoin(runs, runs.c.hold == holds.c.id))
        async with self.records.read() as connection:
            found = await connection.execute(query.where(end_ms < self.clock.now_ms() - WAITED_SECONDS * 1000))
            return {row.id for row in found}

    async def _report_and_sweep(self) -> int:
        unbooked = [one.admitted_ms for one in self.calls]
        said = {"reported_ms": self.clock.now_ms(), "oldest_open_ms": min(unbooked, default=None)}
        async with self.records.write() as connection:
            await connection.execute(update(usage_sources).values(said))
        return sum(await asyncio.gather(*(sweep.sweep() for sweep in self.sweeps)))

    def _begin_the_next_day(self) -> None:
        if any(one.cost is None for one in self.calls):
            return
        for one in list(self.calls):
            self._book(one)
        self.clock.advance(86_400)
        self._sweep()

    @invariant()
    def nothing_is_overspent(self) -> None:
        if self.gateways:
            self.run(self._check())

    async def _check(self) -> None:
        async with self.records.read() as connection:
            rows = (await connection.execute(select(budget_accounts))).all()
            of_holds = select(hold_accounts.c.budget_id, hold_accounts.c.period_ms, func.sum(holds.c.remaining_nano))
            joined = of_holds.join(holds, holds.c.id == hold_accounts.c.hold_id)
            grouped = joined.group_by(hold_accounts.c.budget_id, hold_accounts.c.period_ms)
            held = {(row[0], row[1]): row[2] for row in await connection.execute(grouped)}
        for row in rows:
            limit = LIMIT_DAY if row.period_ms else LIMIT_TOTAL
            assert row.spent_nano + row.held_nano <= limit
            of_account = [one for one in self.calls if row.period_ms in (0, Period.DAY.start_ms(one.admitted_ms))]
            promised = sum(one.promised for one in of_account)
            assert row.spent_nano + promised <= limit
            assert row.held_nano == held.get((row.budget_id, row.period_ms), 0)

    @invariant()
    def what_is_promised_is_held(self) -> None:
        """By each hold, for what its lease has free and what calls from it may still take."""
        free: dict[str, int] = {}
        for lease in (lease for gateway in self.gateways for lease in _leases(gateway)):
            free[lease.id] = max(0, lease.free) if self.clock.now_ms() < lease.ends_ms else 0
        for one in self.calls:
            free[one.hold] = free.get(one.hold, 0) + one.promised
        if free:
            self.run(self._check_holds(free))

    async def _check_holds(self, promised: dict[str, int]) -> None:
        async with self.records.read() as connection:
            rows = (await connection.execute(select(holds).where(holds.c.id.in_(promised)))).all()
        remaining = {row.id: row.remaining_nano for row in rows}
        for hold, nano in promised.items():
            assert remaining.get(hold, 0) >= nano

    def teardown(self) -> None:
        try:
            if self.gateways:
                self._come_to_rest()
        finally:
            self.run(self.records.close())
            self.runner.close()
            self.folder.cleanup()

    def _sleep(self, which: int) -> None:
        """A process stands still until others have taken its leases for dead, and then admits as if nothing was."""
        self._book_all()
        self._wait()
        self.run(self._admit([(which, 1), (which, 20)], []))

    def _take_all_that_is_left(self, which: int) -> None:
        """Once everything is booked and the dead are buried, any gateway gets all of it in one call."""
        self._book_all()
        self._wait()
        self.run(self._take_all(self.gateways[which]))

    async def _take_all(self, gateway: Wallets) -> None:
        async with self.records.read() as connection:
            rows = (await connection.execute(select(budget_accounts))).all()
        today = Period.DAY.start_ms(self.clock.now_ms())
        spent = {row.period_ms: row.spent_nano for row in rows}
        left = min(LIMIT_TOTAL - spent.get(0, 0), LIMIT_DAY - spent.get(today, 0))
        if not left:
            return
        asking = asyncio.create_task(gateway.reserve(ACME, DEFAULT, KEY, left, "all"))
        while not asking.done():
            for one in self.gateways:
                await one.turn()
            await asyncio.sleep(0.001)
        made = asking.result()
        assert made is not None
        made.settle(0)

    def _come_to_rest(self) -> None:
        self._book_all()
        for gateway in self.gateways:
            self.run(gateway.stop())
        self._wait()
        self.run(self._check_rest())

    def _book_all(self) -> None:
        for one in list(self.calls):
            self._end_and_book(one)

    def _end_and_book(self, one: Call) -> None:
        if one.cost is None:
            one.cost = one.reserved
            if one.reservation is None:
                self.run(self._end_run(one.id))
            else:
                one.reservation.settle(one.cost)
        self._book(one)

    def _wait(self) -> None:
        for _ in range(5):
            self.clock.advance(12)
            self._sweep()

    async def _check_rest(self) -> None:
        async with self.records.read() as connection:
            rows = (await connection.execute(select(budget_accounts))).all()
        assert sum(row.held_nano for row in rows) == 0
        assert sum(row.spent_nano for row in rows if not row.period_ms) == self.spent
        assert sum(row.spent_nano for row in rows if row.period_ms) == self.spent


def _leases(gateway: Wallets) -> list[Lease]:
    active = [one.lease for one in gateway._allowances() if one.lease is not None]
    return [*active, *gateway._keeping._retired]


class TestChaos(Chaos.TestCase):
    """What every run of the tests plays."""

    settings = settings(
        max_examples=25, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=ALL
    )


@pytest.mark.long
class TestMuchChaos(Chaos.TestCase):
    """Many more examples."""

    settings = settings(max_examples=1000, stateful_step_count=60, deadline=None, suppress_health_check=ALL)
