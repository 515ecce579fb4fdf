"""The runner: takes runs, calls models, and sees each run to its end, whoever else is watching.

One task per run, in a context of its own, so that no request's leaving takes the run along. Beside them three loops:
one claims and does the table's housekeeping, one keeps leases and looks for cancels, one writes.

An attempt that was lost leaves what its replica had stored, and the next one stores it again. The attempt that ends
the run removes what is not its own, just before it writes the end: whoever sees the run ended sees each picture once.
That is done at the end and not when an attempt begins, because blobs are shared by content and the same seed paints
the same bytes: the new row keeps the blob in place, and only the old row goes. Removed at the beginning, the blob
would go too, and a store that fails just then would keep its content from being added again for minutes. What is an
input, or is announced by this attempt, stays; and a claim that is over can remove nothing (`Assets.delete_strays`).
"""

import asyncio
import logging
import random
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from serve.domain.errors import ReplicaLost
from serve.domain.names import RunId
from serve.domain.ports import Clock, Models
from serve.domain.run import Run, RunKind, RunStatus
from serve.domain.steps import WorkflowExecution
from serve.runs import lifecycle
from serve.runs.attempt import Attempt, Stop
from serve.runs.attempt_work import CLOSE_SECONDS, ModelWork, RunCosts, Work
from serve.runs.claims import Claims
from serve.runs.lifecycle import Decision
from serve.runs.loops import cancel, detached, every, forever
from serve.runs.outputs import OutputSink
from serve.runs.rows import Result
from serve.runs.stage import Watch
from serve.runs.store import RunStore
from serve.runs.workflow_work import Workflows, WorkflowWork
from serve.runs.writer import Writer
from serve.settings import RunsSettings

_log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.1
"""How often the table is asked which held runs were canceled: one read by primary key, whatever their number."""
_HEARTBEATS_PER_LEASE = 3


