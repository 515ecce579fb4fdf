"""Ray's report on applications, read as how the models are doing."""

import asyncio
from typing import Any

import pytest

from serve.domain.serving import ModelState
from serve.serving import statuses
from serve.serving.statuses import read_statuses


def report(status: str, replicas: list[str], target: int, message: str = "") -> dict[str, Any]:
    found = [{"state": state} for state in replicas]
    return {
        "status": status,
        "deployments": {"replica": {"replicas": found, "target_num_replicas": target, "message": message}},
    }


RAYS_WORDS = """The deployment failed to start 3 times in a row. See controller logs for details. Error:
\x1b[36mray::ServeReplica:initialize_and_get_metadata()\x1b[39m (pid=1)
  File "/ray/replica.py", line 1928, in initialize
    raise RuntimeError(traceback.format_exc()) from None
RuntimeError: Traceback (most recent call last):
  File "/slipway/weight_plan.py", line 119, in _check_contents
    raise refusal(
          ^^^^^^^^
"""


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("serve.domain.errors.InvalidRequest: model.bin is a pickle", "model.bin is a pickle"),
        ("torch.cuda.OutOfMemoryError: no room\nfor 8 GiB", "OutOfMemoryError: no room for 8 GiB"),
        ("ValueError: no: such file", "ValueError: no: such file"),
    ],
    ids=["ours", "a library's, in two lines", "Python's"],
)
def test_a_model_that_cannot_start_tells_its_last_error(raised: str, told: str) -> None:
    application = report("DEPLOY_FAILED", [], 1, RAYS_WORDS + raised)
    assert read_statuses({"model-m": application})["m"].message == told


@pytest.mark.parametrize(
    ("application", "state", "message"),
    [
        pytest.param(report("RUNNING", ["RUNNING"], 1), ModelState.READY, "", id="running"),
        pytest.param(report("DEPLOYING", ["STARTING"], 1, "wait"), ModelState.LOADING, "wait", id="starting"),
        pytest.param(report("RUNNING", [], 0), ModelState.AT_ZERO, "", id="scaled to zero"),
        pytest.param(report("RUNNING", ["STARTING"], 1), ModelState.LOADING, "", id="coming up from zero"),
        pytest.param(report("DEPLOY_FAILED", [], 1, "why\nTrace"), ModelState.FAILED, "why", id="failed"),
        pytest.param(report("UNHEALTHY", [], 1, "died"), ModelState.LOADING, "died", id="being replaced"),
        pytest.param(report("DEPLOYING", ["RUNNING", "STOPPING"], 2), ModelState.READY, "", id="in an upgrade"),
        pytest.param({"status": "DEPLOYING"}, ModelState.LOADING, "", id="no deployment yet"),
    ],
)
def test_a_report_reads_as(application: dict[str, Any], state: ModelState, message: str) -> None:
    status = read_statuses({"model-m": application, "gateway": application})["m"]
    assert (status.state, status.message) == (state, message)


def test_only_model_applications_are_models() -> None:
    assert read_statuses({"gateway": report("RUNNING", [], 0)}) == {}


class Silent:
    """Ray's REST API, which answers once and then never."""

    def __init__(self) -> None:
        self.num_asked = 0

    async def applications(self) -> dict[str, Any]:
        self.num_asked += 1
        if self.num_asked > 1:
            await asyncio.Event().wait()
        return {"model-a": report("RUNNING", ["RUNNING"], 1)}


async def test_the_last_report_counts_while_ray_is_silent_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(statuses, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(statuses, "_ANSWER_SECONDS", 0.01)
    found = statuses.RayStatuses(Silent())
    for _ in range(3):
        assert (await found.current())["a"].state is ModelState.READY
    assert [record.levelname for record in caplog.records] == ["WARNING"]
