"""The official `openai` client when it is refused: it waits for limits, and leaves exhausted budgets alone."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from fakes.gateway import CHAT
from fakes.http_server import Served, served
from openai.types.chat import ChatCompletionMessageParam

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("platform")) as made:
        yield made


@pytest.fixture
def api(platform: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, headers={"authorization": f"Bearer {platform.made.key}"}) as client:
        yield client


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have slept; it goes on at once."""
    slept: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", slept.append)
    return slept


def tries(platform: Served, key: str) -> list[int]:
    """How often a client with `key` sends a chat, as the statuses that it gets."""
    statuses: list[int] = []
    http = httpx.Client(event_hooks={"response": [lambda answer: statuses.append(answer.status_code)]})
    asking = openai.OpenAI(base_url=f"{platform.url}/v1", api_key=key, max_retries=2, http_client=http)
    with asking as client, contextlib.suppress(openai.RateLimitError):
        client.chat.completions.create(model=CHAT, messages=MESSAGES)
    return statuses


def new_key(api: httpx.Client, **body: Any) -> str:
    answer = api.post("/v1/keys", json={"title": "t", **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def test_a_limit_is_waited_for(platform: Served, api: httpx.Client, waits: list[float]):
    key = new_key(api, limits={"requests_per_minute": 1})
    assert tries(platform, key) == [200]
    assert tries(platform, key) == [429, 429, 429]
    assert len(waits) == 2
    assert all(60 <= seconds <= 66 for seconds in waits)


def test_an_exhausted_budget_is_not_asked_again(platform: Served, api: httpx.Client, waits: list[float]):
    assert api.put(f"/v1/admin/prices/{CHAT}", json={"prompt": "1", "completion": "1"}).is_success
    key = new_key(api, project="poor")
    body = {"tenant": "default", "project": "poor", "period": "day", "limit_usd": "0.000001"}
    assert api.post("/v1/budgets", json=body).status_code == 201
    assert tries(platform, key) == [429]
    assert waits == []
