"""One pod after another: what to do next so that a cluster's pods become those of its templates.

Never are two pods away because of this. What was taken away last is written on the RayCluster before it is taken, so
that an operator that ends between any two calls goes on where it was: the next one is taken when that pod is gone, its
successor runs (or nothing asks for one), and what is served is well again. Workers go first and the head last: an image
that does not start is found out at the price of one worker.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from operators.planning.arranging import annotation_patch
from operators.planning.revisions import HEAD, revisions_of
from operators.planning.sight import Cluster, Pod, moment, wanted_nodes
from operators.state import RAY_API, Action, ObjectKey, Verb

ANNOTATION_REPLACING = "slipway.dev/replacing"
"""On the RayCluster: which pod was taken away last, and when it was gone."""
UP_TO_DATE = "UpToDate"
SETTLE = timedelta(seconds=30)
"""After a pod is gone: until then what Ray and KubeRay report may be of the time before."""
UNASKED = timedelta(minutes=2)
"""How long a successor is waited for that nothing has asked for: the autoscaler makes no node that has no work."""
PATIENCE = timedelta(minutes=30)
"""How long an application that is not well holds the others up: it may be the old pods that ail it."""


@dataclass(frozen=True, slots=True)
class Record:
    """The pod that was taken away last; at first, none: only when."""

    at: str
    group: str = HEAD
    pod: str = ""
    uid: str = ""
    num_up: int = 0
    """Pods of its group that ran before."""
    num_pods: int = 0
    """Those that had no node yet among them: one of these is not its successor, though it looks like it."""
    is_gone: bool = True

    def text(self) -> str:
        """As the annotation has it."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Step:
    """What is done now, and how it stands."""

    actions: tuple[Action, ...] = ()
    reason: str = UP_TO_DATE
    message: str = ""
    is_blocked: bool = False
    replaced: int = 0
    total: int = 0

    @property
    def is_running(self) -> bool:
        """Whether there is something left to do."""
        return self.reason != UP_TO_DATE


def begun(now: datetime) -> str:
    """The annotation with which replacing begins."""
    return Record(_written(now)).text()


def next_step(cluster: Cluster, unsettled: tuple[str, ...], now: datetime) -> Step:
    """The next step, for pods of `cluster` that are not of its templates.

    Args:
        unsettled: applications that are not well, while the cluster serves.
    """
    pods = _pods_of_open_groups(cluster)
    old = [pod for pod in pods if not _is_current(pod, cluster)]
    broken = tuple(_deletion(pod, f"{pod.name} is out of date, and does not run.") for pod in old if _is_dead(pod))
    step = Step(broken, "ReplacingPod", "", replaced=len(pods) - len(old), total=len(pods))
    if ANNOTATION_REPLACING not in cluster.annotations and not old:
        return replace(step, reason=UP_TO_DATE)
    record = _record(cluster)
    if record is None:
        start = _patch(cluster, {ANNOTATION_REPLACING: begun(now)}, "Pods are out of date.")
        return replace(step, actions=(*broken, start), message="Pods are replaced one after another.")
    if not record.is_gone:
        actions, message = _while_it_goes(cluster, record, now)
        return replace(step, actions=(*broken, *actions), message=message)
    if obstacle := _obstacle(cluster, pods, unsettled, record, now):
        reason, message, is_blocked = obstacle
        return replace(step, reason=reason, message=message, is_blocked=is_blocked)
    if running := [pod for pod in old if pod.is_up]:
        pod = min(running, key=lambda each: (each.group == HEAD, each.is_ready, each.name))
        return replace(step, actions=(*broken, _noted(cluster, pod, now)), message=f"{pod.name} is replaced.")
    if old:
        return replace(step, message="Pods that are out of date are going.")
    return replace(step, actions=(_forgotten(cluster),), reason=UP_TO_DATE)


def _pods_of_open_groups(cluster: Cluster) -> list[Pod]:
    """Those of a closed group go by themselves, when nothing is left on them."""
    closed = {name for name, group in cluster.groups.items() if not group.get("maxReplicas")}
    known = {HEAD, *cluster.groups}
    return [pod for pod in cluster.pods if pod.group in known - closed]


def _is_current(pod: Pod, cluster: Cluster) -> bool:
    return pod.revision == revisions_of(cluster.spec)[pod.group]


def _is_dead(pod: Pod) -> bool:
    return not pod.is_up and not pod.is_ending


