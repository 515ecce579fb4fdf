"""From a request for a workflow's run to the row that promises it: complete, with all that it names looked up.

    document    a version's as it was published; of a draft a copy whose workflows have their numbers
    inputs      checked by the interface, with defaults; every value of a model's that is known, by that model's card
    models      those that the run may call, by the key's list
    adapters    as immutable ids, in the document and in the inputs
    seeds       drawn for every call that is given none

All of this reads, and nothing is held or stored by it. What is refused is refused here, or by the admission after it,
or by its pictures; then nothing of it stays.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request

from serve.catalog.cards import Card
from serve.domain.names import RunId, TenantName
from serve.domain.run import ModelTerms, NewRun, RunKind, WorkflowTerms
from serve.domain.workflow import WorkflowSpec
from serve.gateway.access import caller_of
from serve.gateway.admission import AdmittedRun
from serve.gateway.body_budget import held_by
from serve.gateway.exchange import exchange_of
from serve.gateway.image_inputs import ImageInputs, Picture
from serve.gateway.model_access import check_model
from serve.gateway.routing import admission_of, services_of
from serve.gateway.run_requests import about_input, deadline_ms, webhook_of
from serve.gateway.services import Services
from serve.gateway.workflows import media
from serve.gateway.workflows.adapters import Resolved, resolved_adapters
from serve.gateway.workflows.call_checks import check_calls
from serve.gateway.workflows.calls import Call, calls_of
from serve.gateway.workflows.ceilings import RunBound, bound_of
from serve.gateway.workflows.checking import ready
from serve.gateway.workflows.run_requests import AskedWorkflow
from serve.gateway.workflows.sources import source_of
from serve.workflow.facts import Known
from serve.workflow.graph import Graph
from serve.workflow.interface import check_inputs


@dataclass(frozen=True)
class Prepared:
    """A run that could begin. `written` names workflows by number, and `inputs` has adapters as runs keep them and
    pictures as they were sent."""

    target: str
    written: WorkflowSpec
    known: Known
    graph: Graph
    inputs: Mapping[str, Any]
    calls: tuple[Call, ...]
    cards: Mapping[str, Card]
    adapters: Resolved
    seeds: Mapping[str, int]

    @cached_property
    def spec(self) -> WorkflowSpec:
        """The document that the run executes."""
        return self.adapters.written_into(self.written, self.graph)

    def bound(self, seconds: float | None) -> RunBound:
        """What the run consumes at the most, if it may take so long."""
        return bound_of(self.calls, self.cards, self.adapters.ids, seconds)

    def models(self) -> dict[str, ModelTerms]:
        """The models that it may call, without what admission adds."""
        return {call.model: ModelTerms(digest=call.facts.digest) for call in self.calls}


async def prepare(request: Request, asked: AskedWorkflow) -> Prepared:
    """Look up and check all that the request names.

    Raises:
        NotFound: the workflow, a model, an adapter, an asset. InvalidWorkflow: with every problem of it.
        InvalidRequest, Unprocessable: about an input, or a value of the document. PermissionDenied.
    """
    services, caller = services_of(request), caller_of(request, "runs.write")
    source = await source_of(services, caller.tenant, asked.address)
    found = await ready(services, caller.tenant, source.spec, targets=asked.body.targets)
    graph, known, cards = found.graph, found.known, await services.catalog.cards()
    with about_input():
        inputs = check_inputs(graph, asked.given(graph.inputs), fetched=False)
    # Beside the loop, as compiling is: a run may have thousands of calls, and megabytes of words for them.
    calls = tuple(await asyncio.to_thread(calls_of, graph, known.models, media.without_bytes(graph, inputs)))
    for call in calls:
        check_model(caller, call.model, with_adapters=bool(call.adapters()))
    await asyncio.to_thread(check_calls, calls)
    await media.check_written(services, caller.tenant, graph)
    adapters = await resolved_adapters(request, caller.tenant, calls, cards)
    drawn = await _drawn_before(services, caller.tenant, asked.body.seeds_of)
    seeds = {call.label: drawn.get(call.label, services.draw_seed()) for call in calls if call.wants_seed}
    given = adapters.of_inputs(graph, inputs)
    return Prepared(source.target, found.spec, known, graph, given, calls, cards, adapters, seeds)


async def _drawn_before(services: Services, tenant: TenantName, run_id: RunId | None) -> Mapping[str, int]:
    """The seeds that a run drew, by label. Raises NotFound."""
    if run_id is None:
        return {}
    terms = (await services.runs.get(tenant, run_id)).workflow
    return {} if terms is None else terms.seeds


class WorkflowOrder:
    """A workflow's run that is asked for (`serve.gateway.submission.Wish`)."""

    def __init__(self, request: Request, asked: AskedWorkflow, new: NewRun) -> None:
        """`new` is from `promised`."""
        self._request = request
        self._asked = asked
        self._new = new
        self._prepared: Prepared | None = None

    @property
    def new(self) -> NewRun:
        """See `Wish`."""
        return self._new

    @property
    def prepared(self) -> Prepared:
        """What was looked up. Raises RuntimeError before; a mistake of ours."""
        if self._prepared is None:
            raise RuntimeError("a workflow's run goes on before what it names was looked up")
        return self._prepared

    async def resolved(self) -> NewRun:
        """See `Wish`."""
        found = self._prepared = await prepare(self._request, self._asked)
        body, settings = self._asked.body, services_of(self._request).settings.workflows
        terms = WorkflowTerms(
            digest="",
            models=found.models(),
            seeds=dict(found.seeds),
            adapters=dict(found.adapters.names),
            targets=tuple(body.targets),
            use_cache=body.use_cache,
            previews=body.previews,
            metadata=body.metadata and settings.image_metadata,
        )
        webhook = None if body.webhook is None else await webhook_of(services_of(self._request), body.webhook)
        row = {"target": found.target, "inputs": dict(found.inputs), "workflow": terms, "webhook": webhook}
        return self._new.model_copy(update=row | {"adapters": found.adapters.of_run()})

    async def admit(self, new: NewRun) -> AdmittedRun:
        """See `Wish`."""
        now_ms = services_of(self._request).clock.now_ms()
        seconds = None if new.deadline_ms is None else max(0.0, (new.deadline_ms - now_ms) / 1000)
        bound = await asyncio.to_thread(self.prepared.bound, seconds)
        return await admission_of(self._request).admit_workflow(self._request.scope, new, bound)

    async def pictures(self, image_inputs: ImageInputs) -> list[Picture]:
        """See `Wish`."""
        found = self.prepared
        with about_input():
            return await media.read(
                services_of(self._request),
                image_inputs,
                held_by(self._request.scope),
                self._new.tenant,
                media.sources(found.graph, found.inputs, self._asked.file_at),
            )

    async def complete(self, new: NewRun, stored: Mapping[str, str]) -> NewRun:
        """See `Wish`. The document comes last of all that is stored before the row."""
        if new.workflow is None:
            raise RuntimeError("a workflow's run without its terms")
        digest = await services_of(self._request).workflows.documents.put(new.tenant, self.prepared.spec)
        terms = new.workflow.model_copy(update={"digest": digest})
        return new.model_copy(update={"inputs": media.placed(new.inputs, stored), "workflow": terms})


def promised(request: Request, asked: AskedWorkflow, idempotency_key: str | None) -> NewRun:
    """The row as far as the request alone says it."""
    services, exchange = services_of(request), exchange_of(request.scope)
    caller, body = exchange.authenticated, asked.body
    return NewRun(
        id=RunId(services.ids.new()),
        request_id=exchange.request_id,
        tenant=caller.tenant,
        project=caller.project,
        key_id=caller.key_id,
        kind=RunKind.WORKFLOW,
        target=str(asked.address),
        inputs={},
        request_hash=asked.hash,
        idempotency_key=idempotency_key,
        priority=body.priority,
        deadline_ms=deadline_ms(services, body.deadline_s),
        max_attempts=services.settings.runs.max_attempts,
    )
