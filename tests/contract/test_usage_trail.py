"""From a call's journal over the shipper to the ledger's tables and the audit: nothing leaves it unseen."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.journals import process, subject, until
from fakes.ledger import totals_of
from sqlalchemy import select

from serve.clock import SystemClock
from serve.domain.usage import PLATFORM_RETRY, Quantities, Tally, UsageStatus
from serve.metering.ledger.audit import audit
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.reconcile import LOST_MS, SILENT_MS, Verdict
from serve.metering.meter import MeteredCall
from serve.metering.prices.price_book import PriceBook
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings
from serve.storage.metering_tables import usage_sources
from serve.storage.records import Records

SETTINGS = MeteringSettings()
MINUTE = 60.0


def ledger_at(records: Records, later_seconds: float = 0) -> Ledger:
    """The ledger, some time from now."""
    clock = ManualClock(SystemClock().now_ms() + round(later_seconds * 1000))
    return Ledger(records, clock, SETTINGS, PriceBook(records, clock))


async def verdicts(records: Records, later_seconds: float = 0) -> list[Verdict]:
    """Of the sources that are no witnesses, some time from now."""
    found = await audit(records, ledger_at(records, later_seconds).clock, SETTINGS, 0)
    return [verdict for verdict in found.verdicts if not verdict.is_witness]


def metering(folder: Path, books: Ledger, counters: Callable[[], Mapping[str, float]] | None = None) -> ProcessMetering:
    return process(folder / "journals", books, counters=counters)


def began(made: ProcessMetering, number: int, tokens: int = 7) -> MeteredCall:
    tally = Tally()
    tally.completion_tokens = tokens
    return made.meter.begin(subject(number), tally)


def segment_of(made: ProcessMetering) -> Path:
    """The journal of the process's engine."""
    return next(made.meter.journals[-1].folder.path.glob("*.log"))


def take_out(segment: Path, which: int) -> None:
    """Remove a line, as a disk does that gives zeros for it."""
    data = segment.read_bytes()
    lines = data.rstrip(b"\0").split(b"\n")[:-1]
    at = sum(len(line) + 1 for line in lines[:which]) if which >= 0 else len(b"\n".join(lines[:which])) + 1
    with segment.open("r+b") as file:
        file.seek(at)
        file.write(bytes(len(lines[which]) + 1))


async def reported(records: Records, last_seq: int) -> None:
    """Wait until a source has said so much."""
    async with asyncio.timeout(MINUTE):
        while True:
            async with records.read() as connection:
                rows = (await connection.execute(select(usage_sources).where(usage_sources.c.is_witness == 0))).all()
            if any(row.last_seq >= last_seq for row in rows):
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("which", [1, 3, -1], ids=["a call's end", "another's", "the last one"])
async def test_a_record_taken_out_of_a_live_journal_is_reported_within_a_minute(
    tmp_path: Path, records: Records, which: int
) -> None:
    made = metering(tmp_path, ledger_at(records))
    for meter in (made.meter, made.witness):
        meter.look_after_journal()
    for number in range(1, 4):
        began(made, number).end(UsageStatus.SUCCEEDED)
    take_out(segment_of(made), which)
    await made.start()
    await reported(records, 2)
    (verdict,) = await verdicts(records, MINUTE)
    assert "gap" in {one.kind for one in verdict.differences}, verdict
    await made.stop()


@pytest.mark.parametrize("which", [1, 2], ids=["a call's end", "a call's beginning"])
async def test_a_record_taken_out_of_a_dead_process_journal_is_reported(
    tmp_path: Path, records: Records, which: int
) -> None:
    dead = process(tmp_path / "journals", ledger_at(records))
    for meter in (dead.meter, dead.witness):
        meter.look_after_journal()
    for number in range(1, 4):
        began(dead, number).end(UsageStatus.SUCCEEDED)
    take_out(segment_of(dead), which)
    for journal in (*dead.meter.journals, *dead.witness.journals):
        journal.release(remove=False)
    heir = metering(tmp_path, ledger_at(records))
    await heir.start()
    await reported(records, 3)
    found = [one.kind for verdict in await verdicts(records) for one in verdict.differences]
    assert "gap" in found
    await heir.stop()


async def test_a_killed_epoch_adds_up_to_its_last_checkpoints_and_it_is_told(tmp_path: Path, records: Records) -> None:
    counted = {"generation_tokens_total": 7.0}
    dead = metering(tmp_path, ledger_at(records), lambda: counted)
    await dead.start()
    began(dead, 1).end(UsageStatus.SUCCEEDED)
    await reported(records, 1)
    tally = Tally()
    dead.meter.begin(subject(2), tally)
    counted["generation_tokens_total"] += 40
    (verdict,) = await verdicts(records)
    assert verdict.adds_up
    await dead.stop()
    heir = metering(tmp_path, ledger_at(records))
    await heir.start()
    await reported(records, 2)
    killed = next(one for one in await verdicts(records) if one.state == "killed")
    assert (killed.adds_up, killed.num_booked) == (True, 2)
    assert "40 completion tokens" in killed.explained[0]
    counted["generation_tokens_total"] += 40
    await heir.stop()


async def test_a_process_gone_with_its_disk_is_explained_by_the_witnesses_of_its_calls(
    tmp_path: Path, records: Records
) -> None:
    books = ledger_at(records)
    gone, gateway = metering(tmp_path / "node", books), metering(tmp_path / "gateway", books)
    await gone.start()
    await gateway.start()
    began(gone, 1).end(UsageStatus.SUCCEEDED)
    began(gone, 2)
    seen = gateway.witness.begin(replace(subject(2), admitted_ms=SystemClock().now_ms()))
    seen.seen(Quantities(completion_tokens=3))
    await reported(records, 1)
    await until(lambda: gone.sample().num_unshipped == 0)
    gone._shipper._task.cancel()
    shutil.rmtree(tmp_path / "node" / "journals")
    later = SILENT_MS / 1000 + MINUTE
    assert [one.kind for one in await silent(records, later)] == ["silent"]
    seen.end(UsageStatus.LOST, billable=False, reason=PLATFORM_RETRY)
    await gateway.stop()
    assert await ledger_at(records, later).settle_witnesses() == 1
    assert await silent(records, later) == []
    explained = [one.explained for one in await verdicts(records, later) if one.num_open]
    assert "1 of the 1 calls that were open then are booked" in explained[0][0]
    assert await silent(records, LOST_MS / 1000 + MINUTE) == []
    assert (await totals_of(records))["num_unbilled"] == 1


async def silent(records: Records, later_seconds: float) -> list[object]:
    return [one for verdict in await verdicts(records, later_seconds) for one in verdict.differences]
