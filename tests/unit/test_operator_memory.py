"""What the operator remembers of a cluster, and what it says of it: newer wins, and nothing is said twice."""

from typing import Any

from fakes.clock import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from operators.cluster import ClusterError
from operators.events import Events
from operators.permissions import PERMISSIONS
from operators.reader import Memory, parse
from operators.state import Manifest, ObjectKey
from serve.domain.documents import ModelDocument


def service(name: str = "a", version: int = 1, uid: str = "u") -> Manifest:
    """An object as a watch tells of it."""
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


@given(st.permutations(range(1, 6)))
def test_the_newest_state_stays_whatever_the_order(order: list[int]) -> None:
    memory = Memory()
    for version in order:
        memory.put(service(version=version))
    assert memory.of("Service")["a"]["metadata"]["resourceVersion"] == "5"


def test_an_echo_of_what_is_known_is_no_news() -> None:
    memory = Memory()
    assert memory.put(service(version=2))
    assert not memory.put(service(version=2))


def test_an_old_deletion_does_not_remove_what_has_the_name_now() -> None:
    memory = Memory()
    memory.put(service(version=9, uid="new"))
    assert not memory.remove(service(version=8, uid="old"))
    assert memory.remove(service(version=10, uid="new"))
    assert not memory.of("Service")


def test_a_list_removes_what_it_lacks_unless_that_is_newer_than_the_list() -> None:
    memory = Memory()
    memory.put(service("gone", 3))
    memory.put(service("new", 12))
    memory.put(service("changed", 11))
    memory.replace("Service", [service("changed", 8)], "10")
    assert set(memory.of("Service")) == {"new", "changed"}
    assert memory.of("Service")["changed"]["metadata"]["resourceVersion"] == "11"


def test_labels_that_tools_put_on_a_resource_are_no_part_of_the_document() -> None:
    spec = {"family": "llm", "tasks": ["chat"], "card": {"title": "M"}, "engine": {"kind": "echo"}}
    labels = {"team": "vision", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "slipway"}
    body = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Model", "metadata": {"name": "m", "labels": labels}}
    found = parse(ModelDocument, body | {"spec": spec})
    assert isinstance(found, ModelDocument)
    assert found.metadata.labels == {"team": "vision"}
    told = parse(ModelDocument, body | {"spec": spec | {"family": "nothing"}})
    assert isinstance(told, str)
    assert told.startswith("spec.family: ")


def test_the_role_has_no_wildcard_and_no_secret() -> None:
    assert not [row for row in PERMISSIONS if "*" in (row.group, row.resource, *row.verbs)]
    assert "secrets" not in {row.resource for row in PERMISSIONS}


class RecordingCluster:
    """Takes events; `known` are those that are there already."""

    namespace = "slipway"

    def __init__(self, known: bool = False) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.known = known

    async def create(self, manifest: Manifest) -> Manifest:
        self.calls.append(("create", manifest["metadata"]["name"]))
        if self.known:
            raise ClusterError(409, "AlreadyExists", "it is there")
        return manifest

    async def patch(self, key: ObjectKey, body: Manifest) -> Manifest:
        self.calls.append(("patch", body["series"]["count"]))
        return body


async def test_the_same_event_is_said_once_in_ten_minutes_and_then_as_a_series() -> None:
    clock, cluster = ManualClock(), RecordingCluster()
    events = Events(cluster, clock)  # type: ignore[arg-type]
    for _ in range(3):
        await events.record(service(), "Created", "It is made.")
    assert [call for call, _ in cluster.calls] == ["create"]
    await events.record(service(), "Created", "It is made of something else.")
    assert [call for call, _ in cluster.calls] == ["create", "create"]
    clock.advance(601)
    await events.record(service(), "Created", "It is made.")
    assert cluster.calls[-1] == ("patch", 2)


async def test_an_event_that_was_sent_before_a_restart_goes_on_as_a_series() -> None:
    cluster = RecordingCluster(known=True)
    await Events(cluster, ManualClock()).record(service(), "Created", "It is made.")  # type: ignore[arg-type]
    assert [call for call, _ in cluster.calls] == ["create", "patch"]