class Runner:
    """Executes runs of `models` until it is stopped. `owner` must be new for every process that ever runs."""

    def __init__(
        self,
        store: RunStore,
        models: Models,
        clock: Clock,
        *,
        owner: str,
        settings: RunsSettings,
        max_concurrency: int,
        outputs: OutputSink,
        costs: RunCosts | None = None,
        workflows: WorkflowExecution | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Without `costs` no run's cost is known; without `workflows` runs of workflows fail. `watch` sees steps."""
        self._models = models
        self._clock = clock
        self._settings = settings
        self._max_concurrency = max_concurrency
        self._outputs = outputs
        self._costs = costs
        self._workflows = None if workflows is None else Workflows(store.records, workflows, watch)
        self._claims = Claims(store.records, clock, settings, owner)
        self._writer = Writer(self._claims, settings.max_events)
        self._performing: dict[Attempt, asyncio.Task[None]] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._maintained_at = 0.0

    @property
    def num_running(self) -> int:
        """Runs held at this moment."""
        return len(self._performing)

    @property
    def is_alive(self) -> bool:
        """Whether every loop still turns; false before the start and after the stop."""
        loops = [self._claiming, *self._others]
        return bool(self._others) and all(loop is not None and not loop.done() for loop in loops)

    async def start(self) -> None:
        """Begin to take runs."""
        self._is_stopping = False
        self._claiming = detached(forever("claiming runs", self._claim, self._pause))
        heartbeat_seconds = self._settings.lease_seconds / _HEARTBEATS_PER_LEASE
        self._others = [
            detached(forever("watching held runs", self._watch, every(_WATCH_SECONDS))),
            detached(forever("keeping leases", self._keep, every(heartbeat_seconds))),
            detached(self._writer.work()),
        ]

    def nudge(self, run_id: RunId | None = None) -> None:
        """There is a new run: look at once. It is taken by whoever's turn it is, so the id is not needed."""
        self._wake.set()

    async def stop(self) -> None:
        """Take no more runs, and hand the held ones back so that another runner has them at once."""
        self._is_stopping = True
        self._wake.set()
        if self._claiming is not None:
            await asyncio.wait({self._claiming}, timeout=self._settings.lease_seconds)
            await cancel([self._claiming])
        for attempt in self._performing:
            attempt.stop(Stop.HANDED_BACK)
        if self._performing:
            await asyncio.wait(self._performing.values(), timeout=CLOSE_SECONDS + self._settings.lease_seconds)
        await cancel([*self._others, *self._performing.values()])

    async def _claim(self) -> None:
        self._wake.clear()
        await self._maintain()
        while not self._is_stopping and (free := self._max_concurrency - len(self._performing)) > 0:
            taken = await self._claims.take(free)
            for run in taken:
                self._begin(run)
            if not taken:
                return

    async def _maintain(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._maintained_at >= self._settings.poll_seconds:
            self._maintained_at = now
            await self._claims.maintain()

    async def _pause(self) -> bool:
        if self._is_stopping:
            return False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._settings.poll_seconds)
        return not self._is_stopping

    def _begin(self, run: Run) -> None:
        attempt = Attempt(run, asyncio.get_running_loop().create_future())
        self._writer.open(attempt)
        self._performing[attempt] = detached(self._perform(attempt, self._work_of(attempt)))

    def _work_of(self, attempt: Attempt) -> Work:
        if attempt.run.kind is RunKind.WORKFLOW:
            return WorkflowWork(attempt, self._models, self._clock, self._outputs, self._costs, self._workflows)
        return ModelWork(attempt, self._models, self._outputs, self._costs)

    async def _perform(self, attempt: Attempt, work: Work) -> None:
        run, began, is_ended = attempt.run, self._clock.monotonic(), False
        try:
            is_ended = await self._see_to_its_end(attempt, work)
        except Exception:
            _log.exception("run %s: its runner failed it; its lease will end", run.id)
        finally:
            await work.let_go(is_ended=is_ended)
            self._writer.drop(attempt)
            del self._performing[attempt]
            took_ms = (self._clock.monotonic() - began) * 1000
            self._claims.account.settle(run.id, took_ms, is_whole=attempt.is_whole)
            self._wake.set()

    async def _see_to_its_end(self, attempt: Attempt, work: Work) -> bool:
        """Whether the run's end was written."""
        decision, result = await self._outcome(attempt, work)
        if decision is None:
            return False
        if decision.status.is_terminal:
            result = work.ended(result)
            await self._clear_away(attempt.run, work.kept(result))
        ended = await self._writer.end(attempt, decision, result)
        if ended is not None:
            _log.info("run %s is %s: %s", ended.id, ended.status, decision.reason)
        return ended is not None and decision.status.is_terminal

    async def _clear_away(self, run: Run, kept: Collection[str] | None) -> None:
        """Remove what attempts that were lost had stored; see the module. A run does not fail for what stays of it."""
        if kept is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._outputs.keep_only(run, kept)
        except Exception:
            _log.warning("what lost attempts at run %s left stays as long as the run", run.id, exc_info=True)

    async def _outcome(self, attempt: Attempt, work: Work) -> tuple[Decision | None, Result | None]:
        """What to write; None for a run that is another's by now."""
        performing = asyncio.create_task(work.perform())
        try:
            either: set[asyncio.Future[Any]] = {performing, attempt.stopped}
            await asyncio.wait(either, timeout=self._seconds_left(attempt.run), return_when=asyncio.FIRST_COMPLETED)
            if not performing.done():
                return await self._stopped(attempt, performing), None
            if performing.cancelled():
                raise ReplicaLost("The model canceled a call that nobody canceled.")
            decision, result = performing.result()
            attempt.is_whole = decision.status is RunStatus.SUCCEEDED
            return decision, result
        except Exception as error:
            return self._raised(attempt, error), None
        finally:
            await cancel([performing], CLOSE_SECONDS)

    def _seconds_left(self, run: Run) -> float | None:
        if run.deadline_ms is None:
            return None
        return max(0.0, (run.deadline_ms - self._clock.now_ms()) / 1000)

    async def _stopped(self, attempt: Attempt, performing: "asyncio.Task[tuple[Decision, Result]]") -> Decision | None:
        await cancel([performing], CLOSE_SECONDS)
        if not attempt.stopped.done():
            return lifecycle.overdue()
        match attempt.stopped.result():
            case Stop.CANCELED:
                return lifecycle.canceled()
            case Stop.HANDED_BACK:
                return lifecycle.handed_back()
            case Stop.UNWRITABLE:
                return lifecycle.crashed()
            case Stop.LEASE_LOST:
                return None

    def _raised(self, attempt: Attempt, error: Exception) -> Decision:
        decision = lifecycle.raised(
            attempt.run,
            error,
            admitted=attempt.admitted,
            now_ms=self._clock.now_ms(),
            jitter=random.random(),
        )
        if decision == lifecycle.crashed():
            _log.error("run %s failed", attempt.run.id, exc_info=error)
        if attempt.admitted and decision.status == RunStatus.QUEUED:
            attempt.log(decision.reason)
        return decision

    async def _watch(self) -> None:
        held = {attempt.run.id: attempt for attempt in self._performing}
        if not held:
            return
        news = await self._claims.news(attempt.run for attempt in held.values())
        for run_id in news.lost:
            held[RunId(run_id)].stop(Stop.LEASE_LOST)
        for run_id in news.canceled:
            held[RunId(run_id)].stop(Stop.CANCELED)

    async def _keep(self) -> None:
        if self._performing:
            await self._claims.heartbeat(attempt.run for attempt in self._performing)
