"""Calls, journals and meters for tests of them."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from fakes.clock import ManualClock

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.usage import UsageEvent, UsageId, UsageSubject
from serve.metering.journal.folder import JournalFolder, JournalSource
from serve.metering.journal.journal import Journal
from serve.metering.journal.reading import DeadSegments, JournalReader
from serve.metering.journal.records import Record
from serve.metering.journal.settlement import Settlement
from serve.metering.journal.shipping import Books
from serve.metering.meter import Meter
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings

EPOCH = "00000000-0000-7000-8000-00000000000e"
SOURCE = JournalSource(f"local/replica/{EPOCH}", is_witness=False, model="echo", started_ms=1_767_225_600_000)
MIB = 2**20


def subject(number: int = 1, *, tag: str = "red") -> UsageSubject:
    """Of call `number`."""
    request = RequestId(f"request-{number}")
    return UsageSubject(
        id=UsageId(f"{request}:1"),
        request_id=request,
        tenant=TenantName("acme"),
        project=ProjectName("default"),
        key_id=KeyId("key_1"),
        model="echo",
        task="chat",
        admitted_ms=1_767_225_600_000 + number,
        adapters=("sha256:" + "a" * 64,),
        tags=(("team", tag),),
        reserved_nano=17,
    )


def journal(folder: Path, max_bytes: int = MIB) -> Journal:
    """A journal of SOURCE below `folder`, locked."""
    return Journal(JournalFolder.make(folder, "replica", EPOCH, SOURCE), SOURCE, max_bytes)


def meter(made: Journal, clock: ManualClock, *, checkpoint_tokens: int = 64, num_gpus: float = 0) -> Meter:
    """A meter of one journal."""
    return Meter(lambda: made, clock, checkpoint_tokens=checkpoint_tokens, num_gpus=num_gpus)


def values(prompt_tokens: int = 0, completion_tokens: int = 0) -> tuple[int, ...]:
    """In the order of UNITS."""
    return (prompt_tokens, 0, completion_tokens, *[0] * 8)


def read(folder: Path) -> tuple[list[Record], JournalReader]:
    """All records of a journal that nobody writes, and the reader at its end."""
    reader, records = JournalReader(DeadSegments(folder)), []
    while found := reader.read():
        records += found
    reader.finish()
    return records, reader


def settled(folder: Path) -> list[UsageEvent]:
    """All events of a journal whose process is dead."""
    settlement = Settlement(SOURCE)
    events = settlement.take(read(folder)[0], 1)
    return events + settlement.orphans()


def process(
    folder: Path,
    books: Books,
    name: str = "replica",
    counters: Callable[[], Mapping[str, float]] | None = None,
    **changed: object,
) -> ProcessMetering:
    """Metering of a process with both meters, that ships a hundred times a second."""
    options = {"ship_seconds": 0.01, "sync_ms": 5.0, "journal_max_bytes": MIB} | changed
    settings = MeteringSettings.model_validate(options)
    clock, ids = SystemClock(), Uuid7Ids()
    return ProcessMetering(
        settings, folder, name, clock, ids, books, model="echo", usage=True, witness=True, counters=counters
    )


async def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)
