"""Steps of workflows' runs, and plans of such runs, as the API shows them."""

import re
from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from serve.domain.steps import Step, StepStatus
from serve.gateway.run_answers import shown_outputs
from serve.gateway.views import CostView, RunErrorView, Timestamp, at_or_none, cost_view

_ITEM = re.compile(r"\.\d+(?=/|$)")


class StepView(BaseModel):
    """A step of a workflow's run: a node, or one item of a node that is run over a list.

    `label` is its place (`gen`, `gen.2`, `sub/gen`), `node` the same without items. `cost` is null where nothing was
    consumed, or what has no price. `reason` says why it was skipped, or whose result it took. In the place of an
    output of `output` that is large stands `{"$document": {"asset": ...}}`: the asset has it, as text or as JSON.
    """

    label: str
    node: str
    type: str
    status: StepStatus
    reason: str | None
    tries: int
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seconds: float | None
    usage: dict[str, int] | None
    cost: CostView | None
    output: dict[str, Any] | None
    error: RunErrorView | None


class RunWorkflowView(BaseModel):
    """What a workflow's run executes, as it was when the run was accepted. `targets` are the nodes that it runs to,
    none where it is the outputs; `seeds` were drawn, by step."""

    object: Literal["run_workflow"] = "run_workflow"
    workflow: dict[str, JsonValue]
    targets: list[str]
    seeds: dict[str, int]


class NodePlanView(BaseModel):
    """What a run would do at one node. `status` says whether its result is there already (`cached`), it will run
    (`runs`), or that is decided on the way (`depends`), for which `reason` says on what. `times` is how often a model
    is called at the most. Seconds are what such steps took lately, null where none was seen."""

    node: str
    type: str
    status: Literal["cached", "runs", "depends"]
    reason: str | None
    times: int
    seconds: float | None
    cost: CostView | None
    cost_at_most: CostView | None


class WorkflowPlanView(BaseModel):
    """What a run would do, take and cost. `cost_at_most` is what would be held for it; `cost` is what is to be
    expected, of what is not cached. `critical_path` are the nodes that `seconds` go by."""

    object: Literal["workflow_plan"] = "workflow_plan"
    workflow: str
    nodes: list[NodePlanView]
    seconds: float | None
    cost: CostView | None
    cost_at_most: CostView | None
    quantities_at_most: dict[str, int]
    critical_path: list[str]
    notes: list[str]


def step_view(step: Step) -> StepView:
    """A step as its run's owner sees it."""
    has_times = step.started_ms is not None and step.finished_ms is not None
    return StepView(
        label=step.label,
        node=_ITEM.sub("", step.label),
        type=step.type,
        status=step.status,
        reason=step.reason,
        tries=step.tries,
        started_at=at_or_none(step.started_ms),
        finished_at=at_or_none(step.finished_ms),
        seconds=((step.finished_ms or 0) - (step.started_ms or 0)) / 1000 if has_times else None,
        usage=None if step.usage is None else dict(step.usage),
        cost=cost_view(step.cost_nano),
        output=None if step.outputs is None else shown_outputs(step.outputs),
        error=RunErrorView(**step.error.model_dump()) if step.error else None,
    )
