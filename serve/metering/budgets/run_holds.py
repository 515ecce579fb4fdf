"""The holds of runs: what a run may cost is taken from its budgets when it is accepted, and held until it has ended."""

import asyncio

from serve.domain.ports import Clock, Ids
from serve.domain.usage import HoldId
from serve.metering.budgets import holds
from serve.metering.budgets.allowances import Allowance
from serve.metering.budgets.holds import Asked, Granted, Owned
from serve.storage.records import Records

_NUM_POLLS = 40
"""Looks at what came back, in the time that is waited for it."""


class RunHolds:
    """One process's holds for runs; no lease: each has its own row from the start."""

    def __init__(self, records: Records, clock: Clock, ids: Ids, owner: str, recall_seconds: float) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._recall_seconds = recall_seconds

    async def take(self, allowance: Allowance, project: str, key_id: str, run_id: str, nano: int) -> HoldId:
        """A hold of exactly `nano`. Raises QuotaExceeded where budgets, with what leases do not use, are short."""
        until, asked = asyncio.get_running_loop().time() + self._recall_seconds, False
        names = {"project": project, "key_id": key_id, "run_id": run_id}
        while True:
            now_ms = self._clock.now_ms()
            hold = Owned(self._ids.new(), holds.RUN, self._owner, allowance.tenant, now_ms, **names)
            granted, num_waiting = await self._try(allowance, hold, nano, now_ms)
            if granted.nano:
                return HoldId(hold.id)
            short = [one.account for one in granted.before if one.free_nano is not None and one.free_nano < nano]
            if not asked:
                async with self._records.write() as connection:
                    num_waiting = await holds.recall(connection, short, "", now_ms)
                asked = True
            if not num_waiting or asyncio.get_running_loop().time() >= until:
                raise allowance.refusal(granted.tightest, nano, now_ms)
            await asyncio.sleep(self._recall_seconds / _NUM_POLLS)

    async def _try(self, allowance: Allowance, hold: Owned, nano: int, now_ms: int) -> tuple[Granted, int]:
        """What was granted, and how many leases had been asked and not answered before."""
        accounts = allowance.accounts(now_ms)
        async with self._records.read() as connection:
            num_waiting = await holds.num_unanswered(connection, accounts, "", now_ms)
        async with self._records.write() as connection:
            return await holds.take(connection, hold, accounts, Asked(nano, nano, nano), now_ms), num_waiting

    async def drop(self, hold: HoldId) -> None:
        """The run was not accepted after all, or joined another."""
        async with self._records.write() as connection:
            await holds.release(connection, [hold], self._clock.now_ms())
