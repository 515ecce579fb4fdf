"""Operations on files behind a real replica: performed, refused in our own words, and canceled with their calls."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.platform import TestPlatform

CALLER = """
import asyncio, json, sys, time, ray
from deployments.operation_calls import RayOperations
from serve.domain.errors import SlipwayError
from serve.domain.steps import OperationStep
ray.init(address=sys.argv[1], namespace="serve", log_to_driver=False, configure_logging=False)
calls = RayOperations()

def step(request):
    return OperationStep("n", None, "default", "default", request["operation"], request["inputs"])

async def perform(request):
    began = time.monotonic()
    try:
        outputs = await calls.perform(step(request))
    except SlipwayError as error:
        return {"code": error.code, "param": error.param}
    return {"outputs": outputs, "seconds": time.monotonic() - began}

async def leave(request):
    tasks = [asyncio.create_task(calls.perform(step(request))) for _ in range(request["times"])]
    await asyncio.sleep(1.5)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return {"canceled": sum(isinstance(each, asyncio.CancelledError) for each in ended)}

async def main():
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(await (leave if "times" in request else perform)(request)), flush=True)

asyncio.run(main())
"""


class Caller:
    """A program beside the platform that calls its operations as a runner does."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, operation: str, times: int | None = None, **inputs: Any) -> dict[str, Any]:
        """What came of it; with `times`, of so many calls that are left after 1.5 seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"operation": operation, "inputs": inputs} | ({"times": times} if times else {})
        print(json.dumps(request), file=self._process.stdin, flush=True)
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result


@pytest.fixture(scope="module")
def caller(platform: TestPlatform) -> Iterator[Caller]:
    (raylet,) = platform.pids("raylet/raylet")
    words = Path(f"/proc/{raylet}/cmdline").read_bytes().decode().split("\0")
    environ = dict(
        each.split("=", 1) for each in Path(f"/proc/{raylet}/environ").read_text().split("\0") if "=" in each
    )
    (address,) = [word.partition("=")[2] for word in words if word.startswith("--gcs-address=")]
    environment = platform.environment | {name: environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    command = [sys.executable, "-c", CALLER, address]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Caller(process)
        process.kill()


def test_an_operation_is_performed_where_the_files_are(platform: TestPlatform, caller: Caller) -> None:
    made = caller.ask("image.new", width=64, height=32, color="#ff0000")["outputs"]["image"]
    outputs = caller.ask("image.resize", image=made, width=16)["outputs"]
    assert (outputs["width"], outputs["height"]) == (16, 8)
    with platform.client() as client:
        content = client.get(f"/v1/assets/{outputs['image']['asset']['id']}/content", follow_redirects=True)
        assert content.content.startswith(b"\x89PNG")


def test_a_refusal_keeps_its_code_and_its_input(caller: Caller) -> None:
    assert caller.ask("image.new", width=0, height=1) == {"code": "invalid_value", "param": "width"}
    gone = {"asset": {"id": "x", "sha256": "0" * 64, "media_type": "image/png", "num_bytes": 1, "created_ms": 0}}
    assert caller.ask("image.flip", image=gone) == {"code": "asset_not_found", "param": "image"}


def test_who_leaves_takes_the_work_along(caller: Caller) -> None:
    large = caller.ask("image.new", width=4096, height=4096)["outputs"]["image"]
    alone = caller.ask("image.rotate", image=large, degrees=7)["seconds"]
    assert caller.ask("image.rotate", times=120, image=large, degrees=7) == {"canceled": 120}
    after = caller.ask("image.new", width=8, height=8)["seconds"]
    assert after < 20 * alone, "four at a time, what was left would take 30 times as long"
