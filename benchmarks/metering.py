"""What does it cost to account for every request?

    python -m benchmarks.metering [--postgres URL] [--rounds 6] [--folder FOLDER] [--out FILE]

`cpu`: microseconds of the calling thread's own time per request, in process, so that a busy machine disturbs it little.

    off                the loop of all the others: a subject and a tally are made, tokens are counted
    replica            ... and the call is opened and closed in a replica's journal
    replica_streamed   ... with a look whether a checkpoint is due after every token, and those that are
    witness            ... and the call is opened, seen and closed in the journal of a gateway or a runner
    shipping           all threads' time to sync, read, settle and send to books that do nothing, per event

`added` are differences to `off` within a round. Journals and the SQLite database are in FOLDER, which should be on a
disk.

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import metering_ledger
from benchmarks.command import print_found
from benchmarks.figures import Rounds, compared, difference, figure, orders, percentile
from benchmarks.machine import circumstances
from benchmarks.metering_delay import delay
from benchmarks.metering_requests import PROMPT_TOKENS, subject
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.usage import Quantities, Receipt, Tally, UsageBatch, UsageStatus
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings

logger = logging.getLogger(__name__)

AIM_MICROSECONDS = 15.0
"""Added to a request by a replica's journal."""
AIM_BILLABLE_MS = 2000.0
NUM_TOKENS = 48
"""Of every answer: with its prompt it has one checkpoint."""
Block = Callable[[ProcessMetering, int], None]


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
    taken: dict[str, list[list[float]]] = {name: [] for name in (*BLOCKS, "shipping")}
    for number, names in enumerate(orders(list(BLOCKS), options.rounds), 1):
        for name in names:
            with tempfile.TemporaryDirectory(dir=options.folder, prefix="slipway-metering-") as folder:
                block, shipping = asyncio.run(_measured(Path(folder), BLOCKS[name], options.requests))
            taken[name].append([block])
            if name == "replica":
                taken["shipping"].append([shipping])
        logger.info("round %d: %s", number, {name: round(rounds[-1][0], 2) for name, rounds in taken.items()})
    return _told(taken)


async def _measured(folder: Path, block: Block, num_requests: int) -> tuple[float, float]:
    """Microseconds per request of the block's thread, and of the whole process to book what it closed."""
    settings = MeteringSettings(journal_max_bytes=2**30, ship_seconds=0.05)
    metering = ProcessMetering(
        settings, folder, "benchmark", SystemClock(), Uuid7Ids(), NoBooks(), num_gpus=1, usage=True, witness=True
    )
    block(metering, num_requests // 20)
    gc.collect()
    began = time.thread_time()
    block(metering, num_requests)
    taken = time.thread_time() - began
    began = time.process_time()
    await metering.start()
    while metering.sample().num_unshipped:
        await asyncio.sleep(0.02)
    shipping = time.process_time() - began
    await metering.stop()
    return taken / num_requests * 1e6, shipping / num_requests * 1e6


class NoBooks:
    """Books that take everything and do nothing."""

    async def book(self, batch: UsageBatch) -> Receipt:
        return Receipt(len(batch.events), 0, 0)


def _off(metering: ProcessMetering, num_requests: int) -> None:
    for number in range(num_requests):
        subject(number)
        _counted(Tally())


def _replica(metering: ProcessMetering, num_requests: int) -> None:
    meter = metering.meter
    for number in range(num_requests):
        tally = Tally()
        call = meter.begin(subject(number), tally)
        _counted(tally)
        call.end(UsageStatus.SUCCEEDED)


def _replica_streamed(metering: ProcessMetering, num_requests: int) -> None:
    meter = metering.meter
    for number in range(num_requests):
        tally = Tally()
        call = meter.begin(subject(number), tally)
        tally.prompt_tokens = PROMPT_TOKENS
        for _ in range(NUM_TOKENS):
            tally.completion_tokens += 1
            call.checkpoint()
        call.end(UsageStatus.SUCCEEDED)


def _witness(metering: ProcessMetering, num_requests: int) -> None:
    witness, usage = metering.witness, Quantities(prompt_tokens=PROMPT_TOKENS, completion_tokens=NUM_TOKENS)
    for number in range(num_requests):
        call = witness.begin(subject(number))
        _counted(Tally())
        call.seen(usage)
        call.end(UsageStatus.SUCCEEDED)


BLOCKS: dict[str, Block] = {
    "off": _off,
    "replica": _replica,
    "replica_streamed": _replica_streamed,
    "witness": _witness,
}


def _counted(tally: Tally) -> None:
    tally.prompt_tokens = PROMPT_TOKENS
    for _ in range(NUM_TOKENS):
        tally.completion_tokens += 1


def _told(taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    middle = percentile(50)
    off: Rounds = taken["off"]
    added = {name: compared(taken[name], off, middle, difference, 2) for name in BLOCKS if name != "off"}
    return {
        "unit": "microseconds of CPU per request",
        "aim": {"replica_added_at_most": AIM_MICROSECONDS, "met": added["replica"]["value"] <= AIM_MICROSECONDS},
        "added": added,
        "taken": {name: figure(rounds, middle, digits=2) for name, rounds in taken.items()},
    }


if __name__ == "__main__":
    main()
