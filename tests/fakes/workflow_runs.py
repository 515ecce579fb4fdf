"""Runs of workflows to test with, and an execution of them that is as plain as can be: rows of model calls."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from serve.domain.errors import ReplicaLost, SlipwayError
from serve.domain.generation import Event
from serve.domain.run import ModelTerms, RunError, RunKind, WorkflowTerms
from serve.domain.steps import ModelStep, Performed, Stage, Step, StepStatus
from serve.domain.task import Task
from serve.domain.usage import Quantities

PRICE = "sha256:" + "1" * 64


def workflow_run(**changes: Any) -> dict[str, Any]:
    """What makes a run of `fakes.runs.new_run` one of a workflow of the model `echo`."""
    terms = WorkflowTerms(digest="sha256:d", models={"echo": ModelTerms(digest="sha256:e", price=PRICE)})
    values = {"kind": RunKind.WORKFLOW, "task": None, "target": "story@1", "inputs": {}, "workflow": terms}
    return values | changes


@dataclass
class Rows:
    """An execution that calls `echo` once for each label: rows one after another, the labels of a row together.

    A label that begins with `op` is an operation, and is done at once. A lost replica is replaced; any other failure
    fails its step, and what comes after it is skipped. `gate` is waited for where a step is `gated`, before its end is
    told.
    """

    rows: Sequence[Sequence[str]]
    gated: frozenset[str] = frozenset()
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, stage: Stage) -> Performed:
        made = {label: step for label, step in stage.stored.items()}
        failed: Step | None = None
        for row in self.rows:
            labels = [label for label in row if label not in made]
            if failed is not None:
                stage.tell([Step(label, StepStatus.SKIPPED, reason=f"{failed.label} failed") for label in labels])
                continue
            ended = await asyncio.gather(*(self._step(stage, label) for label in labels))
            made |= {step.label: step for step in ended}
            failed = next((step for step in ended if step.status is StepStatus.FAILED), None)
        usages = [Quantities(**step.usage) for step in made.values() if step.usage]
        costs = [step.cost_nano for step in made.values() if step.usage]
        outputs = {label: (step.outputs or {})["text"] for label, step in made.items() if step.outputs}
        cost = None if None in costs else sum(cost or 0 for cost in costs)
        return Performed(outputs, failed.error if failed else None, sum(usages, Quantities()), cost)

    async def _step(self, stage: Stage, label: str) -> Step:
        if label.startswith("op"):
            done = Step(label, StepStatus.SUCCEEDED, "op:constant", outputs={"text": label})
        else:
            done = await self._called(stage, Step(label, StepStatus.RUNNING, "model:echo", tries=1, started_ms=1))
        stage.tell([done])
        return done

    async def _called(self, stage: Stage, step: Step) -> Step:
        stage.tell([step])
        number = 0
        while True:
            number += 1
            call = ModelStep(step.label, number, "echo", Task.CHAT, {"messages": [step.label]})
            try:
                answer = await stage.call(call, lambda events: _pass_on(stage, step.label, events))
            except ReplicaLost as error:
                stage.log(step.label, error.message)
                continue
            except SlipwayError as error:
                told = RunError(code=error.code, message=error.message)
                return Step(step.label, StepStatus.FAILED, step.type, error=told, tries=number, finished_ms=3)
            if step.label in self.gated:
                await self.gate.wait()
            text = "".join(choice.text for choice in answer.answer.choices.values())
            return Step(
                step.label,
                StepStatus.SUCCEEDED,
                step.type,
                outputs={"text": text},
                tries=number,
                started_ms=1,
                finished_ms=3,
                usage=answer.usage.nonzero(),
                cost_nano=answer.cost_nano,
            )


def _pass_on(stage: Stage, label: str, events: Sequence[Event]) -> None:
    for event in events:
        stage.say(label, event)
