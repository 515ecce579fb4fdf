"""A link signs in one browser, however many try at once, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.databases import new_sqlite
from fakes.gateway import settings_in
from sqlalchemy import func, select

from serve.auth.keys import Keys
from serve.auth.login_links import LINK_SECONDS
from serve.auth.people import People, open_people
from serve.clock import Uuid7Ids
from serve.domain.errors import Unauthenticated
from serve.storage.records import Records
from serve.storage.tables import login_links, sessions

NUM_PROCESSES = 4


@pytest.fixture(params=["sqlite", "postgresql"])
async def processes(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[list[tuple[Records, People]]]:
    """One migrated database, as several gateways hold it."""
    is_sqlite = request.param == "sqlite"
    url = new_sqlite(tmp_path / "a.db") if is_sqlite else request.getfixturevalue("migrated_postgres_url")
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(NUM_PROCESSES):
            records = Records(url)
            stack.push_async_callback(records.close)
            people = open_people(settings_in(tmp_path), records, clock, Uuid7Ids(), Keys(records, clock, 5))
            made.append((records, people))
        yield made


async def test_of_browsers_that_spend_a_link_at_once_one_is_signed_in(
    processes: list[tuple[Records, People]],
) -> None:
    for _ in range(3):
        code, _ = await processes[0][1].login_links.make(None)
        tries = (people.login_links.take(code) for _, people in processes for _ in range(3))
        results = await asyncio.gather(*tries, return_exceptions=True)
        tokens = [result for result in results if isinstance(result, str)]
        assert len(tokens) == 1
        assert {type(result) for result in results if not isinstance(result, str)} == {Unauthenticated}
        session = await processes[-1][1].sessions.find(tokens[0])
        assert session is not None
        assert session.is_admin
    async with processes[0][0].read() as connection:
        assert await connection.scalar(select(func.count()).select_from(sessions)) == 3


async def test_links_signed_in_at_once_are_one_person(processes: list[tuple[Records, People]]) -> None:
    codes = [(await people.login_links.make(None))[0] for _, people in processes]
    links = zip(codes, processes, strict=True)
    tokens = await asyncio.gather(*(people.login_links.take(code) for code, (_, people) in links))
    found = [await processes[0][1].sessions.find(token) for token in tokens]
    assert len({session.user.id for session in found if session is not None}) == 1


async def test_links_that_have_ended_are_cleared_away(
    processes: list[tuple[Records, People]], clock: ManualClock
) -> None:
    records, people = processes[0]
    old, _ = await people.login_links.make(None)
    clock.advance(LINK_SECONDS)
    await people.login_links.make(None)
    async with records.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(login_links)) == 1
    with pytest.raises(Unauthenticated):
        await people.login_links.take(old)
