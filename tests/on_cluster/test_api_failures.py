"""Whatever the API server or the platform answers: the operator comes to the same end, and asks no more than needed."""

from collections.abc import Callable

import kmock
import pytest
from fakes.kubernetes import Fault, Manifest
from fakes.operator import Bench, model, platform

from operators.cluster import ClusterError
from operators.desired import size
from operators.state import ObjectKey

WRITES = ("POST", "PATCH", "PUT", "DELETE")


def writes_of(kind: str) -> Callable[[kmock.Request], bool]:
    """Requests that write to a resource, by its plural."""
    return lambda request: request.method.value in WRITES and f"/{kind}" in request.url.path


def reads_of(kind: str) -> Callable[[kmock.Request], bool]:
    """Requests that read it."""
    return lambda request: request.method.value == "GET" and request.url.path.endswith(f"/{kind}")


def condition(manifest: Manifest, kind: str) -> Manifest:
    """A condition of a status."""
    found: Manifest = next(one for one in manifest["status"]["conditions"] if one["type"] == kind)
    return found


async def test_a_busy_server_is_asked_again_when_it_says(bench: Bench) -> None:
    bench.server.edit(platform())
    headers = {"Retry-After": "1"}
    bench.server.faults.append(Fault(writes_of("rayservices"), 429, headers, times=1))
    bench.server.faults.append(Fault(reads_of("models"), 503, times=2))
    async with bench.operator() as operator:
        await operator.pass_()
    assert bench.server.of("RayService")


@pytest.mark.parametrize("status", [500, 503])
async def test_an_answer_that_is_lost_does_no_harm(bench: Bench, status: int) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    lost = [
        Fault(writes_of(kind), status, times=2, is_done_all_the_same=True)
        for kind in ("rayservices", "services", "models", "events")
    ]
    bench.server.faults += lost
    async with bench.operator() as operator:
        await operator.settle()
    assert [fault.times for fault in lost] == [0, 0, 0, 0]
    assert len(bench.server.of("RayService")) == len(bench.server.of("Service")) == 1


async def test_a_server_that_is_away_interrupts_a_pass_and_the_next_goes_on(bench: Bench) -> None:
    bench.server.edit(platform())
    fault = Fault(writes_of("services"), 503, times=4)
    bench.server.faults.append(fault)
    async with bench.operator() as operator:
        with pytest.raises(ClusterError):
            await operator.pass_()
        assert bench.server.of("RayService")
        assert not bench.server.of("Service")
        await operator.settle()
    assert bench.server.of("Service")


async def test_a_webhook_that_does_not_answer_is_told_of_and_the_rest_is_done(bench: Bench) -> None:
    bench.server.edit(platform())
    fault = Fault(writes_of("rayservices"), 500, times=4)
    bench.server.faults.append(fault)
    async with bench.operator() as operator:
        assert (await operator.pass_()).is_waiting
        assert bench.server.of("Service")
        assert "RayService main: injected" in condition(bench.server.get("Platform", "main"), "Ready")["message"]
        [event] = [one for one in bench.server.of("Event") if one["reason"] == "Refused"]
        assert (event["type"], event["regarding"]["kind"], event["regarding"]["name"]) == (
            "Warning",
            "Platform",
            "main",
        )
        await operator.settle()
    assert bench.server.of("RayService")


