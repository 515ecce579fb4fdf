"""Checking workflows against what there is for their tenant."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from serve.domain.errors import InvalidWorkflow
from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowSpec
from serve.gateway.services import Services
from serve.gateway.workflows.problem_answers import Told, invalid_workflow, told
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import Known
from serve.workflow.graph import Graph


@dataclass(frozen=True, slots=True)
class Checked:
    """A workflow, compiled where it can run, and what is wrong with it."""

    graph: Graph | None
    problems: list[Told]


async def check(services: Services, tenant: TenantName, spec: WorkflowSpec, *, for_draft: bool = False) -> Checked:
    """Compile `spec` for its tenant. It raises nothing about the workflow: that is in `problems`."""
    try:
        known = await services.knowledge.known(tenant, spec)
    except InvalidWorkflow as error:
        return Checked(None, [dict(problem) for problem in error.problems])
    # Beside the loop: at its limits a workflow takes longer than other requests should wait.
    compiled = await asyncio.to_thread(compile_workflow, spec, known, for_draft=for_draft)
    return Checked(compiled.graph, told(compiled.problems))


@dataclass(frozen=True, slots=True)
class Ready:
    """A workflow that can run: it names others by number alone."""

    spec: WorkflowSpec
    graph: Graph
    known: Known


async def ready(services: Services, tenant: TenantName, spec: WorkflowSpec, *, targets: Sequence[str] = ()) -> Ready:
    """`spec` with aliases pinned to the versions that they mean now, compiled.

    Raises:
        InvalidWorkflow: with everything that keeps it from running.
    """
    known = await services.knowledge.known(tenant, spec)
    by_number = {one.address: one for one in known.workflows.values()}
    known = replace(known, workflows={**known.workflows, **by_number})
    final, compiled = await services.knowledge.compiled(spec, known, targets)
    if compiled.graph is None:
        raise invalid_workflow(compiled.problems)
    return Ready(final, compiled.graph, known)
