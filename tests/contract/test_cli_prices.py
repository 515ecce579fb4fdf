"""`slipway prices`, `slipway run --estimate` and what a run cost, against the real gateway and a real ledger."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakes.gateway import CHAT
from fakes.http_server import serving
from fakes.images import PAINTER, studio
from fakes.ledger import batch, event
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.cli.context import save_context
from serve.cli.main import build_app
from serve.domain.documents import Prices
from serve.domain.usage import PLATFORM_RETRY, Quantities
from serve.metering.ledger.ledger import Ledger

PRICES = Prices(prompt="1", cached_prompt="0.5", completion="2", adapter_percent="10")
INK = "acme/ink@sha256:" + "1" * 64


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def ok(*arguments: str) -> str:
    result = slipway(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module", autouse=True)
def _platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A platform whose echo-chat and painter have prices, with two attempts in its books."""
    folder, keys = tmp_path_factory.mktemp("prices"), list[str]()

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with studio(folder / "platform") as it:
            services = it.made.services
            version = await services.prices.apply(CHAT, PRICES, "test")
            await services.prices.apply(PAINTER, Prices(megapixel_step="0.1"), "test")
            used = Quantities(prompt_tokens=100, cached_prompt_tokens=40, completion_tokens=10)
            of = {"tenant": "default", "model": CHAT, "price": version.id, "adapters": (INK,), "quantities": used}
            lost = event(2, **of, billable=False, reason=PLATFORM_RETRY)
            unpriced = event(3, **of | {"price": None})
            ledger = Ledger(services.records, services.clock, services.settings.metering, services.prices)
            await ledger.book(batch(event(1, **of), lost, unpriced))
            keys.append(it.made.key)
            yield it.made.app

    with pytest.MonkeyPatch.context() as patched, serving(build) as url:
        patched.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patched.delenv("SLIPWAY_URL", raising=False)
        patched.delenv("SLIPWAY_API_KEY", raising=False)
        save_context(url, keys[0])
        yield


def test_they_are_listed_and_have_a_history() -> None:
    lines = ok("prices").splitlines()
    assert lines[0].split() == ["MODEL", "PRICES", "SINCE"]
    assert "echo-chat    prompt=1 cachedPrompt=0.5 completion=2 adapterPercent=10" in lines[1]
    assert "unpriced" in lines[2]
    version = ok("prices", "history", CHAT).splitlines()[1].split()
    assert version[1] == "everyone"
    told = ok("prices", "check", CHAT, "--prompt-tokens", "1000000", "--price", version[-1])
    assert told.splitlines()[-1] == "total: $1 (1000000000 nano-dollars)", "the id can be copied from the table"


def test_a_charge_is_explained_line_by_line() -> None:
    told = ok("prices", "check", CHAT, "--prompt-tokens", "1200", "--completion-tokens", "300", "--adapter", "ink")
    assert told.splitlines() == [
        "1200 prompt tokens at $1 per million tokens: $0.0012",
        "300 completion tokens at $2 per million tokens: $0.0006",
        "10 % of $0.0018 for the adapter default/ink: $0.00018",
        "total: $0.00198 (1980000 nano-dollars)",
    ]
    assert "has no price" in ok("prices", "check", "echo-embed", "--prompt-tokens", "5")


def test_what_was_booked_is_explained_by_its_id() -> None:
    told = ok("prices", "check", "--event", "r1:1").splitlines()
    assert told[0] == "40 cached prompt tokens at $0.5 per million tokens: $0.00002"
    assert told[-1] == "total: $0.00011 (110000 nano-dollars)"
    assert "It is not charged: platform_retry." in slipway("prices", "check", "--event", "r2:1").stderr
    unpriced = slipway("prices", "check", "--event", "r3:1").stderr
    assert "booked without a price" in unpriced
    assert "/v1/admin/rerate" in unpriced
    assert slipway("prices", "check", "--event", "r9:1").exit_code == 4


def test_nothing_to_check_and_no_time_are_wrong_usage() -> None:
    assert slipway("prices", "check").exit_code == 2
    assert slipway("prices", "check", CHAT, "--at", "yesterday").exit_code == 2


def test_an_estimate_runs_nothing_and_a_run_says_what_it_cost() -> None:
    plan = ok("run", PAINTER, "prompt=a cat", "num_images=2", "--estimate")
    assert "costs at most: $0.0032768" in plan
    assert ok("get", "runs").splitlines()[1:] == []
    result = slipway("run", PAINTER, "prompt=a cat", "num_images=2", "-o", "json")
    assert '"usd": "0.0032768"' in result.stdout


def test_prices_are_set_from_a_file_and_what_had_none_is_charged_once(tmp_path: Path):
    (tmp_path / "prices.yaml").write_text("prompt: '2'\ncompletion: '4'\n")
    made = ok("prices", "set", CHAT, "-f", str(tmp_path / "prices.yaml")).strip().removeprefix("price/")
    assert made in ok("prices", "history", CHAT)
    charged = ok("usage", "rerate", CHAT, "--price", made, "--since", "2000-01-01T00:00:00Z")
    assert charged == "1 attempts, 0.00024 USD in all\n"
    again = ok("usage", "rerate", CHAT, "--price", made, "--since", "2000-01-01T00:00:00Z")
    assert again == "0 attempts, 0 USD in all\n"


def test_prices_that_make_no_sense_are_refused_with_the_field(tmp_path: Path):
    (tmp_path / "prices.yaml").write_text("promt: '2'\n")
    refused = slipway("prices", "set", CHAT, "-f", str(tmp_path / "prices.yaml"))
    assert refused.exit_code != 0
    assert "promt" in refused.stderr
