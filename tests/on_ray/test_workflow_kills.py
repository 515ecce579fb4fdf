"""kill -9 of each part in the middle of a workflow's run of twelve nodes: it finishes, what was finished is not done
again, and every node is charged once."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fakes.platform import TestPlatform, echo_document, wait_for
from fakes.usage_audit import Attempt, Tables

NUM_ROWS, NUM_COLUMNS = 4, 3
WORDS_EACH = 20
"""Of 60 ms: a row of nodes takes more than a second, and there are two rows left when something dies."""
TELLER = echo_document(
    "teller", engine={"maxConcurrency": 16, "tokenMs": 60}, prices={"prompt": "0.11", "completion": "0.37"}
)
pytestmark = pytest.mark.kills_the_gateway
PARTS = ("ServeReplica:runner:runner", "ServeReplica:model-teller:replica", "ServeReplica:gateway:gateway")


def words_of(column: int) -> str:
    return " ".join(f"w{column}n{number}" for number in range(WORDS_EACH))


def twelve_nodes() -> dict[str, Any]:
    """Chains side by side: each node says again what the one before it said."""
    nodes = {}
    for column in range(NUM_COLUMNS):
        for row in range(NUM_ROWS):
            before = {"$ref": [f"c{column}r{row - 1}", "text"]} if row else words_of(column)
            nodes[f"c{column}r{row}"] = {"type": "model:teller", "inputs": {"prompt": before}}
    outputs = [{"name": f"c{column}", "from": [f"c{column}r{NUM_ROWS - 1}", "text"]} for column in range(NUM_COLUMNS)]
    spec = {"interface": {"outputs": outputs}, "nodes": nodes}
    return {"apiVersion": TELLER["apiVersion"], "kind": "Workflow", "metadata": {"name": "twelve"}, "spec": spec}


@pytest.fixture(scope="module")
def workshop(platform: TestPlatform) -> Iterator[TestPlatform]:
    """The platform with a priced model, and the workflow `twelve`."""
    platform.apply(TELLER)
    with platform.client() as client:
        client.put("/v1/admin/documents/Workflow/twelve", json=twelve_nodes()).raise_for_status()
    yield platform
    with platform.client() as client:
        client.delete("/v1/admin/documents/Workflow/twelve").raise_for_status()
        client.delete("/v1/admin/documents/Model/teller").raise_for_status()


def got(client: httpx.Client, path: str) -> Any:
    """An answer's body; a gateway that is being replaced is asked again."""
    try:
        answer = client.get(path)
        return answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return {}


def finished(client: httpx.Client, run_id: str) -> set[str]:
    steps = got(client, f"/v1/runs/{run_id}/steps").get("data", [])
    return {step["label"] for step in steps if step["status"] == "succeeded"}


def attempts_of(platform: TestPlatform, request_id: str) -> dict[str, list[Attempt]]:
    """What the ledger's tables say of a run, by step."""
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in Tables(platform.folder / "data/slipway/slipway.db").attempts().get(request_id, []):
        found[attempt.row["node"]].append(attempt)
    return found


def is_booked(platform: TestPlatform, request_id: str) -> bool:
    """Whether each step has what is charged for it, once, and nobody is left who may take something back."""
    found = attempts_of(platform, request_id)
    billed = [sum(one.is_billable for one in attempts) for attempts in found.values()]
    return len(found) == NUM_ROWS * NUM_COLUMNS and billed == [1] * len(found)


@pytest.mark.parametrize("part", PARTS)
def test_a_run_of_twelve_nodes_outlives_each_part_and_pays_for_each_node_once(
    workshop: TestPlatform, part: str
) -> None:
    with workshop.client() as client:
        body = {"use_cache": False}
        run_id = client.post("/v1/workflows/twelve/runs", json=body).raise_for_status().json()["id"]
        wait_for(lambda: len(finished(client, run_id)) >= NUM_COLUMNS + 1, 60, "some nodes are finished")
        before = finished(client, run_id)
        workshop.kill(part)
        assert len(before) < NUM_ROWS * NUM_COLUMNS, "the run was over before anything died"
        wait_for(lambda: got(client, f"/v1/runs/{run_id}").get("status") == "succeeded", 120, f"run {run_id}")
        run = got(client, f"/v1/runs/{run_id}")
        assert run["output"] == {f"c{column}": words_of(column) for column in range(NUM_COLUMNS)}
        assert len(finished(client, run_id)) == NUM_ROWS * NUM_COLUMNS

        wait_for(lambda: is_booked(workshop, run["request_id"]), 60, "each node is charged once")
        found = attempts_of(workshop, run["request_id"])
        assert {label for label in before if len(found[label]) > 1} == set(), "finished nodes were done again"
        assert [found[label][0].row["id"] for label in before] == [f"{run['request_id']}/{label}:1" for label in before]
        charged = sum(attempt.cost for attempts in found.values() for attempt in attempts)
        assert charged > 0
        assert all(one.row["run_id"] == run_id for attempts in found.values() for one in attempts)
        assert {one.row["workflow"] for attempts in found.values() for one in attempts} == {"twelve@1"}
        wait_for(lambda: got(client, f"/v1/runs/{run_id}").get("cost") is not None, 60, "the run knows what it cost")
        assert got(client, f"/v1/runs/{run_id}")["cost"]["nano_usd"] == charged
