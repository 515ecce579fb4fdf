"""`slipway usage`, its events, exports, audit and quarantine, against the real gateway and a real ledger."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.gateway import CHAT, Gateway, gateway, settings_in
from fakes.http_server import serving
from fakes.ledger import ADMITTED_MS, REPLICA, batch, event, unbilled
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.cli.context import save_context
from serve.cli.main import build_app
from serve.domain.documents import Prices
from serve.domain.usage import Quantities, UsageEvent
from serve.metering.ledger.ledger import Ledger
from serve.settings import MeteringSettings

SINCE = ("--since", "2026-01-01T00:00:00Z")
HOUR_MS = 3_600_000
FORMULA = "=cmd|' /C calc'!A0"


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def ok(*arguments: str) -> str:
    result = slipway(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


async def book_some(it: Gateway) -> None:
    """Four calls in two hours, of which one is missing in between; and two records in quarantine."""
    services = it.services
    price = (await services.prices.apply(CHAT, Prices(prompt="1", completion="2"), "test")).id

    def used(number: int, **changes: object) -> UsageEvent:
        return event(number, **({"tenant": "default", "model": CHAT, "price": price} | changes))

    # In the past: an export leaves out what was booked in its last seconds.
    ledger = Ledger(services.records, ManualClock(), services.settings.metering, services.prices)
    calls = [used(1, tags=(("team", FORMULA),)), used(2, admitted_ms=ADMITTED_MS + HOUR_MS), unbilled(used(3))]
    now_ms = services.clock.now_ms()
    await ledger.book(batch(*calls, used(5, price=None), reported_ms=now_ms))
    for number, tokens in ((1, 999), (2, 80)):
        other = replace(used(number), quantities=Quantities(prompt_tokens=tokens))
        await ledger.book(batch(other, last_seq=5, reported_ms=now_ms))


@pytest.fixture(autouse=True)
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A platform with something in its books, and the command line that knows it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    keys: list[str] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        settings = settings_in(tmp_path / "platform", metering=MeteringSettings(tag_keys="team"))
        async with gateway(tmp_path / "platform", settings=settings) as it:
            await book_some(it)
            keys.append(it.key)
            yield it.app

    with serving(build) as url:
        save_context(url, keys[0])
        yield


def test_usage_is_summed_by_what_is_asked_for() -> None:
    (row,) = json.loads(ok("usage", *SINCE, "-o", "json"))
    assert (row["attempts"], row["unbilled"], row["unpriced"], row["cost"]["due"]["nano_usd"]) == (4, 1, 1, 240_000)
    result = slipway("usage", "--by", "model", *SINCE, "--granularity", "hour")
    heads, first, second = [line.split() for line in result.stdout.splitlines()]
    assert heads[:3] == ["FROM", "MODEL", "ATTEMPTS"]
    assert (first[0], first[2], first[-1]) == ("2026-01-01T00:00:00.000Z", "3", "0.00012")
    assert (second[0], second[2], second[-1]) == ("2026-01-01T01:00:00.000Z", "1", "0.00012")
    assert "1 attempts have no price" in result.stderr
    assert "Nothing was used" in slipway("usage", *SINCE, "--model", "none").stderr
    assert json.loads(ok("usage", *SINCE, "--tag", f"team={FORMULA}", "-o", "json"))[0]["attempts"] == 1
    everybody = json.loads(ok("usage", "--tenant", "*", "--by", "tenant", *SINCE, "-o", "json"))
    assert [row["group"]["tenant"] for row in everybody] == ["default"]
    assert "repeat group_by" in slipway("usage", "--by", "model,key").stderr
    assert slipway("usage", "--by", "colour").exit_code == 4
    assert slipway("usage", "--since", "soon").exit_code == 2


def test_events_are_listed_and_one_is_shown_with_what_followed() -> None:
    lines = ok("usage", "events", *SINCE).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["r2:1", "r5:1", "r3:1", "r1:1"]
    assert "unpriced" in lines[2]
    assert "no: platform_retry" in lines[3]
    shown = json.loads(ok("usage", "events", "r1:1", "-o", "json"))
    assert (shown["cost"]["due"]["nano_usd"], shown["postings"]) == (120_000, [])
    assert slipway("usage", "events", "r9:1").exit_code == 4
    assert "There are more" in slipway("usage", "events", *SINCE, "--limit", "1").stderr


def test_an_export_has_every_event_and_no_formula(tmp_path: Path) -> None:
    told = ok("usage", "export", *SINCE)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(told))}
    assert {id: row["due_nano_usd"] for id, row in rows.items()} == {
        **{"r1:1": "120000", "r2:1": "120000", "r3:1": "0", "r5:1": ""}
    }
    assert rows["r1:1"]["tags"] == json.dumps({"team": FORMULA})
    ok("usage", "export", *SINCE, "--format", "cloudevents", "--to", str(tmp_path / "out"))
    events = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert {one["id"] for one in events} == rows.keys()
    assert ok("usage", "export", *SINCE, "--booked-since", "1h").splitlines() == told.splitlines()[:1]
    assert slipway("usage", "export", "--format", "xml").exit_code == 4


def test_what_does_not_add_up_is_told_looked_at_and_decided() -> None:
    result = slipway("usage", "reconcile")
    assert result.exit_code == 1
    assert "Events 4 to 4 are missing. 2 records are in quarantine" in result.stdout
    assert "accepted: Events 4 to 4 are missing." in ok("usage", "accept", REPLICA, "--why", "the disk was full")
    assert "Events 4" not in slipway("usage", "reconcile").stdout.partition("Accepted")[0]
    lines = ok("usage", "conflicts").splitlines()
    assert ["prompt_tokens=999" in lines[1], "prompt_tokens=80" in lines[2]] == [True, True]
    ok("usage", "conflicts", "resolve", "r1:1", "--right", "ledger", "--why", "a copied disk")
    assert slipway("usage", "reconcile").exit_code == 1
    ok("usage", "conflicts", "resolve", "r2:1", "--right", "record")
    assert "Accepted: Events 4 to 4 are missing." in ok("usage", "reconcile")
    assert slipway("usage", "conflicts", "resolve", "r2:1", "--right", "record").exit_code == 4
    assert ok("usage", "conflicts", "list").splitlines()[1:] == []
    assert len(json.loads(ok("usage", "conflicts", "--all", "-o", "json"))) == 2
    shown = json.loads(ok("usage", "events", "r2:1", "-o", "json"))
    costs = [one["cost"]["due"]["nano_usd"] for one in (shown, *shown["postings"])]
    assert costs == [120_000, 80_000 - 120_000]
    assert slipway("usage", "accept", "nobody").exit_code == 4
