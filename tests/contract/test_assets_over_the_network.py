"""Assets as a cluster keeps them: rows in PostgreSQL, blobs in S3, several processes' worth of writers."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from fakes.clock import ManualClock
from fakes.s3 import S3Server
from pydantic import SecretStr

from serve.clock import Uuid7Ids
from serve.domain.media import Asset
from serve.domain.names import ProjectName, TenantName
from serve.settings import ObjectsSettings
from serve.storage.assets import Assets
from serve.storage.records import Records
from serve.storage.s3 import S3Objects

ACME, PROJECT = TenantName("acme"), ProjectName("default")


@pytest.fixture
async def pair(
    migrated_postgres_url: str, seaweedfs_server: S3Server, clock: ManualClock
) -> AsyncIterator[list[Assets]]:
    """Two processes' views of one installation."""
    objects = ObjectsSettings(
        endpoint=seaweedfs_server.endpoint,
        bucket=seaweedfs_server.bucket,
        access_key=SecretStr(seaweedfs_server.access_key),
        secret_key=SecretStr(seaweedfs_server.secret_key),
    )
    both = [Records(migrated_postgres_url), Records(migrated_postgres_url)]
    yield [Assets(one, S3Objects(objects), clock, Uuid7Ids()) for one in both]
    for one in both:
        await one.close()


async def add(assets: Assets, data: bytes) -> Asset:
    return await assets.add(tenant=ACME, project=PROJECT, data=data, media_type="text/plain")


async def read(assets: Assets, asset: Asset) -> bytes:
    return b"".join([chunk async for chunk in assets.content(asset)])


async def test_what_one_process_adds_another_reads_links_and_deletes(pair: list[Assets]) -> None:
    one, other = pair
    added = await add(one, b"hello")
    assert await read(other, added) == b"hello"
    link = await other.link(added, 60)
    assert link is not None
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).content == b"hello"
        await other.delete(ACME, added.id)
        assert (await client.get(link)).status_code == 404
    assert await one.list(ACME, limit=9) == []


async def test_every_visible_row_has_its_blob_after_a_storm(pair: list[Assets], clock: ManualClock) -> None:
    chance = random.Random(5)

    async def come_and_go(assets: Assets) -> None:
        for _ in range(8):
            added = await add(assets, bytes([chance.randrange(3)]))
            assert len(await read(assets, added)) == 1
            if chance.random() < 0.7:
                await assets.delete(ACME, added.id)

    tasks = [asyncio.create_task(come_and_go(assets)) for assets in pair for _ in range(5)]
    await asyncio.sleep(0.3)
    for task in chance.sample(tasks, 3):
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    clock.advance(601)
    await pair[0].sweep()
    visible = await pair[1].list(ACME, limit=999)
    assert [len(await read(pair[1], asset)) for asset in visible] == [1] * len(visible)
