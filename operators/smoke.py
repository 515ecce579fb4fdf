"""`python -m operators.smoke`: what `helm test` runs. A chat, a picture where a model paints, and their usage.

It talks to the platform as any client does, over HTTP. Models that are at zero start for it, and it waits for them;
what it asked for is booked and paid for like everybody's.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from operators.admin_key import read_admin_key

_PAUSE_SECONDS = 1.0
_PROMPT = "Say hello."
_MAX_TOKENS = 8
_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_TRY_LATER = frozenset({429, 502, 503, 504})


class SmokeFailed(Exception):
    """What should have worked did not; with a sentence."""


@dataclass(frozen=True, slots=True)
class _NotYet:
    """An answer that may become another one."""

    why: str


class _Patience:
    """Asks again while the answer may become another one, and says once what it waits for."""

    def __init__(self, client: httpx.AsyncClient, say: Callable[[str], None], pause_seconds: float) -> None:
        self._client, self._say, self._pause_seconds = client, say, pause_seconds
        self.why = "nothing was asked yet"

    async def until(self, ask: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The answer of `ask(client, *arguments)`."""
        while isinstance(answer := await self._once(ask, *arguments), _NotYet):
            if answer.why != self.why:
                self._say(f"waiting: {answer.why}")
            self.why = answer.why
            await asyncio.sleep(self._pause_seconds)
        return answer

    async def _once(self, ask: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        try:
            return await ask(self._client, *arguments)
        except httpx.TransportError as error:
            return _NotYet(f"the gateway does not answer ({type(error).__name__})")


async def smoke(
    client: httpx.AsyncClient,
    timeout_seconds: float,
    say: Callable[[str], None],
    pause_seconds: float = _PAUSE_SECONDS,
) -> None:
    """Run every check, all within this time.

    Raises:
        SmokeFailed: the first that fails.
    """
    patience = _Patience(client, say, pause_seconds)
    try:
        async with asyncio.timeout(timeout_seconds):
            await _checks(patience, say)
    except TimeoutError:
        raise SmokeFailed(f"after {timeout_seconds:.0f} seconds: {patience.why}") from None


async def _checks(patience: _Patience, say: Callable[[str], None]) -> None:
    cards = await patience.until(_cards)
    say(f"{len(cards)} models are served: {', '.join(card['name'] for card in cards)}")
    chats, painters = _that_do(cards, "chat"), _that_do(cards, "text_to_image")
    if not chats and not painters:
        raise SmokeFailed("no model chats and none paints: apply one, k8s/samples/model-echo.yaml for example")
    if chats:
        request_id = await patience.until(_chat, chats[0]["name"])
        say(f"{chats[0]['name']} answered a chat")
        say(await patience.until(_booked, "request_id", request_id))
    if painters:
        run_id = await patience.until(_start_picture, painters[0])
        say(await patience.until(_painted, run_id))
        say(await patience.until(_booked, "run_id", run_id))


def _that_do(cards: Sequence[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """Those that are ready first: a model at zero would have to be started."""
    order = {"ready": 0, "loading": 1, "at_zero": 2}
    found = [card for card in cards if task in card["tasks"] and card["state"] in order]
    return sorted(found, key=lambda card: order[card["state"]])


async def _cards(client: httpx.AsyncClient) -> Any:
    answer = _read(await client.get("/v1/catalog"), "the catalogue")
    return answer if isinstance(answer, _NotYet) else answer["data"] or _NotYet("no model is served yet")


async def _chat(client: httpx.AsyncClient, model: str) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": _PROMPT}], "max_tokens": _MAX_TOKENS}
    response = await client.post("/v1/chat/completions", json=body)
    answer = _read(response, f"a chat with {model}")
    if isinstance(answer, _NotYet):
        return answer
    if not answer["usage"]["completion_tokens"]:
        raise SmokeFailed(f"{model} answered a chat with no token")
    return response.headers["x-request-id"]


async def _start_picture(client: httpx.AsyncClient, card: dict[str, Any]) -> Any:
    """A run of the card's own example: its author knows what the model can paint."""
    examples = [example["input"] for example in card["examples"] if example.get("task") == "text_to_image"]
    body = {"task": "text_to_image", "input": (examples or [{"prompt": "a red circle on a blue background"}])[0]}
    answer = _read(await client.post(f"/v1/models/{card['name']}/runs", json=body), f"a picture by {card['name']}")
    return answer if isinstance(answer, _NotYet) else answer["id"]


async def _painted(client: httpx.AsyncClient, run_id: str) -> Any:
    run = _read(await client.get(f"/v1/runs/{run_id}"), "the picture's run")
    if isinstance(run, _NotYet):
        return run
    if run["status"] in ("queued", "running"):
        return _NotYet(f"{run['model']} paints: {run['status']}")
    if run["status"] != "succeeded":
        why = (run["error"] or {}).get("message", "no reason was given")
        raise SmokeFailed(f"{run['model']} did not paint: the run {run['status']}, {why}")
    return f"{run['model']} painted"


async def _booked(client: httpx.AsyncClient, name: str, value: str) -> Any:
    """The row of usage, which follows its call by a moment."""
    answer = _read(await client.get("/v1/usage/events", params={name: value}), "usage")
    if isinstance(answer, _NotYet):
        return answer
    if not answer["data"]:
        return _NotYet(f"usage of {name} {value} is not booked yet")
    row = answer["data"][0]
    used = ", ".join(f"{unit} {number}" for unit, number in row["quantities"].items() if number)
    return f"usage was booked as {row['id']}: {used}"


def _read(response: httpx.Response, what: str) -> Any:
    """The body of an answer that is one."""
    if response.status_code in _TRY_LATER:
        return _NotYet(f"{what}: {_message(response)}")
    if response.status_code >= 400:
        raise SmokeFailed(f"{what} was answered {response.status_code}: {_message(response)}")
    return response.json()


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or str(response.status_code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m operators.smoke", description=__doc__)
    parser.add_argument("--url", required=True, help="the gateway's")
    parser.add_argument("--admin-file", type=Path, required=True, help="the mounted admin secret")
    parser.add_argument("--timeout-seconds", type=float, default=900.0, help="for everything together")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _main(options: argparse.Namespace) -> None:
    headers = {"Authorization": f"Bearer {read_admin_key(options.admin_file)}"}
    async with httpx.AsyncClient(base_url=options.url, headers=headers, timeout=_TIMEOUT, trust_env=False) as client:
        await smoke(client, options.timeout_seconds, _say)
    _say("Everything works.")


if __name__ == "__main__":
    try:
        asyncio.run(_main(_options()))
    except (SmokeFailed, OSError, ValueError) as error:
        raise SystemExit(f"failed: {error}") from error
