"""How soon a run's owner sees that it was canceled, or that it failed. Part of `benchmarks.workflow_path`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx

from benchmarks.echo_models import PACED
from benchmarks.load import LoadFailed

_TEXT: dict[str, Any] = {"inputs": [{"name": "x", "type": "text"}]}
_NUM_CALLS = 8
_CALL: dict[str, Any] = {"type": f"model:{PACED}", "inputs": {"prompt": {"$input": "x"}, "max_tokens": 4000}}
_LONG = {
    "interface": _TEXT | {"outputs": [{"name": f"out{n}", "from": [f"call{n}", "text"]} for n in range(_NUM_CALLS)]},
    "nodes": {f"call{n}": _CALL | {"inputs": _CALL["inputs"] | {"seed": n}} for n in range(_NUM_CALLS)},
}
"""Calls of a model that each take forty seconds."""
_BROKEN = {
    "interface": _TEXT | {"outputs": [{"name": "out", "from": ["parse", "value"]}]},
    "nodes": {"parse": {"type": "op:json.parse", "inputs": {"text": {"$input": "x"}}}},
}


async def publish_trouble(client: httpx.AsyncClient) -> None:
    """The two workflows."""
    for name, document in (("long", _LONG), ("broken", _BROKEN)):
        (await client.put(f"/v1/workflows/{name}/draft", json=document)).raise_for_status()
        (await client.post(f"/v1/workflows/{name}/versions", json={})).raise_for_status()


async def canceled_ms(client: httpx.AsyncClient) -> float:
    """From the cancel's request to the event that says it is done, with eight calls under way."""
    began = 0.0
    num_saying = set[str]()
    async for kind, data, run in _events(client, "long"):
        if kind == "output" and not began:
            num_saying.add(data["step"])
            if len(num_saying) == _NUM_CALLS:
                began = time.perf_counter()
                (await client.post(f"{run}/cancel")).raise_for_status()
        if kind == "canceled" and began:
            return (time.perf_counter() - began) * 1e3
    raise LoadFailed("the run was not canceled")


async def failed_ms(client: httpx.AsyncClient) -> float:
    """From the failure of a step to the event of its run's end, as its client has it."""
    async for kind, _, run in _events(client, "broken"):
        if kind == "failed":
            seen_at = time.time()
            step = (await client.get(f"{run}/steps")).json()["data"][0]
            return (seen_at - datetime.fromisoformat(step["finished_at"]).timestamp()) * 1e3
    raise LoadFailed("the run did not fail")


async def _events(client: httpx.AsyncClient, name: str) -> AsyncIterator[tuple[str, Any, str]]:
    """(kind, data, the run's address), as they come."""
    request = client.stream(
        "POST",
        f"/v1/workflows/{name}/runs",
        json={"input": {"x": "no JSON"}, "use_cache": False},
        headers={"Accept": "text/event-stream"},
    )
    async with asyncio.timeout(60), request as answer:
        if answer.status_code != 200:
            raise LoadFailed(f"status {answer.status_code}: {(await answer.aread()).decode()[:500]}")
        kind = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                kind = value
            elif field == "data":
                yield kind, json.loads(value), answer.headers["Location"]
