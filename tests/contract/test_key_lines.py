"""Budgets and limits bind whatever comes from a key, by making or by rotating, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fakes.budgets import ACME, add_budget, add_tenant, book, call, posting
from fakes.clock import CountingIds, ManualClock
from fakes.databases import memory, new_sqlite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.auth.access import Caller, Scope
from serve.auth.key_grants import KeyInfo
from serve.auth.keys import Keys
from serve.domain.errors import PermissionDenied, QuotaExceeded
from serve.domain.names import KeyId
from serve.domain.usage import UsageEvent
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets
from serve.metering.budgets.wallets import Wallets
from serve.settings import MeteringSettings
from serve.storage.key_lines import MAX_MAKERS, bound_by, family_of, lines_of
from serve.storage.metering_tables import usage_hours
from serve.storage.records import Records

CALL = 1000
MAKE, ROTATE = "make", "rotate"
STEP = st.tuples(st.sampled_from((MAKE, ROTATE)), st.integers(0, 20), st.integers(0, 20))


@pytest.fixture
async def records(database_url: str) -> AsyncIterator[Records]:
    """The database, with the tenant `acme`."""
    made = Records(database_url)
    await add_tenant(made)
    yield made
    await made.close()


@pytest.fixture
def keys(records: Records, clock: ManualClock) -> Keys:
    return Keys(records, clock, cache_seconds=5.0)


async def made(keys: Keys, by: Caller | None = None) -> Caller:
    """A key as its holder sees it."""
    wanted = {"tenant": ACME, "project": "default", "title": "t", "scopes": [Scope.INFERENCE, Scope.KEYS]}
    _, token = await keys.create(parent=by, **wanted)
    return await keys.authenticate(token)


async def rotated(keys: Keys, key_id: KeyId, by: Caller) -> Caller:
    _, token = await keys.rotate(ACME, key_id, 3600, by)
    return await keys.authenticate(token)


def bound(edges: set[tuple[int, int]], families: list[int], key: int) -> set[int]:
    """The keys that can be reached from any of the key's family, by the definition."""
    found = {other for other, family in enumerate(families) if family == families[key]}
    while more := {to for start, to in edges if start in found} - found:
        found |= more
    return found


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=st.lists(STEP, max_size=8))
async def test_no_chain_of_makes_and_rotations_leads_out_of_what_binds_a_key(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory(dir=memory()) as folder:
        records = Records(new_sqlite(Path(folder) / "a.db"))
        await add_tenant(records)
        await _follow(records, Keys(records, ManualClock(), cache_seconds=5.0), steps)
        await records.close()


async def _follow(records: Records, keys: Keys, steps: list[tuple[str, int, int]]) -> None:
    callers, families, replaced = [await made(keys), await made(keys)], [0, 1], set[int]()
    edges: set[tuple[int, int]] = set()
    for kind, by, of in steps:
        by, of, new = by % len(callers), of % len(callers), len(callers)
        if kind == MAKE:
            callers.append(await made(keys, callers[by]))
            families.append(new)
        elif of not in replaced:
            try:
                callers.append(await rotated(keys, callers[of].key_id, callers[by]))
            except PermissionDenied:  # it ends before the other does
                continue
            replaced.add(of)
            families.append(families[of])
            edges.add((of, new))
        else:
            continue
        edges.add((by, new))
    ids = [caller.key_id for caller in callers]
    async with records.read() as connection:
        lines = await lines_of(connection, ids)
        for number, caller in enumerate(callers):
            family = await family_of(connection, caller.key_id)
            expected = {ids[one] for one in bound(edges, families, number)}
            assert {row[0] for row in await connection.execute(bound_by(family))} == expected
            assert {one for one in ids if family in lines[one]} == expected
            assert caller.line == lines[caller.key_id]


async def test_a_key_its_successor_and_what_they_make_share_one_budget(records: Records, keys: Keys) -> None:
    clock, ids = ManualClock(), CountingIds()
    first, outsider = await made(keys), await made(keys)
    child = await made(keys, first)
    after = await rotated(keys, first.key_id, first)
    family = [first, child, await made(keys, child), after, await made(keys, after)]
    await add_budget(Budgets(records, clock, ids), 3 * CALL, key_id=after.key_id)
    wallets = Wallets(records, clock, ids, MeteringSettings(), "g", recall_seconds=0.05)
    for caller in family[:3]:
        assert await wallets.reserve(ACME, caller.project, caller.key_id, CALL, f"r-{caller.key_id}") is not None
    for caller in family:
        with pytest.raises(QuotaExceeded, match=f"of the key {after.key_id} and all that came from it"):
            await wallets.reserve(ACME, caller.project, caller.key_id, CALL, "refused")
    assert await wallets.reserve(ACME, outsider.project, outsider.key_id, CALL, "r") is None
    await wallets.stop()


async def test_what_a_made_key_spent_counts_in_its_makers_budgets_older_and_newer(records: Records, keys: Keys) -> None:
    clock = ManualClock()
    budgets = Budgets(records, clock, CountingIds())
    maker, outsider = await made(keys), await made(keys)
    child = await made(keys, maker)
    older = await add_budget(budgets, 10 * CALL, Period.DAY, key_id=maker.key_id)
    await book(records, *(posting(_call_of(one, clock), CALL) for one in (child, maker, outsider)))
    assert (await budgets.get(older.budget.id)).spent_nano == 2 * CALL
    async with records.write() as connection:
        for number, one in enumerate((child, maker, outsider)):
            await connection.execute(usage_hours.insert().values(_hour(number, one.key_id, clock)))
    assert (await add_budget(budgets, 10 * CALL, Period.DAY, key_id=maker.key_id)).spent_nano == 2 * CALL


def _call_of(caller: Caller, clock: ManualClock) -> UsageEvent:
    return call(f"r-{caller.key_id}", None, clock.now_ms(), key_id=caller.key_id, project=caller.project)


def _hour(number: int, key_id: str, clock: ManualClock) -> dict[str, object]:
    filled = {
        column.name: 0 if column.type.python_type is int else ""
        for column in usage_hours.columns
        if not column.nullable and column.server_default is None
    }
    mine = {"id": str(number), "tenant": ACME, "project": "default", "key_id": key_id, "cost_nano": CALL}
    return filled | mine | {"hour_ms": clock.now_ms()}


async def test_a_chain_of_keys_has_an_end(keys: Keys) -> None:
    caller = await made(keys)
    for _ in range(MAX_MAKERS):
        caller = await made(keys, caller)
    with pytest.raises(PermissionDenied, match="nearer to the first one"):
        await made(keys, caller)
    info: KeyInfo | None = await keys.live(caller.key_id)
    assert info is not None
    assert len(info.makers) == MAX_MAKERS
