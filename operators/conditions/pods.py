"""What keeps pods from running, in words that a person can act upon."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operators.state import Manifest

_WAITS_IN_VAIN = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not run."""

    pod: str
    reason: str
    """CamelCase, as Kubernetes says it."""
    message: str


def troubles(pods: Iterable[Manifest]) -> list[Trouble]:
    """One for each pod that cannot run, those first that waiting does not help."""
    found = [trouble for pod in pods if "deletionTimestamp" not in pod["metadata"] for trouble in _first(pod)]
    return sorted(found, key=lambda one: (one.reason == "Unschedulable", one.reason, one.pod))


def _first(pod: Manifest) -> Iterator[Trouble]:
    yield from (*_of_containers(pod), *_of_placing(pod))[:1]


def _of_containers(pod: Manifest) -> list[Trouble]:
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    waiting = ((one, (one.get("state") or {}).get("waiting") or {}) for one in containers)
    return [
        Trouble(name, state["reason"], f"container {one['name']}: {_told(one, state)}")
        for one, state in waiting
        if state.get("reason") in _WAITS_IN_VAIN
    ]


def _told(container: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """What it ended with the last time says more than that it will be started again."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if ended:
        said = (ended.get("message") or "").strip() or ended.get("reason") or "no message"
        return f"it ended with exit code {ended.get('exitCode')}: {said}"
    return str(waiting.get("message") or waiting["reason"])


def _of_placing(pod: Manifest) -> list[Trouble]:
    found = (pod.get("status") or {}).get("conditions") or ()
    return [
        Trouble(pod["metadata"]["name"], "Unschedulable", one.get("message") or "No node has room for it.")
        for one in found
        if one["type"] == "PodScheduled" and one["status"] == "False" and one.get("reason") == "Unschedulable"
    ]


def is_ready(pod: Manifest) -> bool:
    """Whether a pod serves."""
    found = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found)


def is_over(pod: Manifest) -> bool:
    """Whether a pod has ended, or is about to."""
    return "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
