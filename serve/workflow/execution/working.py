"""The work that leaves the loop: calls of models, and operations on files."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serve.domain.errors import DeadlineExceeded, EngineFailed, ReplicaLost, SlipwayError, Unprocessable
from serve.domain.generation import Event, Preview, Progress, TextDelta
from serve.domain.ports import Clock
from serve.domain.steps import ModelStep, Operations, OperationStep, Stage
from serve.domain.task import Task
from serve.settings import WorkflowsSettings
from serve.workflow.execution.retrying import TIMEOUT, Patience, persist
from serve.workflow.execution.wiring import Planned, hashed
from serve.workflow.execution.workload import work_of_call, work_of_operation
from serve.workflow.facts import ModelFacts
from serve.workflow.ports.model_calls import call_of, values_of
from serve.workflow.ports.model_ports import MODEL_PORT, PREVIEWS_PORT, SEED_PORT
from serve.workflow.values import decode, encode


class History(Protocol):
    """Remembers how long steps took."""

    def add(self, tenant: str, type_: str, work: float, seconds: float, units: Mapping[str, float]) -> None:
        """A step has ended with outputs, after `seconds` of its own. Costs microseconds."""
        ...


Failed = Callable[[int, bool], None]
"""Is told how many tries of a step have failed by its own fault, and whether another one follows."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step made, and what that took."""

    outputs: Mapping[str, Any]
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

    async def work(self, planned: Planned, values: Mapping[str, Any], key: str | None, failed: Failed) -> Done:
        """Do what the node does, as often as it takes, less what earlier attempts have tried. A seed that was to be
        computed, and came as nothing, is made of the result's key: what has one key has one result.

        Raises:
            SlipwayError: it failed for good; any other exception is a defect of ours.
        """
        label, policy = planned.label, planned.node.policy
        if SEED_PORT in planned.node.ports and values.get(SEED_PORT) is None and planned.node.operation is None:
            values = {**values, SEED_PORT: self._seed(label, key)}
        num_own = self._num_failed(label, policy.retries)
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
            failed=failed,
            num_own=num_own,
        )

    def _num_failed(self, label: str, num_retries: int) -> int:
        """Tries that earlier attempts have failed with. Raises EngineFailed: none is left."""
        before = self._stage.tried.get(label)
        if before is None or before.tries <= num_retries:
            return 0 if before is None else before.tries
        if before.error is None:
            raise EngineFailed("It had failed as often as it may when its runner was lost.")
        raise EngineFailed(before.error.message, before.error.code, before.error.param)

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
        inputs = self._with_previews(facts.card.complete(node.task, given))
        self._check_reckoned(facts, node.task, inputs, node.policy.timeout_seconds)
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
        return Done(outputs, usage, answered.cost_nano)

    def _with_previews(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the run asks to see meanwhile, where the node asks for nothing. It is no part of any result's key."""
        terms = self._stage.run.workflow
        asks_for_none = inputs.get(PREVIEWS_PORT) == 0
        return {**inputs, PREVIEWS_PORT: terms.previews} if terms is not None and asks_for_none else inputs

    def _check_reckoned(
        self, facts: ModelFacts, task: Task, inputs: Mapping[str, Any], timeout_seconds: float | None
    ) -> None:
        """A model that was replaced since its run was accepted may cost no more than was held for it."""
        terms = self._stage.run.workflow.models.get(facts.name) if self._stage.run.workflow else None
        if terms is None or terms.most is None or terms.digest == facts.digest:
            return
        seconds = None if self._stage.run.deadline_ms is None else self._wait_seconds()
        limit = min((one for one in (seconds, timeout_seconds) if one is not None), default=None)
        for unit, amount in facts.card.most(task, inputs, limit).without_prompt().nonzero().items():
            if amount > terms.most.get(unit, 0):
                raise Unprocessable(
                    f"The model {facts.name} was replaced while the run waited or ran, and this call may now consume"
                    f" {amount} {unit} where {terms.most.get(unit, 0)} were reckoned with. Start the run again.",
                    "model_changed",
                )

    async def _operate(self, planned: Planned, name: str, values: Mapping[str, Any], number: int) -> Done:
        ports, run, began = planned.node.ports, self._stage.run, self._clock.monotonic()
        written = {port: encode(value, ports[port].type) for port, value in values.items() if value is not None}
        step = OperationStep(planned.label, run.id, run.tenant, run.project, name, written)
        made = await self._operations.perform(step)
        outputs = {port: decode(made[port], type_) for port, type_ in planned.outputs.items() if port in made}
        self._remember(planned.node.type, work_of_operation(values), began, {})
        return Done(outputs)

    def _remember(self, type_: str, work: float, began: float, units: Mapping[str, int]) -> None:
        self._history.add(self._stage.run.tenant, type_, work, self._clock.monotonic() - began, units)


def shown(error: BaseException) -> tuple[str, str, str | None]:
    """Code, sentence and input of an error, as its run's owner may see them."""
    if isinstance(error, SlipwayError):
        return error.code, error.message, error.param
    return "internal_error", "The step broke in a way that nobody expected; the details are in the log.", None