async def test_a_status_that_is_refused_keeps_no_other_from_being_written(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    bench.server.faults.append(Fault(lambda request: request.url.path.endswith("models/one/status"), 422, times=1000))
    async with bench.operator() as operator:
        await operator.pass_()
        assert condition(bench.server.get("Platform", "main"), "Accepted")["status"] == "True"


async def test_a_conflict_is_left_to_the_next_pass(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.faults.append(Fault(writes_of("rayservices"), 409))
    async with bench.operator() as operator:
        assert (await operator.pass_()).is_waiting
        assert bench.server.of("Service")
        await operator.settle()
    assert bench.server.of("RayService")


async def test_a_list_whose_continuation_expires_is_read_anew(bench: Bench) -> None:
    bench.server.page_size = 2
    bench.server.edit(platform())
    for number in range(5):
        bench.server.edit(model(f"m{number}"))
    is_second_page = lambda request: "continue" in request.params and request.url.path.endswith("/models")  # noqa: E731
    bench.server.faults.append(Fault(is_second_page, 410))
    async with bench.operator() as operator:
        await operator.reconciler.reader.read()
        assert len(operator.reconciler.reader.memory.of("Model")) == 5


async def test_half_a_list_deletes_nothing(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
    bench.calls.clear()
    bench.server.faults.append(Fault(reads_of("models"), 500, times=100))
    async with bench.operator() as restarted:
        with pytest.raises(ClusterError):
            await restarted.pass_()
    assert bench.calls == []


async def test_what_is_refused_is_told_of_and_not_asked_for_again_and_again(bench: Bench) -> None:
    bench.server.edit(platform())
    fault = Fault(writes_of("rayservices"), 422, times=1000)
    bench.server.faults.append(fault)
    async with bench.operator() as operator:
        await operator.reconciler.pass_()
        assert bench.server.of("Service")
        for _ in range(5):
            await operator.reconciler.pass_()
        assert fault.times == 999
        bench.clock.advance(61)
        await operator.reconciler.pass_()
        assert fault.times == 998
        told = condition(bench.server.get("Platform", "main"), "Ready")
        assert told["status"] == "False"
        assert "RayService main: injected" in told["message"]
        fault.times = 0
        await operator.settle()
    assert bench.server.of("RayService")
    assert "injected" not in condition(bench.server.get("Platform", "main"), "Ready")["message"]


async def test_without_kuberay_the_rest_is_made_and_the_platform_says_what_is_missing(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.missing |= {"RayService", "RayCluster"}
    async with bench.operator() as operator:
        await operator.pass_()
        assert bench.server.of("Service")
        assert condition(bench.server.get("Platform", "main"), "Ready")["status"] == "False"


async def test_a_deletion_by_uid_leaves_another_of_the_name_alone(bench: Bench) -> None:
    made = bench.server.edit({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {}})
    async with bench.operator() as operator:
        key = ObjectKey("v1", "Service", "x")
        assert await operator.cluster.delete(key, "another") is None
        assert bench.server.of("Service")
        await operator.cluster.delete(key, made["metadata"]["uid"])
        await operator.cluster.delete(key, made["metadata"]["uid"])
    assert not bench.server.of("Service")


async def test_a_status_is_not_written_to_another_of_the_name(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator:
        body = platform() | {"metadata": {"name": "main", "uid": "of-old"}, "status": {"endpoint": "x"}}
        with pytest.raises(ClusterError) as refused:
            await operator.cluster.apply_status(body)
    assert refused.value.status == 409


async def test_while_the_platform_is_away_the_cluster_is_kept_in_order(bench: Bench) -> None:
    bench.is_platform_up = False
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
        assert bench.server.of("RayService")
        assert condition(bench.server.get("Model", "one"), "Ready")["status"] == "Unknown"
        bench.server.delete("Model", "one")
        bench.server.edit(model("two"))
        bench.is_platform_up = True
        await operator.settle()
    assert bench.calls == ["PUT /v1/admin/documents/Model/two"]


async def test_a_document_that_the_platform_refuses_is_sent_once(bench: Bench) -> None:
    bench.server.edit(platform())
    spec = {"weights": {"uri": "file:///nothing/there"}}
    bench.server.edit({**platform("bad"), "kind": "Adapter", "spec": spec})
    async with bench.operator() as operator:
        await operator.reconciler.pass_()
        for _ in range(3):
            await operator.reconciler.settle()
            await operator.reconciler.pass_()
        assert bench.calls == ["PUT /v1/admin/documents/Adapter/bad"]
        assert condition(bench.server.get("Adapter", "bad"), "Ready")["status"] == "False"
        assert [one["type"] for one in bench.server.of("Event") if one["regarding"]["kind"] == "Adapter"] == ["Warning"]
        bench.clock.advance(301)
        await operator.reconciler.pass_()
        await operator.reconciler.settle()
    assert len(bench.calls) == 2


async def test_an_admin_key_that_is_missing_is_told_of(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator:
        (bench.folder / "admin").unlink()
        await operator.settle()
    assert "admin" in condition(bench.server.get("Platform", "main"), "Gateway")["message"]


async def test_a_ray_service_that_no_cluster_keeps_is_not_written_and_the_platform_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
        before = bench.server.get("RayService", "main")["spec"]
        monkeypatch.setattr(size, "MOST_BYTES", 1000)
        bench.server.edit(model("two"))
        await operator.settle()
        told = condition(bench.server.get("Platform", "main"), "Ready")
        assert (told["status"], told["reason"]) == ("False", "RayServiceTooLarge")
        assert condition(bench.server.get("Model", "two"), "Deployed")["reason"] == "NotPassedOnYet"
    assert bench.server.get("RayService", "main")["spec"] == before
