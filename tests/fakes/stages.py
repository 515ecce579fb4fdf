"""A stage in memory, and what else an execution of a workflow needs: models that are functions, operations that end
when they are told to, results, documents."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from fakes.clock import ManualClock
from fakes.runs import new_run
from fakes.workflow_runs import workflow_run

from serve.domain.errors import ReplicaLost
from serve.domain.folds import Answer
from serve.domain.generation import Completed, Event, Finished, TextDelta
from serve.domain.media import Asset
from serve.domain.names import TenantName
from serve.domain.run import ModelTerms, Run, WorkflowTerms
from serve.domain.steps import ModelStep, OperationStep, Performed, Step, StepAnswer, StepStatus
from serve.domain.stowed import from_stow, stowed_asset
from serve.domain.usage import Quantities
from serve.domain.workflow import WorkflowSpec
from serve.runs.stowing import Stow
from serve.settings import WorkflowsSettings
from serve.workflow.execution.performing import Performer
from serve.workflow.facts import Known
from serve.workflow.operation import Quick
from serve.workflow.operations import OPERATIONS
from serve.workflow.results.results import MemoryResults, Results

Model = Callable[[ModelStep], Any]
COST = 7
"""Nano-dollars of every answer."""


def said(text: str, num_tokens: int = 1) -> StepAnswer:
    """What a language model answered."""
    answer, usage = Answer(), Quantities(completion_tokens=num_tokens)
    answer.add([TextDelta(text), Finished("stop"), Completed(usage)])
    return StepAnswer(answer, usage, COST)


def echo(step: ModelStep) -> StepAnswer:
    """Answers with the last message and the seed."""
    return said(f"{step.inputs['messages'][-1]['content']}/{step.inputs['seed']}")


def run_of(spec: WorkflowSpec, inputs: Mapping[str, Any] | None = None, **terms: Any) -> Run:
    """A claimed run of `spec`."""
    models = {name: ModelTerms(digest=f"sha256:{name}") for name in ("smollm2-135m-instruct", "shapes-sd")}
    decided = WorkflowTerms(digest=spec.digest(), **({"models": models} | terms))
    made = new_run(**workflow_run(inputs=dict(inputs or {}), workflow=decided))
    return Run(**made.model_dump(), created_ms=1, fence=1, attempt=1)


@dataclass
class MemoryStage:
    """Implements `serve.domain.steps.Stage`. `told` is everything in order, `rows` what is known last."""

    run: Run
    model: Model = echo
    stored: Mapping[str, Step] = field(default_factory=dict)
    tried: Mapping[str, Step] = field(default_factory=dict)
    told: list[Step] = field(default_factory=list)
    rows: dict[str, Step] = field(default_factory=dict)
    calls: list[ModelStep] = field(default_factory=list)
    num_calls_running: int = 0
    events: list[tuple[str, Event]] = field(default_factory=list)
    logged: list[tuple[str, str]] = field(default_factory=list)
    assets: ClassVar[dict[str, bytes]] = {}
    """Of all runs: a result may be taken over."""

    def tell(self, steps: Sequence[Step]) -> None:
        self.told += steps
        for step in steps:
            self.rows[step.label] = step

    async def put_away(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return await Stow(self.run, self).put_away(outputs)

    async def take_out(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return await Stow(self.run, self).take_out(outputs)

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        asset_id = f"stowed-{len(self.assets)}"
        self.assets[asset_id] = data
        return {"id": asset_id, "media_type": media_type, "num_bytes": len(data), "name": name}

    async def read(self, run: Run, asset_id: str) -> bytes:
        return self.assets[asset_id]

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        raise AssertionError("an execution clears nothing away")

    def say(self, label: str, event: Event) -> None:
        self.events.append((label, event))

    def log(self, label: str, message: str) -> None:
        self.logged.append((label, message))

    async def call(self, step: ModelStep, said: Callable[[Sequence[Event]], None]) -> StepAnswer:
        self.calls.append(step)
        self.num_calls_running += 1
        try:
            answered = self.model(step)
            return await answered if inspect.isawaitable(answered) else answered
        finally:
            self.num_calls_running -= 1

    def statuses(self) -> dict[str, str]:
        """How every step ended, as far as it was told."""
        return {label: str(step.status) for label, step in self.rows.items()}

    def next_attempt(self) -> "MemoryStage":
        """The stage of whoever adopts the run: what was told with outputs is there, and how often
        the rest was tried."""
        done = {label: step for label, step in self.rows.items() if step.outputs is not None}
        kept = {**self.stored, **{label: self._whole(step) for label, step in done.items()}}
        run = self.run.model_copy(update={"fence": self.run.fence + 1, "attempt": self.run.attempt + 1})
        tried = {label: step for label, step in self.rows.items() if step.outputs is None}
        return MemoryStage(run, self.model, kept, {**self.tried, **tried})

    def _whole(self, step: Step) -> Step:
        outputs = dict(step.outputs or {})
        for port, value in outputs.items():
            if (asset := stowed_asset(value)) is not None:
                outputs[port] = from_stow(self.assets[asset["id"]], asset["media_type"])
        return replace(step, outputs=outputs)


@dataclass
class Timed:
    """Operations that are done at once, or when `gate` opens. `performed` are their labels."""

    gate: asyncio.Event | None = None
    performed: list[str] = field(default_factory=list)
    num_running: int = 0
    most_running: int = 0
    raises: Callable[[OperationStep], Exception | None] = lambda step: None

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        self.performed.append(step.label)
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0))
            if (error := self.raises(step)) is not None:
                raise error
            return applied(step)
        finally:
            self.num_running -= 1


def applied(step: OperationStep) -> Mapping[str, Any]:
    """What a quick operation gives for these inputs, defaults filled in."""
    operation = OPERATIONS[step.operation]
    assert isinstance(operation, Quick)
    values = {name: one.default for name, one in operation.inputs.items() if not one.many}
    return operation.apply({**values, **step.inputs})


@dataclass
class Known1:
    """Documents, knowledge and assets of one workflow."""

    spec: WorkflowSpec
    knows: Known
    media: Mapping[str, Asset] = field(default_factory=dict)

    async def get(self, tenant: TenantName, digest: str) -> WorkflowSpec:
        return self.spec

    async def known(self, tenant: TenantName, spec: WorkflowSpec) -> Known:
        return self.knows

    async def assets(self, tenant: TenantName, ids: Collection[str]) -> Mapping[str, Asset]:
        return {one: self.media[one] for one in ids if one in self.media}


@dataclass
class Remembered:
    """A history that is a list."""

    added: list[tuple[str, str, float, float, Mapping[str, float]]] = field(default_factory=list)

    def add(self, tenant: str, type_: str, work: float, seconds: float, units: Mapping[str, float]) -> None:
        self.added.append((tenant, type_, work, seconds, units))


@dataclass
class Workshop:
    """Everything that workflows are executed with; results stay from run to run."""

    known: Known
    results: Results = field(default_factory=MemoryResults)
    operations: Any = field(default_factory=Timed)
    history: Remembered = field(default_factory=Remembered)
    clock: ManualClock = field(default_factory=ManualClock)
    settings: WorkflowsSettings = field(default_factory=lambda: WorkflowsSettings(image_metadata=False))
    media: Mapping[str, Asset] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def performer(self, spec: WorkflowSpec) -> Performer:
        """A performer of this one workflow."""
        source = Known1(spec, self.known, self.media)
        return Performer(
            documents=source,
            knows=source,
            media=source,
            results=self.results,
            operations=self.operations,
            history=self.history,
            clock=self.clock,
            settings=self.settings,
            pause=self.pause,
        )

    async def perform(
        self, spec: WorkflowSpec, inputs: Mapping[str, Any] | None = None, model: Model = echo, **terms: Any
    ) -> tuple[Performed, MemoryStage]:
        """Execute a run of `spec` to its end."""
        stage = MemoryStage(run_of(spec, inputs, **terms), model)
        return await self.performer(spec).perform(stage), stage


def losing(times: int, then: Model = echo) -> Model:
    """A model whose replica is lost so often."""
    left = [times]

    def call(step: ModelStep) -> Any:
        if left[0]:
            left[0] -= 1
            raise ReplicaLost("The replica died.")
        return then(step)

    return call


def hanging(begun: asyncio.Event) -> Model:
    """A model that never answers."""

    def call(step: ModelStep) -> Awaitable[StepAnswer]:
        begun.set()
        return asyncio.Future()

    return call


def ended(stage: MemoryStage) -> list[str]:
    """Labels in the order in which they ended with outputs."""
    return [step.label for step in stage.told if step.status in (StepStatus.SUCCEEDED, StepStatus.CACHED)]
