"""A client that writes down what it received, for tests that kill the platform under it.

    python usage_driver.py URL KEY LOG SEED CHAT_MODEL IMAGE_MODEL      until SIGTERM, then what was begun is ended

Each line of LOG is one request, synced to the disk before the next one begins: what was asked, what came, how it ended.
It streams and leaves at random tokens, waits for whole answers, paints pictures as runs, cancels some of them, and
sends a tenth of what failed again.
"""

import asyncio
import json
import os
import random
import signal
import sys
from dataclasses import dataclass
from typing import Any, TextIO

import httpx

NUM_WORKERS = 8
MAX_WORDS = 220


@dataclass
class Driver:
    """One client's load."""

    client: httpx.AsyncClient
    log: TextIO
    chance: random.Random
    chat_model: str
    image_model: str
    stopped: asyncio.Event

    def note(self, **record: Any) -> None:
        """Write a line, and have it on the disk before going on."""
        self.log.write(json.dumps(record) + "\n")
        self.log.flush()
        os.fsync(self.log.fileno())

    async def work(self) -> None:
        """Requests one after the other, until it is told to stop."""
        kinds = (self.stream, self.stream, self.whole, self.paint)
        while not self.stopped.is_set():
            kind = self.chance.choice(kinds)
            try:
                await kind()
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                self.note(kind=kind.__name__, outcome="broken", error=repr(error))
                await asyncio.sleep(0.2)
                if self.chance.random() < 0.1:
                    continue

    def chat(self, **options: Any) -> tuple[int, dict[str, Any]]:
        """How many tokens are asked for at most, and the body."""
        num_words = self.chance.randint(1, MAX_WORDS)
        words = " ".join(f"w{i}" for i in range(num_words))
        messages = [{"role": "user", "content": words}]
        return num_words, {"model": self.chat_model, "messages": messages, "max_tokens": num_words, **options}

    async def whole(self) -> None:
        """A unary chat."""
        num_words, body = self.chat()
        answer = await self.client.post("/v1/chat/completions", json=body)
        record = {"kind": "whole", "request": answer.headers.get("x-request-id"), "asked": num_words}
        if answer.status_code == 200:
            self.note(**record, outcome="complete", usage=answer.json()["usage"])
        else:
            self.note(**record, outcome="refused", status=answer.status_code, text=answer.text[:200])
            await asyncio.sleep(0.1)

    async def stream(self) -> None:
        """A streamed chat that half of the time is left at a random word."""
        num_words, body = self.chat(stream=True, stream_options={"include_usage": True})
        leave_after = self.chance.randint(0, num_words) if self.chance.random() < 0.5 else None
        record: dict[str, Any] = {"kind": "stream", "asked": num_words, "received": 0, "outcome": "cut"}
        try:
            async with self.client.stream("POST", "/v1/chat/completions", json=body) as answer:
                record["request"] = answer.headers.get("x-request-id")
                if answer.status_code != 200:
                    record |= {"outcome": "refused", "status": answer.status_code}
                    await asyncio.sleep(0.1)
                    return
                await self._read(answer, record, leave_after)
        except httpx.HTTPError as error:
            record["error"] = repr(error)
        finally:
            self.note(**record)

    async def _read(self, answer: httpx.Response, record: dict[str, Any], leave_after: int | None) -> None:
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                record["outcome"] = "complete"
                return
            chunk = json.loads(line[6:])
            if "error" in chunk:
                record |= {"outcome": "error", "code": chunk["error"]["code"]}
                return
            if chunk.get("usage"):
                record["usage"] = chunk["usage"]
            for choice in chunk["choices"]:
                record["received"] += len((choice["delta"].get("content") or "").split())
            if leave_after is not None and record["received"] >= leave_after:
                record["outcome"] = "left"
                return

    async def paint(self) -> None:
        """A picture as a run, under an Idempotency-Key, sent again when nothing was heard; some are canceled."""
        steps = self.chance.randint(1, 30)
        body = {"input": {"prompt": "a red circle", "steps": steps, "width": 64, "height": 64}}
        headers = {"Idempotency-Key": f"{self.chance.getrandbits(64):x}"}
        run = await self._run(body, headers)
        if run is None:
            return
        if self.chance.random() < 0.25:
            await asyncio.sleep(self.chance.random() * 0.2)
            await self._quietly("POST", f"/v1/runs/{run['id']}/cancel")
        self.note(kind="paint", run=run["id"], asked=steps, outcome="followed")

    async def _run(self, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        for _ in range(5):
            answer = await self._quietly("POST", f"/v1/models/{self.image_model}/runs", json=body, headers=headers)
            if answer is not None and answer.status_code in (200, 202):
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.3)
        self.note(kind="paint", outcome="given up", status=getattr(answer, "status_code", None))
        return None

    async def _quietly(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        try:
            return await self.client.request(method, path, **options)
        except httpx.HTTPError:
            return None


async def main(url: str, key: str, log: str, seed: str, chat_model: str, image_model: str) -> None:
    """Drive until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    headers = {"Authorization": f"Bearer {key}"}
    with open(log, "a") as file:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            drivers = [
                Driver(client, file, random.Random(f"{seed}-{i}"), chat_model, image_model, stopped)
                for i in range(NUM_WORKERS)
            ]
            await asyncio.gather(*(driver.work() for driver in drivers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
