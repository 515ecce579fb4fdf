"""Assets over HTTP: kinds by signature, ranges, nothing that runs, nobody else's."""

from pathlib import Path

import pytest
from fakes.gateway import gateway, settings_in

from serve.gateway.byte_ranges import byte_range
from serve.gateway.errors import RangeNotSatisfiable
from serve.gateway.media_types import kept_media_type
from serve.settings import GatewaySettings

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100

KINDS: dict[str, tuple[str, bytes, str]] = {
    "png": ("text/html", PNG, "image/png"),
    "jpeg": ("", b"\xff\xd8\xff\xe0" + b"0" * 20, "image/jpeg"),
    "webp": ("", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    "wav": ("", b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
    "mp3": ("", b"ID3\x04" + b"0" * 20, "audio/mpeg"),
    "mp4": ("", b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
    "json": ("application/json; charset=utf-8", b"{}", "application/json"),
    "text": ("text/plain", b"hello", "text/plain"),
    "html": ("text/html", b"<html><script>alert(1)</script>", "application/octet-stream"),
    "svg": ("image/svg+xml", b"<svg onload=alert(1)>", "application/octet-stream"),
    "script": ("application/javascript", b"alert(1)", "application/octet-stream"),
    "png that is html": ("image/png", b"<html>", "application/octet-stream"),
    "gif": ("image/gif", b"GIF89a" + b"0" * 20, "application/octet-stream"),
    "pdf": ("application/pdf", b"%PDF-1.7", "application/octet-stream"),
    "nothing declared": ("", b"\x00\x01", "application/octet-stream"),
}


@pytest.mark.parametrize(("declared", "data", "kept"), KINDS.values(), ids=KINDS.keys())
def test_signatures_decide_what_an_asset_is(declared: str, data: bytes, kept: str):
    assert kept_media_type(declared, data[:16]) == kept


@pytest.mark.parametrize("name", ["html", "svg", "script", "png that is html", "json", "text"])
async def test_what_a_browser_could_run_is_a_download_in_a_sandbox(tmp_path: Path, name: str):
    declared, data, kept = KINDS[name]
    async with gateway(tmp_path) as made, made.client() as client:
        uploaded = await client.post("/v1/assets", content=data, headers={"content-type": declared})
        read = await client.get(f"/v1/assets/{uploaded.json()['id']}/content")
    assert uploaded.status_code == 201
    assert read.content == data
    assert read.headers["content-type"].partition(";")[0] == kept
    assert read.headers["content-disposition"].startswith("attachment")
    assert read.headers["x-content-type-options"] == "nosniff"
    assert read.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_an_image_is_shown_in_place_under_a_name_that_cannot_break_out(tmp_path: Path):
    name = 'a";filename=b.html\u2028<script>é.png'.replace("\u2028", " ")
    async with gateway(tmp_path) as made, made.client() as client:
        asset = (await client.post("/v1/assets", params={"name": name}, content=PNG)).json()
        read = await client.get(f"/v1/assets/{asset['id']}/content")
    assert (asset["object"], asset["media_type"], asset["num_bytes"], asset["name"]) == (
        "asset",
        "image/png",
        108,
        name,
    )
    disposition = read.headers["content-disposition"]
    assert disposition.startswith("inline; filename*=UTF-8''a%22%3B")
    assert "<" not in disposition


async def test_a_form_upload_keeps_its_file_name(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        asset = (await client.post("/v1/assets", files={"file": ("x.png", PNG * 30_000, "image/png")})).json()
        missing = await client.post("/v1/assets", files={"other": ("x", b"1")})
        read = await client.get(f"/v1/assets/{asset['id']}/content")
    assert (asset["name"], asset["num_bytes"]) == ("x.png", 108 * 30_000)
    assert read.content == PNG * 30_000
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
async def test_an_upload_over_the_limit_is_refused_and_stores_nothing(tmp_path: Path, form: bool):
    settings = settings_in(tmp_path, gateway=GatewaySettings(max_upload_bytes=2**20))
    async with gateway(tmp_path, settings=settings) as made, made.client() as client:
        data = b"0" * (2**20 + 1)
        body = {"files": {"file": ("x", data)}} if form else {"content": data}
        response = await client.post("/v1/assets", **body)
        listed = (await client.get("/v1/assets")).json()
    assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")
    assert listed["data"] == []


async def test_an_empty_upload_is_refused(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/assets", content=b"")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-2", 206, b"89"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=3-1", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
    ],
)
async def test_a_range_of_bytes_is_read(tmp_path: Path, header: str, status: int, body: bytes):
    async with gateway(tmp_path) as made, made.client() as client:
        asset = (await client.post("/v1/assets", content=b"0123456789")).json()
        response = await client.get(f"/v1/assets/{asset['id']}/content", headers={"range": header})
    assert (response.status_code, response.content) == (status, body)
    assert response.headers["content-length"] == str(len(body))


def test_a_range_past_the_end_is_416():
    with pytest.raises(RangeNotSatisfiable):
        byte_range("bytes=10-", 10)


async def test_assets_are_listed_read_and_deleted_by_their_tenant_alone(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client, made.client(made.other_key) as stranger:
        ids = [(await client.post("/v1/assets", content=PNG + bytes([i]))).json()["id"] for i in range(3)]
        page = (await client.get("/v1/assets", params={"limit": 2})).json()
        assert [asset["id"] for asset in page["data"]] == ids[:0:-1]
        assert page["has_more"]
        unknown = "0" * len(ids[0])
        for method, suffix in [("GET", ""), ("GET", "/content"), ("DELETE", "")]:
            theirs = await stranger.request(method, f"/v1/assets/{ids[0]}{suffix}")
            nobodys = await stranger.request(method, f"/v1/assets/{unknown}{suffix}")
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.text.replace(ids[0], unknown) == nobodys.text
        assert (await stranger.get("/v1/assets")).json()["data"] == []
        assert (await client.delete(f"/v1/assets/{ids[0]}")).status_code == 204
        assert (await client.get(f"/v1/assets/{ids[0]}/content")).status_code == 404
