"""vLLM's engine core stops, or dies: the last that the folder's engine lives through."""

import asyncio
import signal
from typing import Any

import psutil
import pytest

from serve.domain.errors import EngineFailed
from serve.domain.generation import CallContext, ModelCall
from serve.domain.task import Task

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # torch and vLLM warn of their own deprecations while they are imported.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


def core_of_the_engine() -> psutil.Process:
    (core,) = [p for p in psutil.Process().children(recursive=True) if "EngineCore" in " ".join(p.cmdline())]
    return core


async def tell_a_story(engine: Any) -> None:
    asked = {"messages": [{"role": "user", "content": "Tell me a long story"}], "max_tokens": 1500}
    async for _ in engine.stream(ModelCall(Task.CHAT, asked, CallContext("r", "acme", "p", "k"), stream=True)):
        pass


async def first_bad_health(engine: Any) -> None:
    """Ask until it raises: what a core had said before it froze is heard first, and passes for a sign of life."""
    while True:
        await engine.check_health()
        await asyncio.sleep(0.1)


async def test_an_engine_whose_core_is_frozen_is_found_out(vllm_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.engines import vllm

    core = core_of_the_engine()
    monkeypatch.setattr(vllm, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(vllm, "PROBE_SECONDS", 1.0)
    core.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(60):
        with pytest.raises(EngineFailed) as found:
            await first_bad_health(vllm_engine)
    core.send_signal(signal.SIGCONT)
    assert found.value.code == "engine_stuck"


async def test_an_engine_whose_core_is_killed_fails_its_callers_and_its_health(vllm_engine: Any) -> None:
    core = core_of_the_engine()
    reader = asyncio.create_task(tell_a_story(vllm_engine))
    async with asyncio.timeout(60):
        while not vllm_engine.counters()["unfinished_sequences"]:
            await asyncio.sleep(0.01)
    core.kill()
    with pytest.raises(EngineFailed):
        await asyncio.wait_for(reader, 120)
    with pytest.raises(EngineFailed):
        await vllm_engine.check_health()
