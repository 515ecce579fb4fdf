"""Outputs that are put away before their step is told of: nothing that is made from them is told of sooner."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes.stages import MemoryStage, Workshop, ended, run_of, said
from fakes.workflows import LANGUAGE, known, ref, workflow

from serve.domain.media import INLINE_LIMIT_BYTES
from serve.domain.steps import Step, StepStatus
from serve.domain.stowed import stowed_asset

LARGE = "x" * (INLINE_LIMIT_BYTES + 1)
SPEC = workflow(
    {
        "say": {"type": f"model:{LANGUAGE}", "inputs": {"prompt": "hi", "seed": 1}},
        "size": {"type": "op:text.length", "inputs": {"text": ref("say", "text")}},
    },
    {"size": ("size", "characters")},
)


@dataclass
class SlowStage(MemoryStage):
    """Puts nothing away before its gate opens."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def put_away(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.set()
        await self.gate.wait()
        return await super().put_away(outputs)


async def begun(stage: SlowStage) -> "asyncio.Task[Any]":
    """An execution whose large text is there, and is being put away; what is made of it is there, too."""
    performing = asyncio.create_task(Workshop(known()).performer(SPEC).perform(stage))
    await stage.asked.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    return performing


def slow_stage() -> SlowStage:
    return SlowStage(run_of(SPEC), lambda step: said(LARGE))


async def test_what_is_made_from_a_large_output_is_told_after_it() -> None:
    stage = slow_stage()
    performing = await begun(stage)
    assert ended(stage) == []
    stage.gate.set()
    assert (await performing).outputs == {"size": len(LARGE)}
    assert ended(stage) == ["say", "size"]
    assert stowed_asset((stage.rows["say"].outputs or {})["text"]) is not None


async def test_a_run_that_is_stopped_meanwhile_tells_of_neither() -> None:
    stage = slow_stage()
    performing = await begun(stage)
    performing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await performing
    assert ended(stage) == []
    assert stage.next_attempt().stored == {}


async def test_what_an_earlier_attempt_has_done_is_not_told_to_be_skipped() -> None:
    """A node that the first attempt did, and the second, which finds the result of what needed it, does not ask for."""
    done = {
        "say": Step("say", StepStatus.SUCCEEDED, outputs={"text": "abc"}),
        "size": Step("size", StepStatus.SUCCEEDED, outputs={"characters": 3}),
    }
    stage = MemoryStage(run_of(SPEC), stored=done)
    performed = await Workshop(known()).performer(SPEC).perform(stage)
    assert (performed.outputs, stage.told) == ({"size": 3}, [])
