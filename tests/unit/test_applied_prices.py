"""A document's prices are there before the document is: whoever finds its digest need not apply it again."""

from pathlib import Path

import pytest
from fakes.gateway import gateway

from serve.metering.prices.price_book import PriceBook

PATH = "/v1/admin/documents/Model/priced"
DOCUMENT = {
    "apiVersion": "slipway.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "priced"},
    "spec": {
        "family": "llm",
        "tasks": ["chat"],
        "card": {"title": "Priced"},
        "engine": {"kind": "echo"},
        "prices": {"prompt": "1"},
    },
}


async def test_a_gateway_that_ends_at_the_prices_leaves_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end(*_: object) -> None:
        raise ConnectionResetError

    async with gateway(tmp_path) as made, made.client() as client:
        with monkeypatch.context() as patched:
            patched.setattr(PriceBook, "apply", end)
            assert (await client.put(PATH, json=DOCUMENT)).status_code == 500
        assert (await client.get(PATH)).status_code == 404
        assert (await client.put(PATH, json=DOCUMENT)).json()["result"] == "created"


async def test_a_document_that_another_manages_changes_no_price(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        await client.put(PATH, json=DOCUMENT, headers={"x-slipway-managed-by": "kubernetes"})
        before = await made.services.prices.in_force()
        dearer = DOCUMENT | {"spec": DOCUMENT["spec"] | {"prices": {"prompt": "9"}}}  # type: ignore[operator]
        refused = await client.put(PATH, json=dearer)
        assert refused.json()["error"]["code"] == "managed_elsewhere"
        assert await made.services.prices.in_force() == before
