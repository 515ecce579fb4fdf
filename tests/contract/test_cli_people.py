"""The command line for tenants, projects, members and keys, against the real gateway."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
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
    for arguments in (["members", "remove", ada], ["projects", "set", "nope", "--rpm", "1"]):
        assert slipway(*arguments).exit_code == 4, arguments
    assert slipway("tenants", "set", "nope", "--no-limits").exit_code == 4
    assert slipway("members", "set", ada, "king").exit_code == 4


@pytest.mark.parametrize("noun", ["tenants", "projects"])
def test_limits_go_only_where_that_is_said(noun: str) -> None:
    here = ["--tenant", "default"] if noun == "projects" else []
    ok(noun, "create", "busy", "--rpm", "7", *here)
    for mistake in ([], ["--no-limits", "--tpm", "5"]):
        refused = slipway(noun, "set", "busy", *mistake, *here)
        assert refused.exit_code == 2
        assert "--no-limits" in refused.output
    assert "7 requests" in ok(noun, "list", *here)
    assert "7 requests" not in ok(noun, "set", "busy", "--no-limits", *here)


def test_a_key_is_revoked_with_what_it_made_and_a_role_changed_with_the_keys_kept(known: list[str]) -> None:
    first = json.loads(ok("keys", "create", "one", "--scope", "keys", "--scope", "read", "-o", "json"))
    child = json.loads(ok("--key", first["key"], "keys", "create", "two", "--scope", "read", "-o", "json"))
    ok("keys", "revoke", first["id"], "--made-keys")
    assert slipway("--key", child["key"], "get", "models").exit_code == 4
    for where in ([], ["--tenant", "default"]):
        assert "developer" in ok("members", "set", known[0], "developer", "--keep-keys", *where)


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


def test_a_link_into_the_web_app_signs_in_once() -> None:
    link = ok("login-link").strip()
    address, _, code = link.partition("/signin#code=")
    first, second = (httpx.post(f"{address}/v1/session/link", json={"code": code}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 401)
    assert set(json.loads(ok("login-link", "-o", "json"))) == {"url", "code", "expires_at"}


def test_a_key_that_is_no_administrators_gets_no_link() -> None:
    key = json.loads(ok("keys", "create", "app", "-o", "json"))["key"]
    refused = slipway("--key", key, "login-link")
    assert refused.exit_code == 4
    assert "admin" in refused.output
