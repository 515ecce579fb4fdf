"""Serve's request router for models: `serve.serving.affinity` decides, this module speaks with Ray.

Ray calls its router API alpha, so every use of it is here. Facts of Ray 2.60 that this module deals with: requests in
first-in-first-out order are given the replica that was chosen for another; without that order they are matched by
`internal_request_id`, which all calls that one request makes share, and hang. So they are matched by their own
metadata object. A routing task may choose for many requests before it lets any of them be sent, so queue lengths lag
behind choices. The module is pickled by value, so it keeps nothing in globals. Where our decision fails, Ray's own
takes its place.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ray.serve._private.common import RequestMetadata
from ray.serve._private.replica_result import ReplicaResult
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve.request_router import PendingRequest, ReplicaID, RunningReplica

from deployments.preload_orders import sender_for
from serve.domain.generation import ModelCall
from serve.serving.affinity import Candidate, Decision, choose
from serve.serving.route_memory import Mixture, Preload, RouteMemory, mixture_of

logger = logging.getLogger(__name__)


class AdapterRouter(PowerOfTwoChoicesRequestRouter):
    """Sends calls where their adapters are. Each process that calls a model has one of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Ray's
        self._memory = RouteMemory()
        self._open: dict[int, PendingRequest] = {}
        """Requests that have no replica yet, by their metadata's identity, which they keep alive."""
        self._has_failed = False

    def initialize_state(self, *, num_places: int = 1, max_adapters: int = 64) -> None:  # type: ignore[override]  # Ray has **kwargs
        """Ray hands over `request_router_kwargs`. See `RouteMemory`."""
        self._memory = RouteMemory(num_places, max_adapters)

    @property
    def max_num_routing_tasks(self) -> int:
        """As many as Ray ever allows: requests that wait for a busy holder must not hold up others."""
        return self.max_num_routing_tasks_cap if self._replicas else 0

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Ranks of one replica each, best first: Ray takes the first that is not full."""
        try:
            if pending_request is not None:
                pending_request.routing_context.should_backoff = True
            return self._choose(candidate_replicas, pending_request)
        except Exception:
            self._tell_failure()
            return await super().choose_replicas(candidate_replicas, pending_request)

    def _tell_failure(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.exception("routing by adapters failed; Ray's own order takes its place. Told once.")

    @contextmanager
    def _taking_note(self) -> Generator[float]:
        """What is remembered serves decisions only: no request fails for it. Gives the time."""
        try:
            yield time.monotonic()
        except Exception:
            self._tell_failure()

    def _choose(self, replicas: Sequence[RunningReplica], pending: PendingRequest | None) -> list[list[RunningReplica]]:
        now = time.monotonic()
        by_name = {replica.replica_id.unique_id: replica for replica in replicas}
        asked = pending.args[0] if pending is not None and pending.args else None
        if isinstance(asked, Preload) and asked.replica in by_name:
            return [[by_name[asked.replica]]]
        adapters = _adapters_of(asked)
        waited = time.time() - pending.created_at if pending is not None else 0.0
        decision = choose([self._candidate(replica) for replica in replicas], adapters, now, self._memory, waited)
        self._order_preloads(decision, now)
        return [[by_name[name]] for name in decision.ranked]

    def _candidate(self, replica: RunningReplica) -> Candidate:
        ongoing = self.replica_queue_len_cache.get(replica.replica_id)
        full = ongoing is not None and ongoing >= replica.max_ongoing_requests
        return Candidate(replica.replica_id.unique_id, ongoing, full)

    def _order_preloads(self, decision: Decision, now: float) -> None:
        send = sender_for(self.app_name)
        for preload in decision.preloads:
            if send is not None and self._memory.order(preload, now):
                send(preload)

    def _add_pending_request_to_indices(self, pending_request: PendingRequest) -> None:
        self._open[id(pending_request.metadata)] = pending_request

    def _remove_pending_request_from_indices(self, pending_request: PendingRequest) -> None:
        self._open.pop(id(pending_request.metadata), None)

    def _fulfill_next_pending_request(
        self, replica: RunningReplica, request_metadata: RequestMetadata | None = None
    ) -> None:
        """The replica is for the request that it was chosen for, and for no other."""
        pending = self._open.get(id(request_metadata))
        if pending is None or pending.future.done():
            return
        self._cancel_routing_task_for_pending_request(pending)
        self._record_queue_wait_time(pending)
        pending.future.set_result(replica)
        self._remove_pending_request_from_indices(pending)
        with self._taking_note() as now:
            mixture = mixture_of(_adapters_of(pending.args[0] if pending.args else None))
            self._memory.assigned(replica.replica_id.unique_id, mixture, now)

    def on_send_request(self, replica_id: ReplicaID) -> None:
        """The queue length shows the request from here on."""
        super().on_send_request(replica_id)
        with self._taking_note():
            self._memory.sent(replica_id.unique_id)

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult) -> None:
        """A replica has accepted the request: watch for its end where its adapters count."""
        with self._taking_note() as now:
            asked = pending_request.args[0] if pending_request.args else None
            if isinstance(asked, Preload):
                self._when_done(result, partial(self._preloaded, asked))
            elif mixture := mixture_of(_adapters_of(asked)):
                ongoing = self.replica_queue_len_cache.get(replica_id) or 0
                self._memory.started(mixture, now)
                self._when_done(result, partial(self._ended, mixture, now, ongoing / self._memory.num_places))

    def _when_done(self, result: ReplicaResult, done: Callable[[], None]) -> None:
        # Ray calls back from threads of its own.
        loop = self._event_loop
        result.add_done_callback(lambda _: loop.call_soon_threadsafe(done))

    def _preloaded(self, preload: Preload) -> None:
        self._memory.preloaded(preload, time.monotonic())

    def _ended(self, mixture: Mixture, began: float, crowd: float) -> None:
        now = time.monotonic()
        self._memory.ended(mixture, now, now - began, crowd)

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Ray tells of every change: replicas that come and go, and what they recorded of themselves."""
        with self._taking_note() as now:
            self._memory.replicas_are([replica.replica_id.unique_id for replica in replicas])
            for replica in replicas:
                self._memory.report(replica.replica_id.unique_id, replica.routing_stats, now)
        super().update_replicas(replicas)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Forget it before the controller says so."""
        super().on_replica_actor_died(replica_id)
        with self._taking_note():
            self._memory.replicas_are([replica.unique_id for replica in self._replicas])


def _adapters_of(asked: Any) -> list[str]:
    """The ids of the adapters that a call needs; those of a preload whose replica is gone, too."""
    if isinstance(asked, ModelCall):
        return [use.id for use in asked.adapters]
    return [asked.adapter] if isinstance(asked, Preload) else []
