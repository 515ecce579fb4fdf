"""A pass: what is there, what should be, what to do about it; then doing it, and saying how things are.

A pass keeps nothing that the next one needs: one that ends anywhere, with the process or without, leaves what the next
begins with. It decides from the memory, which answers to its own writes are taken into.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from operators.cluster import Cluster, ClusterError
from operators.conditions.rolling import reason_of
from operators.conditions.statuses import statuses
from operators.desired.checks import problems
from operators.desired.exposure import SERVICE_PORT
from operators.desired.metadata import gateway_service_name
from operators.desired.objects import desired_objects
from operators.desired.size import is_held, size_problems, storable
from operators.documents import Documents
from operators.events import Events
from operators.executing import Executor
from operators.metrics import OperatorMetrics
from operators.planning.plan import Event, Plan, choose_strategy, plan
from operators.planning.sight import sight_of
from operators.reader import DOCUMENTS, Reader
from operators.settings import OperatorSettings
from operators.state import Catalogue, ObjectKey, Problem, Refusal, World
from operators.syncing.api_models import api_models
from operators.syncing.documents import sync
from serve.domain.documents import API_VERSION
from serve.domain.ports import Clock

logger = logging.getLogger(__name__)

_SECOND_READING_SECONDS = 15.0
"""After the first: watches begin only then, and what was deleted in between no one would tell of."""
_UNREAD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass did."""

    num_writes: int = 0
    """To the cluster, events left out."""
    num_refused: int = 0
    is_waiting: bool = False
    """Whether something was in the way that time may remove."""


