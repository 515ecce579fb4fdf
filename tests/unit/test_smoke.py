"""What `helm test` runs, against a real gateway: it finds what works, waits for what comes, and names what does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fakes.gateway import CHAT, Gateway, gateway
from fakes.images import PAINTER, studio
from fakes.ledger import batch, event

from operators.admin_key import read_admin_key
from operators.smoke import SmokeFailed, smoke
from serve.auth.tokens import key_id_of
from serve.domain.names import RequestId, RunId
from serve.domain.usage import UsageId
from serve.metering.ledger.ledger import Ledger


class LateLedger:
    """Books a call's usage when it is asked for the second time, as a ledger that is a moment behind does."""

    def __init__(self, made: Gateway) -> None:
        self._services = made.services
        self._asked: set[str] = set()

    async def __call__(self, request: httpx.Request) -> None:
        if request.url.path != "/v1/usage/events":
            return
        [(name, value)] = request.url.params.items()
        if value in self._asked:
            await self._book(name, value)
        self._asked.add(value)

    async def _book(self, name: str, value: str) -> None:
        services = self._services
        made = event(len(self._asked), tenant="default", admitted_ms=services.clock.now_ms())
        ids = {"request_id": RequestId(value)} if name == "request_id" else {"run_id": RunId(value)}
        subject = replace(made.subject, id=UsageId(f"{value}:1"), **ids)
        ledger = Ledger(services.records, services.clock, services.settings.metering, services.prices)
        await ledger.book(batch(replace(made, subject=subject)))


class Heard(Exception):
    """What was waited for was said."""


def until(words: str) -> Callable[[str], None]:
    """A listener that ends the test as soon as it hears that."""

    def say(line: str) -> None:
        if words in line:
            raise Heard(line)

    return say


async def told(made: Gateway) -> list[str]:
    """What the smoke test says."""
    lines: list[str] = []
    async with made.client() as client:
        client.event_hooks["request"].append(LateLedger(made))
        await smoke(client, 60, lines.append, pause_seconds=0.001)
    return lines


async def test_a_chat_is_answered_and_its_usage_is_waited_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        lines = await told(made)
    assert lines[1] == f"{CHAT} answered a chat"
    assert "is not booked yet" in lines[2]
    assert "completion_tokens 10" in lines[3]
    assert len(lines) == 4


async def test_a_picture_is_painted_where_a_model_paints(tmp_path: Path) -> None:
    async with studio(tmp_path / "s") as made:
        lines = await told(made.made)
    assert f"{PAINTER} painted" in lines
    assert lines[-1].startswith("usage was booked as ")


async def test_a_picture_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    async with studio(tmp_path / "s") as made:
        made.models.error = RuntimeError("no paint")
        with pytest.raises(SmokeFailed, match=f"{PAINTER} did not paint: the run failed"):
            await told(made.made)


async def test_models_that_are_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        for name in list(await made.services.catalog.cards()):
            await made.services.catalog.delete(name, "api")
        with pytest.raises(Heard):
            await smoke(client, 60, until("waiting: no model is served yet"))


async def test_a_wrong_key_is_a_failure_and_nothing_to_wait_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client("slw_wrong") as client:
        with pytest.raises(SmokeFailed, match="the catalogue was answered 401"):
            await smoke(client, 60, lambda line: None)


async def test_a_gateway_that_is_away_is_waited_for() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(away), base_url="http://slipway") as client:
        with pytest.raises(Heard):
            await smoke(client, 60, until("waiting: the gateway does not answer (ConnectError)"))
        with pytest.raises(SmokeFailed, match="after 0 seconds"):
            await smoke(client, 0, lambda line: None)


def test_the_admin_secret_gives_a_key_and_always_the_same(tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("x" * 12 + "Abc9" * 9 + "\n")
    key = read_admin_key(tmp_path / "admin")
    assert key_id_of(key)
    assert read_admin_key(tmp_path / "admin") == key
