"""Executes a plan: asyncio, and a list of what is ready.

It starts from what is wanted and asks backwards, so nothing runs that nobody needs, and what is cached spares all that
it was made from. A node that waits is a number that counts down; quick nodes are done in the loop itself, one after
another, and only what leaves the process has a task. The loop is given back every few milliseconds, so a run of many
quick nodes holds up no other.

What a job goes through: its conditions; a result that is there (of an earlier attempt, of an earlier run, of a node of
this run that does the same); its inputs, first those that it needs in any case, then the lazy ones that it chooses;
the work. Each of these is one method here, and ends in the next one, or in waiting.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.ports import Clock
from serve.domain.run import RunError
from serve.domain.steps import Stage, StepStatus
from serve.domain.workflow import CacheUse
from serve.workflow.execution.fan_out import FanOut, num_items
from serve.workflow.execution.feeding import doomed_by, key_by_content, lazy, strict, value_of, values_for
from serve.workflow.execution.framing import Frames
from serve.workflow.execution.jobs import Absent, Job
from serve.workflow.execution.keeping import Keeper
from serve.workflow.execution.planning import Planner
from serve.workflow.execution.tasks import Tasks
from serve.workflow.execution.telling import Teller
from serve.workflow.execution.wiring import Feed, Planned, Scope, sources
from serve.workflow.execution.working import Done, Worker, shown
from serve.workflow.operation import Operation, Quick
from serve.workflow.results.results import Kept, Results
from serve.workflow.values import decode
from serve.workflow.volumes import Volume

_log = logging.getLogger(__name__)
_TURN_SECONDS = 0.002
"""How long the loop is kept."""


class Execution:
    """The execution of one plan. `jobs` are there for whoever reads the outcome (`outcome`)."""

    def __init__(
        self,
        stage: Stage,
        planner: Planner,
        scope: Scope,
        worker: Worker,
        results: Results,
        clock: Clock,
        max_concurrent: int,
    ) -> None:
        self.jobs: dict[Planned, Job] = {}
        self._tasks = Tasks()
        use_cache = planner.given.terms.use_cache
        self._keeper = Keeper(results, stage, self._tasks, self._taken, use_cache=use_cache)
        self.teller = Teller(stage, clock, self._tasks, self._keeper.made)
        self.frames = Frames(self.teller, self.jobs)
        self._run_id = stage.run.id
        self._stored = stage.stored
        self._tried = stage.tried
        self._stored_by_key = {
            step.key: step for step in self._stored.values() if step.key and step.outputs is not None
        }
        self._planner = planner
        self._scope = scope
        self._worker = worker
        self._max_concurrent = max_concurrent
        self._ready: deque[Job] = deque()
        self._queued: deque[Job] = deque()
        self._num_working = 0
        self._leaders: dict[str, Job] = {}
        self._volume = Volume()

    async def run(self) -> None:
        """Work out the outputs of the plan. Canceled, everything is stopped before this returns."""
        await self._keeper.look([one.key for one in self._scope.planned() if one.key is not None])
        try:
            for feed in self._scope.outputs.values():
                for source in sources(feed):
                    self._ask(source)
            while True:
                self._turn()
                if self._ready:
                    await asyncio.sleep(0)
                elif self._tasks.is_idle:
                    return
                else:
                    await self._tasks.wait()
        except BaseException:
            await self._tasks.cancel()
            self._stop()
            raise

    def _turn(self) -> None:
        """Do what is ready, for a while, and pass on what came of it."""
        self._tasks.take()
        until, ready = perf_counter() + _TURN_SECONDS, self._ready
        while ready:
            self._go(ready.popleft())
            if perf_counter() > until:
                break
        if not ready:
            self._fill_up()
            self.frames.settle()
        self._keeper.flush()
        self.teller.flush()

    def _fill_up(self) -> None:
        """Begin what waits for room: last, since what has just ended may say that it is not needed."""
        while self._queued and self._num_working < self._max_concurrent:
            self._work(self._queued.popleft())

    def _go(self, job: Job) -> None:
        job.is_queued = False
        if job.has_ended or job.go is None:
            return
        try:
            job.go(job)
        except Absent as absent:
            self.give_up(job, absent.job, _without(absent.job))
        except Exception as error:
            self._fail(job, error)

    def _queue(self, job: Job) -> None:
        if not job.is_queued:
            job.is_queued = True
            self._ready.append(job)

    # Asking, and no longer asking

    def ask(self, planned: Planned, watcher: Callable[[Job], None]) -> Job:
        """See `fan_out.Asks`."""
        job = self._ask(planned)
        job.watcher = watcher
        return job

    def _ask(self, planned: Planned) -> Job:
        job = self.jobs.get(planned)
        if job is None:
            job = self.jobs[planned] = Job(planned, self._tried.get(planned.label))
            job.go = self._begin
            self._queue(job)
        elif not job.num_asking and not job.has_ended:
            self._ask_again(job)
        job.num_asking += 1
        return job

    def _ask_again(self, job: Job) -> None:
        asked = [job]
        while asked:
            one = asked.pop()
            if one.is_parked:
                one.is_parked = False
                self._queue(one)
            for other in one.awaited:
                if not other.has_ended:
                    if not other.num_asking:
                        asked.append(other)
                    other.num_asking += 1

    def _release(self, job: Job) -> None:
        """`job` wants nothing any more: what nobody else wants is not begun."""
        released = [job]
        while released:
            for other in released.pop().awaited:
                if not other.has_ended:
                    other.num_asking -= 1
                    if not other.num_asking:
                        released.append(other)

    def _await(self, job: Job, feeds: Iterable[Feed], go: Callable[[Job], None]) -> None:
        """Ask for `feeds`; `go` on when all are there."""
        job.go = go
        for feed in feeds:
            for source in sources(feed):
                self._await_job(job, self._ask(source))
        if not job.num_missing:
            go(job)

    def _await_job(self, job: Job, other: Job) -> None:
        if not other.has_ended:
            other.waiters.append(job)
            job.awaited.append(other)
            job.num_missing += 1

    # What a job goes through

    def _begin(self, job: Job) -> None:
        planned = job.planned
        stored = self._stored.get(planned.label)
        if stored is not None and stored.outputs is not None:
            self._enter(job)
            job.outputs = _read(stored.outputs, planned)
            job.status = StepStatus.SUCCEEDED if stored.status is StepStatus.SUCCEEDED else StepStatus.CACHED
            self._ended(job)
        elif planned.whens:
            self._ask_condition(job)
        else:
            self._look(job)

    def _ask_condition(self, job: Job) -> None:
        self._await(job, (job.planned.whens[job.num_conditions],), self._check_condition)

    def _check_condition(self, job: Job) -> None:
        if job.num_missing:
            return
        when = job.planned.whens[job.num_conditions]
        if value_of(when, self.jobs) is not True:
            job.reason = "its condition is false"
            self._end(job, StepStatus.SKIPPED)
            return
        job.num_conditions += 1
        if job.num_conditions < len(job.planned.whens):
            self._ask_condition(job)
        else:
            self._look(job)

    def _look(self, job: Job) -> None:
        """Whether its result is there, or being made."""
        self._enter(job)
        key = job.key
        if key is None:
            self._feed(job)
        elif key in self._stored_by_key:
            stored = self._stored_by_key[key]
            job.outputs = _read(stored.outputs or {}, job.planned)
            job.reason = f"the same as {stored.label}"
            self._end(job, StepStatus.CACHED)
        elif self._leaders.setdefault(key, job) is not job:
            self._follow(job, self._leaders[key])
        elif self._keeper.has(key):
            self._take(job, self._feed)
        else:
            self._feed(job)

    def _enter(self, job: Job) -> None:
        if job.planned.frames:
            job.has_entered = True
            self.frames.entered(job.planned)

    def _follow(self, job: Job, leader: Job) -> None:
        job.go = self._copy
        if leader.has_ended:
            self._copy(job)
        else:
            self._ask(leader.planned)
            self._await_job(job, leader)

    def _copy(self, job: Job) -> None:
        leader = self._leaders[job.key or ""]
        if leader.status.is_done:
            job.outputs = leader.outputs
            job.reason = f"the same as {leader.planned.label}"
            self._end(job, StepStatus.CACHED)
        elif leader.status is StepStatus.FAILED and leader.planned.node.policy == job.planned.node.policy:
            job.error, job.cause = leader.error, leader.cause
            job.reason = f"the same as {leader.planned.label}"
            self._end(job, StepStatus.FAILED)
        else:
            self._feed(job)

    def _take(self, job: Job, go: Callable[[Job], None]) -> None:
        """Take its result; `go` on where there is none after all."""
        job.go = go
        self._keeper.ask(job)

    def _taken(self, job: Job, kept: Kept | None) -> None:
        if kept is None:
            self._queue(job)
            return
        try:
            job.outputs = _read(kept.outputs, job.planned)
        except InvalidRequest:
            _log.warning("what is kept as %s cannot be read", kept.key)
            self._queue(job)
            return
        job.reason = f"made by run {kept.run_id}" if kept.run_id != self._run_id else f"the same as {kept.label}"
        self._end(job, StepStatus.CACHED)

    def _feed(self, job: Job) -> None:
        scope = job.planned.scope
        if scope is not None:
            if job.started_ms is None:
                self.teller.begun(job)
            self._await(job, scope.outputs.values(), self._collect)
        else:
            self._await(job, (feed for _, feed in strict(job.planned)), self._fed)

    def _collect(self, job: Job) -> None:
        """An item that is a workflow: its outputs are there."""
        assert job.planned.scope is not None
        if job.num_missing:
            return
        outputs: dict[str, Any] = {}
        lost: Job | None = None
        for name, feed in job.planned.scope.outputs.items():
            try:
                outputs[name] = value_of(feed, self.jobs)
            except Absent as absent:
                lost = absent.job if lost is None or absent.job.cause is not None else lost
        if lost is not None and (lost.cause is not None or not outputs):
            self.give_up(job, lost, _without(lost))
            return
        job.outputs = outputs
        self._end(job, StepStatus.SUCCEEDED)

    def _fed(self, job: Job) -> None:
        planned, feeds = job.planned, strict(job.planned)
        if job.num_missing:
            doomed = doomed_by(planned, feeds, self.jobs)
            if doomed is not None:
                self.give_up(job, doomed, _without(doomed))
            return
        job.values = values_for(planned, feeds, self.jobs)
        if planned.is_mapped:
            self._fan_out(job)
        elif planned.node.operation is not None:
            self._choose(job, planned.node.operation)
        else:
            self._key(job)

    def _choose(self, job: Job, operation: Operation) -> None:
        """Ask for the lazy inputs that it wants, seeing the others, until it wants no more."""
        offered = lazy(job.planned)
        wants = [port for port in operation.wants(job.values) if port in offered and port not in job.chosen]
        if wants:
            job.chosen |= {port: offered[port] for port in wants}
            self._await(job, (job.chosen[port] for port in wants), self._chosen)
        elif isinstance(operation, Quick):
            self._apply(job, operation)
        else:
            self._key(job)

    def _chosen(self, job: Job) -> None:
        assert job.planned.node.operation is not None
        if not job.num_missing:
            feeds = strict(job.planned) + list(job.chosen.items())
            job.values = values_for(job.planned, feeds, self.jobs)
            self._choose(job, job.planned.node.operation)

    def _key(self, job: Job) -> None:
        """What is fed by what has no key is known by what came."""
        if job.key is not None or job.planned.node.policy.cache is CacheUse.OFF:
            self._work(job)
            return
        says = self._planner.says(job.planned)
        job.key = key = key_by_content(job.planned, says, job.values)
        leader = self._leaders.setdefault(key, job)
        if leader is not job and leader.status.is_done:
            self._copy(job)
        elif leader is not job and not leader.has_ended:
            self._follow(job, leader)
        elif self._keeper.use_cache:
            self._take(job, self._work)
        else:
            self._work(job)

    def _apply(self, job: Job, operation: Quick) -> None:
        if not job.num_asking:
            self._park(job, lambda job: self._apply(job, operation))
            return
        job.outputs = operation.apply(job.values)
        job.tries = 1
        self._end(job, StepStatus.SUCCEEDED)

    def _work(self, job: Job) -> None:
        if not job.num_asking:
            self._park(job, self._work)
        elif self._num_working >= self._max_concurrent:
            job.go = None
            self._queued.append(job)
        else:
            job.go = None
            self._num_working += 1
            self.teller.begun(job)
            failed = partial(self.teller.tried, job)
            self._tasks.start(self._worker.work(job.planned, job.values, job.key, failed), self._worked(job))

    def _park(self, job: Job, go: Callable[[Job], None]) -> None:
        job.go, job.is_parked = go, True

    def _worked(self, job: Job) -> Callable[[Any, BaseException | None], None]:
        def came(done: Done | None, error: BaseException | None) -> None:
            self._num_working -= 1
            if done is None:
                self._fail(job, error or RuntimeError("no result"))
            else:
                job.go = lambda job: self._take_over(job, done)
                self._queue(job)

        return came

    def _take_over(self, job: Job, done: Done) -> None:
        job.outputs, job.tries = done.outputs, job.tries + 1
        job.usage, job.cost_nano = done.usage, done.cost_nano
        self._end(job, StepStatus.SUCCEEDED)

    # Lists

    def _fan_out(self, job: Job) -> None:
        items = [self._planner.item(job.planned, index) for index in range(num_items(job))]
        job.go = None
        self.teller.begun(job)
        fan_out = FanOut(job, self, items)
        keys = [key for item in items for key in _keys_of(item)]
        if keys and self._keeper.use_cache:
            self._tasks.start(self._keeper.look(keys), lambda *_: fan_out.begin())
        else:
            fan_out.begin()

    def has_result(self, planned: Planned) -> bool:
        """See `fan_out.Asks`."""
        return planned.label in self._stored or (planned.key is not None and self._keeper.has(planned.key))

    def finish(self, job: Job, outputs: dict[str, Any]) -> None:
        """See `fan_out.Asks`."""
        job.outputs = outputs
        self._end(job, StepStatus.SUCCEEDED)

    def skip_item(self, planned: Planned, reason: str) -> None:
        """See `fan_out.Asks`."""
        self.teller.skipped(planned.label, planned.node.type, reason)

    # Ends

    def give_up(self, job: Job, cause: Job, reason: str) -> None:
        """See `fan_out.Asks`."""
        job.reason, job.cause = reason, cause.cause
        label = job.planned.label
        is_own = job.cause is not None and job.cause.planned.label.startswith((f"{label}.", f"{label}/"))
        if is_own and job.cause is not None:
            job.error = job.cause.error
        self._end(job, StepStatus.FAILED if is_own else StepStatus.SKIPPED)

    def _fail(self, job: Job, error: BaseException) -> None:
        code, message, param = shown(error)
        if code == "internal_error":
            _log.error("step %s failed", job.planned.label, exc_info=error)
        job.error = RunError(code=code, message=message, param=param)
        job.cause = job
        self._end(job, StepStatus.FAILED)

    def _end(self, job: Job, status: StepStatus) -> None:
        if status.is_done:
            try:
                self._volume.add(job.outputs)
            except InvalidRequest as error:
                job.outputs, job.reason = {}, None
                self._fail(job, error)
                return
        job.status = status
        self.teller.ended(job)
        self._ended(job)

    def _ended(self, job: Job) -> None:
        job.go, job.values = None, {}
        is_done = job.status.is_done
        for waiter in job.waiters:
            waiter.num_missing -= 1
            if not waiter.num_missing or not is_done:
                self._queue(waiter)
        job.waiters = []
        if job.num_missing:
            self._release(job)
        if job.has_entered:
            self.frames.left(job.planned)
        if job.watcher is not None:
            job.watcher(job)

    def _stop(self) -> None:
        """Tell of what was stopped; of a run that has ended by itself there is nothing."""
        for job in self.jobs.values():
            if job.started_ms is not None and not job.has_ended:
                job.status = StepStatus.CANCELED
                self.teller.ended(job)
        self.frames.stop()
        self.teller.stop()


def _read(written: Mapping[str, Any], planned: Planned) -> dict[str, Any]:
    return {port: decode(written[port], type_) for port, type_ in planned.outputs.items() if port in written}


def _keys_of(item: Planned) -> Iterable[str]:
    """What an item is kept under; one that is a workflow is its nodes."""
    nodes = (item,) if item.scope is None else item.scope.planned()
    return (one.key for one in nodes if one.key is not None)


def _without(job: Job) -> str:
    cause = job.cause
    return f"{job.planned.label} was skipped" if cause is None else f"{cause.planned.label} failed"
