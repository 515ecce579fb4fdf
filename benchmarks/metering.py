"""What does it cost to account for every request?

    python -m benchmarks.metering [--postgres URL] [--rounds 6] [--folder FOLDER] [--out FILE]

`cpu`: microseconds of CPU time of the thread that answers, per request, in process and over `CallMetering` or
`Submission` themselves, so that a busy machine disturbs it little. Every request is metered, and the same request is
not: an engine that does nothing else counts its tokens and answers.

    short      20 tokens of prompt, 16 of answer, in one batch: opened and closed, no checkpoint
    streamed   20 and 48 in 48 batches: a look after each whether a checkpoint is due, and the one that is
    witness    what a gateway or a runner writes of a streamed call: opened, seen, closed
    shipping   apart, since it waits for no request: all threads' time to sync, read, settle and send to books that do
               nothing, per event

`idle` is the whole process's CPU while nothing happens, in microseconds per second. `added` are differences within a
round. Journals and the SQLite database are in FOLDER, which should be on a disk.

`ledger`: events per second with 10 % duplicates by the raw insert of the same batches; see benchmarks.metering_ledger.

`billable`: milliseconds from the end of an answer until its usage is committed, over replicas and witnesses that ship
with the default settings; see benchmarks.metering_delay.
"""

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

from benchmarks import metering_ledger
from benchmarks.command import print_found
from benchmarks.figures import compared, difference, figure, orders, percentile
from benchmarks.machine import circumstances
from benchmarks.metering_delay import delay
from benchmarks.metering_requests import PROMPT_TOKENS, model_call
from deployments.call_metering import CallMetering
from deployments.witness import Submission
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.generation import Completed, EventBatch, Metered, TextDelta
from serve.domain.usage import Quantities, Receipt, Tally, UsageBatch
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings

logger = logging.getLogger(__name__)

AIM_MICROSECONDS = 15.0
"""Added to a short request in its replica."""
AIM_BILLABLE_MS = 2000.0
IDLE_SECONDS = 5.0
Block = Callable[[ProcessMetering | None, int], Coroutine[None, None, None]]


