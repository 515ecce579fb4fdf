"""Links that open one asset for a while, and nothing else, for nobody else, and no longer."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fakes.clock import ManualClock
from fakes.gateway import Gateway, gateway, settings_in
from fakes.images import picture

from serve.auth.links import AssetLinks
from serve.domain.errors import PermissionDenied
from serve.domain.names import AssetId, TenantName
from serve.settings import ObjectsSettings
from serve.storage.records import Records

ACME, OTHER = TenantName("acme"), TenantName("other")
ONE, TWO = AssetId("asset-1"), AssetId("asset-2")


async def test_a_link_opens_its_asset_until_its_end(records: Records):
    clock = ManualClock()
    links = AssetLinks(records, clock)
    query = await links.query(ACME, ONE, 60)
    assert await links.tenant(ONE, query) == ACME
    clock.advance(59)
    assert await links.tenant(ONE, query) == ACME
    clock.advance(1)
    with pytest.raises(PermissionDenied) as caught:
        await links.tenant(ONE, query)
    assert caught.value.code == "link_expired"


async def test_every_gateway_knows_the_links_of_every_other(records: Records):
    clock = ManualClock()
    query = await AssetLinks(records, clock).query(ACME, ONE, 60)
    assert await AssetLinks(records, clock).tenant(ONE, query) == ACME


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"tenant": "acme\n"},
        {"tenant": ""},
        {"expires": "99999999999"},
        {"expires": "-1"},
        {"expires": "1e9"},
        {"expires": "٣"},
        {"expires": "9" * 40},
        {"signature": "A" * 43},
        {"signature": ""},
        {"signature": "é"},
    ],
    ids=str,
)
async def test_a_link_that_was_changed_opens_nothing(records: Records, change: dict[str, str]):
    links = AssetLinks(records, ManualClock())
    fields = {name: values[0] for name, values in parse_qs(await links.query(ACME, ONE, 60)).items()}
    with pytest.raises(PermissionDenied) as caught:
        await links.tenant(ONE, urlencode(fields | change))
    assert caught.value.code == "invalid_link"


async def test_a_link_with_much_added_opens_nothing(records: Records):
    links = AssetLinks(records, ManualClock())
    query = await links.query(ACME, ONE, 60)
    with pytest.raises(PermissionDenied) as caught:
        await links.tenant(ONE, query + "&a=1" * 20)
    assert caught.value.code == "invalid_link"


async def test_a_link_opens_no_other_asset(records: Records):
    links = AssetLinks(records, ManualClock())
    with pytest.raises(PermissionDenied):
        await links.tenant(TWO, await links.query(ACME, ONE, 60))


async def linked(made: Gateway) -> tuple[str, str]:
    """(the path of a new asset's content, the link that opens it)."""
    async with made.client() as client:
        asset = (await client.post("/v1/assets", content=picture())).json()
        link = (await client.get(f"/v1/assets/{asset['id']}")).json()["url"]
    return f"/v1/assets/{asset['id']}/content", link


async def test_a_link_needs_no_key_and_reads_only(tmp_path: Path):
    async with gateway(tmp_path / "g") as made, made.client("") as anybody:
        path, link = await linked(made)
        read = await anybody.get(link)
        part = await anybody.get(link, headers={"range": "bytes=0-3"})
        query = urlsplit(link).query
        refused = [
            await anybody.get(path),
            await anybody.post(link),
            await anybody.delete(f"{path.removesuffix('/content')}?{query}"),
            await anybody.get(f"{path.removesuffix('/content')}?{query}"),
            await anybody.get(f"/v1/assets?{query}"),
        ]
        wrong = await anybody.get(f"{path}?tenant=default&expires=9&signature=x")
    assert (read.status_code, read.content) == (200, picture())
    assert (part.status_code, part.content) == (206, picture()[:4])
    assert [answer.status_code for answer in refused] == [401] * 5
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "invalid_link")


async def test_a_link_to_a_deleted_asset_finds_nothing(tmp_path: Path):
    async with gateway(tmp_path / "g") as made, made.client() as client, made.client("") as anybody:
        path, link = await linked(made)
        await client.delete(path.removesuffix("/content"))
        assert (await anybody.get(link)).status_code == 404


async def test_an_old_link_is_told_so(tmp_path: Path):
    settings = settings_in(tmp_path / "g", objects=ObjectsSettings(presign_seconds=1))
    async with gateway(tmp_path / "g", settings=settings) as made, made.client("") as anybody:
        path, _ = await linked(made)
        asset_id = AssetId(path.split("/")[3])
        link = await made.services.links.query(TenantName("default"), asset_id, -1)
        response = await anybody.get(f"{path}?{link}")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "link_expired")


async def test_head_tells_what_get_would_send_without_sending_it(tmp_path: Path):
    async with gateway(tmp_path / "g") as made, made.client() as client, made.client("") as anybody:
        path, link = await linked(made)
        head, get = await client.head(path), await client.get(path)
        without_key = await anybody.head(link)
        part = await client.head(path, headers={"range": "bytes=0-3"})
        missing = await client.head("/v1/assets/nope/content")
    same = ("content-type", "content-length", "etag", "accept-ranges", "content-disposition")
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers[name] for name in same] == [get.headers[name] for name in same]
    assert (without_key.status_code, part.status_code, missing.status_code) == (200, 206, 404)
    assert part.headers["content-length"] == "4"
