"""What holds of the operator's plans, whatever happens in whatever order: no two pods of a pool are away because of
it, no pool has more nodes than it may, and every sequence of passes ends."""

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fakes.ray_cluster import PLATFORM_UID, RayCluster, group_of
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.desired.strategy import Strategy
from operators.planning.plan import Plan, choose_strategy, plan
from operators.planning.revisions import with_revisions
from operators.state import Manifest
from serve.domain.documents import API_VERSION
from serve.domain.platform import PlatformDocument

POOLS = ("cpu", "gpu", "big")
MOST_ROUNDS = 400
_counts = st.integers(min_value=0, max_value=3)


def document(**choices: Any) -> PlatformDocument:
    """A Platform with a pool of processors and one or two of GPUs."""
    pools: list[dict[str, Any]] = [{"name": "cpu", "cpu": True, "minNodes": 1, "maxNodes": 2, "surgeNodes": 2}]
    for name in ("gpu", "big")[: 1 + choices["num_more"]]:
        numbers = {"minNodes": min(choices["minimum"], choices["maximum"]), "maxNodes": choices["maximum"]}
        pools.append({"name": name, "gpusPerNode": 1, "surgeNodes": choices["surge"], **numbers})
    spec = {
        "image": {"tag": choices["tag"], "gpuTag": choices["tag"]},
        "ray": {"version": choices["version"], "idleTimeoutSeconds": choices["idle"]},
        "upgrade": {"strategy": choices["strategy"], "gatewayClass": choices["gateway"]},
        "pools": pools,
    }
    manifest = {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": "main"}, "spec": spec}
    return PlatformDocument.model_validate(manifest)


def ray_service(platform: PlatformDocument, strategy: Strategy) -> Manifest:
    """As small as a RayService can be: these laws are of how it changes, not of what is in it."""
    spec = platform.spec
    template = {"spec": {"containers": [{"name": "ray", "image": f"slipway:{spec.image.tag}"}]}}
    groups = [
        {
            "groupName": pool.name,
            "minReplicas": pool.min_nodes,
            "maxReplicas": pool.max_nodes,
            "rayStartParams": {},
            "template": template,
        }
        for pool in spec.pools
    ]
    config = {
        "rayVersion": spec.ray.version,
        "autoscalerOptions": {"idleTimeoutSeconds": spec.ray.idle_timeout_seconds},
        "headGroupSpec": {"rayStartParams": {}, "template": template},
        "workerGroupSpecs": groups,
    }
    owner = {"kind": "Platform", "name": platform.name, "uid": PLATFORM_UID, "controller": True}
    manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": platform.name, "ownerReferences": [owner]},
        "spec": {"upgradeStrategy": {"type": strategy.upgrade_type}, "serveConfigV2": "", "rayClusterConfig": config},
    }
    return with_revisions(copy.deepcopy(manifest))


documents = st.fixed_dictionaries(
    {
        "tag": st.sampled_from(["one", "two", "bad"]),
        "version": st.sampled_from(["2.60.0", "2.60.0", "2.60.0", "2.61.0"]),
        "idle": st.sampled_from([60, 300]),
        "strategy": st.sampled_from(["Auto", "InPlace", "Incremental"]),
        "gateway": st.sampled_from([None, "envoy"]),
        "num_more": st.integers(min_value=0, max_value=1),
        "minimum": _counts,
        "maximum": st.integers(min_value=1, max_value=3),
        "surge": _counts,
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(min_value=0, max_value=4)),
        st.tuples(st.just("pass"), st.just(99)),
        st.tuples(st.sampled_from(["kuberay", "autoscaler", "minute"]), st.just(0)),
        st.tuples(st.sampled_from(["start", "finish"]), st.integers(min_value=0, max_value=9)),
        st.tuples(st.just("work"), _counts),
        st.tuples(st.just("document"), documents),
    ),
    max_size=30,
)


@dataclass(slots=True)
class Bench:
    """A cluster, and the most that each pool was ever allowed."""

    ray: RayCluster
    allowed: dict[str, int] = field(default_factory=dict)

    def planned(self) -> Plan:
        """What a pass would do now."""
        world, platform = self.ray.world(), self.ray.platform
        config = ray_service(platform, Strategy.IN_PLACE)["spec"]["rayClusterConfig"]
        return plan([ray_service(platform, choose_strategy(world, config))], world, (), self.ray.now)

    def step(self, kind: str, value: Any) -> None:
        """One thing happens."""
        if kind in ("pass", "whole_pass"):
            for action in self.planned().actions[: value if kind == "pass" else None]:
                self.ray.do(action)
                self.check()
        elif kind == "document":
            self.ray.platform = document(**value)
        elif kind == "minute":
            self.ray.now += timedelta(minutes=1)
        elif kind == "work":
            self.ray.work = dict.fromkeys(POOLS, value)
        elif kind == "kuberay":
            self.ray.reconcile()
        elif kind == "autoscaler":
            self.ray.autoscale()
        else:
            getattr(self.ray, kind)(value)
        self.check()

    def check(self) -> None:
        """No pool has more nodes than any of its documents allowed, and none misses two pods because of us."""
        for pool in self.ray.platform.spec.pools:
            most = pool.max_nodes + pool.surge_nodes
            self.allowed[pool.name] = max(self.allowed.get(pool.name, 0), most)
        for name in {group_of(pod) for pod in self.ray.pods.values()} - {""}:
            assert self.ray.nodes(name) <= self.allowed[name], name
        away = {group: self.ray.away(group) for group in self.ray.taken}
        assert all(num <= 1 for num in away.values()), away

    def calm_round(self) -> bool:
        """A pass and all that comes of it. Returns whether the pass had something to do."""
        actions = self.planned().actions
        for action in actions:
            self.ray.do(action)
            self.check()
        for kind in ("kuberay", "autoscaler", "kuberay"):
            self.step(kind, 0)
        for _ in range(len(self.ray.pods)):
            self.step("finish", 0)
        for num in range(len(self.ray.pods)):
            self.step("start", num)
        self.step("minute", 0)
        return bool(actions)


