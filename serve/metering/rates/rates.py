"""Limits on what may be asked for in a minute or a day, exact over any number of gateways.

One row per scope and unit counts what was granted, in slots of a fraction of the window. A gateway takes a few units
more than it needs at the moment (a slice), and grants from these without a word to anybody for `SLICE_SECONDS`. A
slice is refused when the slots whose units could be used in one window with it add up to the limit: those of the
window, of the time that a slice may wait, and two more for where a window begins and for clocks that differ. So no
minute, wherever it begins, holds more than the limit; the price is that a caller who never pauses gets a minute's
limit in 65 seconds.

What a slice had left when it ended, and what callers give back (a call takes its tokens by an upper bound), is taken
off the slot that it was granted in: by the next transaction about its row, or within seconds. Whatever fails on the
way counts as used.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from serve.domain.errors import StorageUnavailable
from serve.domain.ports import Clock
from serve.metering.rates.limits import SLICE_MS, Demand, Limit, Row, Standing, Window, impossible, refusal
from serve.metering.rates.rows import Slice, forgotten, free_of, give_back, take_slice
from serve.storage.records import Records

_log = logging.getLogger("slipway.rates")

_REFUSED_MS = 250
"""How long a refusal stands without asking again: callers who do not wait must not reach the database each time."""
_TIDY_SECONDS = 2.0
_SWEEP_SECONDS = 300.0


@dataclass(slots=True)
class _Bucket:
    """What this gateway holds and knows of one row. Times are Unix milliseconds."""

    window: Window
    left: int = 0
    slot: int = 0
    began_ms: int = 0
    ends_ms: int = 0
    owed: dict[int, int] = field(default_factory=dict)
    """Units to give back, by the slot that they were granted in."""
    free: int | None = None
    """What the row had left when it was last looked at, without this gateway's slice."""
    used_ms: int = 0
    used: int = 0
    """Units granted since the slice began: what the next one is measured by."""
    wanted: int = 0
    """Units that calls are waiting for."""
    refused_until_ms: int = 0
    room_ms: int = 0

    def end_slice(self) -> None:
        """What is left is owed from now on, and so is what comes back."""
        self.owe(self.slot, self.left)
        self.left = self.ends_ms = 0

    def owe(self, slot: int, units: int) -> None:
        """Give `units` of `slot` back at the next occasion."""
        if units:
            self.owed[slot] = self.owed.get(slot, 0) + units

    def expected(self, now_ms: int) -> int:
        """Units that the next slice will probably need: as many as the last one, for its time."""
        elapsed_ms = max(now_ms - self.began_ms, SLICE_MS // 2)
        return self.used * SLICE_MS // elapsed_ms

    def is_idle(self, now_ms: int) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not (self.left or self.owed or self.wanted) and now_ms > self.used_ms + self.window.reach_ms


class Taken:
    """What one call took of its limits."""

    __slots__ = ("_grants", "_rates", "standings")

    def __init__(self, rates: "Rates", grants: list[tuple[Limit, int, int]], standings: list[Standing]) -> None:
        """`grants` are (limit, slot, units)."""
        self._rates = rates
        self._grants = grants
        self.standings = standings

    def give_back(self, unit: str, units: int) -> None:
        """`units` of `unit` were not needed after all."""
        for index, (limit, slot, taken) in enumerate(self._grants):
            if limit.unit == unit and (back := max(0, min(units, taken))):
                self._rates.give_back(limit, slot, back)
                self._grants[index] = (limit, slot, taken - back)

    def give_all_back(self) -> None:
        """The call came to nothing, and counts as never asked for."""
        for limit, slot, taken in self._grants:
            self._rates.give_back(limit, slot, taken)
        self._grants = []


class Rates:
    """The limits as one gateway sees them. `start` and `stop` run what gives back and sweeps."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._buckets: dict[Row, _Bucket] = {}
        self._turn = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None
        self._swept_at = clock.monotonic()

    async def start(self) -> None:
        """Begin to tidy up."""
        self._tidying = asyncio.create_task(self._tidy_for_ever())

    async def stop(self) -> None:
        """End, and give back what slices have left."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait({self._tidying})
            self._tidying = None
        for bucket in self._buckets.values():
            bucket.end_slice()
        with contextlib.suppress(StorageUnavailable):
            await self.settle()

    async def take(self, demands: Sequence[Demand]) -> Taken:
        """All of `demands` or none. While slices last, nothing in here waits.

        Raises:
            RateLimited: with the time to wait, and the limit in words.
            InvalidRequest: `request_over_limit`, more than all of a limit. QuotaExceeded: a limit of nothing.
            StorageUnavailable.
        """
        for limit, units in demands:
            if units > limit.most:
                raise impossible(limit, units)
        now_ms = self._clock.now_ms()
        if short := self._short(demands, now_ms):
            await self._refill(demands, short)
            now_ms = self._clock.now_ms()
        return self._grant(demands, now_ms)

    def standings(self, limits: Iterable[Limit]) -> list[Standing]:
        """How `limits` stand."""
        now_ms = self._clock.now_ms()
        return [_standing(limit, self._bucket(limit), now_ms) for limit in limits]

    async def look(self, limits: Sequence[Limit]) -> list[Standing]:
        """How `limits` stand over all gateways, for somebody who has asked for nothing yet. Raises StorageUnavailable.

        What other gateways have taken and not granted yet counts as used.
        """
        now_ms = self._clock.now_ms()
        async with self._records.read() as connection:
            found = [await free_of(connection, limit, now_ms) for limit in limits]
        return [self._looked(limit, *seen, now_ms) for limit, seen in zip(limits, found, strict=True)]

    def _looked(self, limit: Limit, free: int, newest_ms: int, now_ms: int) -> Standing:
        bucket = self._buckets.get(limit.row)
        mine = 0 if bucket is None else bucket.left + sum(bucket.owed.values())
        left = max(0, min(limit.most, free + mine))
        idle_ms = newest_ms + limit.window.reach_ms - now_ms if left < limit.most else 0
        return Standing(limit, left, max(0, idle_ms) / 1000)

    def give_back(self, limit: Limit, slot: int, units: int) -> None:
        """Units that were granted in `slot` were not used."""
        bucket = self._bucket(limit)
        bucket.refused_until_ms = 0
        if slot == bucket.slot and self._clock.now_ms() < bucket.ends_ms:
            bucket.left += units
            bucket.used = max(0, bucket.used - units)
        else:
            bucket.owe(slot, units)

    async def settle(self) -> None:
        """Give back everything that is owed. Raises StorageUnavailable; then it counts as used for a window."""
        now_ms = self._clock.now_ms()
        for bucket in self._buckets.values():
            if bucket.left and now_ms >= bucket.ends_ms:
                bucket.end_slice()
        async with self._turn:
            owing = sorted(row for row, bucket in self._buckets.items() if bucket.owed)
            if owing:
                await self._pay(owing)
        for row in [row for row, bucket in self._buckets.items() if bucket.is_idle(now_ms)]:
            del self._buckets[row]

    def _bucket(self, limit: Limit) -> _Bucket:
        row = limit.row
        found = self._buckets.get(row)
        if found is None:
            found = self._buckets[row] = _Bucket(limit.window)
        return found

    def _short(self, demands: Sequence[Demand], now_ms: int) -> list[Demand]:
        """The demands that this gateway's slices do not cover."""
        short = []
        for demand in demands:
            bucket = self._bucket(demand[0])
            if bucket.left < demand[1] or now_ms >= bucket.ends_ms:
                short.append(demand)
        return short

    def _grant(self, demands: Sequence[Demand], now_ms: int) -> Taken:
        grants, standings = [], []
        for limit, units in demands:
            bucket = self._bucket(limit)
            bucket.left -= units
            bucket.used += units
            bucket.used_ms = now_ms
            grants.append((limit, bucket.slot, units))
            standings.append(_standing(limit, bucket, now_ms))
        return Taken(self, grants, standings)

    async def _refill(self, demands: Sequence[Demand], short: Sequence[Demand]) -> None:
        """Take slices until every demand is covered. The slice of the first call that waits serves the others."""
        self._check_refused(short)
        for limit, units in short:
            self._bucket(limit).wanted += units
        try:
            async with self._turn:
                while still := self._short(demands, self._clock.now_ms()):
                    self._check_refused(still)
                    await self._take_slices(still)
        finally:
            for limit, units in short:
                self._bucket(limit).wanted -= units

    def _check_refused(self, demands: Sequence[Demand]) -> None:
        """Raises RateLimited for the limit that has room last."""
        now_ms, refused = self._clock.now_ms(), []
        for limit, units in demands:
            bucket = self._bucket(limit)
            if now_ms < bucket.refused_until_ms and bucket.left + (bucket.free or 0) < units:
                refused.append((bucket.room_ms, limit, units))
        if refused:
            room_ms, limit, units = max(refused, key=lambda one: one[0])
            raise refusal(limit, units, max(1, room_ms - now_ms))

    async def _take_slices(self, demands: Sequence[Demand]) -> None:
        now_ms = self._clock.now_ms()
        ordered = sorted(demands, key=lambda demand: demand[0].row)  # gateways lock rows in one order
        paid = [self._owed(self._bucket(limit)) for limit, _ in ordered]
        # When this fails, nobody knows whether it was committed: what was owed is not owed again, and counts as used.
        async with self._records.write() as connection:
            taken = [
                await take_slice(connection, limit, units, self._wish(limit, units, now_ms), owed, now_ms)
                for (limit, units), owed in zip(ordered, paid, strict=True)
            ]
        for (limit, units), found in zip(ordered, taken, strict=True):
            _begin(self._bucket(limit), found, units, now_ms)
        self._check_refused(demands)

    def _owed(self, bucket: _Bucket) -> dict[int, int]:
        """What is owed, the present slice with it; from here on it is the transaction's."""
        bucket.end_slice()
        owed, bucket.owed = bucket.owed, {}
        return owed

    def _wish(self, limit: Limit, units: int, now_ms: int) -> int:
        bucket = self._bucket(limit)
        return max(bucket.wanted, units) + bucket.expected(now_ms)

    async def _pay(self, rows: Sequence[Row]) -> None:
        paid = {row: self._buckets[row].owed for row in rows}
        for row in rows:
            self._buckets[row].owed = {}
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            for row, owed in paid.items():
                await give_back(connection, row, self._buckets[row].window, owed, now_ms)

    async def _tidy_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            try:
                await self.settle()
                if self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
                    self._swept_at = self._clock.monotonic()
                    await self.sweep()
            except Exception:
                _log.warning("unused units of rate limits could not be given back", exc_info=True)

    async def sweep(self) -> None:
        """Remove rows that nothing counts of any more."""
        async with self._records.write() as connection:
            await connection.execute(forgotten(self._clock.now_ms()))


def _begin(bucket: _Bucket, found: Slice, units: int, now_ms: int) -> None:
    bucket.free = found.free
    bucket.used_ms = max(bucket.used_ms, found.newest_ms)
    if found.units:
        bucket.left, bucket.slot, bucket.used = found.units, found.slot, 0
        bucket.began_ms, bucket.ends_ms = now_ms, now_ms + SLICE_MS
    elif found.free < units:
        bucket.room_ms = found.room_ms
        bucket.refused_until_ms = min(now_ms + _REFUSED_MS, found.room_ms)


def _standing(limit: Limit, bucket: _Bucket, now_ms: int) -> Standing:
    idle_ms = bucket.used_ms + limit.window.reach_ms - now_ms
    if bucket.free is None or idle_ms <= 0:
        return Standing(limit, limit.most, 0.0)
    return Standing(limit, max(0, min(limit.most, bucket.free + bucket.left)), idle_ms / 1000)
