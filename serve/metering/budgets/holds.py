"""Holds: parts of budgets that are promised to a gateway (a lease) or to a run, as rows and as transactions over them.

`remaining_nano` is what a hold still holds in each of its accounts: what was granted, less what was booked or returned.

    open       its owner may spend from it: a lease until `expires_ms`, a run until it ends
    closed     its owner is done with it; what it still holds is of calls that are not booked yet
    dead       its owner fell silent and `expires_ms` passed; the same
    released   it holds nothing
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.metering.budgets.accounts import AccountId, Balance, balances, post
from serve.storage.metering_tables import hold_accounts, holds

LEASE = "lease"
RUN = "run"
OPEN = "open"
CLOSED = "closed"
DEAD = "dead"
RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Owned:
    """What is asked for: a new hold, or more for the one that has this id already.

    `tenant` pays; `project`, `key_id` and `run_id` say for whom, where that is one.
    """

    id: str
    kind: str
    owner: str
    tenant: str
    expires_ms: int
    project: str = ""
    key_id: str = ""
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of it: nothing if that were less than `least_nano`, `need_nano` if it can be had, and up to `want_nano`
    where there is plenty."""

    least_nano: int
    need_nano: int
    want_nano: int


@dataclass(frozen=True, slots=True)
class Granted:
    """What was given, perhaps nothing, and the balances before it. `is_lost`: the hold is not its owner's any more."""

    nano: int
    before: tuple[Balance, ...]
    is_lost: bool = False

    @property
    def tightest(self) -> Balance:
        """The account that has the least to give, as it is now."""
        found = min((one for one in self.before if one.free_nano is not None), key=lambda one: one.free_nano or 0)
        return replace(found, held_nano=found.held_nano + self.nano)


SHARE = 4
"""A lease gets at most this part of what an account has left, beyond what is needed at once: others want some too."""


