"""A lease as its gateway holds it in memory: plain sums, no database, no waiting.

    granted less returned  =  free + in flight + ended and not yet booked + booked

What ended counts in full until it is known what was booked for it: the hold's row knows only bookings, and what is free
here must be held there. Not for several threads.
"""

from collections.abc import Mapping, Sequence

from serve.domain.usage import HoldId
from serve.metering.budgets.accounts import AccountId

_MAX_ENDED = 20_000
"""Calls whose booking can still free something; of more, the oldest count in full until the lease ends."""


class Lease:
    """A slice of some budgets. `ends_ms` is when it must not be used any longer unless it is renewed."""

    __slots__ = (
        "accounts",
        "born_ms",
        "ended",
        "ends_ms",
        "free",
        "id",
        "in_flight",
        "num_in_flight",
        "period_end_ms",
        "tenant",
        "unknown",
        "untold",
        "used_ms",
    )

    def __init__(
        self, hold_id: str, tenant: str, accounts: Sequence[AccountId], now_ms: int, period_end_ms: int
    ) -> None:
        self.id = HoldId(hold_id)
        self.tenant = tenant
        self.accounts = tuple(accounts)
        self.born_ms = self.used_ms = now_ms
        self.period_end_ms = period_end_ms
        self.ends_ms = now_ms
        self.free = 0
        self.in_flight = 0
        self.num_in_flight = 0
        self.ended: dict[str, int] = {}
        """Request id -> what an ended call counts for, until its booking has been seen."""
        self.unknown: set[str] = set()
        """Those of them whose cost nobody here knows."""
        self.untold = 0
        """What calls without a request id count for."""

    def renewed(self, expires_ms: int) -> None:
        """It is held until `expires_ms`, and used no longer than its budgets' periods last."""
        self.ends_ms = min(expires_ms, self.period_end_ms)

    def take_free(self) -> int:
        """What is to be returned; from now on nobody here can use it."""
        free, self.free = max(0, self.free), min(0, self.free)
        return free

    @property
    def is_settled(self) -> bool:
        """Whether everything that was drawn from it is booked, as far as can be known here."""
        return not (self.num_in_flight or self.ended or self.untold)

    def end(self, reserved: int, request_id: str, cost: int | None) -> None:
        """A call is over; `cost` None: the ledger will tell."""
        self.in_flight -= reserved
        self.num_in_flight -= 1
        counted = reserved if cost is None else cost
        self.free += reserved - counted
        if not counted:
            return
        if not request_id:
            self.untold += counted
            return
        self.ended[request_id] = self.ended.get(request_id, 0) + counted
        if cost is None:
            self.unknown.add(request_id)
        elif len(self.ended) > _MAX_ENDED:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        for request_id in list(self.ended)[: _MAX_ENDED // 2]:
            self.untold += self.ended.pop(request_id)
            self.unknown.discard(request_id)

    def learn(self, booked: Mapping[str, int]) -> None:
        """What calls were booked with, by request id: the difference is free."""
        for request_id, cost in booked.items():
            self.free += self.ended.pop(request_id, cost) - cost
            self.unknown.discard(request_id)


class Reservation:
    """What one call may cost, out of a lease."""

    __slots__ = ("_lease", "_request_id", "hold", "nano")

    def __init__(self, lease: Lease, nano: int, request_id: str) -> None:
        lease.free -= nano
        lease.in_flight += nano
        lease.num_in_flight += 1
        self.nano = nano
        self._lease: Lease | None = lease
        self._request_id = request_id
        self.hold = lease.id
        """What the ledger draws the cost of the call from."""

    def settle(self, nano: int | None) -> None:
        """The call is over and cost `nano`, or nobody here knows: then all of it counts until the ledger has booked it.

        Only the first word counts.
        """
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end(self.nano, self._request_id, nano)
