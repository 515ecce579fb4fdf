"""Limits on what may be asked for in a minute or a day, exact over any number of gateways.

One row per scope and unit counts what was granted, in slots of a fraction of the window. A gateway takes a few units
more than it needs at the moment (a slice), and grants from these without a word to anybody for `SLICE_SECONDS`. A
slice is refused when the slots whose units could be used in one window with it add up to the limit: those of the
window, of the time that a slice may wait, and two more for where a window begins and for clocks that differ. So no
minute, wherever it begins, holds more than the limit; the price is that a caller who never pauses gets a minute's
limit in 65 seconds.

What a slice had left when it ended, and what callers give back (a call takes its tokens by an upper bound), is taken
off the slot that it was granted in: by the next transaction about its row, or within seconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import InvalidRequest, QuotaExceeded, RateLimited, StorageUnavailable
from serve.domain.ports import Clock
from serve.storage.metering_tables import rate_buckets
from serve.storage.records import Records

_log = logging.getLogger("slipway.rates")

SLICE_SECONDS = 2.0
_SLICE_MS = round(SLICE_SECONDS * 1000)
_SLICE_SHARE = 4
"""Beyond what is needed now, a slice takes one part in so many of what is left: other gateways ask, too."""
_SCARCE_SHARE = 10
"""When less than one part in so many of a limit is left, nobody takes more than is needed now."""
_REFUSED_MS = 250
"""How long a refusal stands without asking again: callers who do not wait must not reach the database each time."""
_TIDY_SECONDS = 2.0
_SWEEP_SECONDS = 300.0
_MAX_SCOPE_CHARS = 160
_INSERT: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in which so much may be asked for. `suffix` tells its rows from those of other windows."""

    name: str
    window_ms: int
    slot_ms: int
    suffix: str = ""

    @property
    def reach_ms(self) -> int:
        """How far back grants count."""
        return self.window_ms + 2 * self.slot_ms + _SLICE_MS