def main() -> None:
    """Measure, and print."""
    options = _options()
    print_found(lambda: circumstances(sys.argv[1:]) | measured(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="of a block")
    parser.add_argument("--rounds", type=int, default=6, help="of all blocks, in turns")
    parser.add_argument("--folder", type=Path, help="for the journals; a temporary one unless set")
    parser.add_argument("--postgres", default="", help="SQLAlchemy URL of an empty database, postgresql+asyncpg://...")
    parser.add_argument("--events", type=int, default=20_000, help="that the ledger books")
    parser.add_argument("--batch", type=int, default=500, help="events of a batch")
    parser.add_argument("--rate", type=float, default=100.0, help="answers a second while delays are measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="of that")
    parser.add_argument("--quick", action="store_true", help="little of everything: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.rounds, options.events, options.seconds = 1000, 2, 1000, 1.0
    return options


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """One part after the other: they would disturb each other."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    found = {"cpu": cpu(options)}
    logger.info("the ledger books")
    found["ledger"] = asyncio.run(metering_ledger.run(options))
    found["billable"] = _billable(options)
    return found


def _billable(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"aim_p99_ms": AIM_BILLABLE_MS}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="slipway-metering-") as folder:
        urls = {"sqlite": f"sqlite+aiosqlite:///{folder}/ledger.db", "postgresql": options.postgres}
        for name, url in urls.items():
            if url:
                logger.info("answers are booked on %s", name)
                found[name] = asyncio.run(delay(url, Path(folder) / name, options.rate, options.seconds))
    return found


def cpu(options: argparse.Namespace) -> dict[str, Any]:
    """All blocks in all rounds, each with a journal of its own."""
    taken: dict[str, list[list[float]]] = {name: [] for name in (*_PLAIN, *BLOCKS, "shipping", "idle")}
    for number, names in enumerate(orders(list(BLOCKS), options.rounds), 1):
        for name in names:
            with tempfile.TemporaryDirectory(dir=options.folder, prefix="slipway-metering-") as folder:
                plain, block, shipping, idle = asyncio.run(_measured(Path(folder), BLOCKS[name], options.requests))
            taken[f"{name}_without"].append([plain])
            taken[name].append([block])
            if name == "short":
                taken["shipping"].append([shipping])
                taken["idle"].append([idle])
        logger.info("round %d: %s", number, {name: round(rounds[-1][0], 2) for name, rounds in taken.items()})
    return _told(taken)


async def _measured(folder: Path, block: Block, num_requests: int) -> tuple[float, float, float, float]:
    """Microseconds per request of this thread, without metering and with it, and of the whole process to book what was
    closed; and those it takes each second while nothing happens."""
    settings = MeteringSettings(journal_max_bytes=2**30)
    metering = ProcessMetering(
        settings, folder, "benchmark", SystemClock(), Uuid7Ids(), NoBooks(), num_gpus=1, usage=True, witness=True
    )
    plain = await _timed(block, None, num_requests)
    taken = await _timed(block, metering, num_requests)
    began = time.process_time()
    await metering.start()
    while metering.sample().num_unshipped:
        await asyncio.sleep(0.02)
    shipping = time.process_time() - began
    idle = await _idle(metering)
    await metering.stop()
    return plain, taken, shipping / num_requests * 1e6, idle


async def _timed(block: Block, metering: ProcessMetering | None, num_requests: int) -> float:
    await block(metering, num_requests // 20)
    gc.collect()
    began = time.thread_time()
    await block(metering, num_requests)
    return (time.thread_time() - began) / num_requests * 1e6


async def _idle(metering: ProcessMetering) -> float:
    began = time.process_time()
    await asyncio.sleep(IDLE_SECONDS)
    return (time.process_time() - began) / IDLE_SECONDS * 1e6


class NoBooks:
    """Books that take everything and do nothing."""

    async def book(self, batch: UsageBatch) -> Receipt:
        return Receipt(len(batch.events), 0, 0)


async def _short(metering: ProcessMetering | None, num_requests: int) -> None:
    await _answered(metering, num_requests, 1, 16)


async def _streamed(metering: ProcessMetering | None, num_requests: int) -> None:
    await _answered(metering, num_requests, 48, 1)


async def _answered(metering: ProcessMetering | None, num_requests: int, num_batches: int, num_tokens: int) -> None:
    calls = CallMetering(MODEL, metering.meter, lambda *_: None) if metering else None

    async def answer(tally: Tally) -> AsyncGenerator[EventBatch, None]:
        tally.prompt_tokens += PROMPT_TOKENS
        for _ in range(num_batches):
            tally.completion_tokens += num_tokens
            yield _SAID
        yield [Completed(_USAGE)]

    for number in range(num_requests):
        asked = model_call(number)
        async with aclosing(calls.metered(asked, answer) if calls else answer(Tally())) as batches:
            async for _ in batches:
                pass


async def _witness(metering: ProcessMetering | None, num_requests: int) -> None:
    witness = metering.witness if metering else None
    for number in range(num_requests):
        with Submission(witness, MODEL, model_call(number), None) as submission:
            for batch in _HEARD:
                submission.saw(batch)


MODEL = "smollm2-135m-instruct"
_USAGE = Quantities(prompt_tokens=PROMPT_TOKENS, completion_tokens=48)
_SAID: EventBatch = [TextDelta("a")]
_HEARD: list[EventBatch] = [*[_SAID] * 47, [*_SAID, Metered(_USAGE)], [Completed(_USAGE)]]
BLOCKS: dict[str, Block] = {"short": _short, "streamed": _streamed, "witness": _witness}
_PLAIN = [f"{name}_without" for name in BLOCKS]


def _told(taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    middle = percentile(50)
    added = {name: compared(taken[name], taken[f"{name}_without"], middle, difference, 2) for name in BLOCKS}
    return {
        "unit": "microseconds of CPU per request; idle: per second",
        "aim": {"short_added_at_most": AIM_MICROSECONDS, "met": added["short"]["value"] <= AIM_MICROSECONDS},
        "added": added,
        "taken": {name: figure(rounds, middle, digits=2) for name, rounds in taken.items()},
    }


if __name__ == "__main__":
    main()
