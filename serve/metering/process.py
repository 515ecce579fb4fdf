"""Metering of one process: its meters, their journals, the thread that syncs them and the task that ships them."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from serve.domain.ports import Clock, Ids
from serve.metering.journal.folder import JournalFolder, JournalSource
from serve.metering.journal.journal import Journal
from serve.metering.journal.shipping import Books, JournalState, Shipper
from serve.metering.journal.syncing import JournalSync
from serve.metering.meter import Meter
from serve.settings import MeteringSettings

logger = logging.getLogger(__name__)


class ProcessMetering:
    """Everything that a process needs to account for its calls: a meter of what its engine does, or of what it sees
    another process do, or both."""

    def __init__(
        self,
        settings: MeteringSettings,
        journal_dir: Path,
        process: str,
        clock: Clock,
        ids: Ids,
        books: Books,
        *,
        model: str = "",
        num_gpus: float = 0,
        usage: bool,
        witness: bool,
        counters: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        """`process` names it among those that are alive, `counters` are its engine's own."""
        self._settings, self._journal_dir, self._process, self._model = settings, journal_dir, process, model
        self._clock, self._ids = clock, ids
        self._usage = self._meter(is_witness=False, num_gpus=num_gpus) if usage else None
        self._witness = self._meter(is_witness=True, num_gpus=0) if witness else None
        self._meters = [meter for meter in (self._usage, self._witness) if meter is not None]
        self._sync = JournalSync(self._journals, settings.sync_ms / 1000)
        self._shipper = Shipper(journal_dir, self._meters, books, clock, settings.ship_seconds, _safely(counters))

    @property
    def meter(self) -> Meter:
        """Of what this process's engine does."""
        assert self._usage is not None, "this process meters no engine"
        return self._usage

    @property
    def witness(self) -> Meter:
        """Of what this process sees other processes do for it."""
        assert self._witness is not None, "this process witnesses no calls"
        return self._witness

    async def start(self) -> None:
        """Open the journals and begin to ship. Without room for a journal calls are refused, until there is."""
        for meter in self._meters:
            meter.look_after_journal()
        self._sync.start()
        self._shipper.start()

    async def stop(self) -> None:
        """Ship what is closed, for a few seconds at most. No call may begin any more."""
        await self._shipper.stop()
        await asyncio.to_thread(self._sync.stop)

    async def synced(self) -> None:
        """Where `durability` is strict, return once everything written so far is on the disk; else at once.

        Raises:
            MeteringUnavailable: the disk fails.
        """
        if self._settings.durability == "strict":
            await self._sync.synced()

    def sample(self) -> JournalState:
        """How the journals are doing."""
        return self._shipper.state()

    def _meter(self, *, is_witness: bool, num_gpus: float) -> Meter:
        return Meter(
            lambda: self._new_epoch(is_witness),
            self._clock,
            checkpoint_tokens=self._settings.checkpoint_tokens,
            num_gpus=num_gpus,
        )

    def _new_epoch(self, is_witness: bool) -> Journal:
        epoch = self._ids.new()
        source = JournalSource(
            f"{self._settings.cluster}/{self._process}/{epoch}", is_witness, self._model, self._clock.now_ms()
        )
        folder = JournalFolder.make(self._journal_dir, self._process, epoch, source)
        try:
            journal = Journal(folder, source, self._settings.journal_max_bytes)
        except OSError:
            folder.remove()
            raise
        journal.on_dirty = self._sync.look
        return journal

    def _journals(self) -> list[Journal]:
        return [journal for meter in self._meters for journal in meter.journals]


def _safely(counters: Callable[[], Mapping[str, float]] | None) -> Callable[[], Mapping[str, float]] | None:
    """Counters that cannot be read are none; usage is shipped all the same."""
    if counters is None:
        return None

    def read() -> Mapping[str, float]:
        try:
            return counters()
        except Exception:
            logger.exception("the engine's counters could not be read")
            return {}

    return read
