"""The command line for tenants, projects, members and keys, against the real gateway."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakes.gateway import CHAT, Gateway, gateway
from fakes.http_server import serving
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.auth.users import Identity
from serve.cli.context import save_context
from serve.cli.main import build_app


@pytest.fixture
def known() -> list[str]:
    """The ids of people who have logged in."""
    return []


@pytest.fixture(autouse=True)
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[str]) -> Iterator[None]:
    """A platform that one person has logged in to, and the command line that knows it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    made: list[Gateway] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with gateway(tmp_path / "platform") as it:
            async with it.services.records.write() as connection:
                ada = Identity("https://id.example", "ada", "ada@x.example", "Ada")
                known.append((await it.services.people.users.logged_in(connection, ada)).id)
            made.append(it)
            yield it.app

    with serving(build) as url:
        save_context(url, made[0].key)
        yield


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def ok(*arguments: str) -> str:
    result = slipway(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tenants_projects_and_members_from_the_first_to_the_last(known: list[str]) -> None:
    [ada] = known
    assert "prepaid" in ok("tenants", "create", "acme", "--billing", "prepaid", "--rpm", "60")
    changed = json.loads(ok("tenants", "set", "acme", "--billing", "postpaid", "-o", "json"))[0]
    assert (changed["billing"], changed["limits"]["requests_per_minute"]) == ("postpaid", 60)
    assert (
        json.loads(ok("tenants", "set", "acme", "--no-limits", "-o", "json"))[0]["limits"]["requests_per_minute"]
        is None
    )
    ok("projects", "create", "search", "--tpm", "9000", "--tenant", "acme")
    assert "9000 tokens" in ok("projects", "list", "--tenant", "acme")
    assert "3 images" in ok("projects", "set", "search", "--ipm", "3", "--tenant", "acme")
    assert "ada@x.example" in ok("members", "set", ada, "developer", "--tenant", "acme")
    assert "developer" in ok("members", "list", "--tenant", "acme")
    ok("members", "remove", ada, "--tenant", "acme")
    assert json.loads(ok("members", "list", "--tenant", "acme", "-o", "json")) == []
    for arguments in (["members", "remove", ada], ["projects", "set", "nope"], ["tenants", "set", "nope"]):
        assert slipway(*arguments).exit_code == 4, arguments
    assert slipway("members", "set", ada, "king").exit_code == 4


def test_a_key_for_one_model_is_made_and_rotated() -> None:
    made = json.loads(ok("keys", "create", "app", "--model", CHAT, "--rpm", "5", "--ipm", "0", "-o", "json"))
    assert (made["models"], made["limits"]["images_per_minute"]) == ([CHAT], 0)
    new = json.loads(ok("keys", "rotate", made["id"], "--grace", "0s", "-o", "json"))
    assert new["models"] == [CHAT]
    shown = ok("get", "keys", "-o", "wide")
    assert "5 requests, 0 images" in shown
    assert slipway("--key", made["key"], "get", "models").exit_code == 4
    assert CHAT in ok("--key", new["key"], "get", "models")
    assert slipway("keys", "rotate", new["id"], "--grace", "soon").exit_code == 2
