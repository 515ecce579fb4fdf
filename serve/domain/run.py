"""A run: one durable job, from the row that promises it to its end."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serve.domain.adapters import AdapterId
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.task import Task


class RunStatus(StrEnum):
    """queued -> running -> succeeded | failed | canceled. A lost attempt goes back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED})


class RunKind(StrEnum):
    """What a run executes. Fine-tunes join here."""

    MODEL = "model"
    WORKFLOW = "workflow"


class RunEventKind(StrEnum):
    """What a run's event stream tells, in the words of its SSE `event:` field."""

    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    PREVIEW = "preview"
    OUTPUT = "output"
    STEP = "step"
    """A step of a workflow has begun, or ended."""
    LOG = "log"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Frozen(BaseModel):
    """A frozen, closed value of the run's vocabulary."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunError(Frozen):
    """Why a run failed: a machine code and a sentence; `param` is the input it is about."""

    code: str
    message: str
    param: str | None = None


class WebhookTarget(Frozen):
    """Where a run's news goes, and which news."""

    url: str = Field(max_length=2048)
    events: tuple[RunEventKind, ...] = (RunEventKind.SUCCEEDED, RunEventKind.FAILED, RunEventKind.CANCELED)


class DeliveryStatus(StrEnum):
    """How the delivery of one webhook went. Disabled: its receiver said that it is gone for good."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DISABLED = "disabled"


class RunAdapter(Frozen):
    """An adapter that a run uses: the version it had when the run was accepted, whatever the name means later."""

    id: AdapterId
    scale: float


class ModelTerms(Frozen):
    """What a workflow's run may ask of one model, and what that costs: decided when the run was accepted."""

    digest: str
    """Of the model's document and its weights: what results are kept under."""
    price: str | None = None
    """The price version that was in force."""
    max_prompt_tokens: int | None = None
    """More than this was not reckoned with, in any call."""
    most: dict[str, int] | None = None
    """What any one call was reckoned to consume at the most, but for its prompt; where anything was held for the run.
    Another model of the same name may consume more."""


class WorkflowTerms(Frozen):
    """Which workflow a run executes, and all that was decided about it when the run was accepted."""

    digest: str
    """Of the document (`serve.workflow.library.documents` has it by this)."""
    models: dict[str, ModelTerms] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    """Drawn for nodes that are given none, by label without items."""
    adapters: dict[str, RunAdapter] = Field(default_factory=dict)
    """What adapters are called, in workflows within too, and what that means; where a scale is written, that counts."""
    targets: tuple[str, ...] = ()
    """Nodes to run to; none of them, the outputs of the interface."""
    use_cache: bool = True
    """False runs everything anew; results are kept all the same."""
    previews: int = 0
    """Unfinished pictures that its calls of image models send, of nodes that ask for none. No result depends on it."""
    metadata: bool = True
    """Whether its PNG files carry the workflow and the inputs; never where `workflows.image_metadata` says no."""


class NewRun(Frozen):
    """What is written when a run is accepted: complete, so that any attempt repeats the same work.

    `inputs` are valid for the card, or the workflow's interface, with defaults and seed resolved. `request_hash` is the
    sha256 of the request's canonical body: an Idempotency-Key joins only a request with the same one.
    """

    id: RunId
    request_id: RequestId
    tenant: TenantName
    project: ProjectName
    key_id: KeyId
    kind: RunKind = RunKind.MODEL
    target: str
    """The model; of a workflow `name@version`, or `name@draft`."""
    task: Task | None = None
    """Of a model's run."""
    inputs: dict[str, Any]
    workflow: WorkflowTerms | None = None
    """Of a workflow's run."""
    adapters: tuple[RunAdapter, ...] = ()
    request_hash: str
    idempotency_key: str | None = None
    priority: int = Field(default=0, ge=-10, le=10)
    deadline_ms: int | None = None
    price: str | None = None
    """The price version that was in force when the run was accepted."""
    hold: str | None = None
    """What the run's cost is drawn from, at most `reserved_nano`."""
    reserved_nano: int = 0
    tags: dict[str, str] = Field(default_factory=dict)
    trace: str | None = None
    """The W3C traceparent of the request that asked for it."""
    max_attempts: int = Field(default=3, ge=1)
    webhook: WebhookTarget | None = None


class Run(NewRun):
    """A stored run. Times are Unix milliseconds."""

    status: RunStatus = RunStatus.QUEUED
    attempt: int = 0
    created_ms: int
    started_ms: int | None = None
    finished_ms: int | None = None
    cancel_requested: bool = False
    outputs: dict[str, Any] | None = None
    usage: dict[str, int] | None = None
    cost_nano: int | None = None
    """What the usage costs by the run's price version; None where it is unpriced, or not known."""
    error: RunError | None = None
    fence: int = 0
    """Counts claims: a writer whose fence is old has lost its lease, and its writes do nothing."""
    num_events: int = 0
    """Events written so far, which is the seq of the last one."""


class RunEvent(Frozen):
    """One line of a run's story; `seq` starts at 1 and has no holes."""

    seq: int
    kind: RunEventKind
    data: dict[str, Any]
    created_ms: int
