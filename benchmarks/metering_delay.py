"""How long is it from the end of an answer until its usage is booked? Part of `python -m benchmarks.metering`."""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.metering_requests import PROMPT_TOKENS, subject
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import Prices
from serve.domain.usage import PriceId, Quantities, Receipt, Tally, UsageBatch, UsageId, UsageStatus
from serve.metering.ledger.ledger import Ledger
from serve.metering.meter import MeteredCall
from serve.metering.prices.price_book import PriceBook
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings
from serve.storage.records import Records

NUM_REPLICAS = 4
MAX_TOKENS = 200
_SEED = 20_240_229


class WatchedBooks:
    """A ledger that notes when each attempt was booked by its own replica's record."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.booked_at: dict[UsageId, float] = {}

    async def book(self, batch: UsageBatch) -> Receipt:
        receipt = await self._ledger.book(batch)
        if not batch.report.is_witness:
            now = time.monotonic()
            self.booked_at |= {event.id: now for event in batch.events if event.id not in self.booked_at}
        return receipt


async def delay(url: str, folder: Path, requests_per_second: float, seconds: float) -> dict[str, Any]:
    """Milliseconds from closing to commit, of answers that end at random by several replicas and a witness, which ship
    with the default settings, over the database at `url`."""
    records, clock, settings = Records(url), SystemClock(), MeteringSettings()
    await records.migrate()
    prices = PriceBook(records, clock)
    price = (await prices.apply("echo", Prices(prompt="0.15", completion="0.60"), "benchmark")).id
    books = WatchedBooks(Ledger(records, clock, settings, prices))
    processes = [
        ProcessMetering(
            settings, folder, f"replica-{n}", clock, Uuid7Ids(), books, model="echo", usage=True, witness=True
        )
        for n in range(NUM_REPLICAS)
    ]
    for process in processes:
        await process.start()
    ended_at = await _answered(processes, price, requests_per_second, seconds)
    async with asyncio.timeout(60):
        while len(books.booked_at) < len(ended_at):
            await asyncio.sleep(0.05)
    await asyncio.gather(*[process.stop() for process in processes])
    await records.close()
    waits = [(books.booked_at[usage_id] - ended) * 1000 for usage_id, ended in ended_at.items()]
    return {"answers": len(waits), "answers_per_second": requests_per_second} | {
        f"{name}_ms": round(float(np.percentile(waits, rank)), 1)
        for name, rank in (("p50", 50), ("p99", 99), ("max", 100))
    }


async def _answered(
    processes: list[ProcessMetering], price: PriceId, requests_per_second: float, seconds: float
) -> dict[UsageId, float]:
    """When each answer ended."""
    ended_at: dict[UsageId, float] = {}
    for number, pause in enumerate(_pauses(requests_per_second, seconds)):
        await asyncio.sleep(pause)
        process, asked = processes[number % len(processes)], subject(number, "echo", price)
        tally = Tally()
        calls: list[MeteredCall] = [process.witness.begin(asked), process.meter.begin(asked, tally)]
        tally.prompt_tokens, tally.completion_tokens = PROMPT_TOKENS, 1 + number % MAX_TOKENS
        known = calls[1].end(UsageStatus.SUCCEEDED)
        ended_at[asked.id] = time.monotonic()
        _witnessed(calls[0], known)
    return ended_at


def _witnessed(call: MeteredCall, known: Quantities) -> None:
    call.seen(known)
    call.end(UsageStatus.SUCCEEDED)


def _pauses(requests_per_second: float, seconds: float) -> Iterator[float]:
    """Of a Poisson process."""
    drawn, total = random.Random(_SEED), 0.0
    while total < seconds:
        pause = drawn.expovariate(requests_per_second)
        total += pause
        yield pause