def _record(cluster: Cluster) -> Record | None:
    try:
        record = Record(**json.loads(cluster.annotations.get(ANNOTATION_REPLACING, "")))
        moment(record.at)
    except (ValueError, TypeError):
        # None, or not the operator's writing: KubeRay drops annotations when it is updated itself.
        return None
    return record


def _while_it_goes(cluster: Cluster, record: Record, now: datetime) -> tuple[tuple[Action, ...], str]:
    pod = next((pod for pod in cluster.pods if pod.uid == record.uid), None)
    if pod is None:
        gone = replace(record, at=_written(now), is_gone=True)
        return (_annotate(cluster, gone, f"{record.pod} is gone."),), f"{record.pod} is gone, its successor comes."
    if pod.is_ending:
        return (), f"{pod.name} finishes its requests."
    return (_deletion(pod, f"{pod.name} is out of date, and the next to be replaced.", "PodReplaced"),), (
        f"{pod.name} is replaced."
    )


def _obstacle(
    cluster: Cluster, pods: Iterable[Pod], unsettled: tuple[str, ...], record: Record, now: datetime
) -> tuple[str, str, bool] | None:
    """Why the next pod has to wait: (reason, message, whether somebody has to do something)."""
    current = [pod for pod in pods if _is_current(pod, cluster) and not pod.is_up and not pod.is_ending]
    since = now - moment(record.at)
    for pod in current:
        if pod.is_scheduled or _is_missed(pod, cluster, record, since):
            if pod.complaint:
                return "NewPodDoesNotStart", f"{_place(pod)} does not start: {pod.complaint}. {_UNTIL}", True
            return "WaitingForPod", f"{_place(pod)} starts.", False
    if since < SETTLE:
        return "WaitingForPod", "The cluster settles.", False
    if unsettled and since < PATIENCE:
        return "WaitingForModels", f"Not well yet: {', '.join(unsettled[:5])}.", False
    if _is_wanting(cluster, record, since):
        return "WaitingForPod", f"A successor of {record.pod} is to come.", False
    return None


_UNTIL = "No other pod is replaced until it does; change the Platform's document, or set it back."


def _is_missed(pod: Pod, cluster: Cluster, record: Record, since: timedelta) -> bool:
    """Whether a pod that no node has room for is the successor of the one that was taken away. One that the
    autoscaler wants besides holds nothing up; where no record says which it is, not for ever."""
    if not record.uid:
        return since < PATIENCE
    return record.group == pod.group and _num_up(cluster, pod.group) < record.num_up


def _is_wanting(cluster: Cluster, record: Record, since: timedelta) -> bool:
    """Whether the group has not got back what it had. What the cluster asks for comes when KubeRay gets to it; what it
    asked for in vain before is not waited for for ever."""
    num_up = _num_up(cluster, record.group)
    wanted = 1 if record.group == HEAD else wanted_nodes(cluster.groups.get(record.group, {}))
    if num_up < record.num_up:
        return num_up < wanted or since < UNASKED
    return num_up < min(record.num_pods, wanted) and since < PATIENCE


def _num_up(cluster: Cluster, group: str) -> int:
    return sum(1 for pod in cluster.pods if pod.group == group and pod.is_up)


def _place(pod: Pod) -> str:
    return f"The new head {pod.name}" if pod.group == HEAD else f"The new pod {pod.name} of the pool {pod.group}"


def _noted(cluster: Cluster, pod: Pod, now: datetime) -> Action:
    """Taking a pod away begins with saying so; the next pass, which sees it said, deletes it."""
    num_pods = sum(1 for each in cluster.pods if each.group == pod.group and not each.is_ending)
    num_up = _num_up(cluster, pod.group)
    record = Record(_written(now), pod.group, pod.name, pod.uid, num_up, num_pods, is_gone=False)
    return _annotate(cluster, record, f"{pod.name} is out of date, and the next to be replaced.")


def _annotate(cluster: Cluster, record: Record, why: str) -> Action:
    return _patch(cluster, {ANNOTATION_REPLACING: record.text()}, why)


def _forgotten(cluster: Cluster) -> Action:
    return _patch(cluster, {ANNOTATION_REPLACING: None}, "Every pod is up to date.", "PodsUpToDate")


def _patch(cluster: Cluster, annotations: dict[str, Any], why: str, event: str = "") -> Action:
    key = ObjectKey(RAY_API, "RayCluster", cluster.name)
    return Action(Verb.PATCH, key, why, annotation_patch(cluster, annotations), event)


def _deletion(pod: Pod, why: str, event: str = "") -> Action:
    return Action(Verb.DELETE, ObjectKey("v1", "Pod", pod.name), why, event=event, uid=pod.uid)


def _written(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
