"""The work that leaves the loop: calls of models, and operations on files."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serve.domain.errors import DeadlineExceeded, ReplicaLost, SlipwayError
from serve.domain.generation import Event, Preview, Progress, TextDelta
from serve.domain.ports import Clock
from serve.domain.steps import ModelStep, Operations, OperationStep, Stage
from serve.settings import WorkflowsSettings
from serve.workflow.execution.planning import MODEL_PORT, SEED_PORT
from serve.workflow.execution.retrying import TIMEOUT, Patience, persist
from serve.workflow.execution.wiring import Planned, hashed
from serve.workflow.execution.work import work_of_call, work_of_operation
from serve.workflow.facts import ModelFacts
from serve.workflow.ports.model_calls import call_of, values_of
from serve.workflow.values import decode, encode


class History(Protocol):
    """Remembers how long steps took."""

    def add(self, tenant: str, type_: str, work: float, seconds: float, units: Mapping[str, float]) -> None:
        """A step has ended with outputs, after `seconds` of its own. Costs microseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What a step made, and what that took."""

    outputs: Mapping[str, Any]
    num_tries: int
    usage: Mapping[str, int] | None = None
    cost_nano: int | None = None


class Worker:
    """Works for one run."""

    def __init__(
        self,
        stage: Stage,
        models: Mapping[str, ModelFacts],
        operations: Operations,
        history: History,
        clock: Clock,
        settings: WorkflowsSettings,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stage = stage
        self._models = models
        self._operations = operations
        self._history = history
        self._clock = clock
        self._settings = settings
        self._pause = pause

    async def work(self, planned: Planned, values: Mapping[str, Any], key: str | None) -> Done:
        """Do what the node does, as often as it takes. A seed that was to be computed, and came as nothing, is made of
        the result's key: what has one key has one result.

        Raises:
            SlipwayError: it failed for good; any other exception is a defect of ours.
        """
        label, policy = planned.label, planned.node.policy
        if SEED_PORT in planned.node.ports and values.get(SEED_PORT) is None and planned.node.operation is None:
            values = {**values, SEED_PORT: self._seed(label, key)}
        patience = Patience(policy.retries, self._stage.run.max_attempts, self._wait_seconds())

        async def attempt(number: int) -> Done:
            try:
                async with asyncio.timeout(policy.timeout_seconds) as limit:
                    return await self._try(planned, values, number)
            except TimeoutError:
                if limit.expired():
                    raise DeadlineExceeded(f"It took longer than {policy.timeout_seconds:g} s.", TIMEOUT) from None
                raise

        return await persist(
            attempt,
            patience,
            now=self._clock.monotonic,
            pause=self._pause,
            told=lambda message: self._stage.log(label, message),
        )

    def _seed(self, label: str, key: str | None) -> int:
        return int((key or hashed("seed", self._stage.run.id, label))[:8], 16)

    def _wait_seconds(self) -> float:
        deadline_ms = self._stage.run.deadline_ms
        if deadline_ms is None:
            return self._settings.max_wait_seconds
        return max(0.0, (deadline_ms - self._clock.now_ms()) / 1000)

    async def _try(self, planned: Planned, values: Mapping[str, Any], number: int) -> Done:
        try:
            if planned.node.operation is not None:
                return await self._operate(planned, planned.node.operation.name, values, number)
            return await self._call(planned, values, number)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ReplicaLost("What did its work canceled a call that nobody canceled.") from None

    async def _call(self, planned: Planned, values: Mapping[str, Any], number: int) -> Done:
        node, label = planned.node, planned.label
        facts = node.model or self._models[values[MODEL_PORT]]
        assert node.task is not None
        given, adapters = call_of(node.task, values)
        inputs = facts.card.complete(node.task, given)
        began = self._clock.monotonic()

        def said(events: Sequence[Event]) -> None:
            for event in events:
                if isinstance(event, Progress | Preview | TextDelta):
                    self._stage.say(label, event)

        step = ModelStep(label, number, facts.name, node.task, inputs, adapters)
        answered = await self._stage.call(step, said)
        outputs = values_of(node.task, answered.answer, inputs)
        usage = answered.usage.nonzero()
        self._remember(f"model:{facts.name}", work_of_call(node.task, inputs), began, usage)
        return Done(outputs, number, usage, answered.cost_nano)

    async def _operate(self, planned: Planned, name: str, values: Mapping[str, Any], number: int) -> Done:
        ports, run, began = planned.node.ports, self._stage.run, self._clock.monotonic()
        written = {port: encode(value, ports[port].type) for port, value in values.items() if value is not None}
        step = OperationStep(planned.label, run.id, run.tenant, run.project, name, written)
        made = await self._operations.perform(step)
        outputs = {port: decode(made[port], type_) for port, type_ in planned.outputs.items() if port in made}
        self._remember(planned.node.type, work_of_operation(values), began, {})
        return Done(outputs, number)

    def _remember(self, type_: str, work: float, began: float, units: Mapping[str, int]) -> None:
        self._history.add(self._stage.run.tenant, type_, work, self._clock.monotonic() - began, units)


def shown(error: BaseException) -> tuple[str, str, str | None]:
    """Code, sentence and input of an error, as its run's owner may see them."""
    if isinstance(error, SlipwayError):
        return error.code, error.message, error.param
    return "internal_error", "The step broke in a way that nobody expected; the details are in the log.", None
