"""The router of real Ray, with replicas that are only names: who gets the replica that was chosen."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve.request_router import PendingRequest

from deployments import preload_orders
from deployments.routing import AdapterRouter
from serve.domain.generation import AdapterUse, CallContext, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.serving.route_memory import Preload

DEPLOYMENT = DeploymentID("replica", "model-styled")
CONTEXT = CallContext(RequestId("r"), TenantName("acme"), ProjectName("default"), KeyId("k"))


@dataclass
class Replica:
    """What the router asks of a replica, and how many calls it has."""

    name: str
    max_ongoing_requests: int = 100
    routing_stats: dict[str, Any] = field(default_factory=dict)
    num_ongoing: int = 0
    node_id: str = "node"
    availability_zone: str | None = None
    multiplexed_model_ids: frozenset[str] = frozenset()

    @property
    def replica_id(self) -> ReplicaID:
        return ReplicaID(self.name, DEPLOYMENT)

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return self.num_ongoing


def router_over(replicas: Iterable[Replica]) -> AdapterRouter:
    router = AdapterRouter(
        deployment_id=DEPLOYMENT,
        handle_source=DeploymentHandleSource.REPLICA,
        use_replica_queue_len_cache=True,
        initial_backoff_s=0.005,
        max_backoff_s=0.02,
    )
    router.initialize_state(num_places=4, max_adapters=8)
    router.update_replicas(list(replicas))
    return router


def request(argument: object = None, internal_id: str = "the-same") -> PendingRequest:
    return PendingRequest([argument], {}, RequestMetadata(request_id="r", internal_request_id=internal_id))


def call_with(*adapters: str) -> ModelCall:
    return ModelCall(Task.CHAT, {}, CONTEXT, tuple(AdapterUse(each) for each in adapters))


async def route(router: AdapterRouter, pending: PendingRequest) -> str:
    """Until the request has its replica, as Ray's own router does it."""
    replica: Any = await router._choose_replica_for_request(pending)
    router.on_send_request(replica.replica_id)
    return str(replica.name)


async def test_fifty_calls_that_one_request_makes_all_get_a_replica() -> None:
    router = router_over(Replica(name) for name in ("red", "green", "blue"))
    chosen = await asyncio.wait_for(asyncio.gather(*(route(router, request(call_with())) for _ in range(50))), 10)
    assert sorted(Counter(chosen).values()) == [16, 17, 17]
    assert router._open == {}


async def test_each_call_gets_the_replica_that_was_chosen_for_it() -> None:
    holds = {"red": "acme/cap@sha256:aa", "green": "acme/hat@sha256:bb", "blue": "acme/tie@sha256:cc"}
    router = router_over(Replica(name, routing_stats={"adapters": [held]}) for name, held in holds.items())
    wanted = list(holds) * 3
    chosen = await asyncio.gather(*(route(router, request(call_with(holds[name]))) for name in wanted))
    assert chosen == wanted


async def test_a_call_waits_for_room_at_a_full_holder() -> None:
    full = Replica("red", max_ongoing_requests=2, routing_stats={"adapters": ["sha256:aa"]}, num_ongoing=2)
    router = router_over([full, Replica("green")])
    await asyncio.sleep(0.01)
    held = asyncio.create_task(route(router, request(call_with("acme/cap@sha256:aa"))))
    assert await route(router, request(call_with())) == "green"
    assert not held.done()
    full.num_ongoing = 1
    assert await asyncio.wait_for(held, 30) == "red"


async def test_calls_that_wait_for_a_full_holder_do_not_hold_up_others() -> None:
    full = Replica("red", max_ongoing_requests=2, routing_stats={"adapters": ["sha256:aa"]}, num_ongoing=2)
    router = router_over([full, Replica("green")])
    await asyncio.sleep(0.01)
    held = [asyncio.create_task(route(router, request(call_with("acme/cap@sha256:aa")))) for _ in range(30)]
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(route(router, request(call_with())), 30) == "green"
    assert not any(task.done() for task in held)
    assert set(await asyncio.wait_for(asyncio.gather(*held), 60)) == {"green"}


async def test_a_refused_call_is_routed_anew() -> None:
    red, green = Replica("red", max_ongoing_requests=2), Replica("green", max_ongoing_requests=2)
    router = router_over([red, green])
    await asyncio.sleep(0.01)
    pending = request(call_with())
    first = await route(router, pending)
    router.on_new_queue_len_info(ReplicaID(first, DEPLOYMENT), 2)
    (red if first == "red" else green).num_ongoing = 2
    again: Any = await asyncio.wait_for(router._choose_replica_for_request(pending, is_retry=True), 30)
    assert again.name != first


async def test_a_call_that_is_given_up_leaves_nothing_behind() -> None:
    router = router_over([Replica("red", max_ongoing_requests=1, num_ongoing=1)])
    waiting = asyncio.create_task(route(router, request(call_with())))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert router._open == {}


async def test_a_preload_goes_to_the_replica_it_names() -> None:
    router = router_over([Replica("red"), Replica("green"), Replica("blue")])
    names = ["blue", "red", "blue", "green"]
    orders = [request(Preload("acme/cap@sha256:aa", name)) for name in names]
    assert await asyncio.gather(*(route(router, order) for order in orders)) == names


async def test_a_hot_adapter_is_ordered_where_it_will_be_needed() -> None:
    orders: list[Preload] = []
    preload_orders.send_preloads(DEPLOYMENT.app_name, orders.append)
    red = Replica("red", routing_stats={"adapters": ["sha256:aa"]}, num_ongoing=5)
    router = router_over([red, Replica("green")])
    for _ in range(5):
        router.on_request_routed(request(call_with("acme/cap@sha256:aa")), red.replica_id, Unfinished())
    candidates: Any = router._replicas_list
    began = time.monotonic()
    while not orders and time.monotonic() - began < 60:
        await router.choose_replicas(candidates, request(call_with("acme/cap@sha256:aa")))
        await asyncio.sleep(0.05)
    assert orders == [Preload("acme/cap@sha256:aa", "green")]


async def test_where_the_decision_fails_rays_own_takes_its_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = router_over([Replica("red"), Replica("green")])
    monkeypatch.setattr(router, "_memory", None)
    pending = [request(call_with(), f"id-{number}") for number in range(4)]
    with caplog.at_level(logging.ERROR, "deployments.routing"):
        chosen = [await asyncio.wait_for(route(router, each), 30) for each in pending]
    assert set(chosen) <= {"red", "green"}
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["deployments.routing"]


class Unfinished:
    """A result that goes on."""

    def add_done_callback(self, callback: object) -> None:
        """It never ends here."""
