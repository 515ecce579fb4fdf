"""The reference page, on a network without a way out."""

import re
from pathlib import Path

from fakes.gateway import gateway


async def test_the_page_and_all_it_loads_come_from_here(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, served.client(key="") as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert page.headers["x-frame-options"] == "DENY"
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert links
        assert [link for link in links if not link.startswith("/docs/static/")] == []
        for link in links:
            assert (await client.get(link)).status_code == 200


async def test_the_pages_folder_gives_nothing_else(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, served.client(key="") as client:
        for path in ("/docs/static/../../v1/models", "/docs/static/%2e%2e/core.py", "/docs/static/"):
            assert (await client.get(path)).status_code in (401, 404), path
