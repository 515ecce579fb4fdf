"""`slipway budgets` and `slipway credits`, against the real gateway."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fakes.gateway import gateway
from fakes.http_server import serving
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.cli.context import save_context
from serve.cli.exits import ExitCode
from serve.cli.main import build_app


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def ok(*arguments: str) -> str:
    result = slipway(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module", autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A platform, with the key of its administrator and one of another tenant."""
    folder, made = tmp_path_factory.mktemp("budgets"), list[str]()

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with gateway(folder / "platform") as it:
            made.extend((it.key, it.other_key))
            yield it.app

    with pytest.MonkeyPatch.context() as patched, serving(build) as url:
        patched.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patched.delenv("SLIPWAY_URL", raising=False)
        patched.delenv("SLIPWAY_API_KEY", raising=False)
        save_context(url, made[0])
        yield made


def made_budget(*arguments: str) -> str:
    told = ok("budgets", "create", *arguments)
    assert told.startswith("budget/")
    assert told.split()[1] == "made"
    return told.split()[0].removeprefix("budget/")


def test_a_budget_is_made_listed_changed_and_deleted() -> None:
    budget = made_budget("month", "--limit", "25.00", "--soft-limit", "20", "--title", "trial")
    (line,) = [line for line in ok("budgets", "list").splitlines() if budget in line]
    assert line.split()[1:9] == ["tenant", "default", "month", "$25", "$20", "$0", "$0", "$25"]
    changed = slipway("budgets", "set", budget, "--limit", "30", "--soft-limit", "none")
    assert changed.stdout == f"budget/{budget} set\n"
    assert "$30 per month for tenant default; $0 is spent." in changed.stderr
    (shown,) = json.loads(ok("budgets", "list", "-o", "json"))
    assert (shown["limit"]["usd"], shown["soft_limit"], shown["title"]) == ("30", None, "trial")
    assert ok("budgets", "delete", budget) == f"budget/{budget} deleted\n"
    assert budget not in ok("budgets", "list")


def test_a_budget_is_of_a_project_a_key_or_another_tenant(keys: list[str]) -> None:
    key_id = keys[0].split("_")[1]
    of = {
        made_budget("day", "--limit", "1", "--project", "default"): "project default",
        made_budget("total", "--limit", "1", "--of-key", key_id): f"key {key_id}",
        made_budget("day", "--soft-limit", "1", "--tenant", "other"): "tenant other",
    }
    listed = ok("budgets", "list") + ok("budgets", "list", "--tenant", "other")
    words = [line.split() for line in listed.splitlines()]
    assert {line[0]: " ".join(line[1:3]) for line in words if line[0] in of} == of
    ok("budgets", "delete", *of)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "week", "--limit", "1"), "period"),
        (("create", "day"), "needs a limit"),
        (("create", "day", "--limit", "-1"), "limit_usd"),
        (("create", "day", "--limit", "1", "--project", "nowhere"), "no project 'nowhere'"),
        (("create", "day", "--limit", "1", "--of-key", "nobody"), "no key 'nobody'"),
        (("create", "day", "--limit", "1", "--tenant", "nobody"), "no tenant 'nobody'"),
        (("set", "unknown", "--limit", "1"), "no budget 'unknown'"),
        (("set", "unknown"), "Say what to set"),
        (("delete", "unknown"), "no budget 'unknown'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(arguments: tuple[str, ...], words: str) -> None:
    refused = slipway("budgets", *arguments)
    assert refused.exit_code != 0
    assert words in refused.stderr
    assert "Traceback" not in refused.output


def test_credit_is_granted_listed_and_voided() -> None:
    made = ok("credits", "grant", "other", "12.50", "--priority", "3", "--expires", "30d", "--note", "welcome")
    grant = made.split()[0].removeprefix("credit/")
    assert made == f"credit/{grant} granted\n"
    shown = slipway("credits", "list", "--tenant", "other")
    (line,) = [line for line in shown.stdout.splitlines() if grant in line]
    assert line.split()[1:4] == ["$12.5", "$12.5", "3"]
    assert line.endswith("welcome")
    assert "other (postpaid): $12.5 left." in shown.stderr
    assert ok("credits", "void", grant) == f"credit/{grant} voided\n"
    assert "$0 left" in slipway("credits", "list", "--tenant", "other").stderr


def test_who_is_no_administrator_sees_its_own_and_grants_nothing(
    keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = made_budget("day", "--limit", "5", "--tenant", "other")
    monkeypatch.setenv("SLIPWAY_API_KEY", keys[1])
    own = made_budget("day", "--limit", "1")
    assert {theirs, own} <= {line.split()[0] for line in ok("budgets", "list").splitlines()[1:]}
    for refused in (
        ("budgets", "set", theirs, "--limit", "500"),
        ("budgets", "delete", theirs),
        ("budgets", "list", "--tenant", "default"),
        ("credits", "grant", "other", "5"),
        ("credits", "list", "--tenant", "default"),
    ):
        result = slipway(*refused)
        assert result.exit_code == ExitCode.REFUSED, result.output
        assert "dministrator" in result.stderr or "admin" in result.stderr