FIRST = {
    "tag": "one",
    "version": "2.60.0",
    "idle": 60,
    "strategy": "Auto",
    "gateway": "envoy",
    "num_more": 0,
    "minimum": 1,
    "maximum": 2,
    "surge": 1,
}


def running(**choices: Any) -> Bench:
    """A bench whose first document is up."""
    ray = RayCluster(document(**{**FIRST, **choices}), work={"cpu": 1, "gpu": 1, "big": 1}, bad_images={"slipway:bad"})
    bench = Bench(ray)
    until_calm(bench)
    return bench


def until_calm(bench: Bench) -> None:
    """Rounds until nothing is left to do, for as long as an upgrade is waited for."""
    num_quiet = 0
    for _ in range(MOST_ROUNDS):
        num_quiet = 0 if bench.calm_round() else num_quiet + 1
        if num_quiet > 6:
            return
    raise AssertionError(bench.planned())


def _often(num: int, **weights: int) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """Up to `num` happenings of these kinds, some more often than others, each with a number. Fewer than 30 are less
    than the half hour after which a pod is no longer waited for."""
    kinds = [kind for kind, weight in weights.items() for _ in range(weight)]
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(min_value=0, max_value=3)), min_size=10, max_size=num)


@settings(max_examples=25, deadline=None)
@given(
    happenings=_often(28, whole_pass=8, finish=4, start=4, kuberay=3, minute=4, autoscaler=1, work=1),
    capacity=st.sampled_from([3, 99]),
)
def test_pods_are_replaced_one_at_a_time_whoever_is_slow(happenings: list[tuple[str, Any]], capacity: int) -> None:
    bench = running(strategy="InPlace", minimum=2, maximum=3)
    bench.ray.work = dict.fromkeys(POOLS, 3)
    until_calm(bench)
    bench.ray.capacity = {"gpu": capacity}
    bench.ray.platform = document(**{**FIRST, "strategy": "InPlace", "minimum": 2, "maximum": 3, "tag": "two"})
    for kind, value in happenings:
        bench.step(kind, value)
    until_calm(bench)


@settings(max_examples=25, deadline=None)
@given(
    happenings=_often(90, whole_pass=6, kuberay=6, autoscaler=5, start=6, finish=4, minute=2, work=2, tag=1),
    surge=st.integers(min_value=1, max_value=3),
    work=st.integers(min_value=1, max_value=3),
    strategy=st.sampled_from(["Auto", "Incremental"]),
)
def test_two_clusters_together_stay_within_the_limit(
    happenings: list[tuple[str, Any]], surge: int, work: int, strategy: str
) -> None:
    choices = {**FIRST, "strategy": strategy, "minimum": 0, "maximum": 3, "surge": surge}
    bench = running(**choices)
    bench.ray.work = dict.fromkeys(POOLS, work)
    until_calm(bench)
    for kind, value in [("document", {**choices, "tag": "two"}), *happenings]:
        if kind == "tag":
            kind, value = "document", {**choices, "tag": ("one", "two", "bad", "two")[value]}
        bench.step(kind, value)
    until_calm(bench)


@settings(max_examples=25, deadline=None)
@given(first=documents, happenings=steps)
def test_no_two_pods_of_a_pool_are_away_and_no_pool_is_over_its_limit(
    first: dict[str, Any], happenings: list[tuple[str, Any]]
) -> None:
    bench = running(**{**first, "tag": "one"})
    for kind, value in happenings:
        bench.step(kind, value)
    until_calm(bench)


@settings(max_examples=15, deadline=None)
@given(first=documents, then=documents)
def test_every_change_ends_with_todays_pods_or_says_what_it_needs(first: dict[str, Any], then: dict[str, Any]) -> None:
    bench = running(**{**first, "tag": "one"})
    bench.ray.platform = document(**then)
    until_calm(bench)
    state = bench.planned().upgrade
    images = {pod["spec"]["image"] for pod in bench.ray.pods.values()}
    is_new = images <= {f"slipway:{then['tag']}"} and not state.is_running and state.replaced == state.total
    assert is_new or state.is_blocked or then["tag"] == "bad", state


@settings(max_examples=15, deadline=None)
@given(first=documents, then=documents, num=st.integers(min_value=0, max_value=20))
def test_a_plan_that_was_carried_out_is_not_made_again(first: dict[str, Any], then: dict[str, Any], num: int) -> None:
    bench = running(**{**first, "tag": "one"})
    bench.ray.platform = document(**then)
    for _ in range(num):
        bench.calm_round()
    for _ in range(4):
        before = bench.planned().actions
        for action in before:
            bench.ray.do(action)
    assert bench.planned().actions == ()