MINUTE = Window("minute", 60_000, 1000)
DAY = Window("day", 86_400_000, 600_000, "/day")


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` of `unit` (requests, tokens, images) per window. `scope` says whose, `whose` the same in words."""

    scope: str
    unit: str
    most: int
    whose: str
    window: Window = MINUTE

    @property
    def row(self) -> Row:
        """The key of its row."""
        return self.scope[:_MAX_SCOPE_CHARS], self.unit + self.window.suffix

    def told(self) -> str:
        """The limit in words: `60 requests a minute of this key`."""
        return f"{self.most} {self.unit} a {self.window.name} of {self.whose}"


Demand = tuple[Limit, int]
"""A limit, and how much of it a call asks for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands, as far as this gateway knows: what answers' headers say. `reset_seconds`: until all of it is
    free again if nothing more is asked for."""

    limit: Limit
    remaining: int
    reset_seconds: float


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
        elapsed_ms = max(now_ms - self.began_ms, _SLICE_MS // 2)
        return self.used * _SLICE_MS // elapsed_ms

    def is_idle(self, now_ms: int) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not (self.left or self.owed or self.wanted) and now_ms > self.used_ms + self.window.reach_ms


@dataclass(frozen=True, slots=True)
class _Slice:
    """What a transaction found in a row, and took from it."""

    units: int
    slot: int
    free: int
    newest_ms: int
    room_ms: int


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
        for limit, slot, taken in self._grants:
            if limit.unit == unit and units > 0:
                self._rates.give_back(limit, slot, min(units, taken))

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
                raise _impossible(limit, units)
        now_ms = self._clock.now_ms()
        if short := self._short(demands, now_ms):
            await self._refill(demands, short)
            now_ms = self._clock.now_ms()
        return self._grant(demands, now_ms)

    def standings(self, limits: Iterable[Limit]) -> list[Standing]:
        """How `limits` stand."""
        now_ms = self._clock.now_ms()
        return [_standing(limit, self._bucket(limit), now_ms) for limit in limits]

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
        """Write down everything that is owed. Raises StorageUnavailable; it is owed still, then."""
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
            raise _refusal(limit, units, max(1, room_ms - now_ms))

    async def _take_slices(self, demands: Sequence[Demand]) -> None:
        now_ms = self._clock.now_ms()
        ordered = sorted(demands, key=lambda demand: demand[0].row)  # gateways lock rows in one order
        paid = [self._owed(self._bucket(limit)) for limit, _ in ordered]
        try:
            async with self._records.write() as connection:
                taken = [
                    await self._take_slice(connection, limit, units, owed, now_ms)
                    for (limit, units), owed in zip(ordered, paid, strict=True)
                ]
        except BaseException:
            for (limit, _), owed in zip(ordered, paid, strict=True):
                _owe_again(self._bucket(limit), owed)
            raise
        for (limit, units), found in zip(ordered, taken, strict=True):
            _begin(self._bucket(limit), found, units, now_ms)
        self._check_refused(demands)

    def _owed(self, bucket: _Bucket) -> dict[int, int]:
        """What is owed, the present slice with it; from here on it is the transaction's."""
        bucket.end_slice()
        owed, bucket.owed = bucket.owed, {}
        return owed

    async def _take_slice(
        self, connection: AsyncConnection, limit: Limit, units: int, owed: Mapping[int, int], now_ms: int
    ) -> _Slice:
        """A slice of at least `units`, or of none where there are not so many."""
        bucket, window = self._bucket(limit), limit.window
        slots = await _locked(connection, limit.row, now_ms)
        # A gateway whose clock is ahead has written already into slots that are to come here: time goes on from them.
        now_ms = max(now_ms, max(slots, default=0) * window.slot_ms)
        slots = _counted(slots, owed, window, now_ms)
        free, slot = limit.most - sum(slots.values()), now_ms // window.slot_ms
        taken = _slice_of(free, units, max(bucket.wanted, units) + bucket.expected(now_ms), limit.most)
        room_ms = _room_ms(slots, units - free, window, now_ms)
        newest_ms = (max(slots) + 1) * window.slot_ms if slots else 0
        if taken:
            slots[slot] = slots.get(slot, 0) + taken
        await _store(connection, limit.row, slots)
        return _Slice(taken, slot, free - taken, newest_ms, room_ms)

    async def _pay(self, rows: Sequence[Row]) -> None:
        paid = {row: self._buckets[row].owed for row in rows}
        for row in rows:
            self._buckets[row].owed = {}
        now_ms = self._clock.now_ms()
        try:
            async with self._records.write() as connection:
                for row, owed in paid.items():
                    slots = await _locked(connection, row, now_ms)
                    await _store(connection, row, _counted(slots, owed, self._buckets[row].window, now_ms))
        except BaseException:
            for row, owed in paid.items():
                _owe_again(self._buckets[row], owed)
            raise

    async def _tidy_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            try:
                await self.settle()
                if self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
                    self._swept_at = self._clock.monotonic()
                    await self.sweep()
            except Exception:
                _log.warning("unused units of rate limits could not be given back; they will be later", exc_info=True)

    async def sweep(self) -> None:
        """Remove rows that nothing counts of any more."""
        now_ms, unit, updated_ms = self._clock.now_ms(), rate_buckets.c.unit, rate_buckets.c.updated_ms
        is_daily = unit.endswith(DAY.suffix)
        old_minute = and_(~is_daily, updated_ms < now_ms - 2 * MINUTE.reach_ms)
        old_day = and_(is_daily, updated_ms < now_ms - 2 * DAY.reach_ms)
        async with self._records.write() as connection:
            await connection.execute(delete(rate_buckets).where(or_(old_minute, old_day)))


async def _locked(connection: AsyncConnection, row: Row, now_ms: int) -> dict[int, int]:
    """The row's slots; it is made where it lacks, and is this transaction's alone until its end."""
    scope, unit = row
    insert = _INSERT[connection.dialect.name](rate_buckets).values(scope=scope, unit=unit, slots={}, updated_ms=now_ms)
    insert = insert.on_conflict_do_update(index_elements=["scope", "unit"], set_={"updated_ms": now_ms})
    slots = (await connection.execute(insert.returning(rate_buckets.c.slots))).scalar_one()
    return {int(slot): units for slot, units in slots.items()}


async def _store(connection: AsyncConnection, row: Row, slots: Mapping[int, int]) -> None:
    mine = (rate_buckets.c.scope == row[0], rate_buckets.c.unit == row[1])
    values = {str(slot): units for slot, units in slots.items()}
    await connection.execute(update(rate_buckets).where(*mine).values(slots=values))


def _counted(slots: Mapping[int, int], owed: Mapping[int, int], window: Window, now_ms: int) -> dict[int, int]:
    """What counts of `slots`, less what is given back."""
    first = (now_ms - window.reach_ms) // window.slot_ms
    left = {slot: units - owed.get(slot, 0) for slot, units in slots.items() if slot >= first}
    return {slot: units for slot, units in left.items() if units > 0}


def _slice_of(free: int, units: int, wish: int, most: int) -> int:
    """How much to take where `free` are left: `units` surely, more of what is wished for if there is plenty."""
    if free < units:
        return 0
    spare = max(0, free - units - most // _SCARCE_SHARE) // _SLICE_SHARE
    return units + min(spare, max(0, wish - units))


def _room_ms(slots: Mapping[int, int], missing: int, window: Window, now_ms: int) -> int:
    """When `missing` units more will be free, if nobody asks for any in between."""
    for slot in sorted(slots):
        if missing <= 0:
            break
        missing -= slots[slot]
        now_ms = (slot + 1) * window.slot_ms + window.reach_ms
    return now_ms


def _begin(bucket: _Bucket, found: _Slice, units: int, now_ms: int) -> None:
    bucket.free = found.free
    bucket.used_ms = max(bucket.used_ms, found.newest_ms)
    if found.units:
        bucket.left, bucket.slot, bucket.used = found.units, found.slot, 0
        bucket.began_ms, bucket.ends_ms = now_ms, now_ms + _SLICE_MS
    elif found.free < units:
        bucket.room_ms = found.room_ms
        bucket.refused_until_ms = min(now_ms + _REFUSED_MS, found.room_ms)


def _owe_again(bucket: _Bucket, owed: Mapping[int, int]) -> None:
    for slot, units in owed.items():
        bucket.owe(slot, units)


def _standing(limit: Limit, bucket: _Bucket, now_ms: int) -> Standing:
    idle_ms = bucket.used_ms + limit.window.reach_ms - now_ms
    if bucket.free is None or idle_ms <= 0:
        return Standing(limit, limit.most, 0.0)
    return Standing(limit, max(0, min(limit.most, bucket.free + bucket.left)), idle_ms / 1000)


def _refusal(limit: Limit, units: int, wait_ms: int) -> RateLimited:
    seconds = wait_ms / 1000
    return RateLimited(
        f"The limit of {limit.told()} is reached: this call asks for {units}. There is room in {seconds:.1f} seconds.",
        retry_after_seconds=seconds,
    )


def _impossible(limit: Limit, units: int) -> InvalidRequest | QuotaExceeded:
    if limit.most == 0:
        return QuotaExceeded(f"The limit of {limit.whose} is no {limit.unit} at all. Ask its owner to raise it.")
    return InvalidRequest(
        f"This call may take up to {units} {limit.unit}, more than all of the limit of {limit.told()}. "
        "Ask for less at a time (max_tokens, n), or have the limit raised.",
        "request_over_limit",
    )
