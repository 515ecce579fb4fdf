"""The steps of a workflow's run: what the parts that plan, execute, store and show them say to one another.

A step is one node of the run, or one item of a node that is run over a list. Its label is its place:

    gen            the node gen
    gen.2          item 2 of it, counted from 0
    sub/gen        the node gen of the workflow that the node sub is
    sub.2/gen.0    and so on

`Stage` is what an execution asks of the run it belongs to, and `WorkflowExecution` what a runner asks of workflows:
`serve.runs` has the rows, the models and the money, `serve.workflow` knows what follows what.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from serve.domain.folds import Answer
from serve.domain.generation import AdapterUse, Event
from serve.domain.names import RunId
from serve.domain.run import Run, RunError
from serve.domain.task import Task
from serve.domain.usage import Quantities

MAX_LABEL = 80
"""Characters of a label: what usage events have room for."""
TRIES_PER_CLAIM = 64
"""Tries of one step that one claim may make; their usage is booked under numbers of their own (`try_number`)."""


class StepStatus(StrEnum):
    """queued -> running -> succeeded | failed | canceled; or cached, or skipped, without having run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    CACHED = "cached"
    """Its outputs were there already: of an earlier run, or of a step of this one that does the same."""
    SKIPPED = "skipped"
    """A condition, or a switch, went another way; or what it needs failed."""

    @property
    def is_done(self) -> bool:
        """Whether its outputs are there."""
        return self in (StepStatus.SUCCEEDED, StepStatus.CACHED)

    @property
    def is_terminal(self) -> bool:
        return self not in (StepStatus.QUEUED, StepStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Step:
    """What a run's table and its events say of a step. Times are Unix milliseconds.

    `outputs` are by port, as `serve.workflow.values` writes them; `key` is the Merkle key of its result, None where it
    is not to be kept. `reason` says why it was skipped, or whose result it took. `tries` are those that failed by the
    step's own fault, and the one that succeeded, over all attempts; what the platform refused or lost is not counted.
    """

    label: str
    status: StepStatus
    type: str = ""
    """Of the node: `model:<name>`, `op:<name>`, ..."""
    key: str | None = None
    outputs: Mapping[str, Any] | None = None
    error: RunError | None = None
    reason: str | None = None
    tries: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    usage: Mapping[str, int] | None = None
    cost_nano: int | None = None


@dataclass(frozen=True, slots=True)
class ModelStep:
    """A model call of a step. `inputs` are valid for the card and complete; pictures are `asset:<id>`."""

    label: str
    number: int
    """Which try of the step this is, from 1, in this claim of the run."""
    model: str
    task: Task
    inputs: Mapping[str, Any]
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What a model answered, whole; `cost_nano` is None where the model has no price."""

    answer: Answer
    usage: Quantities
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class OperationStep:
    """An operation that reads or writes assets, or takes long. `inputs` and what comes back are by port, written as
    `serve.workflow.values` writes them: only ids of assets travel."""

    label: str
    run_id: RunId | None
    tenant: str
    project: str
    operation: str
    inputs: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the files of its pictures say of how they were made."""


class Operations(Protocol):
    """Whoever performs the operations that the runner does not do by itself."""

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """The outputs by port. Canceling the call cancels the work.

        Raises:
            InvalidRequest: about one of `inputs`. Overloaded, ReplicaLost, StorageUnavailable, EngineFailed.
        """
        ...


class Stage(Protocol):
    """What the execution of a workflow's run asks of the run: the one place where steps are written down, models are
    called and money is counted."""

    @property
    def run(self) -> Run:
        """As it was claimed."""
        ...

    @property
    def stored(self) -> Mapping[str, Step]:
        """Steps that earlier attempts have ended with outputs, by label: they are not run again."""
        ...

    @property
    def tried(self) -> Mapping[str, Step]:
        """Other steps that earlier attempts have begun, by label: their `tries` are used up."""
        ...

    def tell(self, steps: Sequence[Step]) -> None:
        """Write these down, soon, in this order, as rows and as events. It costs the caller microseconds."""
        ...

    async def put_away(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Outputs that are too large for a row, as the row is to have them (`serve.domain.stowed`).

        Raises:
            StorageUnavailable, TimeoutError: the row has to have them whole.
        """
        ...

    async def take_out(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was put away, by this run or by another of its tenant, whole again. Raises NotFound, EngineFailed,
        StorageUnavailable."""
        ...

    def say(self, label: str, event: Event) -> None:
        """Pass on what a step's work says meanwhile: Progress, Preview, TextDelta. What is much is thinned out."""
        ...

    def log(self, label: str, message: str) -> None:
        """Tell the run's owner what happened to a step."""
        ...

    async def call(self, step: ModelStep, said: Callable[[Sequence[Event]], None]) -> StepAnswer:
        """The model's whole answer; `said` hears its events. Canceled, the model stops within a step or token.

        The answer is charged once the step's end is written down (`tell`), or taken back if that never happens: an
        attempt that is lost with its runner is booked, and not billable. A replica that is lost raises ReplicaLost.

        Raises:
            As `ports.Models.call`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Performed:
    """How the execution of a workflow ended. `outputs` are those of its interface that came to be, by name; `error` is
    there where one of them failed. `usage` and `cost_nano` are of this and all earlier attempts; what was cached cost
    nothing. `cost_nano` is None where a model without price took part."""

    outputs: Mapping[str, Any]
    error: RunError | None
    usage: Quantities
    cost_nano: int | None


class WorkflowExecution(Protocol):
    """What a runner asks of workflows."""

    async def perform(self, stage: Stage) -> Performed:
        """Execute the run to its end. Canceled, everything that runs for it is stopped before this returns.

        Raises:
            SlipwayError: nothing of it could be executed.
        """
        ...


def try_number(fence: int, number: int) -> int:
    """The attempt under which a step's try is metered: never the same twice for one label of one run."""
    if not 1 <= number <= TRIES_PER_CLAIM:
        raise ValueError(f"a claim tries a step 1 to {TRIES_PER_CLAIM} times, not {number}")
    return (fence - 1) * TRIES_PER_CLAIM + number