def slice_of(balances: Sequence[Balance], asked: Asked) -> int:
    """How much to give: all that is needed, or what there is of it; where there is more, up to what is wanted."""
    free = min((one.free_nano for one in balances if one.free_nano is not None), default=asked.want_nano)
    if free < max(1, asked.least_nano):
        return 0
    return min(free, max(asked.need_nano, min(asked.want_nano, free // SHARE)))


async def take(
    connection: AsyncConnection, hold: Owned, accounts: Sequence[AccountId], asked: Asked, now_ms: int
) -> Granted:
    """Give `hold` what it asks for, or what there is of it."""
    row = (await connection.execute(select(holds).where(holds.c.id == hold.id).with_for_update())).first()
    if row is not None and row.state != OPEN:
        return Granted(0, (), is_lost=True)
    before = tuple(await balances(connection, accounts, hold.tenant, now_ms, lock=True))
    nano = slice_of(before, asked)
    if nano <= 0:
        return Granted(0, before)
    await post(connection, {account: (0, nano) for account in accounts})
    if row is None:
        await _insert(connection, hold, accounts, nano, now_ms)
    else:
        await connection.execute(update(holds).where(holds.c.id == hold.id).values(_more(nano, hold.expires_ms)))
    return Granted(nano, before)


def _more(nano: int, expires_ms: int) -> dict[str, Any]:
    granted, remaining = holds.c.granted_nano + nano, holds.c.remaining_nano + nano
    return {"granted_nano": granted, "remaining_nano": remaining, "expires_ms": expires_ms}


async def _insert(
    connection: AsyncConnection, hold: Owned, accounts: Sequence[AccountId], nano: int, now_ms: int
) -> None:
    row = {
        "id": hold.id,
        "kind": hold.kind,
        "owner": hold.owner,
        "tenant": hold.tenant,
        "project": hold.project,
        "key_id": hold.key_id,
        "run_id": hold.run_id,
        "granted_nano": nano,
        "remaining_nano": nano,
        "state": OPEN,
        "created_ms": now_ms,
        "expires_ms": hold.expires_ms,
    }
    await connection.execute(insert(holds).values(row))
    await connection.execute(insert(hold_accounts), [{"hold_id": hold.id, **account._asdict()} for account in accounts])


async def give_back(connection: AsyncConnection, hold_id: str, nano: int) -> None:
    """Take `nano` out of an open hold and its accounts, and answer its recall. A hold that was lost stays as it is."""
    row = (await connection.execute(_locked([hold_id]))).first()
    if row is None or row.state != OPEN:
        return
    returned = min(nano, row.remaining_nano)
    values = {"granted_nano": row.granted_nano - returned, "remaining_nano": row.remaining_nano - returned}
    await connection.execute(update(holds).where(holds.c.id == hold_id).values(values | {"recalled_ms": None}))
    await _unhold(connection, {hold_id: returned})


async def close(connection: AsyncConnection, hold_id: str, now_ms: int, nano: int | None) -> None:
    """End an open hold and give back `nano` of it: the rest is of calls that are not booked yet. None: all of it."""
    row = (await connection.execute(_locked([hold_id]))).first()
    if row is None or row.state != OPEN:
        return
    left = 0 if nano is None else max(0, row.remaining_nano - nano)
    state = {"state": CLOSED if left else RELEASED, "remaining_nano": left, "expires_ms": now_ms, "recalled_ms": None}
    await connection.execute(update(holds).where(holds.c.id == hold_id).values(state))
    await _unhold(connection, {hold_id: row.remaining_nano - left})


async def release(connection: AsyncConnection, hold_ids: Collection[str], now_ms: int) -> int:
    """End holds and give back all that they hold; how much, in each of their accounts."""
    rows = (await connection.execute(_locked(hold_ids).where(holds.c.state != RELEASED))).all()
    state = {"state": RELEASED, "remaining_nano": 0, "expires_ms": now_ms, "recalled_ms": None}
    await connection.execute(update(holds).where(holds.c.id.in_([row.id for row in rows])).values(state))
    await _unhold(connection, {row.id: row.remaining_nano for row in rows})
    return sum(row.remaining_nano for row in rows)


def _locked(hold_ids: Collection[str]) -> Any:
    return select(holds).where(holds.c.id.in_(sorted(hold_ids))).order_by(holds.c.id).with_for_update()


async def _unhold(connection: AsyncConnection, returned: dict[str, int]) -> None:
    changes: dict[AccountId, tuple[int, int]] = {}
    for hold_id, accounts in (await accounts_of(connection, [one for one in returned if returned[one]])).items():
        for account in accounts:
            changes[account] = (0, changes.get(account, (0, 0))[1] - returned[hold_id])
    await post(connection, changes)


async def accounts_of(connection: AsyncConnection, hold_ids: Collection[str]) -> dict[str, list[AccountId]]:
    """The accounts of each hold."""
    found: dict[str, list[AccountId]] = {}
    if hold_ids:
        query = select(hold_accounts).where(hold_accounts.c.hold_id.in_(sorted(hold_ids)))
        for row in await connection.execute(query):
            found.setdefault(row.hold_id, []).append(AccountId(row.budget_id, row.period_ms))
    return found


def of_accounts(accounts: Iterable[AccountId]) -> ColumnElement[bool]:
    """Of holds: it holds something in one of these accounts."""
    keys = tuple_(hold_accounts.c.budget_id, hold_accounts.c.period_ms)
    return holds.c.id.in_(select(hold_accounts.c.hold_id).where(keys.in_(list(accounts))))


async def recall(connection: AsyncConnection, accounts: Sequence[AccountId], but: str, now_ms: int) -> int:
    """Ask the owners of other leases on these accounts for what they do not use; of how many leases."""
    alive = (holds.c.kind == LEASE) & (holds.c.state == OPEN) & (holds.c.expires_ms > now_ms)
    wanted = alive & (holds.c.remaining_nano > 0) & (holds.c.id != but) & of_accounts(accounts)
    # In the order of their keys, so that two that recall the same cannot wait for each other.
    found = await connection.execute(select(holds.c.id).where(wanted).order_by(holds.c.id).with_for_update())
    ids = [row.id for row in found]
    if ids:
        await connection.execute(update(holds).where(holds.c.id.in_(ids)).values(recalled_ms=now_ms))
    return len(ids)


async def num_unanswered(connection: AsyncConnection, accounts: Sequence[AccountId], but: str, now_ms: int) -> int:
    """How many recalled leases on these accounts are still to answer."""
    waiting = (holds.c.state == OPEN) & holds.c.recalled_ms.is_not(None) & (holds.c.expires_ms > now_ms)
    query = select(func.count()).where(waiting & (holds.c.id != but) & of_accounts(accounts))
    return int((await connection.execute(query)).scalar_one())


async def renew(connection: AsyncConnection, hold_ids: Collection[str], expires_ms: int) -> set[str]:
    """Hold these leases longer; those that are their owner's still."""
    found = await connection.execute(_locked(hold_ids).where(holds.c.state == OPEN))
    alive = {row.id for row in found}
    await connection.execute(update(holds).where(holds.c.id.in_(sorted(alive))).values(expires_ms=expires_ms))
    return alive


async def recalled(connection: AsyncConnection, owner: str) -> list[str]:
    """The ids of the owner's leases that others ask for."""
    wanted = (holds.c.owner == owner) & (holds.c.state == OPEN) & holds.c.recalled_ms.is_not(None)
    return [row.id for row in await connection.execute(select(holds.c.id).where(wanted))]


async def forget(connection: AsyncConnection, before_ms: int, limit: int) -> int:
    """Delete holds that were released before; how many."""
    old = (holds.c.state == RELEASED) & (holds.c.expires_ms < before_ms)
    ids = [row.id for row in await connection.execute(select(holds.c.id).where(old).limit(limit))]
    await connection.execute(delete(hold_accounts).where(hold_accounts.c.hold_id.in_(ids)))
    await connection.execute(delete(holds).where(holds.c.id.in_(ids)))
    return len(ids)