class Reconciler:
    """Makes passes over one namespace, one at a time."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        clock: Clock,
        metrics: OperatorMetrics,
        open_documents: Callable[[Callable[[], None]], Documents] | None = None,
    ) -> None:
        """`open_documents` makes the platform's side, given what wakes us."""
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._woken = asyncio.Event()
        self._resync_at = clock.monotonic()
        self._num_readings = 0
        self._cluster = cluster
        self.reader = Reader(cluster, settings)
        self.documents = (open_documents or partial(Documents, settings, metrics))(self.wake)
        self._executor = Executor(cluster, self.reader.memory, Events(cluster, clock), settings, clock, metrics)
        self.last_beat = clock.monotonic()
        """When the loop last turned: a loop that is stuck is not alive."""

    @property
    def is_ready(self) -> bool:
        """Whether the namespace was read."""
        return self._num_readings > 0

    def wake(self) -> None:
        """Something has changed: make a pass soon."""
        self._woken.set()

    def distrust(self) -> None:
        """A watch began anew: what it missed, only a full reading finds."""
        self._resync_at = self._clock.monotonic()
        self.wake()

    async def open(self) -> None:
        """Read the namespace for the first time, as often as it takes."""
        while not self.is_ready:
            try:
                await self._read_when_due()
            except ClusterError as error:
                logger.warning("the namespace cannot be read", extra={"error": str(error)})
                await asyncio.sleep(_UNREAD_SECONDS)
            self.last_beat = self._clock.monotonic()

    async def run(self) -> None:
        """Make passes until canceled."""
        num_failures = 0
        while True:
            self.last_beat = self._clock.monotonic()
            num_failures = 0 if await self._try() else num_failures + 1
            if num_failures:
                await asyncio.sleep(min(2.0 ** (num_failures - 1), self._settings.max_backoff_seconds))
            else:
                await self._rest()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), self._settings.poll_seconds)
            await asyncio.sleep(self._settings.debounce_seconds)
        except TimeoutError:
            pass

    async def _try(self) -> bool:
        """One pass; False where the next must wait a little. Nothing but the end of the process ends the loop."""
        try:
            with self._metrics.pass_seconds.time():
                outcome = await self.pass_()
        except ClusterError as error:
            self._metrics.passes.labels("interrupted").inc()
            logger.warning("pass interrupted", extra={"error": str(error)})
            return False
        except Exception:
            self._metrics.passes.labels("failed").inc()
            logger.exception("pass failed")
            return False
        # What is refused has its own time for another try: it must not hold up the rest.
        is_whole = not outcome.num_refused and not outcome.is_waiting
        self._metrics.passes.labels("done" if is_whole else "incomplete").inc()
        if is_whole:
            self._metrics.last_success.set(self._clock.now_ms() / 1000)
        return not outcome.is_waiting

    async def pass_(self) -> Outcome:
        """Read what is due to be read, decide, act, and say how things are.

        Raises:
            ClusterError: the Kubernetes API is away; the next pass goes on from where this one ended.
        """
        self._woken.clear()
        await self._read_when_due()
        self._executor.begin()
        world = self.reader.world()
        catalogue = await self._catalogue(world)
        found = problems(world)
        self.documents.write(sync(world, catalogue, self.documents.refusals, found), world.tenant)
        if written := api_models(world, catalogue):
            await self._executor.execute(written)
            world = self.reader.world()
            found = problems(world)
        desired = desired_objects(world, choose_strategy(world))
        found = (*found, *size_problems(world, desired))
        planned = plan(storable(desired, found), world, found, self._now())
        await self._executor.execute(planned.actions)
        await self._executor.tell((*planned.events, *map(_told, self.documents.refusals)))
        await self._say(world, catalogue, found, planned)
        self._count(world, found)
        executor = self._executor
        return Outcome(executor.num_writes, executor.num_refused, executor.num_put_off > 0)

    async def settle(self) -> None:
        """Wait until the documents that are under way are written."""
        await self.documents.settle()

    async def close(self) -> None:
        """Stop what runs beside the passes."""
        await self.documents.close()

    async def _read_when_due(self) -> None:
        due, now = self._resync_at, self._clock.monotonic()
        if now < due:
            return
        # Set before: a watch that breaks while this is read wants another reading.
        pause = self._settings.resync_seconds
        self._resync_at = now + (pause if self._num_readings else min(pause, _SECOND_READING_SECONDS))
        try:
            await self.reader.read()
        except BaseException:
            self._resync_at = due
            raise
        self._num_readings += 1
        self._metrics.readings.inc()
        self.documents.forget_refusals()
        self._executor.forget_refusals()

    async def _catalogue(self, world: World) -> Catalogue:
        if world.platform is None:
            return Catalogue(message="There is no Platform in this namespace.")
        service = f"{gateway_service_name(world.platform.name)}.{world.namespace}.svc"
        url = self._settings.platform_url or f"http://{service}:{SERVICE_PORT}"
        return await self.documents.catalogue(url, world.tenant)

    async def _say(self, world: World, catalogue: Catalogue, found: Sequence[Problem], planned: Plan) -> None:
        """Of the documents that were decided upon, one that has changed since has its turn in the next pass; but of
        what was made for them as it is by now."""
        is_written = not is_held(found) and "RayService" not in self._executor.unsettled_kinds
        is_passed_on = is_written and sight_of(world).is_observed
        seen = replace(world, live=self.reader.world().live)
        refusals = (*self.documents.refusals, *self._executor.refusals(world))
        wanted = statuses(seen, catalogue, found, refusals, planned.upgrade, self._now(), is_passed_on)
        await self._executor.say(wanted)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() // 1000, UTC)

    def _count(self, world: World, found: Iterable[Problem]) -> None:
        for kind in sorted(DOCUMENTS):
            self._metrics.resources.labels(kind).set(len(self.reader.memory.of(kind)))
        self._metrics.problems.clear()
        for problem in found:
            self._metrics.problems.labels(problem.reason).inc()


def _told(refusal: Refusal) -> Event:
    """That the platform does not take a document."""
    key = ObjectKey(API_VERSION, refusal.kind, refusal.name)
    return Event(key, reason_of(refusal.code), refusal.message, is_warning=True)
